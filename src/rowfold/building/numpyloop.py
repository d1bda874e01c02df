"""A plan's program run by NumPy alone, block by block: the last resort, and an oracle that needs no compiler.

Its bits are its own: doubles, rounded once, where the compiled kernels follow the plan. It keeps the same bounds.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..codegen.generate import gufunc
from ..codegen.interpret import interpret
from ..codegen.ir import Input, Program, Reduce, Role, Type
from ..codegen.plan import Plan
from ..records import replace
from ..runtime import room
from .recorded import Given, Recorded

Array = Any
BLOCK = 1 << 17  # elements: two or three arrays of doubles stay near, and NumPy's calls weigh little
_MOST_TAPES = 4  # of a kernel: some megabytes
_MOST_SHAPES = 64
_SHORT_ROW = 256  # elements: below, several rows a buffer are better
_LONG_ROW = 1 << 21  # elements: one recording that is kept may be as long
_ROWS = (Role.ROW, Role.MASK, Role.INT_ROW, Role.TABLE)


class NumpyLoop:
    """The program of a plan, called like the ufunc of a kernel. Overlapping arguments are copied first."""

    def __init__(self, plan: Plan) -> None:
        self.program = plan.program.narrowed({})  # narrow rows are converted around it
        self.real: Any = np.float32 if plan.dtype == "f32" else np.float64
        stored: dict[Type, Any] = {Type.FLOAT: self.real, Type.INT: np.int64, Type.BOOL: np.bool_}
        stored[Type.DOUBLE] = np.float64
        self.dtypes = [stored[plan.program.stored(o)] for o in plan.program.outputs]
        self.inputs = [i for _, i in self.program.inputs]
        self.ignoring = [i for i in self.inputs if i.ignore is not None]
        self.params = [p for _, p in self.program.params]
        self.signature, types = gufunc(replace(plan, program=self.program))
        count = len(self.inputs) + len(self.params) + sum(o.total for o in self.program.outputs)
        self.types, self.__name__ = [f"{types[:count]}->{types[count:]}"], plan.name
        self.totals = sum(o.total for o in self.program.outputs)
        self.taped, self.bare = _can_be_taped(self.program), True
        self.tapes: dict[tuple[Any, ...], Recorded] = {}
        self.shapes: dict[Any, tuple[tuple[int, ...], int, int]] = {}

    @property
    def ufunc(self) -> Any:
        return self

    def __call__(self, *args: Any) -> Any:
        count = len(self.inputs)
        given, settings, out = args[:count], args[count : count + len(self.params)], args[count + len(self.params) :]
        values = {p.name: float(s) for p, s in zip(self.params, settings, strict=True)}
        batch, width, rows = self._measured(given)
        if self.totals:
            return self._together({i.name: a for i, a in zip(self.inputs, given, strict=True)}, batch, values, out)
        places = list(out) or [np.empty(batch + self._core(k, width), t) for k, t in enumerate(self.dtypes)]
        arrays = {i.name: _flat(i, a, batch, rows, places) for i, a in zip(self.inputs, given, strict=True)}
        call = Given(self.program, self.real, self.dtypes, arrays, values, rows, width)
        with np.errstate(all="ignore"), _buffers(width, rows):
            _Run(self, call).into(places, batch)
        return places[0] if len(places) == 1 else tuple(places)

    def _measured(self, given: Sequence[Any]) -> tuple[tuple[int, ...], int, int]:
        """The batch of the arguments, the length of their rows, and how many rows there are."""
        shapes = tuple(map(np.shape, given))
        if shapes not in self.shapes:
            parts = [_shapes(i, shape) for i, shape in zip(self.inputs, shapes, strict=True)]
            wide = [core for i, (_, core) in zip(self.inputs, parts, strict=True) if core and i.role is not Role.TABLE]
            batch = np.broadcast_shapes(*(outer for outer, _ in parts))
            if len(self.shapes) >= _MOST_SHAPES:
                self.shapes.clear()
            self.shapes[shapes] = batch, max((core[0] for core in wide), default=1), math.prod(batch)
        return self.shapes[shapes]

    def _together(
        self, given: Mapping[str, Any], batch: tuple[int, ...], settings: Mapping[str, float], out: Sequence[Array]
    ) -> Any:
        """All rows at once, for results that are sums over them; in `out` such results come first."""
        arrays = {i: np.asarray(given[i.name]) for i in self.inputs}
        whole = {i.name: np.broadcast_to(a, batch + _shapes(i, a.shape)[1]) for i, a in arrays.items()}
        results = interpret(self.program, whole, settings, dtype=_wide(self.real))
        first, rest = list(out[: self.totals]), list(out[self.totals :])
        if not out:
            made = tuple(np.asarray(r).astype(dtype) for r, dtype in zip(results, self.dtypes, strict=True))
            return made[0] if len(made) == 1 else made
        for result, output in zip(results, self.program.outputs, strict=True):
            with np.errstate(all="ignore"):
                if output.total:
                    room.put(first.pop(0), result, np.dtype(self.real))
                else:
                    rest.pop(0)[...] = result
        return out[0] if len(out) == 1 else tuple(out)

    def _core(self, k: int, width: int) -> tuple[int, ...]:
        ref = self.program.outputs[k].ref
        entries = self.program.entries(ref)
        return (width,) if self.program.is_row(ref) else (entries,) if entries else ()


class _Run:
    """One call: rows in the order of memory, some at a time."""

    def __init__(self, loop: NumpyLoop, call: Given) -> None:
        self.loop, self.call = loop, call
        self.taped = loop.taped and call.width > 0
        self.kind = tuple(len(a) == 1 for a in call.arrays.values()), tuple(call.settings.values())

    def into(self, places: Sequence[Array], batch: tuple[int, ...]) -> None:
        rows = self.call.rows
        flat = [_view(p, batch, rows) for p in places]
        direct = [self._direct(place, k) for k, place in enumerate(flat)]
        step = max(1, BLOCK // max(self.call.width, 1))
        tape: Recorded | None = None
        for start in range(0, rows, step):
            some = slice(start, min(start + step, rows))
            tape = self._block(tape, some, flat, direct)
        if tape is not None:
            self._kept(tape)
        for place, array in zip(places, flat, strict=True):
            if array.base is not place and array is not place and not np.may_share_memory(place, array):
                place[...] = array.reshape(place.shape)

    def _direct(self, place: Array, k: int) -> bool:
        """Whether blocks can write into a result where it lies: nothing is read there again."""
        arrays = self.call.arrays.values()
        return place.dtype == self.loop.dtypes[k] and not any(np.may_share_memory(place, a) for a in arrays)

    def _block(self, tape: Recorded | None, some: slice, flat: Sequence[Array], direct: Sequence[bool]) -> Any:
        """Some rows, evaluated and written."""
        bad, results = np.arange(some.stop - some.start), []
        if self.taped:
            out = [f[some] if d else None for f, d in zip(flat, direct, strict=True)]
            tape = self._tape(tape, some, some.stop - some.start, out, bare=self.loop.bare)
        if self.taped and tape is not None:
            bad, results = tape.tape.special(), tape.results
        special = self._redone(bad + some.start, tape) if bad.size else []  # before a row is overwritten in place
        slots = tape.places.outputs if tape is not None and results else ()
        for array, result, slot, straight in zip(flat, results, slots, direct, strict=False):
            if slot is None or not straight:
                array[some] = result
        for array, value in zip(flat, special, strict=False):
            array[bad + some.start] = value
        if self.loop.ignoring:
            ignored = self._ignored(some)
            for array in flat if ignored.size else ():
                array[ignored] = 0
        return tape

    def _tape(
        self, last: Recorded | None, some: Any, rows: int, out: Sequence[Array | None], *, bare: bool
    ) -> Recorded:
        """These rows, evaluated: by what was recorded for the block before, or in an earlier call."""
        if last is not None and last.rows == rows:
            last.again(self.call, some, out, first=False)
            return last
        if last is not None:
            self._kept(last)
        made = self.loop.tapes.pop(self._key(rows, bare), None)
        if made is None:
            made = Recorded(self.call, some, rows, bare)
            if bare and not made.exact:
                self.loop.bare = False
                return self._tape(None, some, rows, out, bare=False)
            self.taped = made.exact
        made.again(self.call, some, out, first=True)
        return made

    def _redone(self, bad: Array, tape: Recorded | None) -> Sequence[Array]:
        """The results of rows whose exponentials need a shift, or that hold special values."""
        if tape is None or not tape.tape.bare:
            return self._interpreted(bad)
        filled = np.concatenate([bad, np.repeat(bad[:1], tape.rows - bad.size)])
        shifted = self._tape(None, filled, tape.rows, [None] * len(tape.results), bare=False)
        if not shifted.exact:
            self.taped = True
            return self._interpreted(bad)
        results = [np.array(r[: bad.size]) for r in shifted.results]
        worse = shifted.tape.special()
        worse = worse[worse < bad.size]
        self._kept(shifted)
        if worse.size:
            for result, right in zip(results, self._interpreted(bad[worse]), strict=True):
                result[worse] = right
        return results

    def _ignored(self, some: slice) -> Array:
        """The rows among these whose index says that they are left out."""
        given = [(self.call.arrays[i.name], i.ignore) for i in self.loop.ignoring]
        hits = [(a[some] if len(a) == self.call.rows else a) == ignore for a, ignore in given]
        hit = np.logical_or.reduce(hits) if len(hits) > 1 else hits[0]
        return np.flatnonzero(np.broadcast_to(hit, some.stop - some.start)) + some.start

    def _key(self, rows: int, bare: bool) -> tuple[Any, ...]:
        """What a recording is made for."""
        return rows, self.call.width, rows == self.call.rows, self.kind, bare

    def _kept(self, tape: Recorded) -> None:
        """Leave a recording to the next call, in place of the oldest; whoever takes it has it alone."""
        tapes, size = self.loop.tapes, tape.rows * self.call.width
        tape.left()
        if not tape.exact or size > _LONG_ROW:
            return
        long = [k for k in tapes if k[0] * k[1] > BLOCK] if size > BLOCK else []  # one of them is enough
        for key in long or (list(tapes)[: len(tapes) + 1 - _MOST_TAPES] if len(tapes) >= _MOST_TAPES else []):
            tapes.pop(key, None)
        tapes[self._key(tape.rows, tape.tape.bare)] = tape

    def _interpreted(self, rows: Array) -> Sequence[Array]:
        call = self.call
        return interpret(self.loop.program, call.part(rows), call.settings, dtype=_wide(self.loop.real))


@contextlib.contextmanager
def _buffers(width: int, rows: int) -> Iterator[None]:
    """NumPy's buffers are as long as a row while a call lasts.

    A row and its own number meet in buffers of several rows otherwise, into which NumPy copies the number for every
    element: that takes longer than the arithmetic. No sum is split where it was not, so no bit depends on it.
    """
    if rows == 1 or not _SHORT_ROW <= width < np.getbufsize():
        yield
        return
    before = np.setbufsize(-(-width // 16) * 16)
    try:
        yield
    finally:
        np.setbufsize(before)


def _wide(real: Any) -> Any:
    """The numbers that special rows are interpreted in."""
    return np.longdouble if real is np.float64 and sys.platform != "win32" else np.float64


def _can_be_taped(program: Program) -> bool:
    """Not with a solver, which decides from row to row how long it runs, nor with keys."""
    solved = any(isinstance(n, Reduce) and n.op in {"threshold", "excess"} for n in program.nodes)
    return not solved and not any(i.role is Role.SEED for _, i in program.inputs)


def _shapes(node: Input, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The batch of an argument, and its row's length."""
    return (shape[:-1], shape[-1:]) if node.role in _ROWS else (shape, ())


def _flat(node: Input, array: Any, batch: tuple[int, ...], rows: int, places: Sequence[Array]) -> Array:
    """An argument with one axis for the batch, which has length 1 where all rows share it."""
    a = np.asarray(array)
    if any(np.may_share_memory(a, p) and not _same(a, p) for p in places):
        a = a.copy()
    outer, core = _shapes(node, a.shape)
    if outer == (rows,):
        return a
    if math.prod(outer) == 1:
        return a.reshape((1, *core))
    return np.broadcast_to(a, batch + core).reshape((rows, *core))


def _same(a: Array, b: Array) -> bool:
    layouts = [(x.__array_interface__["data"][0], x.shape, x.strides, x.dtype) for x in (a, b)]
    return bool(layouts[0] == layouts[1])


def _view(place: Array, batch: tuple[int, ...], rows: int) -> Array:
    """An output with one axis for the batch; a copy where no view has that."""
    return place.reshape((rows, *place.shape[len(batch) :]))
