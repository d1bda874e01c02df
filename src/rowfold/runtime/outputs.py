"""The arrays that a call writes: those of the user, checked before anything runs, or fresh ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import OutputError
from ..records import NamedTuple
from . import room
from .layout import Layout, Shape
from .operands import Operands, format_of
from .spec import Array, DType, Result, Results

_BOOL, _INT64, _FLOAT64 = np.dtype("bool"), np.dtype("int64"), np.dtype("float64")


class Target(NamedTuple):
    """One result: the array of the user's shape and dtype, and the one that the loop writes."""

    result: Result
    given: Any  # the user's object, or None
    array: Array
    loop: Array
    shared: bool  # the loop writes straight into `array`

    def finished(self, layout: Layout) -> Any:
        """What the user gets, after the loop has run. The one rounding of narrow dtypes happens here."""
        if self.result.total:
            np.copyto(self.array, room.folded(self.loop, self.array.size), casting="unsafe")
        elif not self.shared:
            moved = layout.axes_last(self.array) if self.result.row and self.array.ndim else self.array
            moved = layout.entries_last(moved) if self.result.entries else moved
            np.copyto(moved, self.loop.reshape(moved.shape), casting="unsafe")
        return self.array[()] if self.given is None else self.given


def prepare(kernel: str, results: Results, operands: Operands, out: Any, keepdims: bool) -> tuple[Target, ...]:
    """One target per result. Raises before anything is written if `out` cannot take them."""
    given = _given(kernel, out, len(results))
    layout = operands.layout
    shapes = [
        (layout.n,) if r.total else layout.result_shape(operands.batch, r.row, keepdims, r.entries) for r in results
    ]
    for place, result, shape in zip(given, results, shapes, strict=True):
        if place is not None:
            _check(kernel, place, shape, _dtype(result, operands))
    _check_apart(kernel, [np.asarray(place) for place in given if place is not None])
    return tuple(_target(g, r, s, operands) for g, r, s in zip(given, results, shapes, strict=True))


def nothing(kernel: str, results: Results, operands: Operands, out: Any) -> Any:
    """k-vectors of no entries."""
    batch, at = operands.batch, operands.layout.place_of(operands.batch)
    shape = (*batch[:at], 0, *batch[at:])
    given = _given(kernel, out, len(results))
    for place, result in zip(given, results, strict=True):
        if place is not None:
            _check(kernel, place, shape, _dtype(result, operands))
    made = [np.empty(shape, _dtype(r, operands)) if g is None else g for g, r in zip(given, results, strict=True)]
    return tuple(made) if len(made) > 1 else made[0]


def lifted(inputs: Sequence[Array], written: Sequence[Array]) -> list[Array]:
    """The inputs, copied where they may be memory that is written: for loops that read a row after writing it."""
    return [a.copy() if any(np.may_share_memory(a, y) for y in written) else a for a in inputs]


def _given(kernel: str, out: Any, count: int) -> tuple[Any, ...]:
    if out is None:
        return (None,) * count
    places = out if isinstance(out, tuple) else (out,)
    if len(places) != count:
        expected = "one array" if count == 1 else f"a tuple of {count} arrays (None where one is to be made)"
        raise TypeError(f"{kernel}: out has {len(places)} arrays; expected {expected}")
    return places


def _check(kernel: str, place: Any, shape: Shape, dtype: DType) -> None:
    if not isinstance(place, np.ndarray) or isinstance(place, np.ma.MaskedArray):
        raise TypeError(f"{kernel}: out is a {type(place).__name__}; expected a NumPy array (not a masked one)")
    if place.dtype != dtype:
        order = " in this machine's byte order" if place.dtype.newbyteorder("=") == dtype else ""
        raise OutputError(
            f"{kernel}: out has dtype {place.dtype.str if order else place.dtype}; expected {dtype}{order}; "
            f"make it with np.empty({shape}, np.{dtype})"
        )
    if place.shape != shape:
        raise OutputError(f"{kernel}: out has shape {place.shape}; expected {shape}; it is never resized")
    if not place.flags.writeable:
        raise OutputError(f"{kernel}: out is read-only; expected an array that may be written; pass a copy")


def _check_apart(kernel: str, places: list[Array]) -> None:
    for one, other in itertools.combinations(places, 2):
        if np.may_share_memory(one, other) and np.shares_memory(one, other):
            raise OutputError(
                f"{kernel}: two arrays of out share memory; expected one array of its own for each result"
            )


def _target(given: Any, result: Result, shape: Shape, operands: Operands) -> Target:
    layout, batch = operands.layout, operands.batch
    if result.total:
        array = np.empty(layout.n, _dtype(result, operands)) if given is None else np.asarray(given)
        return Target(result, given, array, room.made(layout.n, operands.computing), False)
    array = _fresh(operands, shape, _dtype(result, operands)) if given is None else np.asarray(given)
    dtype = stored(result, operands)
    view = layout.entries_last(array) if result.entries else layout.loop_view(array, batch, result.row)
    shared = array.dtype == dtype and (np.may_share_memory(view, array) or array.size == 0)
    return Target(result, given, array, view if shared else np.empty(view.shape, dtype), shared)


def _fresh(operands: Operands, shape: Shape, dtype: DType) -> Array:
    """A new array; with the memory order of the first row where it has its shape, as NumPy's ufuncs do."""
    first = operands.first
    return np.empty_like(first, dtype) if first.shape == shape else np.empty(shape, dtype)


def stored(result: Result, operands: Operands) -> DType:
    """What the loop writes, as `Program.stored` has it: every other dtype is cast from the computing one."""
    dtype = _dtype(result, operands)
    if operands.coded and result.dtype is None and format_of(dtype):
        return dtype
    if dtype == _BOOL or (dtype == _FLOAT64 and not result.row and not result.entries):
        return dtype
    return _INT64 if dtype == _INT64 or (dtype.kind in "iu" and not result.row) else operands.computing


def _dtype(result: Result, operands: Operands) -> DType:
    return operands.result if result.dtype is None else np.dtype(result.dtype)
