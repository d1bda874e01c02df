"""The rows of a batch as LLVM IR: what one tells the next, and its last sweep beneath the next one (lower.overlap)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Protocol

from ..loops import VECTORS, Kind, Sweep, assigned, whole_row
from ..lower.groups import Group
from ..lower.overlap import Batch, Last, ahead_of, streams
from ..lower.whole import constants, shifted
from .llvm_groups import Groups
from .llvm_memory import Address, LlvmMemory
from .llvm_text import PTR, SIZES
from .llvm_whole import FOUR, WholeBlocks
from .values import DOUBLE, FLAG, INDEX, Place, Type, Value
from .walk import Row

LINED = 8  # blocks of a row from which stores on whole lines are worth the two parts of a vector that they leave
WAITING = ("held_at", "held_whole")  # of the row before: from where on it waits, and whether its blocks are straight


class Move(Protocol):
    """Puts the addresses of the ports on a row; a `step` is that of the elements of rows that lie as they are used."""

    def __call__(self, row: Value, step: int = 0) -> None: ...


class Rows(WholeBlocks):
    """All rows, one after the other. What a row leaves for its last sweep is in `held`, at these `slots`."""

    move: Move

    def __init__(self, builder: LlvmMemory, batch: Batch, n: Value, *, rounds: bool, hurried: bool) -> None:
        super().__init__(builder, n, rounds=rounds)
        self.batch, self.rounds, self.hurried = batch, rounds, hurried
        self.host = batch.last.host if batch.last else None
        self.size = VECTORS * self.kernel.lanes
        self.held = Value(builder, builder.fresh("held"), PTR)
        self.slots = self.layout(batch.last) if batch.last else ()
        self.far = self.near = builder.const(0, FLAG)

    def all(self, first: Value, stop: Value, move: Move, group: Group | None, blocks: int) -> None:
        """From the first row to the stop; `move` puts the addresses of the ports on a row."""
        self.move = move
        move(first)
        self.run(self.batch.once)
        self.run(self.kernel.memory)
        self.near = self.b.let("contiguous", self.contiguous())
        if self.batch.last is not None:
            self.far = self.from_memory(stop - first, self.batch.last)
        if group is None:
            self.alone(first, stop)
        else:
            Groups(self, group, blocks).all(first, stop, self.alone)

    def alone(self, first: Value, stop: Value) -> None:
        """One row after the other."""
        last = self.batch.last
        if last is not None:  # before the first row no row waits
            self.env["held_at"], self.env["held_whole"] = self.n, self.b.const(0, FLAG)

        def one(row: Value) -> None:
            self.move(row)
            self.steps(self.batch.steps)
            self.run(self.kernel.learn)
            if last is not None:
                self.leave(last)

        names = [*self.carried(assigned(whole_row(self.kernel))), *(WAITING if last is not None else ())]
        self.loop((first, stop, 1), names, one)
        if last is not None:
            self.finish()

    def from_memory(self, rows: Value, last: Last) -> Value:
        """Whether the rows come from memory, and are long enough for the next one to be no neighbour."""
        shortest, longest, elements = ahead_of(last, self.kernel)
        near = (self.n >= self.index(shortest)) & (self.n <= self.index(longest))
        return self.b.let("from_memory", near & (rows * self.n > self.index(elements)))

    # the last sweep

    def walked(self, sweep: Sweep) -> None:
        if sweep is self.host:
            self.finish()

    def waiting(self) -> tuple[Value, Value]:
        """From where on the row before still waits for its last sweep, and whether its blocks are straight."""
        at, whole = (self.env[name] for name in WAITING)
        assert isinstance(at, Value) and isinstance(whole, Value)
        return at, whole

    def moving(self, sweep: Sweep) -> list[str]:
        return super().moving(sweep) + ["held_at"] * (sweep is self.host)

    def block(self, sweep: Sweep, start: Value, end: Value) -> None:
        if not self.straight(sweep):
            super().block(sweep, start, end)
            self.beneath(sweep, straight=True)
            return
        names = self.moving(sweep)
        whole = self.near & (end - start >= self.size)

        def straight() -> None:
            self.whole_block(sweep, start, lambda: self.beneath(sweep, straight=True))

        def other() -> None:
            super(Rows, self).block(sweep, start, end)
            self.beneath(sweep, straight=False)

        self.branch(whole, names, straight, rare=False)
        self.branch(~whole, names, other, rare=False)

    def beneath(self, sweep: Sweep, *, straight: bool) -> None:
        """A block of the row before, whose stores and scales hide beneath the arithmetic of this one."""
        if sweep is not self.host:
            return
        at, whole = self.waiting()
        end = at + self.index(self.size)

        def along() -> None:
            addresses = dict(self.b.addresses)
            self.one_block(self.b, self, at, {p.name: addresses[p.name].step for p in self.kernel.ports})
            self.b.addresses = addresses
            self.env["held_at"] = end

        def some() -> None:
            self.call_last(at, self.b.apply("select", end < self.n, end, self.n))
            self.env["held_at"] = end

        fits = whole & (self.n - at >= self.size) if straight else self.b.const(0, FLAG)
        if straight:
            self.branch(fits, ["held_at"], along, rare=False)
        self.branch(~fits & (at < self.n), ["held_at"], some, rare=True)

    def ready(self, sweep: Sweep) -> None:
        """Several streams at once, and stores among them, are more than the hardware's own prefetching follows."""
        if sweep is not self.host:
            return

        def fetch() -> None:
            for port in streams(sweep, self.ports):
                self.ahead(self.b.opened[port.name], write=port.output)

        self.branch(self.far, [], fetch, rare=False)

    def ahead(self, place: Value, *, write: bool) -> None:
        b, size = self.b, {"f32": 4, "f64": 8}[self.kernel.dtype] * self.size

        def line(at: Value, _: list[Value]) -> list[Value]:
            there = b.typed(b.bytes_on(place, at))
            b.lines.append(f"call void @llvm.prefetch.p0({there}, i32 {int(write)}, i32 2, i32 1)")
            return []

        b.loop((self.index(4096), self.index(4096 + size), 64), [], line)

    def call_last(self, at: Value, end: Value) -> None:
        """The last sweep of the row that waits, from here to there."""
        b, whole = self.b, self.waiting()[1]
        given = ", ".join(map(b.typed, (self.n, at, end, whole)))
        b.lines.append(f"call void @last({b.typed(self.held)}, ptr %dims, ptr %steps, {given})")

    def finish(self) -> None:
        """The rest of the last row's last sweep, which is seldom more than nothing."""
        at = self.waiting()[0]
        self.branch(at < self.n, [], lambda: self.call_last(at, self.n), rare=True)

    # what a row leaves

    def layout(self, last: Last) -> tuple[tuple[str, Type, int], ...]:
        """Where each thing is kept: its name, its type, its place in bytes."""
        of = {Kind.VEC: Type(self.kernel.dtype, self.kernel.lanes), Kind.MASK: Type("i1", self.kernel.lanes),
              Kind.NUM: DOUBLE, Kind.FLAG: FLAG}  # fmt: skip
        types = [*((p.name, PTR) for p in last.ports), *((v.name, of[v.kind]) for v in last.held)]
        wide_first = sorted(types, key=lambda t: -t[1].lanes)
        sizes = [64 if t.lanes else 8 for _, t in wide_first]
        places = accumulate(sizes, initial=0)
        slots = tuple((name, t, place) for (name, t), place in zip(wide_first, places, strict=False))
        self.b.head.append(f"{self.held.text} = alloca [{sum(sizes)} x i8], align 64")
        return slots

    def leave(self, last: Last) -> None:
        """Leave it to the next row."""
        b = self.b
        for name, of, place in self.slots:
            value = b.addresses[name].base if of == PTR else self.env[name]
            assert isinstance(value, Value)
            b.write(b.bytes_on(self.held, self.index(place)), value, 64 if of.lanes else 8)
        whole, begin = self.near, self.index(0)
        for name in constants(last, self.kernel):  # rows of NaN: by one loop, which decides which is kept
            number = self.env[name]
            assert isinstance(number, Value)
            whole = whole & self.numbers.isfinite(number)
        self.env["held_whole"] = whole
        target = shifted(last)
        if target is not None:  # whole lines
            fits = whole & (self.n >= LINED * self.size)
            begin = b.apply("select", fits, b.unaligned(b.addresses[target].base, SIZES[self.kernel.dtype]), begin)
            self.branch(begin > 0, [], lambda: self.call_last(self.index(0), begin), rare=False)
        self.env["held_at"] = begin

    def last_block(self, b: LlvmMemory, steps: Mapping[str, Value]) -> None:
        """The function of a row's last sweep, from an element to another: everything comes from what was kept."""
        assert self.batch.last is not None
        self.held = Value(b, "%held", PTR)
        row = WholeBlocks(b, Value(b, "%n", INDEX), rounds=self.rounds)
        at, end = Value(b, "%at", INDEX), Value(b, "%end", INDEX)
        self.unpack(b, row, at, steps)
        step = FOUR * self.kernel.lanes if shifted(self.batch.last) else self.size
        room = b.apply("and", end - at, -step)
        until = at + b.apply("select", Value(b, "%whole", FLAG), room, b.const(0, INDEX))
        row.loop((at, until, step), [], lambda here: self.straight_last(row, here, step))
        row.loop((until, end, self.size), [], lambda here: Row.block(row, self.last_sweep, here, end))

    @property
    def last_sweep(self) -> Sweep:
        assert self.batch.last is not None
        return self.batch.last.sweep

    def one_block(self, b: LlvmMemory, row: WholeBlocks, at: Value, steps: Mapping[str, Value | None]) -> None:
        """A straight block of the last sweep of the row that waits."""
        outer = dict(row.env)
        self.unpack(b, row, at, steps)
        self.straight_last(row, at, self.size)
        row.env = outer

    def unpack(self, b: LlvmMemory, row: Row, at: Value, steps: Mapping[str, Value | None]) -> None:
        row.comments(f"Sweep: {c}." for c in self.last_sweep.comment)
        for name, of, place in self.slots:
            value = b.read(b.bytes_on(self.held, b.const(place, INDEX)), of, 64 if of.lanes else 8)
            if of == PTR:
                b.addresses[name] = Address(value, steps.get(name), at)
            else:
                row.env[name] = value

    def straight_last(self, row: WholeBlocks, at: Value, size: int) -> None:
        row.direct(self.last_sweep, at)
        block = Place(at, row.index(size), row.index(0))
        for head, phase in self.last_sweep.phases:
            row.place = block
            row.run(head)
            row.by_fours(phase, block)
        row.place = Place(at, block.count, block.count)
        row.run(self.last_sweep.block_end)
        row.place = None
        row.closed(self.last_sweep, at)
