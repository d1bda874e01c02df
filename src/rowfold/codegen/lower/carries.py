"""What a sweep accumulates, one class a carry.

Identity (before), lift and combine (body), merge (block_end), finish (after). A new kind of reduction is a new class
here and a line in `kernel._carry`; every backend prints the same statements. Finishing is in two: `collect` brings the
lanes to the numbers that are the carry's state, `publish` makes the result of them. A part of a row stops in between:
`states` are the kinds of states that it may leave, which say how two of them merge (merging.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol

from ...records import dataclass
from ..ir import Reduce, Ref
from ..loops import Code, Kind
from . import merging
from .context import Context
from .folds import fold, folded, quotient, total_of
from .forms import Number, Plain
from .rows import Rows

INF = float("inf")


class Carry(Protocol):
    """The life of a carry over one sweep. `phases` is how many walks over a block it takes."""

    phases: int

    @property
    def states(self) -> tuple[type[merging.State], ...]: ...

    def before(self, pre: Code) -> None: ...
    def body(self, rows: Rows, phase: int) -> None: ...
    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...
    def after(self, code: Code) -> None: ...


class Settling(ABC):
    """The end of a carry whose state is a few numbers: they make the result, or are kept for a merge."""

    ctx: Context
    ref: Ref
    states: ClassVar[tuple[type[merging.State], ...]]

    def after(self, code: Code) -> None:
        state = self.collect(code)
        if self.ctx.states is None:
            self.publish(code, state)
        else:
            self.ctx.states[self.ref] = state

    @abstractmethod
    def collect(self, code: Code) -> tuple[Number, ...]: ...

    @abstractmethod
    def publish(self, code: Code, state: Sequence[Number]) -> None: ...


@dataclass
class Sum(Settling):
    """sum x: a balanced tree over a block's vectors, then wide lanes, then a tree over the lanes (3-numerics, 3)."""

    states = (merging.Added,)
    ctx: Context
    ref: Ref
    x: Ref
    where: Ref | None
    phases: int = 1

    def before(self, pre: Code) -> None:
        name = self.ctx.name(self.ref, "sum")
        self.acc = pre.declare(Kind.ACC, name + "_lanes", "acc_zero")
        self.parts = pre.declare(Kind.PARTS, name + "_parts", "parts")

    def body(self, rows: Rows, phase: int) -> None:
        value = rows.vec(self.x)
        rows.code.do("put", self.parts, rows.keep(self.where, value, 0.0))

    def between(self, block: Code, phase: int) -> None: ...

    def block_end(self, block: Code) -> None:
        block.assign(self.acc, "acc_add_tree", self.acc, self.parts)

    def collect(self, code: Code) -> tuple[Number, ...]:
        return folded(code, self.ctx, self.acc, self.ctx.name(self.ref, "sum"))

    def publish(self, code: Code, state: Sequence[Number]) -> None:
        self.ctx.known[self.ref] = total_of(state)


@dataclass
class Count(Settling):
    """How many elements the predicate selects."""

    states = (merging.Added,)
    ctx: Context
    where: Ref
    phases: int = 1

    @property
    def ref(self) -> Ref:  # type: ignore[override]
        return self.where

    def before(self, pre: Code) -> None:
        self.acc = pre.declare(Kind.ACC, "selected_lanes", "acc_zero")
        self.parts = pre.declare(Kind.PARTS, "selected_parts", "parts")

    def body(self, rows: Rows, phase: int) -> None:
        mask = rows.selected(self.where)
        assert mask is not None
        rows.code.do("put", self.parts, rows.code.vec("one", "select", mask, 1.0, 0.0))

    def between(self, block: Code, phase: int) -> None: ...

    def block_end(self, block: Code) -> None:
        block.assign(self.acc, "acc_add_tree", self.acc, self.parts)

    def collect(self, code: Code) -> tuple[Number, ...]:
        return (fold(code, self.ctx, self.acc, "selected").value,)

    def publish(self, code: Code, state: Sequence[Number]) -> None:
        selected = Plain(state[0], exact=True)
        self.ctx.counts[self.where] = selected
        node = Reduce("count", (), self.where)
        if node in self.ctx.program.nodes:
            self.ctx.known[Ref(self.ctx.program.nodes.index(node))] = selected


@dataclass
class Mean(Sum):
    """mean x = sum x / count."""

    def collect(self, code: Code) -> tuple[Number, ...]:
        return folded(code, self.ctx, self.acc, "total")

    def publish(self, code: Code, state: Sequence[Number]) -> None:
        total, name = total_of(state), self.ctx.name(self.ref, "mean")
        self.ctx.known[self.ref] = quotient(code, self.ctx, total, self.where, name)


@dataclass
class Dot(Settling):
    """sum a b with every product exact in the wide lanes: it neither overflows nor rounds early."""

    states = (merging.Added,)
    ctx: Context
    ref: Ref
    a: Ref
    b: Ref
    where: Ref | None
    phases: int = 1

    def before(self, pre: Code) -> None:
        self.acc = pre.declare(Kind.ACC, self.ctx.name(self.ref, "dot") + "_lanes", "acc_zero")

    def body(self, rows: Rows, phase: int) -> None:
        a = rows.keep(self.where, rows.vec(self.a), 0.0)
        b = a if self.a == self.b else rows.keep(self.where, rows.vec(self.b), 0.0)
        rows.code.assign(self.acc, "acc_fma", self.acc, a, b)

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def collect(self, code: Code) -> tuple[Number, ...]:
        return folded(code, self.ctx, self.acc, self.ctx.name(self.ref, "dot"))

    def publish(self, code: Code, state: Sequence[Number]) -> None:
        self.ctx.known[self.ref] = total_of(state)


