"""Rows of unequal lengths that lie one after another, groups by sorted numbers, and a row that comes chunk by chunk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StateError
from ..philox import keys_of
from ..runtime import operands, outputs
from ..runtime.operands import How, Operands
from ..runtime.spec import ROW_LIKE, Argument, Array, CallSpec

if TYPE_CHECKING:
    from .parts import Parts

_SEED = np.dtype(np.uint64).char


class Unequal:
    """The part of a kernel's surface for rows of unequal lengths. `Kernel` has all that is only declared here."""

    if TYPE_CHECKING:
        name: str
        masked: float
        _caller: Any
        _compiled: Any
        _spec: Any
        _statics: Any
        _static_values: Any
        _traced: Any

        @cached_property
        def static(self) -> Any: ...

    def ragged(self, values: Any, offsets: Any, /, *more: Any, where: Any = None, **settings: Any) -> Any:
        """The kernel on rows of unequal lengths: row i is `values[offsets[i]:offsets[i + 1]]`.

        `more` are the kernel's other arguments in order: rows lie as those of `values` do, numbers are one a row. A row
        result has the shape of `values`, `masked=` where no row is; a number is (rows,), a k-vector (rows, k). Each row
        has the bits that a call on it alone has. ValueError for offsets that decrease or run past the end.
        """
        flat = operands.as_array(self.name, "values", values)
        if flat.ndim != 1:
            raise ValueError(f"{self.name}: values has shape {flat.shape}; expected rows one after another, (total,)")
        cuts = _offsets(self.name, offsets, flat.size)
        return _Ragged(self, (values, *more), cuts, where, settings).run()

    def segmented(self, values: Any, ids: Any, /, *more: Any, where: Any = None, **settings: Any) -> Any:
        """The kernel on groups: row i is where `ids`, sorted and as long as `values`, has its i-th distinct number.

        Results and `more` as for `ragged`. ValueError for numbers that are not sorted.
        """
        numbers = operands.as_array(self.name, "ids", ids)
        if numbers.ndim != 1 or numbers.size != np.size(values) or numbers.dtype.kind not in "iu":
            raise ValueError(
                f"{self.name}: ids is {numbers.dtype} of shape {numbers.shape}; expected one integer for each of "
                f"the {np.size(values)} values"
            )
        later = numbers[1:] < numbers[:-1]
        if later.any():
            at = int(later.argmax())
            raise ValueError(
                f"{self.name}: ids[{at + 1}] = {numbers[at + 1]} comes after {numbers[at]}; sort the values by ids"
            )
        starts = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
        cuts = [0, *starts.tolist(), numbers.size] if numbers.size else [0]
        return self.ragged(values, np.array(cuts), *more, where=where, **settings)

    def stream(self, **settings: Any) -> Stream:
        """A row, or a batch of rows, that comes chunk by chunk: `feed` each chunk, ask for the `result` at any time."""
        return Stream(self, settings)


