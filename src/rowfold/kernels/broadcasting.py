"""Gradients in the shapes of their parameters: what a call broadcast is summed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import OutputError

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]


def in_shapes(name: str, found: tuple[Array, ...], shapes: Sequence[Shape], axis: Any, out: Any) -> tuple[Array, ...]:
    """The results of a call, the last of which are gradients of parameters that have these shapes."""
    count = len(found) - len(shapes)
    summed = (_summed(r, s, axis) for r, s in zip(found[count:], shapes, strict=True))
    whole = (*found[:count], *summed)
    return whole if out is None else _written(name, out, whole)


def at_once(out: Any, shapes: Mapping[str, Shape], wide: Sequence[Shape]) -> tuple[Any, ...] | None:
    """The places that a call can write gradients to: those of whole arrays. Others are summed first, and copied."""
    rank = max(map(len, wide), default=0)
    if not isinstance(out, tuple) or len(out) != len(shapes) or any(1 < len(s) < rank for s in wide):
        return None
    whole = _broadcast(tuple(s for s in wide if len(s) == rank))
    pairs = zip(out, shapes.values(), strict=True)
    places = tuple(p if shape == whole and getattr(p, "shape", None) == whole else None for p, shape in pairs)
    return places if any(p is not None for p in places) else None


def shared(rows: Mapping[str, Shape], wide: Sequence[Shape], axis: Any) -> frozenset[str]:
    """The rows that all of a batch of several have in common: their gradients are sums over the whole batch."""
    return _shared(tuple(rows.items()), tuple(wide), axis)


@lru_cache(256)
def _shared(rows: tuple[tuple[str, Shape], ...], wide: tuple[Shape, ...], axis: Any) -> frozenset[str]:
    rank = max(map(len, wide))
    alone = {shape: _batch(shape, rank, axis) for shape in {*wide, *(shape for _, shape in rows)}}
    if all(math.prod(batch) == 1 for batch in alone.values()):
        return frozenset()
    return frozenset(name for name, shape in rows if math.prod(alone[shape]) == 1)


@lru_cache(256)
def _broadcast(shapes: tuple[Shape, ...]) -> Shape:
    return np.broadcast_shapes(*shapes)


def check_gradients(name: str, own: Sequence[Shape], gradients: Mapping[str, Shape], axis: Any) -> None:
    """ValueError for a gradient of a row with rows that the result does not have."""
    rank = max(map(len, own))
    batch = np.broadcast_shapes(*(_batch(shape, rank, axis) for shape in own))
    for gradient, shape in gradients.items():
        given = _batch(shape, rank, axis) if len(shape) <= rank else shape[:-1]
        if len(given) > len(batch) or any(g not in (1, b) for g, b in zip(given[::-1], batch[::-1], strict=False)):
            what = f"{gradient!r} of shape {shape} has the batch {given}"
            raise ValueError(f"{name}: {what}; the result whose gradient it is has {batch}")


def _batch(shape: Shape, rank: int, axis: Any) -> Shape:
    """The sizes beside the row; a lower-rank row lies on its last axis."""
    if len(shape) < rank or rank == 0:
        return shape[:-1]
    axes = range(rank) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    inside = {a % rank for a in axes}
    return tuple(size for k, size in enumerate(shape) if k not in inside)


def _summed(gradient: Array, shape: tuple[int, ...], axis: Any) -> Array:
    """The gradient of a parameter that was broadcast from `shape`, summed in float64."""
    if gradient.shape == shape:
        return gradient
    if gradient.ndim == 1 and gradient.size == math.prod(shape):  # over the batch already
        return gradient.reshape(shape)
    if len(shape) < gradient.ndim:  # a lower-rank row lies on its last axis
        gradient = _row_last(gradient, axis)
    leading = gradient.ndim - len(shape)
    ones = [k for k, size in enumerate(shape, leading) if size == 1 and gradient.shape[k] != 1]
    total = np.sum(gradient, axis=(*range(leading), *ones), keepdims=True, dtype=np.float64)
    return np.asarray(total.reshape(shape).astype(gradient.dtype))


def _row_last(gradient: Array, axis: Any) -> Array:
    axes = range(gradient.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    moved = np.moveaxis(gradient, tuple(axes), range(-len(axes), 0))
    return moved.reshape(*moved.shape[: moved.ndim - len(axes)], -1)


def _written(name: str, out: Any, gradients: tuple[Array, ...]) -> tuple[Array, ...]:
    """Copies results to where the caller wants them; None where that is a new array."""
    given: tuple[Array, ...] = out if isinstance(out, tuple) else (out,)
    if len(given) != len(gradients):
        raise TypeError(f"{name}: out has {len(given)} arrays; expected a tuple of {len(gradients)}")
    places = tuple(g if p is None else p for p, g in zip(given, gradients, strict=True))
    for place, gradient in zip(places, gradients, strict=True):
        if place.shape != gradient.shape or place.dtype != gradient.dtype:
            expected = f"{gradient.dtype} of shape {gradient.shape}"
            raise OutputError(f"{name}: out is {place.dtype} of shape {place.shape}; expected {expected}")
    for place, gradient in zip(places, gradients, strict=True):
        if place is not gradient:
            np.copyto(place, gradient)
    return places
