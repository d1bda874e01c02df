"""Where the rows are: views that have the row as their last axis, and the shapes of what comes back."""

from __future__ import annotations

import math
import operator
from typing import Any

from numpy.exceptions import AxisError

from ..errors import shown
from ..records import NamedTuple
from .spec import Array

Shape = tuple[int, ...]


def row_axes(axis: object, ndim: int, name: str) -> Shape:
    """The axes that make up the row, counted from the end and in rising order. 0-d counts as one element."""
    if type(axis) is int and axis == -1:
        return (-1,)
    ndim = max(ndim, 1)
    if axis is None:
        return tuple(range(-ndim, 0))
    found = [_one_axis(part, ndim, name) for part in (axis if isinstance(axis, tuple) else (axis,))]
    if len(set(found)) < len(found):
        raise AxisError(f"axis = {axis} names an axis of {name!r} twice; name each axis once")
    return tuple(sorted(found))


def _one_axis(part: Any, ndim: int, name: str) -> int:
    try:
        position = operator.index(part)
    except TypeError:
        position = None
    if position is None or isinstance(part, bool):
        raise TypeError(f"axis of {name!r} is {shown(part)}; expected an int, a tuple of ints, or None for all axes")
    if not -ndim <= position < ndim:
        raise AxisError(position, ndim, f"axis of {name!r}, which has axes {-ndim} to {ndim - 1}")
    return position % ndim - ndim


def rows_and_length(shape: Shape, axis: int) -> tuple[int, int]:
    """How many rows an array of this shape has, and their length."""
    n = shape[axis] if shape else 1
    return math.prod(shape) // max(n, 1), n


class Layout(NamedTuple):
    """The row's axes in the first row argument. The axes of arrays of the same or a higher rank count from the end."""

    shape: Shape
    axes: Shape
    n: int  # elements of a row

    @classmethod
    def of(cls, array: Array, axis: object, name: str) -> Layout:
        """The layout of this array, the first row argument, which has its row on `axis`."""
        shape = array.shape
        axes = row_axes(axis, array.ndim, name)
        return cls(shape, axes, math.prod([shape[k] for k in axes]) if shape else 1)

    @property
    def plain(self) -> bool:
        """The row is the last axis already."""
        return self.axes == (-1,) and bool(self.shape)

    def rows(self, array: Array) -> Array:
        """A view (a copy only where several axes cannot be seen as one) with the row last.

        A lower-rank array has its row on its last axis, and a single number is a row of one element.
        """
        if array.ndim == 0:
            return array.reshape(1)
        return array if array.ndim < len(self.shape) else self._flat(array)

    def result_shape(self, batch: Shape, row: bool, keepdims: bool, entries: int = 0) -> Shape:
        """The shape of a result in the user's order of axes; a k-vector takes the row's place, or the last."""
        if entries:
            return self._placed(batch, entries)
        if not self.shape and not batch:
            return ()
        if not row and not keepdims:
            return batch
        if self.axes == (-1,):
            return (*batch, self.n if row else 1)
        sizes = {k: self.shape[k] if self.shape and row else 1 for k in self.axes}
        rest = iter(batch)
        return tuple(sizes[k] if k in sizes else next(rest) for k in range(-len(batch) - len(sizes), 0))

    def _placed(self, batch: Shape, entries: int) -> Shape:
        place = self.place_of(batch)
        return (*batch[:place], entries, *batch[place:])

    def place_of(self, batch: Shape) -> int:
        """Which axis of a result has a k-vector's entries."""
        return len(batch) + 1 + self.axes[-1] if self.shape and len(self.axes) == 1 else len(batch)

    def entries_last(self, array: Array) -> Array:
        """A k-vector result as the loop writes it."""
        return self.axes_last(array) if self.shape and len(self.axes) == 1 else array

    def loop_view(self, array: Array, batch: Shape, row: bool) -> Array:
        """A result's array as the loop writes it. It is a copy where no view of that shape exists."""
        if not row or array.ndim == 0:
            return array.reshape((*batch, 1) if row else batch)
        return self._flat(array)

    def axes_last(self, array: Array) -> Array:
        """The array with the row's axes moved to the end, still as several axes."""
        inner = [k + array.ndim for k in self.axes]
        moved: Array = array.transpose([*(k for k in range(array.ndim) if k not in inner), *inner])
        return moved

    def _flat(self, array: Array) -> Array:
        if self.axes == (-1,):
            return array
        moved: Array = self.axes_last(array)
        batch = moved.shape[: array.ndim - len(self.axes)]
        if len(self.axes) == 1:
            return moved
        return moved.reshape((*batch, math.prod(moved.shape[len(batch) :])))
