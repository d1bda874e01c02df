"""Kernels as PyTorch operators: `rowfold.interop.torch.softmax(input, dim=-1)`, `rowfold.interop.torch.wrap(kernel)`.

Each is an operator of its own (`torch.ops.rowfold.softmax`), so that torch.compile (fullgraph, dynamic shapes), export,
vmap and the transforms of torch.func see through it. Where a gradient is wanted, the call keeps what the kernel's
gradients read least for (`k.with_saved`), and the backward pass starts from that. Gradients of gradients are there
where no parameter is optional. float32, float64, float16 and bfloat16 tensors are used where they lie, in any strides.
CPU only. `rowfold.interop.torch.nn` has modules.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import torch

from rowfold import library
from rowfold.api import Kernel
from rowfold.errors import NotDifferentiableError
from rowfold.interop.torch_arrays import array, tensor
from rowfold.interop.torch_ops import Operation, define
from rowfold.interop.torch_vmap import transformed

_below_autograd: Any = torch._C._AutoDispatchBelowAutograd
_in_transform: Any = torch._C._are_functorch_transforms_active
_modes: Any = torch._C._len_torch_dispatch_stack
_tracing: Any = torch._C._get_tracing_state
_PLAIN = frozenset((torch.Tensor, torch.nn.Parameter, type(None)))


def wrap(kernel: Kernel[..., Any]) -> Callable[..., Any]:
    """The kernel as a function of tensors: `f(*tensors, dim=-1, **settings)`, with gradients and under torch.compile.

    `dim` counts in the first row argument, as `axis` does in a call of the kernel. TypeError for what is no tensor of
    the CPU, DTypeError for a dtype that the kernel does not take, IndexError for a `dim` or a target out of range.
    """
    operation = define(kernel)
    names = tuple(p.name for p in operation.operator.parameters)

    @functools.wraps(kernel)
    def function(*tensors: Any, dim: int = -1, **settings: Any) -> Any:
        if len(tensors) < len(names):
            tensors = (*tensors, *[settings.pop(name, None) for name in names[len(tensors) :]])
        _check(kernel.name, tensors)
        results = _call(operation, tensors, dim, settings)
        return results if isinstance(results, torch.Tensor) else tuple(results)

    return function


def with_gradients(kernel: Kernel[..., Any]) -> Callable[..., Any]:
    """`f(*tensors, *gradients, dim=-1, **settings)` gives `(value, gradients)` in one go: rows are read once.

    The arguments are those of `kernel.vjp`: `with_gradients(library.cross_entropy)(logits, target, each)`, where `each`
    is the gradient of every row's loss. Autograd sees nothing of it. NotDifferentiableError where there are none.
    """
    both = kernel.vjp.with_value

    @functools.wraps(kernel)
    def function(*tensors: Any, dim: int = -1, **settings: Any) -> Any:
        _check(kernel.name, tensors)
        value, gradients = both(*(None if t is None else array(t) for t in tensors), axis=dim, **settings)
        results = tuple(map(tensor, value)) if isinstance(value, tuple) else tensor(value)
        return results, tuple(map(tensor, gradients))

    return function


def _call(operation: Operation, tensors: tuple[Any, ...], dim: int, settings: dict[str, Any]) -> Any:
    """By the way that is shortest here; each gives the same results."""
    wanted = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    if torch.compiler.is_compiling():
        kept = wanted and not torch.compiler.is_exporting()
        return operation.kept(tensors, dim, settings) if kept else operation.op(*tensors, dim, **settings)
    if _in_transform():
        return transformed(operation, tensors, dim, settings)
    if _tracing():
        return operation.op(*tensors, dim, **settings)
    if not wanted:
        with _below_autograd():
            return operation.op(*tensors, dim, **settings)
    if operation.backward is None:
        return _Refused.apply(operation, dim, settings, *tensors)
    if _modes() or not operation.keeps or not _PLAIN.issuperset(map(type, tensors)):
        return operation.op(*tensors, dim, **settings)
    return _Kept.apply(operation, dim, settings, *tensors)


class _Kept(torch.autograd.Function):
    """A call that keeps what its gradients need, without the dispatcher between."""

    @staticmethod
    def forward(ctx: Any, operation: Operation, dim: int, settings: dict[str, Any], *tensors: Any) -> Any:
        ctx.operation, ctx.dim, ctx.settings = operation, dim, settings
        return operation.keep(ctx, tensors)

    @staticmethod
    def backward(ctx: Any, *incoming: Any) -> Any:
        return None, None, None, *ctx.operation.gradients(ctx, incoming)


class _Refused(torch.autograd.Function):
    """A call whose floats have no gradient: whoever asks for one is told why."""

    @staticmethod
    def forward(ctx: Any, operation: Operation, dim: int, settings: dict[str, Any], *tensors: Any) -> Any:
        ctx.reason = operation.operator.reason
        results = operation.op(*tensors, dim, **settings)
        outputs = (results,) if isinstance(results, torch.Tensor) else results
        ctx.mark_non_differentiable(*(t for t in outputs if not t.dtype.is_floating_point))
        return results

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotDifferentiableError(ctx.reason)


def _check(name: str, tensors: tuple[Any, ...]) -> None:
    for t in tensors:
        if t is None:
            continue
        if not isinstance(t, torch.Tensor):
            raise TypeError(f"{name}: expected a tensor, not {type(t).__name__}")
        if not (t.is_cpu or t.is_meta):
            raise TypeError(f"{name}: the tensor is on {t.device}; rowfold runs on the CPU: pass tensor.cpu()")
        if t.layout is not torch.strided:
            raise TypeError(f"{name}: the tensor's layout is {t.layout}; pass tensor.to_dense()")


def __getattr__(name: str) -> Any:
    if name == "nn":
        return importlib.import_module("rowfold.compat.torch_nn")  # it stands above this module
    if name not in library.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = wrap(getattr(library, name))  # found at once from now on
    return found


def __dir__() -> list[str]:
    return sorted([*library.__all__, "nn", "with_gradients", "wrap"])
