"""A plan's program run by NumPy alone, block by block: the last resort, and an oracle that needs no compiler.

Its bits are its own: doubles, rounded once, where the compiled kernels follow the plan. It keeps the same bounds.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..codegen.bounding.scaled import ScaledRules
from ..codegen.generate import gufunc
from ..codegen.interpret import Batch, interpret, walk
from ..codegen.ir import Input, Program, Reduce, Role, Type
from ..codegen.plan import Plan
from ..codegen.running.tape import Tape
from ..records import replace
from ..runtime import room

Array = Any
BLOCK = 1 << 17  # elements: two or three arrays of doubles stay near, and NumPy's calls weigh little
_MOST_TAPES = 4  # of a kernel: some megabytes
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
        self.params = [p for _, p in self.program.params]
        self.signature, types = gufunc(replace(plan, program=self.program))
        count = len(self.inputs) + len(self.params) + sum(o.total for o in self.program.outputs)
        self.types, self.__name__ = [f"{types[:count]}->{types[count:]}"], plan.name
        self.totals = sum(o.total for o in self.program.outputs)
        self.taped, self.bare = _can_be_taped(self.program), True
        self.tapes: dict[tuple[Any, ...], _Recorded] = {}

    @property
    def ufunc(self) -> Any:
        return self

    def __call__(self, *args: Any) -> Any:
        count = len(self.inputs)
        given, settings, out = args[:count], args[count : count + len(self.params)], args[count + len(self.params) :]
        values = {p.name: float(s) for p, s in zip(self.params, settings, strict=True)}
        shapes = [_shapes(i, a) for i, a in zip(self.inputs, given, strict=True)]
        batch = np.broadcast_shapes(*(outer for outer, _ in shapes))
        if self.totals:
            return self._together({i.name: a for i, a in zip(self.inputs, given, strict=True)}, batch, values, out)
        wide = [core for i, (_, core) in zip(self.inputs, shapes, strict=True) if core and i.role is not Role.TABLE]
        width = max((core[0] for core in wide), default=1)
        places = list(out) or [np.empty(batch + self._core(k, width), t) for k, t in enumerate(self.dtypes)]
        arrays = {i.name: _flat(i, a, batch, places) for i, a in zip(self.inputs, given, strict=True)}
        with np.errstate(all="ignore"), _buffers(width):
            _Run(self, arrays, values, int(np.prod(batch, dtype=np.int64)), width).into(places, batch)
        return places[0] if len(places) == 1 else tuple(places)

    def _together(
        self, given: Mapping[str, Any], batch: tuple[int, ...], settings: Mapping[str, float], out: Sequence[Array]
    ) -> Any:
        """All rows at once, for results that are sums over them; in `out` such results come first."""
        whole = {i.name: np.broadcast_to(a := np.asarray(given[i.name]), batch + _shapes(i, a)[1]) for i in self.inputs}
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

    def __init__(
        self, loop: NumpyLoop, arrays: Mapping[str, Array], settings: Mapping[str, float], rows: int, width: int
    ) -> None:
        self.loop, self.arrays, self.settings, self.rows, self.width = loop, arrays, settings, rows, width
        self.taped = loop.taped and width > 0

    def into(self, places: Sequence[Array], batch: tuple[int, ...]) -> None:
        flat = [_view(p, batch, self.rows) for p in places]
        step = max(1, BLOCK // max(self.width, 1))
        tape: _Recorded | None = None
        for start in range(0, self.rows, step):
            some = slice(start, min(start + step, self.rows))
            if self.taped:
                tape = self._tape(tape, some, some.stop - some.start, bare=self.loop.bare)
            if self.taped and tape is not None:
                bad, results = tape.tape.special() + start, tape.results
            else:
                bad, results = np.arange(some.start, some.stop), []
            special = self._redone(bad, tape) if bad.size else []  # before a row is overwritten in place
            for rows, values in ((some, results), (bad, special), (self._ignored(some), [0] * len(flat))):
                if isinstance(rows, slice) or rows.size:
                    self._written(flat, rows, values)
        if tape is not None:
            self._kept(tape)
        for place, array in zip(places, flat, strict=True):
            if not np.may_share_memory(place, array):
                place[...] = array.reshape(place.shape)

    def _tape(self, last: _Recorded | None, some: Any, rows: int, *, bare: bool) -> _Recorded:
        """These rows, evaluated: by what was recorded for the block before, or in an earlier call."""
        if last is not None and last.rows != rows:
            self._kept(last)
            last = None
        if last is not None:
            last.again(self, some, first=False)
            return last
        made = self.loop.tapes.pop(self._key(rows, bare), None)
        if made is not None:
            made.again(self, some, first=True)
            return made
        made = _Recorded(self, some, rows, bare)
        if bare and not made.exact:
            self.loop.bare = False
            return self._tape(None, some, rows, bare=False)
        self.taped = made.exact
        return made

    def _redone(self, bad: Array, tape: _Recorded | None) -> Sequence[Array]:
        """The results of rows whose exponentials need a shift, or that hold special values."""
        if tape is None or not tape.tape.bare:
            return self._interpreted(bad)
        filled = np.concatenate([bad, np.repeat(bad[:1], tape.rows - bad.size)])
        shifted = self._tape(None, filled, tape.rows, bare=False)
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
        found = [self.arrays[i.name] == i.ignore for i in self.loop.inputs if i.ignore is not None]
        if not found:
            return np.empty(0, np.int64)
        hit = [np.broadcast_to(f[some] if len(f) == self.rows else f, some.stop - some.start) for f in found]
        return np.flatnonzero(np.logical_or.reduce(hit)) + some.start

    def _key(self, rows: int, bare: bool) -> tuple[Any, ...]:
        """What a recording is made for."""
        shared = tuple(len(a) == 1 for a in self.arrays.values())
        return rows, self.width, rows == self.rows, shared, tuple(self.settings.values()), bare

    def _kept(self, tape: _Recorded) -> None:
        """Leave a recording to the next call, in place of the oldest; whoever takes it has it alone."""
        tapes, size = self.loop.tapes, tape.rows * self.width
        if not tape.exact or size > _LONG_ROW:
            return
        long = [k for k in tapes if size > BLOCK and k[0] * k[1] > BLOCK]  # one of them is enough
        for key in long or list(tapes)[: max(len(tapes) + 1 - _MOST_TAPES, 0)]:
            tapes.pop(key, None)
        tapes[self._key(tape.rows, tape.tape.bare)] = tape

    def _written(self, flat: Sequence[Array], rows: Any, results: Sequence[Array]) -> None:
        for array, result in zip(flat, results, strict=False):
            array[rows] = result

    def _interpreted(self, rows: Array) -> Sequence[Array]:
        return interpret(self.loop.program, self.part(rows), self.settings, dtype=_wide(self.loop.real))

    def part(self, rows: Any) -> dict[str, Array]:
        """These rows of every input; an input of one row is that of all."""
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        return {
            name: a[rows] if len(a) == self.rows else np.broadcast_to(a, (count, *a.shape[1:]))
            for name, a in self.arrays.items()
        }


class _Recorded(Batch):
    """A block whose evaluation was recorded: the arrays of its inputs are filled again for the next block."""

    def __init__(self, run: _Run, some: Any, rows: int, bare: bool) -> None:
        program = run.loop.program
        super().__init__(program, run.part(some), np, np.float64, None)
        self.rows, self.ignored = rows, None  # such rows are written over
        self.held: list[tuple[Array, Input]] = []
        self.tape = Tape(rows, run.width, lossless=run.loop.real is np.float64, bare=bare)
        rules = ScaledRules(self.tape)
        values = walk(program, self, run.settings, rules)
        self.results = [self.fit(rules.collapse(values[o.ref]), program, o.ref, 0.0) for o in program.outputs]
        self.exact = self.tape.exact or not self.tape.lossless  # an output may be all that is not
        self.tape.finish(self.results)
        self.inputs = {}  # a recording outlives the call

    def array(self, node: Input) -> Array:
        array = np.array(super().array(node), order="C")  # ours to fill, and summed in the order of memory
        if node.role is not Role.POSITIONS:
            self.held.append((array if node.role in _ROWS else array[..., 0], node))
        return array

    def again(self, run: _Run, some: Any, *, first: bool) -> None:
        """The same for other rows; what all rows share is read the first time in a call."""
        for held, node in self.held:
            source = run.arrays[node.name]
            if len(source) == run.rows:
                np.copyto(held, source[some], casting="unsafe")
            elif first:
                np.copyto(held, source, casting="unsafe")
            else:
                continue
            if node.ignore is not None:
                held[held == node.ignore] = 0
        self.tape.replay()


@contextlib.contextmanager
def _buffers(width: int) -> Iterator[None]:
    """NumPy's buffers are as long as a row while a call lasts.

    A row and its own number meet in buffers of several rows otherwise, into which NumPy copies the number for every
    element: that takes longer than the arithmetic. No sum is split where it was not, so no bit depends on it.
    """
    if not _SHORT_ROW <= width < np.getbufsize():
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


def _shapes(node: Input, array: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The batch of an argument, and its row's length."""
    shape: tuple[int, ...] = np.shape(array)
    return (shape[:-1], shape[-1:]) if node.role in _ROWS else (shape, ())


def _flat(node: Input, array: Any, batch: tuple[int, ...], places: Sequence[Array]) -> Array:
    """An argument with one axis for the batch, which has length 1 where all rows share it."""
    a = np.asarray(array)
    if any(np.may_share_memory(a, p) and not _same(a, p) for p in places):
        a = a.copy()
    outer, core = _shapes(node, a)
    if np.prod(outer, dtype=np.int64) == 1:
        return a.reshape((1, *core))
    return np.broadcast_to(a, batch + core).reshape((int(np.prod(batch, dtype=np.int64)), *core))


def _same(a: Array, b: Array) -> bool:
    layouts = [(x.__array_interface__["data"][0], x.shape, x.strides, x.dtype) for x in (a, b)]
    return bool(layouts[0] == layouts[1])


def _view(place: Array, batch: tuple[int, ...], rows: int) -> Array:
    """An output with one axis for the batch; a copy where no view has that."""
    return place.reshape((rows, *place.shape[len(batch) :]))
