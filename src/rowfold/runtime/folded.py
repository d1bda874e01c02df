"""Rows on several axes that cannot be seen as one, such as 0 and 2 of three: taken a few at a time.

A copy of the whole array would go to memory and back. A few rows fit in the cache beside their results, so they are
packed there, computed, and put where they belong, by team.c where it can: nothing beyond some rows is copied at once,
and bits are those of the same rows alone.
"""

from __future__ import annotations

import contextvars
import itertools
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .. import config
from .layout import Layout
from .operands import How
from .spec import WITH_AXIS, Array, CallSpec

_LEAST = 1 << 15  # elements of a call, below which a copy costs little
_TOGETHER = 1 << 15  # elements that are packed at once: 128 KB of float32
_LONGEST = 1 << 20  # elements of a row that is packed
_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class Folded:
    """One call, checked to be plain enough: rows of one shape, rows shared by all, a single result."""

    def __init__(self, caller: Any, values: Mapping[str, Any], settings: Mapping[str, Any], layout: Layout) -> None:
        self.caller, self.layout = caller, layout
        self.settings = dict(settings)
        self.wide = {n: v for n, v in values.items() if v is not None and v.ndim == len(layout.shape)}
        self.shared = {n: v for n, v in values.items() if v is not None and n not in self.wide}
        self.first = next(iter(self.wide.values()))
        self.batch = layout.axes_last(self.first).shape[: len(layout.shape) - len(layout.axes)]
        self.step = max(1, min(self.batch[-1], _TOGETHER // layout.n))

    def run(self, out: Any, threads: int) -> Any:
        """The result, or None if the kernel's results have another form than one row or one number a row."""
        places = list(self._places())
        value, ready = self._some(places[0], self._room(), None)
        if ready is None or len(ready.results) != 1 or ready.results[0].entries or ready.results[0].total:
            return None
        row = ready.results[0].row
        shape = self.layout.shape if row else self.batch
        if out is not None and not self._fits(out, shape, value.dtype):
            return None
        made = np.empty(shape, value.dtype) if out is None else out
        written = self.layout.axes_last(made) if row else made
        self._put(written, places[0], value)
        rest = places[1:]
        if self._in_c(ready, written, row, places[0][-1].stop, threads):
            return made
        if threads < 2 or len(rest) < 2:
            self._all(rest, written)
        else:
            from .slices import _pool

            shares = [rest[k::threads] for k in range(threads)]
            contexts = [contextvars.copy_context() for _ in shares]
            list(_pool(os.getpid(), threads).map(lambda c, s: c.run(self._all, s, written), contexts, shares))
        return made

    def _in_c(self, ready: Any, written: Array, row: bool, first: int, threads: int) -> bool:
        """Whether team.c could do the rows from the first on: where rows have two axes, and the batch one."""
        from . import threads as team

        operands = [self._operand(name) for name in ready.sources]
        operands += [(a, None, 0) for a in ready.settings]
        operands.append((written, _two_axes(self.layout, written), 2) if row else (written, None, 0))
        shapes = {tuple(k for k, _ in axes) for _, axes, kind in operands if kind and axes}
        plain = all(axes if kind else a.ndim < 2 and a.flags.c_contiguous for a, axes, kind in operands)
        if len(self.batch) != 1 or len(shapes) != 1 or not plain or ready.data or not ready.pointer:
            return False
        if ready.loop.types[0].replace("->", "")[-1] != written.dtype.char:
            return False
        folds = []
        for a, axes, kind in operands:
            place = a.__array_interface__["data"][0]
            (_, outer), (_, inner) = axes or ((0, 0), (0, 0))
            folds += [place, a.strides[0] if kind or a is written else 0, outer, inner, kind]
        outer, inner = next(iter(shapes))
        sizes = (ready.loop.signature, outer, inner, self.first.itemsize)
        return team.fold(ready.pointer, sizes, folds, first, self.batch[0], threads)

    def _operand(self, name: str) -> tuple[Array, Any, int]:
        if name in self.shared:
            return self.shared[name], None, 0
        moved = self.layout.axes_last(self.wide[name])
        return moved, _two_axes(self.layout, moved), 1

    def _places(self) -> Iterator[tuple[Any, ...]]:
        *outer, last = self.batch
        for at in np.ndindex(*outer):
            for start in range(0, last, self.step):
                yield (*at, slice(start, min(start + self.step, last)))

    def _room(self) -> dict[str, Array]:
        """Memory for the rows of each argument, and for those of the result."""
        shape = (self.step, self.layout.n)
        return {name: np.empty(shape, a.dtype) for name, a in self.wide.items()}

    def _all(self, places: list[tuple[Any, ...]], written: Array) -> None:
        room, result = self._room(), None
        for place in places:
            value, _ = self._some(place, room, result)
            self._put(written, place, value)
            result = value if isinstance(value, np.ndarray) and value.ndim == 2 else None

    def _some(self, place: tuple[Any, ...], room: Mapping[str, Array], result: Array | None) -> tuple[Any, Any]:
        """The results of the rows of one place."""
        count = place[-1].stop - place[-1].start
        packed = {name: a[:count] for name, a in room.items()}
        for name, a in self.wide.items():
            part = self.layout.axes_last(a)[place]
            np.copyto(packed[name].reshape(part.shape), part)
        options = {**packed, **self.shared, **self.settings, "threads": 1}
        if result is not None and len(result) == count:
            return self.caller(out=result, **options), None
        found: tuple[Any, Any] = self.caller.careful((), None, options)
        return found

    def _put(self, written: Array, place: tuple[Any, ...], value: Array) -> None:
        part = written[place]
        np.copyto(part, value.reshape(part.shape))

    def _fits(self, out: Any, shape: tuple[int, ...], dtype: Any) -> bool:
        """Whether `out` can be written a few rows at a time; what cannot is for the careful path to copy or refuse."""
        if type(out) is not np.ndarray or out.shape != shape or out.dtype != dtype or not out.flags.writeable:
            return False
        return not any(np.may_share_memory(out, a) for a in (*self.wide.values(), *self.shared.values()))


def folded(caller: Any, values: Mapping[str, Any], settings: Mapping[str, Any], how: How, out: Any) -> Any:
    """The call's result; None if it is to be done otherwise."""
    spec: CallSpec = caller.spec
    given = {a: values[a.name] for a in spec.arguments if values.get(a.name) is not None}
    first = next((values.get(a.name) for a in spec.arguments if a.role == "row"), None)
    if type(first) is not np.ndarray or first.size < _LEAST or how.where is not None or how.dtype is not None:
        return None
    plain = all(a.role in WITH_AXIS and type(v) is np.ndarray and v.dtype == first.dtype for a, v in given.items())
    if not plain or how.keepdims or first.dtype not in _DTYPES or any(a.role == "table" for a in given):
        return None
    layout = Layout.of(first, how.axis, spec.name)
    alike = all(v.shape in (first.shape, (layout.n,)) for v in given.values())
    if not alike or len(layout.axes) == first.ndim or seen_as_one(layout, first) or not 0 < layout.n <= _LONGEST:
        return None
    if how.threads is not None and (type(how.threads) is not int or how.threads < 1):
        return None
    return Folded(caller, values, settings, layout).run(out, _threads(how.threads, first.size))


def _threads(asked: int | None, elements: int) -> int:
    from . import threads

    if elements < threads.ASLEEP:
        return 1
    return threads.counted(asked or config.resolve().threads)


def seen_as_one(layout: Layout, array: Array) -> bool:
    """Whether the row's axes are one axis of a view."""
    moved = layout.axes_last(array)
    places = [(k, s) for k, s in zip(moved.shape, moved.strides, strict=True)][-len(layout.axes) :]
    places = [(k, s) for k, s in places if k > 1]
    return all(s == t * k for (_, s), (k, t) in itertools.pairwise(places)) or math.prod(array.shape) == 0


def _two_axes(layout: Layout, moved: Array) -> Any:
    """The sizes and strides of a row's axes, the last of the array, seen as two; None where that cannot be."""
    found: list[tuple[int, int]] = []
    for size, stride in list(zip(moved.shape, moved.strides, strict=True))[-len(layout.axes) :]:
        if found and found[-1][1] == size * stride:
            found[-1] = (found[-1][0] * size, stride)
        elif size > 1:
            found.append((size, stride))
    return tuple(found) if len(found) == 2 else None
