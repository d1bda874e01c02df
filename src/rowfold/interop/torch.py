"""Kernels as PyTorch operators: `rowfold.interop.torch.softmax(input, dim=-1)`, `rowfold.interop.torch.wrap(kernel)`.

Each operator has a fake implementation and gradients that are operators too, so that torch.compile (fullgraph, dynamic
shapes), export and vmap see through it; gradients of gradients are there where no parameter is optional. float32 and
float64 tensors are used where they lie; bfloat16 and float16 are computed in float32 and rounded once. CPU only.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch

from rowfold import library
from rowfold.api import Kernel
from rowfold.codegen.language.signature import Parameter, Setting
from rowfold.interop.operator import Operator
from rowfold.kernels.saved import WIDE_ROLES

_LIBRARY = torch.library.Library("rowfold", "DEF")
_TAKEN: dict[str, itertools.count[int]] = {}
_TYPES = {float: "float", int: "int", bool: "bool", str: "str"}
_NARROW = (torch.bfloat16, torch.float16)
_KINDS = {"int64": torch.int64, "bool": torch.bool}
_DEPTH = 2  # derivatives that an operator has: a gradient, and a gradient of that


def wrap(kernel: Kernel[..., Any]) -> Callable[..., Any]:
    """The kernel as a function of tensors: `f(*tensors, dim=-1, **settings)`, with gradients and under torch.compile.

    `dim` counts in the first row argument, as `axis` does in a call of the kernel.
    """
    name, operator = _fresh(kernel.name), Operator(kernel)
    call = _define(name, operator, _DEPTH)
    count = len(operator.parameters)

    @functools.wraps(kernel)
    def function(*tensors: Any, dim: int = -1, **settings: Any) -> Any:
        _check(kernel.name, tensors)
        results = call(*tensors, *(None,) * (count - len(tensors)), dim, **settings)
        return results if isinstance(results, torch.Tensor) else tuple(results)

    return function


@functools.cache
def _of_the_library(name: str) -> Callable[..., Any]:
    return wrap(getattr(library, name))


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in library.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _of_the_library(name)


def __dir__() -> list[str]:
    return sorted([*library.__all__, "wrap"])


def _check(name: str, tensors: tuple[Any, ...]) -> None:
    for t in tensors:
        if t is not None and not isinstance(t, torch.Tensor):
            raise TypeError(f"{name}: expected a tensor, not {type(t).__name__}")
        if t is not None and t.device.type not in ("cpu", "meta"):
            raise TypeError(f"{name}: the tensor is on {t.device}; rowfold runs on the CPU: pass tensor.cpu()")


def _fresh(name: str) -> str:
    """A name that no operator has yet."""
    if name not in _TAKEN:
        _TAKEN[name] = itertools.count(2)
        return name
    return f"{name}_{next(_TAKEN[name])}"


def _define(name: str, operator: Operator, depth: int) -> Callable[..., Any]:
    """Defines the operator, its fake and its gradients; gives what calls it."""
    _LIBRARY.define(f"{name}{_schema(operator)}", tags=(torch.Tag.pt2_compliant_tag,))
    _LIBRARY.impl(name, functools.partial(_run, operator), "CPU")
    torch.library.register_fake(f"rowfold::{name}", functools.partial(_fake, operator), lib=_LIBRARY)
    torch.library.register_vmap(f"rowfold::{name}", functools.partial(_vmap, name, operator), lib=_LIBRARY)
    derived = operator.vjp if depth else None
    if derived is not None:
        _differentiate(name, operator, _define(_fresh(f"{name}_vjp"), derived, depth - 1))
    call: Callable[..., Any] = getattr(torch.ops.rowfold, name).default
    return call


def _schema(operator: Operator) -> str:
    tensors = [f"Tensor{'?' if p.optional else ''} {p.name}" for p in operator.parameters]
    settings = ["*", *map(_setting, operator.settings)] if operator.settings else []
    results = ["Tensor"] * len(operator.results)
    returned = results[0] if len(results) == 1 else f"({', '.join(results)})"
    return f"({', '.join([*tensors, 'int dim', *settings])}) -> {returned}"


def _setting(s: Setting) -> str:
    kind = _TYPES[s.type] + ("?" if s.nullable else "")
    default = f'"{s.default}"' if isinstance(s.default, str) else str(s.default)
    return f"{kind} {s.name}" if s.required else f"{kind} {s.name}={default}"


# running


def _run(operator: Operator, *args: Any, **settings: Any) -> Any:
    tensors, dim = args[:-1], args[-1]
    dtype = _dtype(operator, tensors)
    arrays = [None if t is None else _array(t) for t in tensors]
    results = operator(arrays, dim, settings)
    kinds = (kind for _, _, kind in operator.results)
    return _several([_tensor(r, kind, dtype) for r, kind in zip(results, kinds, strict=True)])


def _array(tensor: Any) -> Any:
    """The tensor's memory as an array; narrow floats as float32."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype in _NARROW else tensor).numpy()


