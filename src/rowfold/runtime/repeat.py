"""A call that passed every check, to be done again with other arrays of the same types, dtypes and shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from . import operands, outputs, totals
from .operands import How, Operands
from .outputs import Target
from .spec import WITH_AXIS, Argument, Array, CallSpec, Results

_ndarray = np.ndarray
_SEED = np.dtype(np.uint64).char
Source = int | str  # a position among the arrays, or the name of an option
Take = Callable[[Array], Array]


class Repeat:
    """The loop of a call, and how each of its operands comes from what the user gives.

    Calling it skips the checks that types, dtypes, shapes and options decide, and none of those that values decide:
    indexes, and what `out` is. It raises what the careful path would explain better.
    """

    def __init__(self, loop: Any, pointer: int, sources: tuple[Source, ...], takes: tuple[Take | None, ...]) -> None:
        self.loop, self.pointer = loop, pointer
        self.sources, self.takes = sources, takes
        self.uses = 0
        self.data = 0  # what the loop at `pointer` is called with
        self.beside = False  # whether the loop is for rows that lie beside each other
        self.apart = False  # whether no output may be the memory of an input
        self.sums = False  # whether a result is summed over the batch
        self.first = 0  # which operand is the row argument in which axis counts
        self.call: Operands
        self.results: Results
        self.name, self.keepdims, self.direct = "", False, False
        self.settings: tuple[Any, ...] = ()
        self.setting_names: tuple[str, ...] = ()
        self.bounds: dict[str, tuple[float, float, bool]] = {}
        self.plain = True  # whether no number of an array has bounds of its own
        self.index: dict[int, Argument] = {}
        self.shape: Any = None  # of an `out` that the loop takes as it is
        self.dtype: Any = None

    def __call__(self, arrays: tuple[Any, ...], options: Mapping[str, Any], out: Any) -> Any:
        if not self.direct:
            with np.errstate(all="ignore"):
                return self._with_targets(arrays, options, out)
        given = self.operands(arrays, options)
        if out is None:
            return self.loop(*given, *self.settings)
        if self.apart:
            return self._with_targets(arrays, options, out)
        if type(out) is _ndarray and out.dtype is self.dtype and out.shape == self.shape:
            return self.loop(*given, *self.settings, out)
        return self._with_targets(arrays, options, out)

    def _with_targets(self, arrays: tuple[Any, ...], options: Mapping[str, Any], out: Any) -> Any:
        given = self.operands(arrays, options)
        call = self.call._replace(first=self.given(arrays, options)[self.first], arrays=(*given, *self.settings))
        targets = outputs.prepare(self.name, self.results, call, out, self.keepdims)
        written = [t.loop for t in targets]
        read = outputs.lifted(call.arrays, written) if self.apart else call.arrays
        if self.sums:
            totals.run(self.loop, read, targets, call)
        else:
            self.loop(*read, *map(operands.raw, written))
        finished = [t.finished(call.layout) for t in targets]
        return tuple(finished) if len(finished) > 1 else finished[0]

    def operands(self, arrays: tuple[Any, ...], options: Mapping[str, Any]) -> list[Array]:
        """The loop's inputs without the settings. Raises IndexError for an index that names no element."""
        given = self.given(arrays, options)
        made = [a if take is None else take(a) for a, take in zip(given, self.takes, strict=True)]
        if self.beside and made[self.first].strides[-1] == made[self.first].itemsize:
            raise ValueError("these rows do not lie beside each other")
        return made

    def given(self, arrays: tuple[Any, ...], options: Mapping[str, Any]) -> list[Array]:
        return [arrays[s] if type(s) is int else options[s] for s in self.sources]  # type: ignore[index]


def of(
    spec: CallSpec, values: Mapping[str, Any], how: How, arrays: tuple[Any, ...], call: Operands,
    targets: tuple[Target, ...], found: Any,
) -> Repeat | None:  # fmt: skip
    """What repeats this call; None where a value decides something that is not checked again."""
    present = [a for a in spec.arguments if values.get(a.name) is not None]
    given = [values[a.name] for a in present] + ([how.where] if call.has_where else [])
    if any(type(a) is not _ndarray for a in given) or _SEED in found.ufunc.types[0]:
        return None
    if any(a.role == "int row" and values[a.name].dtype.kind == "u" for a in present):
        return None
    names = [a.name for a in spec.arguments]
    sources = [names.index(a.name) if names.index(a.name) < len(arrays) else a.name for a in present]
    takes = [_take(spec.name, a, call, values[a.name], k) for k, a in enumerate(present)]
    if call.has_where:
        sources.append("where")
        takes.append(_where(spec.name, call, how.where))
    again = Repeat(found.ufunc, getattr(found, "pointer", 0), tuple(sources), tuple(takes))
    again.data = getattr(found, "data", 0)
    again.call, again.results, again.name = call, tuple(t.result for t in targets), spec.name
    again.apart = bool(getattr(found, "apart", False))
    again.sums = totals.wanted(targets)
    again.beside = getattr(found, "grain", 1) > 1
    again.keepdims, again.settings = bool(how.keepdims), call.arrays[len(sources) :]
    again.index = {k: a for k, a in enumerate(present) if a.role == "index"}
    again.setting_names = tuple(s.name for s in spec.settings)
    ends = {s.name: min(s.high, call.layout.n) if s.length else s.high for s in spec.settings}
    again.bounds = {s.name: (s.low, ends[s.name], s.open) for s in spec.settings}
    again.plain = not any(a.bounded for a in present)
    again.first = next(k for k, a in enumerate(given) if a is call.first)
    cast = any(a.dtype != t for a, t in zip(call.arrays, call.dtypes, strict=True))
    cast |= any(operands.raw(t.array) is not t.array for t in targets)
    plain = not cast and call.layout.plain and not again.sums
    again.direct = plain and all(t.shared and t.array.shape == t.loop.shape for t in targets)
    if len(targets) == 1:
        again.shape, again.dtype = targets[0].array.shape, np.dtype(targets[0].array.dtype.type)
    return again


def _take(kernel: str, argument: Argument, call: Operands, array: Array, place: int) -> Take | None:
    """What makes the loop's operand of the user's array; None if that is the array itself."""
    steps: list[Take] = []
    if argument.role == "index":
        check = partial(operands.check_index, kernel, argument)
        n, batch = call.layout.n, call.batch
        steps.append(lambda a: check(a, n, batch) or a)
    if argument.bounded:
        look = partial(operands.check_scalar, kernel, argument)
        steps.append(lambda a: look(a) or a)
    if argument.role in WITH_AXIS and call.arrays[place] is not array:
        steps.append(call.layout.rows)
    dtype = call.dtypes[place]
    if array.dtype != dtype:
        steps.append(lambda a: a.astype(dtype))
    if operands.raw(array) is not array and operands.format_of(dtype):
        steps.append(operands.raw)
    return _chained(steps)


def _where(kernel: str, call: Operands, array: Array) -> Take | None:
    if array.shape == call.layout.shape and call.layout.plain:
        return None
    shape, rows = call.layout.shape, call.layout.rows
    return lambda a: rows(np.broadcast_to(a, shape))


def _chained(steps: list[Take]) -> Take | None:
    if len(steps) < 2:
        return steps[0] if steps else None

    def all_of(a: Array) -> Array:
        for step in steps:
            a = step(a)
        return a

    return all_of
