"""A kernel of the user's in other libraries: its row function, as one would write it there by hand.

NumPy, PyTorch and JAX run the program as it was traced, on whole arrays: one function of theirs for each operation, and
reductions along the last axis; JAX compiles it with `jit`, onnxruntime gets a model of the same operations. Numba
compiles the row function itself, in a loop over rows. SciPy has functions for a few programs only (`known`).
"""

from __future__ import annotations

import importlib
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .. import rowfns
from ..codegen.interpret import IDENTITIES, apply
from ..codegen.ir import Const, Input, Map, Param, Program, Reduce, Role
from ..codegen.simplify import simplify
from ..codegen.trace import trace
from ..records import replace
from .onnxgraph import Graph, Value

Run = Callable[[], object]
Array = Any  # of NumPy, or of another library
NOT_INSTALLED = "not installed"


class UnableError(Exception):
    """A library has no plain function for something in a program."""


def peers(
    fn: Callable[..., Any], program: Program, inputs: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[dict[str, Run], dict[str, str]]:
    """What computes the row function `fn` elsewhere, and for each other library why it does not.

    `program` is `fn` as traced, `inputs` the arrays of the call by parameter, `settings` what is passed at run time.
    """
    found: dict[str, Run] = {}
    reasons: dict[str, str] = {}
    for library, prepare in _PEERS.items():
        try:
            name, run = f"{library} {version(library)}", prepare(fn, program, inputs, settings)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                run()
            found[name] = run
        except (ImportError, PackageNotFoundError):
            reasons[library] = NOT_INSTALLED
        except UnableError as error:
            reasons[library] = f"is not run: {error}"
        except Exception as error:  # noqa: BLE001 - whatever another library says of a function that it does not know
            reasons[library] = f"is not run: it answers with {type(error).__name__}"
    return found, reasons


def known(program: Program) -> str | None:
    """Which function of other libraries this very program is (softmax, ...), if the algebra says so."""
    mine = _nameless(simplify(program))
    return next((name for name, fn in _KNOWN.items() if _nameless(simplify(trace(fn))) == mine), None)


def _nameless(program: Program) -> object:
    """What two spellings of a program have in common when the names are left out."""
    nodes = tuple(replace(n, name=str(i)) if isinstance(n, Input) else n for i, n in enumerate(program.nodes))
    return nodes, tuple(replace(output, narrow="") for output in program.outputs)


def _shares(x: Any) -> Any:
    e = np.exp(x)
    return e / np.sum(e)


def _log_of_sum(x: Any) -> Any:
    return rowfns.logsumexp(x)


_KNOWN = {"softmax": _shares, "log_softmax": lambda x: x - rowfns.logsumexp(x), "logsumexp": _log_of_sum}


class Numbers(types.ModuleType):
    """The functions of an array module under NumPy's names; `number` makes a constant, `other` says what differs."""

    def __init__(self, module: Any, number: Callable[[float], Any], **other: Callable[..., Any]) -> None:
        super().__init__(module.__name__)
        self.module, self.number, self.other = module, number, other

    def __getattr__(self, name: str) -> Any:
        return self.other.get(name) or getattr(self.module, name)


def straight(program: Program, inputs: Mapping[str, Array], settings: Mapping[str, float], xp: Numbers) -> Any:
    """The outputs of a traced program on whole arrays; numbers keep an axis of length 1. Raises UnableError."""
    width = next(inputs[n.name].shape[-1] for _, n in program.inputs if n.role is Role.ROW)
    values: list[Array] = []
    largest: dict[tuple[int, int], tuple[Array, Array]] = {}
    for node in program.nodes:
        match node:
            case Input():
                value = _input(node, inputs, width, xp)
            case Param(name):
                value = xp.number(settings[name])
            case Const(number):
                value = number if isinstance(number, bool) else xp.number(number)
            case Map("take", (row, index)):
                value = xp.take_along_axis(values[row], values[index], -1)
            case Map(op, args) if op in xp.other:
                value = xp.other[op](*(values[a] for a in args))
            case Map(op, args):
                value = apply(xp, op, [values[a] for a in args])
            case Reduce("topk" | "topk_at" as op, (row, k), None) if "topk" in xp.other:
                if (row, k) not in largest:
                    largest[row, k] = xp.other["topk"](values[row], _whole(program, k))
                value = largest[row, k][op == "topk_at"]
            case Reduce(op, args, where):
                value = _reduced(op, [values[a] for a in args], None if where is None else values[where], width, xp)
        values.append(value)
    return tuple(values[output.ref] for output in program.outputs)


def _whole(program: Program, ref: int) -> int:
    node = program.nodes[ref]
    if not isinstance(node, Const):
        raise UnableError("it takes a k that is known beforehand")
    return int(node.value)


def _input(node: Input, inputs: Mapping[str, Array], width: int, xp: Numbers) -> Array:
    match node.role:
        case Role.ROW | Role.MASK | Role.INT_ROW:
            return inputs[node.name]
        case Role.SCALAR:
            return inputs[node.name][..., None]
        case Role.INDEX:  # what is timed has no row to ignore
            return inputs[node.name][..., None]
        case Role.POSITIONS:
            return xp.arange(width)
        case Role.SEED | Role.TABLE | Role.UNKNOWN:
            raise UnableError(f"it has no plain function for what {node.name or 'a threshold'} does")


def _reduced(op: str, rows: Sequence[Array], where: Array | None, width: int, xp: Numbers) -> Array:
    match op, rows:
        case "count", _:
            return xp.number(width) if where is None else xp.sum(where, axis=-1, keepdims=True)
        case (("sum" | "prod" | "max" | "min"), [a]):
            a = a if where is None else xp.where(where, a, xp.number(IDENTITIES[op]))
            return getattr(xp, op)(a, axis=-1, keepdims=True)
        case (("any" | "all" | "argmax" | "argmin"), [a]) if where is None:
            return getattr(xp, op)(a, axis=-1, keepdims=True)
        case "dot", [a, b]:
            return _reduced("sum", [a * b], where, width, xp)
        case "mean", [a]:
            return _reduced("sum", [a], where, width, xp) / _reduced("count", [], where, width, xp)
        case "m2", [a]:
            away = a - _reduced("mean", [a], where, width, xp)
            return _reduced("sum", [away * away], where, width, xp)
    raise UnableError(f"it has no plain function for {op}")


def _numpy(fn: Callable[..., Any], program: Program, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> Run:
    xp = Numbers(np, _type(inputs))

    def run() -> object:
        with np.errstate(all="ignore"):
            return straight(program, inputs, settings, xp)

    return run


def _torch(fn: Callable[..., Any], program: Program, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> Run:
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    tensors = {name: torch.from_numpy(np.asarray(a)) for name, a in inputs.items()}
    kind = getattr(torch, _type(inputs).__name__)
    constants: dict[float, Any] = {}

    def number(value: float) -> Any:
        return constants.setdefault(value, torch.tensor(value, dtype=kind))

    def reducer(name: str) -> Callable[..., Any]:
        function = getattr(torch, name)
        return lambda a, *, axis, keepdims: function(a, dim=axis, keepdim=keepdims)

    reducers = {op: reducer({"max": "amax", "min": "amin"}.get(op, op)) for op in _REDUCING}
    xp = Numbers(torch, number, **reducers, power=torch.pow, sigmoid=torch.sigmoid, rsqrt=torch.rsqrt,
                 softplus=torch.nn.functional.softplus, topk=torch.topk, rint=torch.round, equal=torch.eq,
                 take_along_axis=torch.take_along_dim, arange=lambda n: torch.arange(n, dtype=kind))  # fmt: skip

    def run() -> object:
        with torch.inference_mode():
            return straight(program, tensors, settings, xp)

    return run


def _jax(fn: Callable[..., Any], program: Program, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> Run:
    jax, jnp = importlib.import_module("jax"), importlib.import_module("jax.numpy")
    jax.config.update("jax_enable_x64", _type(inputs) is np.float64)
    there = {name: jax.device_put(a, jax.devices("cpu")[0]) for name, a in inputs.items()}
    functions = {"sigmoid": jax.nn.sigmoid, "softplus": jax.nn.softplus, "rsqrt": jax.lax.rsqrt, "topk": jax.lax.top_k}
    xp = Numbers(jnp, _type(inputs), **functions)
    compiled = jax.jit(lambda given: straight(program, given, settings, xp))
    return lambda: jax.block_until_ready(compiled(there))


def _onnxruntime(
    fn: Callable[..., Any], program: Program, inputs: Mapping[str, Any], settings: Mapping[str, Any]
) -> Run:
    importlib.import_module("onnxruntime")
    graph = Graph(_type(inputs))
    kinds = {"f": "float", "b": "bool"}
    given = {n: Value(graph, n, kinds.get(a.dtype.kind, "int"), a.shape) for n, a in inputs.items()}
    made = straight(program, given, settings, Numbers(np, graph.number, **graph.functions()))
    return graph.session(inputs, made)


def _scipy(fn: Callable[..., Any], program: Program, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> Run:
    importlib.import_module("scipy")
    raise UnableError("it has no function for this program; what one writes with it is NumPy's line")


def _numba(fn: Callable[..., Any], program: Program, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> Run:
    numba = importlib.import_module("numba")
    if any(program.entries(o.ref) for o in program.outputs):
        raise UnableError("its loop here is for rows and numbers")
    wide = {node.name for _, node in program.inputs if node.role in (Role.ROW, Role.MASK, Role.INT_ROW)}
    arrays = {name: a.reshape(-1, a.shape[-1]) if name in wide else a.reshape(-1) for name, a in inputs.items()}
    rows = next(arrays[name] for name in arrays if name in wide)
    results = [np.empty(rows.shape[: 1 + program.is_row(o.ref)], _type(inputs)) for o in program.outputs]
    compiled = numba.njit(_loop(fn, numba.njit(_positional(fn, settings)), list(arrays), len(results)))

    def run() -> object:
        compiled(*results, *arrays.values())
        return tuple(results)

    return run


def _loop(fn: Callable[..., Any], row: Callable[..., Any], given: list[str], count: int) -> Callable[..., Any]:
    """The loop over rows as one would write it: a parameter for each result and each array."""
    results = [f"result_{k}" for k in range(count)]
    taken = fn.__code__.co_varnames[: fn.__code__.co_argcount]
    called = ", ".join(f"array_{name}[i]" if name in given else "None" for name in taken)
    written = ", ".join(f"{r}[i]" for r in results)
    parameters = ", ".join([*results, *(f"array_{name}" for name in given)])
    text = f"def loop({parameters}):\n    for i in range({results[0]}.shape[0]):\n        {written} = row({called})\n"
    scope: dict[str, Any] = {"row": row}
    exec(text, scope)  # noqa: S102 - the names are those of the row function's own parameters
    made: Callable[..., Any] = scope["loop"]
    return made


def _positional(fn: Callable[..., Any], settings: Mapping[str, Any]) -> types.FunctionType:
    """A row function whose settings are defaults of plain parameters: Numba has no keyword-only ones."""
    code = fn.__code__
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    plain = code.replace(co_argcount=code.co_argcount + len(names), co_kwonlyargcount=0)
    return types.FunctionType(plain, fn.__globals__, fn.__name__, tuple(settings[n] for n in names), fn.__closure__)


def _type(inputs: Mapping[str, Any]) -> type[Any]:
    """The type of the rows' elements, which makes one of a number."""
    made: type[Any] = next(a.dtype.type for a in inputs.values() if a.dtype.kind == "f")
    return made


_REDUCING = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")
_PEERS = {
    "numpy": _numpy, "scipy": _scipy, "torch": _torch, "jax": _jax, "onnxruntime": _onnxruntime, "numba": _numba,
}  # fmt: skip