def _tensor(result: Any, kind: str | None, dtype: Any) -> Any:
    if result is None:
        return torch.empty(0, dtype=dtype)
    found = torch.from_numpy(result) if result.ndim else torch.tensor(result[()])  # NumPy makes 0-d arrays numbers
    wanted = dtype if kind is None else _KINDS.get(kind, dtype)
    return found if found.dtype is wanted else found.to(wanted)


def _dtype(operator: Operator, tensors: tuple[Any, ...]) -> Any:
    """The dtype of float results: what the float rows promote to."""
    found = {t.dtype for t in tensors if t is not None and t.dtype.is_floating_point}
    return found.pop() if len(found) == 1 else functools.reduce(torch.promote_types, found, torch.float32)


def _several(results: list[Any]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)


def _fake(operator: Operator, *args: Any, **settings: Any) -> Any:
    tensors, dim = args[:-1], args[-1]
    given = [None if t is None else tuple(t.shape) for t in tensors]
    dtype = _dtype(operator, tensors)
    shapes = operator.shapes(given, dim, torch.broadcast_shapes)
    like = next(t for t in tensors if t is not None)
    kinds = [_KINDS.get(kind or "", dtype) for _, _, kind in operator.results]
    made = [like.new_empty((0,) if s is None else s, dtype=k) for s, k in zip(shapes, kinds, strict=True)]
    return _several(made)


# gradients


def _differentiate(name: str, operator: Operator, backward: Callable[..., Any]) -> None:
    """Gives the operator the gradients that `backward` computes."""

    def save(ctx: Any, inputs: Any, output: Any, keyword_only_inputs: Any = None) -> None:
        *tensors, ctx.dim = inputs
        ctx.settings = keyword_only_inputs or {}  # torch gives them if there are any
        ctx.save_for_backward(*tensors)
        outputs = (output,) if isinstance(output, torch.Tensor) else output
        ctx.mark_non_differentiable(*(t for t in outputs if not t.dtype.is_floating_point))

    def gradients(ctx: Any, *incoming: Any) -> Any:
        tensors = ctx.saved_tensors
        floats = [g for g, (_, _, kind) in zip(incoming, operator.results, strict=True) if kind is None]
        found = backward(*tensors, *floats, ctx.dim, **ctx.settings)
        parts = iter((found,) if isinstance(found, torch.Tensor) else found)
        by_place = {place: next(parts) for place in operator.differentiated}
        wanted = [by_place.get(i) if t is not None else None for i, t in enumerate(tensors)]
        return (*wanted, None)

    torch.library.register_autograd(f"rowfold::{name}", gradients, setup_context=save, lib=_LIBRARY)


# vmap


def _vmap(name: str, operator: Operator, info: Any, in_dims: Any, *args: Any, **settings: Any) -> Any:
    """One more leading axis for every tensor, so that each element of it has its own gradients."""
    tensors, dim = args[:-1], args[-1]
    ranks = [None if t is None else t.ndim - (d is not None) for t, d in zip(tensors, in_dims, strict=False)]
    full = next(r for r, p in zip(ranks, operator.parameters, strict=True) if r is not None and p.role in WIDE_ROLES)
    dim = dim if dim < 0 else dim - full
    places = {p.name: (r, _room(p, r, full)) for p, r in zip(operator.parameters, ranks, strict=True) if r is not None}
    moved = [
        t if t is None else _leading(t, d, info.batch_size, places[p.name][1], p.role in WIDE_ROLES, dim)
        for t, d, p in zip(tensors, in_dims, operator.parameters, strict=False)
    ]
    found = getattr(torch.ops.rowfold, name)(*moved, dim, **settings)
    results = [found] if isinstance(found, torch.Tensor) else list(found)
    for i, (p, row, _) in enumerate(operator.results):
        if p is not None and p.name in places:
            results[i] = _trailing(results[i], places[p.name][1], row, dim)
    dims = [None if p is not None and p.name not in places else 0 for p, _, _ in operator.results]
    return _several(results), _several(dims)


def _room(parameter: Parameter, rank: int, full: int) -> int:
    """The axes that a tensor lacks to have all the batch's."""
    return full - rank - (parameter.role not in WIDE_ROLES)


def _leading(tensor: Any, batched: int | None, size: int, room: int, wide: bool, dim: int) -> Any:
    whole = tensor.expand(size, *tensor.shape) if batched is None else tensor.movedim(batched, 0)
    whole = whole.reshape(size, *(1 for _ in range(room)), *whole.shape[1:])
    return whole.movedim(-1, dim) if room and wide else whole


def _trailing(gradient: Any, room: int, row: bool, dim: int) -> Any:
    whole = gradient.movedim(dim, -1) if room and row else gradient
    return whole.reshape(whole.shape[0], *whole.shape[1 + room :])
