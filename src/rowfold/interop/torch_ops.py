"""A kernel's operators in PyTorch: the kernel, its gradients, and the pair that keeps numbers and starts from them.

    softmax            (x, dim, *, temperature) -> result
    softmax_vjp        (x, gradient, dim, *, temperature) -> gradient of x; and the gradients of that
    softmax_kept       (x, dim, *, temperature) -> result, kept
    softmax_from_kept  (x?, result?, kept, gradient, dim, *, temperature) -> gradient of x

`kept` holds float64 numbers a row. The first two have all that PyTorch asks of an operator, the others what
torch.compile needs; a plain call goes through neither (`torch.py`).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from rowfold.api import Kernel
from rowfold.codegen.language.signature import Setting
from rowfold.interop.keeping import Absent, Keeper, Pattern
from rowfold.interop.operator import Operator, extent
from rowfold.interop.torch_arrays import array, tensor
from rowfold.interop.torch_vmap import batched
from rowfold.kernels.saved import WIDE_ROLES

_LIBRARY = torch.library.Library("rowfold", "DEF")
_TAKEN: dict[str, itertools.count[int]] = {}
_TYPES = {float: "float", int: "int", bool: "bool", str: "str"}
_KINDS = {"int64": torch.int64, "bool": torch.bool, "float64": torch.float64, "float32": torch.float32}
_DEPTH = 2  # derivatives that an operator has: a gradient, and a gradient of that


def define(kernel: Kernel[..., Any]) -> Operation:
    """The kernel's operators, defined now."""
    return Operation(_fresh(kernel.name), Operator(kernel), _DEPTH)


def _fresh(name: str) -> str:
    """A name that no operator has yet."""
    if name not in _TAKEN:
        _TAKEN[name] = itertools.count(2)
        return name
    return f"{name}_{next(_TAKEN[name])}"


