"""Operators under the transforms of torch.func.

vmap is one more leading axis for every tensor, so that each element of it has its own gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from rowfold.codegen.language.signature import Parameter
from rowfold.errors import NotDifferentiableError
from rowfold.interop.operator import Operator
from rowfold.kernels.saved import WIDE_ROLES


def transformed(operation: Any, tensors: Any, dim: int, settings: Any) -> Any:
    """The operator's results under vmap, grad, jacrev and what is made of these, in any order."""
    operation, tensors = operation.exact(tensors)
    return _Transformed.apply(operation, dim, settings, *tensors)


class _Transformed(torch.autograd.Function):
    """An operator as the transforms see it; its gradients are one more."""

    @staticmethod
    def forward(operation: Any, dim: int, settings: Any, *tensors: Any) -> Any:
        return operation.op(*tensors, dim, **settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.operation, ctx.dim, ctx.settings, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        outputs = (output,) if isinstance(output, torch.Tensor) else output
        ctx.shapes = [t.shape for t in outputs]
        ctx.mark_non_differentiable(*(t for t in outputs if not t.dtype.is_floating_point))

    @staticmethod
    def backward(ctx: Any, *incoming: Any) -> Any:
        operation, tensors = ctx.operation, ctx.saved_tensors
        backward = operation.derivative()
        if backward is None:
            raise NotDifferentiableError(operation.operator.reason)
        given = (*tensors, *(incoming[i] for i in operation.operator.floats))
        found = transformed(backward, given, ctx.dim, ctx.settings)
        return None, None, None, *operation.by_argument(tensors, found)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """J v is the gradient, in its incoming gradient, of the vjp along v, whatever that incoming gradient is."""
        operation, tensors = ctx.operation, ctx.saved_tensors
        backward = operation.derivative()
        second = backward and backward.derivative()
        if second is None:
            raise NotDifferentiableError(f"{operation.name}: no derivative of its gradients, so none in forward mode")
        places, own = operation.operator.floats, operation.operator.differentiated
        ways = [torch.zeros_like(tensors[i]) if tangents[3 + i] is None else tangents[3 + i] for i in own]
        anything = [ways[0].new_zeros(ctx.shapes[i]) for i in places]
        found = transformed(second, (*tensors, *anything, *ways), ctx.dim, ctx.settings)
        along = dict(zip(places, found[-len(places) :], strict=True))
        results = tuple(along.get(i) for i in range(len(ctx.shapes)))
        return results[0] if len(results) == 1 else results

    @staticmethod
    def vmap(info: Any, in_dims: Any, operation: Any, dim: int, settings: Any, *tensors: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            return transformed(operation, args[:-1], args[-1], more)

        return batched(call, operation.operator, 0, info, in_dims[3:], *tensors, dim, **settings)


def batched(
    op: Callable[..., Any], operator: Operator, extra: int, info: Any, in_dims: Any, *args: Any, **settings: Any
) -> Any:
    """Results and their batch axes. The last `extra` results of `op` are none of the operator's."""
    tensors, dim = args[:-1], args[-1]
    ranks = [None if t is None else t.ndim - (d is not None) for t, d in zip(tensors, in_dims, strict=False)]
    full = next(r for r, p in zip(ranks, operator.parameters, strict=True) if r is not None and p.role in WIDE_ROLES)
    dim = dim if dim < 0 else dim - full
    places = {p.name: (r, _room(p, r, full)) for p, r in zip(operator.parameters, ranks, strict=True) if r is not None}
    moved = [
        t if t is None else _leading(t, d, info.batch_size, places[p.name][1], p.role in WIDE_ROLES, dim)
        for t, d, p in zip(tensors, in_dims, operator.parameters, strict=False)
    ]
    found = op(*moved, dim, **settings)
    results = [found] if isinstance(found, torch.Tensor) else list(found)
    for i, (p, row, _) in enumerate(operator.results):
        if p is not None and p.name in places:
            results[i] = _trailing(results[i], places[p.name][1], row, dim)
    dims: list[int | None] = [None if p is not None and p.name not in places else 0 for p, _, _ in operator.results]
    dims += [0] * extra
    return (results[0], dims[0]) if len(results) == 1 else (tuple(results), tuple(dims))


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