@dataclass
class Extremum(Settling):
    """max x or min x; a NaN that counts makes the result NaN."""

    states = (merging.Largest, merging.Smallest)
    ctx: Context
    ref: Ref
    x: Ref
    where: Ref | None
    op: str
    phases: int = 1

    def before(self, pre: Code) -> None:
        self.identity = -INF if self.op == "max" else INF
        self.m = pre.declare(Kind.VEC, self.ctx.name(self.ref, self.op) + "_lanes", "set", self.identity)
        self.nan = pre.declare(Kind.MASK, "unordered_lanes", "mask_none")

    def body(self, rows: Rows, phase: int) -> None:
        x = rows.keep(self.where, rows.vec(self.x), self.identity)
        rows.code.assign(self.m, self.op, x, self.m)
        rows.code.assign(self.nan, "mask_or", self.nan, rows.code.mask("unordered", "ne", x, x))

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def collect(self, code: Code) -> tuple[Number, ...]:
        m = code.num(self.ctx.name(self.ref, self.op), "fold_" + self.op, self.m)
        return (code.num("found", "nan_if", code.flag("unordered", "any", self.nan), m),)

    def publish(self, code: Code, state: Sequence[Number]) -> None:
        self.ctx.known[self.ref] = Plain(state[0], exact=True)


@dataclass
class Position(Settling):
    """argmax x: the first of the largest, a NaN before everything; -1 where no element counts.

    A lane keeps its best element and the number of the vector that it stood in: exact for 2^28 elements in float32.
    """

    states = (merging.First,)
    ctx: Context
    ref: Ref
    x: Ref
    where: Ref | None
    phases: int = 1

    def before(self, pre: Code) -> None:
        name = self.ctx.name(self.ref, "argmax")
        self.best = pre.declare(Kind.VEC, name + "_best", "set", -INF)
        self.at = pre.declare(Kind.VEC, name + "_vector", "set", -1.0)

    def body(self, rows: Rows, phase: int) -> None:
        c, x = rows.code, rows.vec(self.x)
        nan = c.mask("nan", "ne", self.best, self.best)
        worse = c.mask("worse", "mask_or", c.mask("worse", "le", x, self.best), nan)
        first = c.mask("first", "lt", self.at, 0.0)
        better = c.mask("better", "mask_or", first, c.mask("better", "mask_not", worse))
        selected = rows.selected(self.where)
        better = better if selected is None else c.mask("better", "mask_and", selected, better)
        c.assign(self.best, "select", better, x, self.best)
        c.assign(self.at, "select", better, c.vec("vector", "vector_number"), self.at)

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def collect(self, code: Code) -> tuple[Number, ...]:
        place = code.num(self.ctx.name(self.ref, "argmax"), "fold_first", self.best, self.at)
        if self.ctx.states is None:
            return (place,)
        return self.ctx.element(self.x, place), self.ctx.in_whole_row(place)

    def publish(self, code: Code, state: Sequence[Number]) -> None:
        self.ctx.known[self.ref] = Plain(state[-1], exact=True)


@dataclass
class Product(Settling):
    """prod x, lane by lane."""

    states = (merging.Multiplied,)
    ctx: Context
    ref: Ref
    x: Ref
    where: Ref | None
    phases: int = 1

    def before(self, pre: Code) -> None:
        self.p = pre.declare(Kind.VEC, self.ctx.name(self.ref, "prod") + "_lanes", "set", 1.0)

    def body(self, rows: Rows, phase: int) -> None:
        rows.code.assign(self.p, "mul", self.p, rows.keep(self.where, rows.vec(self.x), 1.0))

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def collect(self, code: Code) -> tuple[Number, ...]:
        return (code.num(self.ctx.name(self.ref, "prod"), "fold_mul", self.p),)

    def publish(self, code: Code, state: Sequence[Number]) -> None:
        self.ctx.known[self.ref] = Plain(state[0])


@dataclass
class Taken(Settling):
    """x[y] in a part of a row: the element and whether this part has it."""

    states = (merging.Found,)
    ctx: Context
    ref: Ref
    x: Ref
    y: Ref
    phases: int = 1

    def before(self, pre: Code) -> None: ...
    def body(self, rows: Rows, phase: int) -> None: ...
    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def collect(self, code: Code) -> tuple[Number, ...]:
        place = self.ctx.in_this_part(self.ctx.value(self.y))
        behind, before = code.flag("behind", "ge", place, 0.0), code.flag("before", "lt", place, self.ctx.length)
        inside = code.flag("inside", "and", behind, before)
        taken = code.num(self.ctx.name(self.ref, "taken"), "element", self.ctx.ports[self.x].name, place)
        return taken, code.num("here", "from_flag", inside)

    def publish(self, code: Code, state: Sequence[Number]) -> None:
        self.ctx.known[self.ref] = Plain(state[0], exact=True)