class Stream:
    """The state of what was fed so far. Results that are numbers need nothing else; rows are written chunk by chunk."""

    def __init__(self, kernel: Any, settings: Mapping[str, Any]) -> None:
        self._kernel: Parts = kernel
        self._settings = settings
        self.state: Any = None
        self.length = 0

    def feed(self, *arrays: Any, axis: Any = -1, where: Any = None) -> Stream:
        """One more chunk, with the arguments that `k.partial` takes. StateError for walks that wait for each other."""
        kernel = self._kernel
        part = kernel.partial(*arrays, axis=axis, where=where, offset=self.length, **self._settings)
        if kernel.rounds > 1:
            raise StateError(
                f"{kernel.name}: its walks wait for each other in {kernel.rounds} rounds; a stream passes once: "
                "keep the chunks, and use partial with given="
            )
        self.state = part if self.state is None else kernel.merge(self.state, part)
        first = np.asarray(arrays[0])
        axes = range(first.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        self.length += int(np.prod([first.shape[k] for k in axes], dtype=np.int64)) if first.ndim else 1
        return self

    def result(self, *chunk_arrays: Any, axis: Any = -1, offset: int = 0, where: Any = None) -> Any:
        """What the rows fed so far give; for row results, of a chunk that began at `offset`."""
        if self.state is None:
            raise StateError(f"{self._kernel.name}: nothing was fed to this stream yet")
        more = {k: v for k, v in self._settings.items() if k in self._kernel.static}
        return self._kernel.finish(self.state, *chunk_arrays, axis=axis, offset=offset, where=where, **more)


class _Ragged:
    """One call on rows of unequal lengths, checked as a whole."""

    def __init__(
        self, kernel: Any, given: tuple[Any, ...], cuts: Array, where: Any, settings: Mapping[str, Any]
    ) -> None:
        self.kernel, self.cuts, self.lengths = kernel, cuts, np.diff(cuts)
        self.spec: CallSpec = kernel._spec()  # noqa: SLF001 - a room of the kernel
        if tables := [a.name for a in self.spec.arguments if a.role == "table"]:
            raise TypeError(f"{self.spec.name}: {tables[0]!r} is a table; rows of unequal lengths take none yet")
        static = dict(kernel._statics({k: v for k, v in settings.items() if k in kernel.static}))  # noqa: SLF001
        floats = {k: v for k, v in settings.items() if k not in kernel.static}
        values, numbers, _ = kernel._caller(static)._bind(given, floats)  # noqa: SLF001
        self.present = [a for a in self.spec.arguments if values.get(a.name) is not None]
        rows = [a for a in self.present if a.role in ROW_LIKE]
        chosen = {a.name: values[a.name] for a in rows}
        for s in self.spec.settings:  # where the row length is a bound, that of the shortest row
            operands.setting(self.spec.name, s, numbers.get(s.name, s.default), int(self.lengths.min(initial=cuts[-1])))
        spec = self.spec._replace(arguments=tuple(rows))
        self.call: Operands = operands.prepare(spec, chosen, numbers, How(where=where)).wide()
        self.found = self._loop(static)
        kinds = zip(self.present, self.found.ufunc.types[0], strict=False)
        self.consts = {a.name: self._const(a, values[a.name], c) for a, c in kinds if a.role not in ROW_LIKE}

    def run(self) -> Any:
        """All rows: those of one length that follow each other in one call of the loop."""
        made = [self._result(r) for r in self.found.results]
        rows = iter(self.call.cast())
        wide = {a.name: next(rows) for a in self.present if a.role in ROW_LIKE}
        rest = list(rows)
        where, numbers = (rest[:1], rest[1:]) if self.call.has_where else ([], rest)
        with np.errstate(all="ignore"):
            for first, last in _runs(self.lengths):
                block = [self._block(a, wide, first, last) for a in self.present]
                chosen = [self._rows(w, first, last) for w in where]
                results = zip(made, self.found.results, strict=True)
                out = [self._rows(m, first, last) if r.row else m[first:last] for m, r in results]
                self.found.ufunc(*block, *chosen, *numbers, *out)
        finished = [self._finished(m, r) for m, r in zip(made, self.found.results, strict=True)]
        return tuple(finished) if len(finished) > 1 else finished[0]

    def _loop(self, static: dict[str, Any]) -> Any:
        from ..codegen.planner import check_sizes

        kernel, call, longest = self.kernel, self.call, int(self.lengths.max(initial=1))
        given = frozenset(a.name for a in self.present if a.optional)
        values = kernel._static_values(static)  # noqa: SLF001
        program, _ = kernel._traced(values, given, call.booleans, has_where=call.has_where)  # noqa: SLF001
        check_sizes(program, int(self.lengths.min(initial=longest)))
        return kernel._compiled(values, call.computing, longest, 1, given, call.has_where, call.booleans)  # noqa: SLF001

    def _const(self, argument: Argument, value: Any, kind: str) -> Array:
        """One number a row; indexes within their rows."""
        name, rows = self.spec.name, self.lengths.size
        if kind == _SEED:
            return keys_of(value, (rows,))
        array = operands.as_array(name, argument.name, value)
        operands.check_dtype(name, argument, array, None)
        if array.shape not in ((), (rows,)):
            raise ValueError(f"{name}: {argument.name!r} has shape {array.shape}; expected one value a row, ({rows},)")
        array = np.broadcast_to(array, (rows,))
        if argument.bounded:
            operands.check_scalar(name, argument, array)
        if argument.role == "index":
            bad = (array < 0) | (array >= self.lengths)
            bad &= True if argument.ignore is None else array != argument.ignore
            if bad.any():
                row = int(bad.argmax())
                raise IndexError(
                    f"{name}: {argument.name!r} is {array[row]} at row {row}; expected 0 to {self.lengths[row] - 1}"
                )
        return array.astype(operands.loop_dtype(argument, self.call.computing))

    def _block(self, argument: Argument, wide: Mapping[str, Array], first: int, last: int) -> Array:
        if argument.role in ROW_LIKE:
            return self._rows(wide[argument.name], first, last)
        part: Array = self.consts[argument.name][first:last]
        return part

    def _rows(self, flat: Array, first: int, last: int) -> Array:
        length = int(self.lengths[first])
        part: Array = flat[int(self.cuts[first]) : int(self.cuts[last])]
        return part.reshape(last - first, length)

    def _result(self, result: Any) -> Array:
        shape: tuple[int, ...] = (self.call.layout.n,) if result.row else (self.lengths.size,)
        shape = (*shape, result.entries) if result.entries else shape
        return np.full(shape, self.kernel.masked if result.row else 0, outputs.stored(result, self.call))

    def _finished(self, made: Array, result: Any) -> Array:
        dtype = self.call.result if result.dtype is None else np.dtype(result.dtype)
        return made if made.dtype == dtype else made.astype(dtype)


def _runs(lengths: Array) -> Iterator[tuple[int, int]]:
    """Rows that follow each other and are as long: first, and one past the last."""
    if lengths.size:
        starts = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), lengths.size]
        yield from itertools.pairwise(starts)


def _offsets(kernel: str, offsets: Any, size: int) -> Array:
    cuts = operands.as_array(kernel, "offsets", offsets)
    if cuts.ndim != 1 or cuts.size < 1 or cuts.dtype.kind not in "iu":
        raise ValueError(
            f"{kernel}: offsets is {cuts.dtype} of shape {cuts.shape}; expected integers, one more than there are rows"
        )
    cuts = cuts.astype(np.int64)
    falls = np.diff(cuts) < 0
    if falls.any():
        at = int(falls.argmax())
        raise ValueError(f"{kernel}: offsets[{at + 1}] = {cuts[at + 1]} is less than {cuts[at]} before it; sort them")
    if cuts[0] < 0 or cuts[-1] > size:
        raise ValueError(f"{kernel}: offsets are {cuts[0]} to {cuts[-1]}; expected 0 to {size}, the number of values")
    return cuts
