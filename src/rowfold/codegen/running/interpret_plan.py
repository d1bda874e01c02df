"""Runs a plan's loops in NumPy, word by word: what the compiled kernel computes, bit for bit, with no compiler.

All rows of a batch go together, and so do the vectors of a block wherever no vector needs what the one before it left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import philox
from ...records import dataclass, field
from ..dtypes import FORMATS as NARROW
from ..dtypes import rounded
from ..ir import Program
from ..loops import (
    CHUNK,
    ONE_OF,
    VECTORS,
    Arg,
    Kernel,
    Kind,
    Phase,
    Port,
    Scalars,
    Seek,
    Step,
    Stmt,
    Sweep,
    Unless,
    Until,
    Var,
)
from ..lower.kernel import lower
from ..mathlib.words import Dtype
from ..plan import Plan
from .memory import batch_shape, core, operand, port_dtype, written
from .numpywords import FORMATS
from .planrun import SelectionWords, Window
from .planwords import COUNTED, OF_NUMBERS, functions, table

Array = NDArray[Any]
Value = Any  # (batch, lanes) for a vector, (vectors, batch, lanes) for those of a block, (batch,) for a number


def interpret_plan(plan: Plan, inputs: Mapping[str, ArrayLike], settings: Mapping[str, float]) -> tuple[Array, ...]:
    """The outputs of a plan's kernel on a batch of rows, in the plan's dtype; rows lie along the last axis."""
    return interpret_kernel(lower(plan), plan.program, inputs, settings)


def interpret_kernel(
    kernel: Kernel, program: Program, inputs: Mapping[str, ArrayLike], settings: Mapping[str, float]
) -> tuple[Array, ...]:
    """The same for loops that are at hand: `program` says which of the kernel's ports is which."""
    given = [(i.name, np.asarray(inputs[i.name])) for _, i in program.inputs]
    given += [(p.name, np.asarray(settings[p.name])) for _, p in program.params]
    ports = [p for p in kernel.ports if not p.output]
    shapes = [a.shape if p.row else (*batch_shape(p, a), 1) for p, (_, a) in zip(ports, given, strict=True)]
    shape = np.broadcast_shapes(*shapes)
    number = FORMATS[cast(Dtype, kernel.dtype)]
    batch = int(np.prod(shape[:-1], dtype=np.int64))
    memory = {p.name: operand(p, a, shape, number) for p, (_, a) in zip(ports, given, strict=True)}
    outputs = _in_order([p for p in kernel.ports if p.output], program)
    for port in outputs:
        blank = np.full((batch, *core(port, shape)), np.nan)
        memory[port.name] = written(blank, port_dtype(port, number))
    with np.errstate(all="ignore"):
        Run(kernel, memory, batch, shape[-1]).kernel_steps()
    return tuple(
        added(cast(Dtype, kernel.dtype), memory[p.name])
        if p.element == "total"
        else _stored(p, memory[p.name].reshape((*shape[:-1], *core(p, shape))))
        for p in outputs
    )


def _stored(port: Port, values: Array) -> Array:
    return rounded(values, NARROW[port.narrow]) if port.narrow else values


def _in_order(ports: Sequence[Port], program: Program) -> list[Port]:
    """The ports of the results, in whose order those that are summed over the batch come first."""
    totals, others = ([p for p in ports if (p.element == "total") is which] for which in (True, False))
    return [(totals if o.total else others).pop(0) for o in program.outputs]


def added(dtype: Dtype, rows: Array) -> Array:
    """The rows added one after the other, in the wide lanes of this dtype."""
    words, wide = table(dtype), np.zeros(rows.shape[-1])
    s: Any = wide if dtype == "f32" else (wide, wide)
    for row in rows:
        s = words[Kind.ACC, "acc_add"](s, row)
    whole: Array = s if dtype == "f32" else s[0] + s[1]
    return whole