class Operation:
    """One kernel's operators, and how its gradients are found in each situation."""

    def __init__(self, name: str, operator: Operator, depth: int) -> None:
        self.name, self.operator = name, operator
        self.keeper = Keeper(operator)
        self.second: dict[object, Operation] = {}
        self.op = _defined(name, _inputs(operator), len(operator.results), self._run, self._fake)
        torch.library.register_vmap(f"rowfold::{name}", functools.partial(batched, self.op, operator, 0), lib=_LIBRARY)
        derived = operator.vjp if depth else None
        self.backward: Operation | None = None
        if derived is not None:
            self.backward = Operation(_fresh(f"{name}_vjp"), derived, depth - 1)
        if self.backward is not None:
            _differentiate(name, self._remember, self._gradients)
        self.keeps = depth > 0 and self.keeper.usable
        if self.keeps:
            self._define_kept()

    def _run(self, *args: Any, **settings: Any) -> Any:
        results = self.operator([None if t is None else array(t) for t in args[:-1]], args[-1], settings)
        like = None if all(r is not None for r in results) else _dtype(args[:-1])
        return _several([torch.empty(0, dtype=like) if r is None else tensor(r) for r in results])

    def _fake(self, *args: Any, **settings: Any) -> Any:
        return _several(self._made(args[:-1], args[-1]))

    def _made(self, tensors: Sequence[Any], dim: int) -> list[Any]:
        shapes = self.operator.shapes([_shape(t) for t in tensors], dim, torch.broadcast_shapes)
        dtype, like = _dtype(tensors), next(t for t in tensors if t is not None)
        kinds = [_KINDS.get(kind or "", dtype) for _, _, kind in self.operator.results]
        return [like.new_empty((0,) if s is None else s, dtype=k) for s, k in zip(shapes, kinds, strict=True)]

    # gradients from the arguments

    def derivative(self) -> Operation | None:
        """The operator of the gradients, defined now if nobody needed it before; None where there is none."""
        derived = self.operator.vjp if self.backward is None else None
        if derived is not None:
            self.backward = Operation(_fresh(f"{self.name}_vjp"), derived, 0)
        return self.backward

    def _remember(self, ctx: Any, inputs: Any, output: Any, keyword_only_inputs: Any = None) -> None:
        *tensors, ctx.dim = inputs
        ctx.settings = keyword_only_inputs or {}  # torch gives them if there are any
        ctx.save_for_backward(*tensors)
        _mark(ctx, (output,) if isinstance(output, torch.Tensor) else output)

    def _gradients(self, ctx: Any, *incoming: Any) -> Any:
        return (*self.from_arguments(ctx.saved_tensors, incoming, ctx.dim, ctx.settings), None)

    def from_arguments(
        self, tensors: Sequence[Any], incoming: Sequence[Any], dim: int, settings: Mapping[str, Any]
    ) -> list[Any]:
        """The gradients of all arguments, by the operator that has gradients itself."""
        assert self.backward is not None
        found = self.backward.op(*tensors, *(incoming[i] for i in self.operator.floats), dim, **settings)
        return self.by_argument(tensors, found)

    def by_argument(self, tensors: Sequence[Any], found: Any) -> list[Any]:
        """For each argument its gradient, of what the operator of the gradients gave."""
        parts = iter((found,) if isinstance(found, torch.Tensor) else found)
        by_place = {place: next(parts) for place in self.operator.differentiated}
        return [by_place.get(i) if _is_float(t) else None for i, t in enumerate(tensors)]

    # a plain call: what is kept stays with it

    def keep(self, ctx: Any, tensors: Sequence[Any]) -> Any:
        """The results; `ctx` keeps what the gradients need. Arguments are kept whole where only they have gradients."""
        arrays = [None if t is None else array(t) for t in tensors]
        ctx.pattern = pattern = self.keeper.pattern(present(arrays), ctx.settings)
        found = pattern.forward(arrays, ctx.dim)
        count = len(found) - pattern.numbers
        results = [tensor(r) for r in found[:count]]
        ctx.numbers, ctx.shapes = found[count:], [tensors[i].shape for i in pattern.differentiated]
        ctx.whole = pattern.whole and len({t.shape for t in tensors if t is not None}) == 1
        read = pattern.parameters if ctx.whole else range(len(tensors))
        ctx.read = tuple(read)
        ctx.save_for_backward(*(tensors[i] for i in ctx.read), *(results[i] for i in pattern.results))
        _mark(ctx, results)
        return _several(results)

    def gradients(self, ctx: Any, incoming: Sequence[Any]) -> list[Any]:
        """The gradients of all arguments from what `ctx` kept; under create_graph by operators with gradients."""
        saved, pattern = ctx.saved_tensors, ctx.pattern
        held = dict(zip(ctx.read, saved, strict=False))
        results = dict(zip(pattern.results, saved[len(ctx.read) :], strict=True))
        if torch.is_grad_enabled():
            by = self._from_results if ctx.whole else self._from_all
            return by(ctx, held, results, incoming)
        given = [array(incoming[i]) for i in self.operator.floats]
        arrays = {i: array(held[i]) for i in pattern.parameters}
        kept = {i: array(t) for i, t in results.items()}
        found = pattern.backward(arrays, kept, ctx.numbers, given, ctx.shapes, ctx.dim)
        return self._placed(pattern, map(tensor, found))

    def _placed(self, pattern: Pattern, found: Iterable[Any]) -> list[Any]:
        by_place = dict(zip(pattern.differentiated, found, strict=True))
        return [by_place.get(i) for i in range(len(self.operator.parameters))]

    def _from_all(
        self, ctx: Any, held: Mapping[int, Any], results: Mapping[int, Any], incoming: Sequence[Any]
    ) -> list[Any]:
        """The gradients from all arguments, by an operator that has exactly these."""
        exact, there = self.exact([*held.values()])
        found = iter(exact.from_arguments(there, incoming, ctx.dim, ctx.settings))
        return [None if t is None else next(found) for t in held.values()]

    def exact(self, tensors: Sequence[Any]) -> tuple[Operation, list[Any]]:
        """The operator that has exactly the parameters that are there, and the tensors for it."""
        there = [(p, t) for p, t in zip(self.operator.parameters, tensors, strict=True) if t is not None]
        names = tuple(p.name for p, _ in there)
        if self.backward is None or not any(p.optional for p in self.operator.parameters):
            return self, [*tensors]
        if names not in self.second:
            self.second[names] = Operation(_fresh(f"{self.name}_of_all"), self.operator.with_all(names), _DEPTH)
        return self.second[names], [t for _, t in there]

    def _from_results(
        self, ctx: Any, held: Mapping[int, Any], results: Mapping[int, Any], incoming: Sequence[Any]
    ) -> list[Any]:
        """The gradients by an operator of the kept results, which lead to the arguments for a second derivative."""
        pattern = ctx.pattern
        if pattern not in self.second:
            self.second[pattern] = Operation(_fresh(f"{self.name}_from_results"), Operator(pattern.later), 1)
        tensors = pattern.ordered(held, results, [incoming[i] for i in self.operator.floats])
        found = self.second[pattern].op(*tensors, ctx.dim, **pattern.later_settings)
        return self._placed(pattern, (found,) if isinstance(found, torch.Tensor) else found)

    # the pair of operators that torch.compile sees

    def _define_kept(self) -> None:
        name, own = self.name, self.operator
        kept = _fresh(f"{name}_kept")
        self.kept_op = _defined(
            kept, _inputs(own), len(own.results) + 1, self._run_kept, self._fake_kept
        )
        results = [f"Tensor? result_{i}" for i in own.floats]
        incoming = [f"Tensor incoming_{i}" for i in own.floats]
        arguments = [f"Tensor? {p.name}" for p in own.parameters]
        settings = ["*", *map(_setting, own.settings)] if own.settings else []
        inputs = [*arguments, *results, "Tensor numbers", *incoming, "int dim", *settings]
        count = len(own.differentiated)
        self.from_op = _defined(_fresh(f"{name}_from_kept"), inputs, count, self._run_from, self._fake_from)
        _differentiate(kept, self._remember_kept, self._gradients_kept)
        torch.library.register_vmap(
            f"rowfold::{kept}", functools.partial(batched, self.kept_op, own, 1), lib=_LIBRARY
        )

    def kept(self, tensors: Sequence[Any], dim: int, settings: Mapping[str, Any]) -> Any:
        """The results by the operator that keeps, for torch.compile."""
        if not self.keeps:
            return self.op(*tensors, dim, **settings)
        return _several(list(self.kept_op(*tensors, dim, **settings))[:-1])

    def _run_kept(self, *args: Any, **settings: Any) -> Any:
        arrays, dim = [None if t is None else array(t) for t in args[:-1]], args[-1]
        pattern = self.keeper.pattern(present(arrays), settings)
        found = pattern.forward(arrays, dim)
        count = len(found) - pattern.numbers
        _, batch = self._extent([_shape(t) for t in args[:-1]], (), (), dim, np.broadcast_shapes)
        numbers = np.stack(found[count:], -1) if pattern.numbers else np.empty((*batch, 0))
        return *map(tensor, found[:count]), tensor(numbers)

    def _fake_kept(self, *args: Any, **settings: Any) -> Any:
        tensors, dim = args[:-1], args[-1]
        made = self._made(tensors, dim)
        _, batch = self._extent([_shape(t) for t in tensors], (), (), dim, torch.broadcast_shapes)
        pattern = self.keeper.pattern(_present(tensors), settings)
        return *made, made[0].new_empty((*batch, pattern.numbers), dtype=torch.float64)

    def _extent(self, given: Sequence[Any], kept: Sequence[Any], incoming: Sequence[Any], dim: int, by: Any) -> Any:
        """The shapes of all rows and of the batch, from those of arguments, kept results and gradients."""
        rows = [self.operator.results[i][1] for i in self.operator.floats]
        wide = [s for s, p in zip(given, self.operator.parameters, strict=True)
                if s is not None and p.role in WIDE_ROLES]  # fmt: skip
        more = [s for shapes in (kept, incoming) for s, row in zip(shapes, rows, strict=False) if row and s is not None]
        return extent([*wide, *more], dim, by)

    def _remember_kept(self, ctx: Any, inputs: Any, output: Any, keyword_only_inputs: Any = None) -> None:
        *tensors, ctx.dim = inputs
        ctx.settings = keyword_only_inputs or {}
        pattern = self.keeper.pattern(_present(tensors), ctx.settings)
        whole, batch = self._extent([_shape(t) for t in tensors], (), (), ctx.dim, torch.broadcast_shapes)
        narrow = (t is not None and not _alike(t.shape, whole if p.role in WIDE_ROLES else batch)
                  for t, p in zip(tensors, self.operator.parameters, strict=True))  # fmt: skip
        read = [t if small or i in pattern.parameters else None
                for i, (t, small) in enumerate(zip(tensors, narrow, strict=True))]  # fmt: skip
        kept = [output[i] if i in pattern.results else None for i in self.operator.floats]
        ctx.save_for_backward(*read, *kept, output[-1])
        ctx.floating = [_is_float(t) for t in tensors]
        _mark(ctx, output, output[-1])

    def _gradients_kept(self, ctx: Any, *incoming: Any) -> Any:
        floats = [incoming[i] for i in self.operator.floats]
        found = self.from_op(*ctx.saved_tensors, *floats, ctx.dim, **ctx.settings)
        by_place = dict(zip(self.operator.differentiated, (found,) if isinstance(found, torch.Tensor) else found,
                            strict=True))  # fmt: skip
        return (*(by_place.get(i) if floating else None for i, floating in enumerate(ctx.floating)), None)

    def _run_from(self, *args: Any, **settings: Any) -> Any:
        tensors, kept, numbers, incoming = self._sorted(args)
        pattern = self.keeper.pattern(self._presence(tensors), settings)
        shapes = self._shapes_from(tensors, kept, incoming, args[-1], np.broadcast_shapes)
        found = pattern.backward(
            {i: array(t) for i, t in enumerate(tensors) if t is not None},
            {i: array(t) for i, t in zip(self.operator.floats, kept, strict=True) if t is not None},
            list(np.moveaxis(array(numbers), -1, 0)), [*map(array, incoming)],
            [shapes[i] for i in pattern.differentiated], args[-1],
        )  # fmt: skip
        by_place = dict(zip(pattern.differentiated, found, strict=True))
        like = incoming[0].dtype
        return _several([tensor(by_place[i]) if i in by_place else torch.empty(0, dtype=like)
                         for i in self.operator.differentiated])  # fmt: skip

    def _fake_from(self, *args: Any, **settings: Any) -> Any:
        tensors, kept, _, incoming = self._sorted(args)
        shapes = self._shapes_from(tensors, kept, incoming, args[-1], torch.broadcast_shapes)
        there = self.keeper.pattern(self._presence(tensors), settings).differentiated
        dtype = _dtype([*tensors, *kept, *incoming])
        return _several([incoming[0].new_empty(shapes[i] if i in there else (0,), dtype=dtype)
                         for i in self.operator.differentiated])  # fmt: skip

    def _sorted(self, args: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
        n, k = len(self.operator.parameters), len(self.operator.floats)
        return args[:n], args[n : n + k], args[n + k], args[n + k + 1 : -1]

    def _presence(self, tensors: Sequence[Any]) -> tuple[Absent, ...]:
        """What the call had: an argument that is not optional was there, and a float if it was not kept."""
        found = zip(_present(tensors), self.operator.parameters, strict=True)
        return tuple(False if flag is None and not p.optional else flag for flag, p in found)

    def _shapes_from(self, tensors: Any, kept: Any, incoming: Any, dim: int, by: Any) -> list[Any]:
        given = [_shape(t) for t in tensors]
        whole, batch = self._extent(given, [_shape(t) for t in kept], [_shape(t) for t in incoming], dim, by)
        roles = (p.role for p in self.operator.parameters)
        return [s if s is not None else whole if role in WIDE_ROLES else batch
                for s, role in zip(given, roles, strict=True)]  # fmt: skip


# pieces


def _defined(name: str, inputs: Sequence[str], results: int, run: Any, fake: Any) -> Callable[..., Any]:
    returned = "Tensor" if results == 1 else f"({', '.join(['Tensor'] * results)})"
    _LIBRARY.define(f"{name}({', '.join(inputs)}) -> {returned}", tags=(torch.Tag.pt2_compliant_tag,))
    _LIBRARY.impl(name, run, "CPU")
    torch.library.register_fake(f"rowfold::{name}", fake, lib=_LIBRARY)
    call: Callable[..., Any] = getattr(torch.ops.rowfold, name).default
    return call


def _differentiate(name: str, remember: Any, gradients: Any) -> None:
    torch.library.register_autograd(f"rowfold::{name}", gradients, setup_context=remember, lib=_LIBRARY)


def _inputs(operator: Operator) -> list[str]:
    tensors = [f"Tensor{'?' if p.optional else ''} {p.name}" for p in operator.parameters]
    return [*tensors, "int dim", *(["*", *map(_setting, operator.settings)] if operator.settings else [])]


def _setting(s: Setting) -> str:
    kind = _TYPES[s.type] + ("?" if s.nullable else "")
    default = f'"{s.default}"' if isinstance(s.default, str) else str(s.default)
    return f"{kind} {s.name}" if s.required else f"{kind} {s.name}={default}"


def present(arrays: Sequence[Any]) -> tuple[Absent, ...]:
    """Which arguments a call has, by their arrays."""
    return tuple(None if a is None else a.dtype.char == "?" for a in arrays)


def _present(tensors: Sequence[Any]) -> tuple[Absent, ...]:
    return tuple(None if t is None else t.dtype is torch.bool for t in tensors)


def _shape(t: Any) -> Any:
    return None if t is None else tuple(t.shape)


def _alike(shape: Any, other: Any) -> bool:
    """Whether two shapes are one; sizes that are symbols are compared only where ranks are the same."""
    return len(shape) == len(other) and all(a == b for a, b in zip(shape, other, strict=True))


def _is_float(t: Any) -> bool:
    return t is not None and t.dtype.is_floating_point


def _mark(ctx: Any, outputs: Sequence[Any], *more: Any) -> None:
    ctx.mark_non_differentiable(*(t for t in outputs if not t.dtype.is_floating_point), *more)


def _dtype(tensors: Sequence[Any]) -> Any:
    """The dtype of float results: what the float rows promote to."""
    found = {t.dtype for t in tensors if _is_float(t)}
    return found.pop() if len(found) == 1 else functools.reduce(torch.promote_types, found, torch.float32)


def _several(results: list[Any]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)