@dataclass
class Run(SelectionWords):
    """The variables of one kernel over a batch of rows. `local` ends with the body that it belongs to."""

    kernel: Kernel
    memory: dict[str, Array]
    batch: int
    n: int
    env: dict[str, Value] = field(default_factory=dict)
    local: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dtype = cast(Dtype, self.kernel.dtype)
        self.number = FORMATS[self.dtype]
        self.lanes = self.kernel.lanes
        self.words = table(self.dtype)
        self.ports = {p.name: p for p in self.kernel.ports}
        self.env["row_length"] = np.full(self.batch, float(self.n))

    # steps

    def kernel_steps(self) -> None:
        """Every row as if it were the first of its batch."""
        self.run(self.kernel.memory, Window())
        self.steps(self.kernel.steps)

    def steps(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Scalars(_, body):
                    self.run(body, Window())
                case Sweep():
                    self.sweep(step)
                case Seek():
                    self.seek(step)
                case Unless(_, safe, inner):
                    self.unless(self.env[safe.name], inner)
                case Until(_, done, inner):
                    while not np.all(self.env[done.name]):
                        self.unless(self.env[done.name], inner)

    def seek(self, seek: Seek) -> None:
        """Every row goes on until it has found its place; the others wait."""
        at = self.env[seek.at.name] = np.zeros(self.batch)
        for _ in range(self.n - 1):
            self.run(seek.body, Window())
            going = ~self.env[seek.found.name] & (at < self.n - 1)
            if not going.any():
                break
            at = self.env[seek.at.name] = at + going

    def sweep(self, sweep: Sweep) -> None:
        self.run(sweep.before, Window())
        block = VECTORS * self.lanes
        end = self.n if sweep.peek is None else min(self.n, self.lanes)
        for i in range(0, end, block):
            count = min(end - i, block)
            window = Window(i, vectors=-(-count // self.lanes))
            for head, phase in sweep.phases:
                self.run(head, window)
                self.phase(phase, i, count)
            self.run(sweep.block_end, window)
            if not (i + block) % CHUNK:
                self.run(sweep.chunk_end, Window())
        self.run(sweep.after, Window())

    def phase(self, phase: Phase, i: int, count: int) -> None:
        whole, rest = divmod(count, self.lanes)
        vectors = whole + bool(rest)
        if whole:
            self.body(phase.body, Window(i, 0, whole, vectors))
        if rest:
            live = np.broadcast_to(np.arange(self.lanes) < rest, (self.batch, self.lanes))
            self.body(phase.tail, Window(i + whole * self.lanes, whole, 1, vectors), live)

    def unless(self, safe: Array, steps: Sequence[Step]) -> None:
        """The rows that are not safe, as a batch of their own."""
        rare = np.flatnonzero(~safe)
        if not rare.size:
            return
        memory = {name: array[rare] for name, array in self.memory.items()}
        inner = Run(self.kernel, memory, rare.size, self.n, {n: _rows(v, rare) for n, v in self.env.items()})
        inner.env["row_length"] = self.env["row_length"][rare]
        inner.steps(steps)
        for name, value in self.env.items():
            self.env[name] = _replaced(value, rare, inner.env[name])
        for name, array in memory.items():
            self.memory[name][rare] = array

    # bodies

    def body(self, stmts: tuple[Stmt, ...], window: Window, live: Array | None = None) -> None:
        """All vectors of the window: together before and after, one by one what hangs on the vector before."""
        first, serial, last = stages(stmts)
        self.local = stacked = {} if live is None else {"live": live}
        self.run(first, window)
        made: dict[str, list[Value]] = {v.name: [] for s in serial if not s.assign for v in s.results}
        for k in range(window.count if serial else 0):
            self.local = {n: v[k] if v.ndim == 3 else v for n, v in stacked.items()}
            start = window.start + k * self.lanes
            self.run(serial, Window(start, window.part + k, 1, window.vectors))
            for name, values in made.items():
                values.append(self.local[name])
        self.local = stacked | {n: np.stack(np.broadcast_arrays(*v)) for n, v in made.items()}
        self.run(last, window)
        self.local = {}

    # statements

    def run(self, stmts: Sequence[Stmt], window: Window) -> None:
        scope = self.local if window.count else self.env
        for s in stmts:
            if not s.results:
                self.effect(s, window)
                continue
            values = self.values(s, window)
            for var, value in zip(s.results, values, strict=True):
                (self.env if s.assign else scope)[var.name] = value

    def values(self, s: Stmt, window: Window) -> tuple[Value, ...]:
        kind = s.results[0].kind
        if s.results[0].size:
            return self._entries(s, window)
        if s.call:
            made = functions(self.dtype, kind)[s.word](*(self.arg(a, kind) for a in s.args))
            return tuple(self.whole(m, kind) for m in (made if isinstance(made, tuple) else (made,)))
        if (own := getattr(self, f"_{s.word}", None)) is not None:
            return (own(s.args, window),)
        kind_of_args = Kind.NUM if s.word in OF_NUMBERS else kind
        args: list[Value] = [self.arg(a, kind_of_args) for a in s.args]
        if s.word in OF_NUMBERS:
            args = [np.broadcast_to(np.reshape(a, (-1, 1)), (self.batch, self.lanes)) for a in args]
        if s.word in COUNTED:
            args = [*args, window.vectors]
        return (self.whole(self.words[kind, s.word](*args), kind),)

    def _entries(self, s: Stmt, window: Window) -> tuple[Value, ...]:
        """A word on k-vectors: numbers of the row stand beside every entry."""
        if s.word == "field":
            at = int(cast(float, s.args[1]))
            return (self.memory[str(s.args[0])][:, at : at + s.results[0].size],)
        if (own := getattr(self, f"_{s.word}", None)) is not None:
            return (own(s.args, window),)
        size, kind = s.results[0].size, ONE_OF[s.results[0].kind]
        args = [self.arg(a, kind) for a in s.args]
        args = [a[:, None] if isinstance(v, Var) and not v.size else a for v, a in zip(s.args, args, strict=True)]
        word = functions(self.dtype, kind)[s.word] if s.call else self.words[kind, s.word]
        made = word(*args)
        return tuple(np.broadcast_to(m, (self.batch, size)) for m in (made if isinstance(made, tuple) else (made,)))

    def whole(self, value: Value, kind: Kind) -> Value:
        """A number for every row, where the operands were literals."""
        return np.broadcast_to(value, (self.batch,)) if kind in (Kind.NUM, Kind.FLAG) else value

    def arg(self, arg: Arg, kind: Kind) -> Value:
        match arg:
            case Var(name):
                return self.local[name] if name in self.local else self.env[name]
            case float():
                return np.float64(arg) if kind in (Kind.NUM, Kind.FLAG) else self.number(arg)
            case str():
                raise AssertionError(f"port {arg} is no value")

    def effect(self, s: Stmt, window: Window) -> None:
        target = s.args[0]
        if s.word == "put":
            assert isinstance(target, Var)
            self.env[target.name][window.part : window.part + window.count] = self.arg(s.args[1], Kind.VEC)
            return
        if s.word.startswith(("best_", "pool_")):
            self.select(s, window)
            return
        value = self.arg(s.args[1], Kind.NUM if s.word in ("result", "keep") else Kind.VEC)
        place = self.memory[str(target)]
        if s.word == "keep":
            at = int(cast(float, s.args[2]))
            place[:, at : at + (value.shape[1] if np.ndim(value) > 1 else 1)] = np.reshape(
                np.broadcast_to(value, (self.batch, *np.shape(value)[1:])), (self.batch, -1)
            )
            return
        if s.word == "result":
            place[...] = written(np.asarray(value, dtype=np.float64), place.dtype)
            return
        assert s.word.startswith(("store", "accumulate")), s.word
        stop = min(window.start + window.count * self.lanes, self.n)
        rows = np.broadcast_to(value, (window.count, self.batch, self.lanes)).transpose(1, 0, 2)
        place[:, window.start : stop] = written(rows.reshape(self.batch, -1)[:, : stop - window.start], place.dtype)

    # words that need the rows, or make a variable from nothing

    def _load(self, args: Sequence[Arg], window: Window) -> Array:
        """The window of a port as vectors, zeros behind the row's end."""
        port = self.memory[str(args[0])]
        length = window.count * self.lanes
        part = port[:, window.start : window.start + length]
        part = part if part.dtype == bool else part.astype(self.number)
        padded = np.pad(part, ((0, 0), (0, length - part.shape[1])))
        vectors: Array = padded.reshape(self.batch, window.count, self.lanes).transpose(1, 0, 2)
        return vectors

    _load_tail = _load_mask = _load_mask_tail = _load

    def _positions(self, args: Sequence[Arg], window: Window) -> Array:
        places = window.start + self.first_place(args) + np.arange(window.count * self.lanes)
        each = places.astype(self.number).reshape(window.count, 1, self.lanes)
        return np.broadcast_to(each, (window.count, self.batch, self.lanes))

    def _at_position(self, args: Sequence[Arg], window: Window) -> Array:
        places = window.start + self.first_place(args[1:]) + np.arange(window.count * self.lanes)
        each = places.astype(np.float64).reshape(window.count, 1, self.lanes)
        return np.asarray(each == np.reshape(self.arg(args[0], Kind.NUM), (-1, 1)))

    def _vector_number(self, args: Sequence[Arg], window: Window) -> Array:
        each = (window.start // self.lanes + np.arange(window.count)).astype(self.number).reshape(-1, 1, 1)
        return np.broadcast_to(each, (window.count, self.batch, self.lanes))

    def _uniform(self, args: Sequence[Arg], window: Window) -> Array:
        key = self.memory[str(args[-1])]
        if isinstance(args[0], Var | float):
            return philox.uniform(self.arg(args[0], Kind.NUM), key)
        first = window.start + self.first_place(args[:-1])
        places = first + np.arange(window.count * self.lanes).reshape(window.count, 1, self.lanes)
        return philox.uniform(places, key[:, None]).astype(self.number)

    def first_place(self, ports: Sequence[Arg]) -> int:
        """Where a part of a row begins in it: in all rows of a batch at the same place."""
        return int(self.memory[str(ports[0])][0]) if ports and self.batch else 0

    def _field(self, args: Sequence[Arg], window: Window) -> Array:
        number: Array = self.memory[str(args[0])][:, int(cast(float, args[1]))]
        return number

    def _scalar(self, args: Sequence[Arg], window: Window) -> Array:
        number: Array = self.memory[str(args[0])].astype(np.float64)
        return number

    def _element(self, args: Sequence[Arg], window: Window) -> Array:
        """One element of a row as a double; 0 outside the row."""
        at = np.broadcast_to(self.arg(args[1], Kind.NUM), (self.batch,))
        inside = (at >= 0) & (at < self.n)
        if not self.n:
            return np.zeros(self.batch)
        row = self.memory[str(args[0])]
        picked = row[np.arange(self.batch), np.where(inside, at, 0).astype(np.int64)]
        whole = self.ports[str(args[0])].element in ("mask", "int")
        return np.where(inside, picked.astype(np.float64 if whole else self.number), 0).astype(np.float64)

    def _parts(self, args: Sequence[Arg], window: Window) -> Array:
        return np.full((VECTORS, self.batch, self.lanes), np.nan, self.number)

    def _mask_none(self, args: Sequence[Arg], window: Window) -> Array:
        return np.zeros((self.batch, self.lanes), bool)

    def _acc_zero(self, args: Sequence[Arg], window: Window) -> Value:
        zero = np.zeros((self.batch, self.lanes))
        return zero if self.dtype == "f32" else (zero, zero)


@cache
def stages(stmts: tuple[Stmt, ...]) -> tuple[tuple[Stmt, ...], tuple[Stmt, ...], tuple[Stmt, ...]]:
    """A body in three: what each vector needs no other for, what runs vector by vector, and what only reads of that."""
    carried = {v.name for s in stmts if s.assign for v in s.results}
    behind: set[str] = set()  # values that hang on a carried one
    for s in stmts:
        if _reads(s) & (carried | behind):
            behind |= {v.name for v in s.results} - carried
    needed: set[str] = set()  # values that a carried one hangs on
    for s in reversed(stmts):
        if s.assign or {v.name for v in s.results} & needed:
            needed |= _reads(s)
    parts: tuple[list[Stmt], list[Stmt], list[Stmt]] = [], [], []
    for s in stmts:
        late = bool(_reads(s) & (carried | behind))
        serial = s.assign or _reads(s) & carried or (late and {v.name for v in s.results} & needed)
        parts[1 if serial else 2 if late else 0].append(s)
    return tuple(parts[0]), tuple(parts[1]), tuple(parts[2])


def _reads(s: Stmt) -> set[str]:
    return {a.name for a in s.args if isinstance(a, Var) and a.kind is not Kind.PARTS}


def _rows(value: Value, rows: Array) -> Value:
    """The part of a variable that belongs to some of the rows."""
    if isinstance(value, tuple):
        return tuple(_rows(v, rows) for v in value)
    return value[:, rows] if value.ndim == 3 else value[rows]


def _replaced(value: Value, rows: Array, part: Value) -> Value:
    """The variable with that part put back."""
    if isinstance(value, tuple):
        return tuple(_replaced(v, rows, p) for v, p in zip(value, part, strict=True))
    whole = value.copy()
    if value.ndim == 3:
        whole[:, rows] = part
    else:
        whole[rows] = part
    return whole
