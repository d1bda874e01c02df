"""The rows of a batch as LLVM IR: what one tells the next, and its last sweep beneath the next one (lower.overlap)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Protocol

from ..loops import VECTORS, Kind, Sweep, assigned, whole_row
from ..lower.groups import Group
from ..lower.overlap import Batch, Last, ahead_of, streams
from .llvm_groups import Groups
from .llvm_memory import Address, LlvmMemory
from .llvm_text import PTR
from .values import DOUBLE, FLAG, INDEX, Type, Value
from .walk import Row


class Move(Protocol):
    """Puts the addresses of the ports on a row; a `step` is that of the elements of rows that lie as they are used."""

    def __call__(self, row: Value, step: int = 0) -> None: ...


class Rows(Row):
    """All rows, one after the other. What a row leaves for its last sweep is in `held`, at these `slots`."""

    b: LlvmMemory
    move: Move

    def __init__(self, builder: LlvmMemory, batch: Batch, n: Value, rounds: bool) -> None:
        super().__init__(builder, n, rounds=rounds)
        self.batch, self.rounds = batch, rounds
        self.host = batch.last.host if batch.last else None
        self.size = VECTORS * self.kernel.lanes
        self.held = Value(builder, builder.fresh("held"), PTR)
        self.slots = self.layout(batch.last) if batch.last else ()
        self.far = builder.const(0, FLAG)

    def all(self, first: Value, stop: Value, move: Move, group: Group | None, blocks: int) -> None:
        """From the first row to the stop; `move` puts the addresses of the ports on a row."""
        self.move = move
        move(first)
        self.run(self.batch.once)
        self.run(self.kernel.memory)
        if self.batch.last is not None:
            self.far = self.from_memory(stop - first, self.batch.last)
        if group is None:
            self.alone(first, stop)
        else:
            Groups(self, group, blocks).all(first, stop, self.alone)

    def alone(self, first: Value, stop: Value) -> None:
        """One row after the other."""
        last, zero = self.batch.last, self.index(0)

        def one(row: Value) -> None:
            self.move(row)
            if last is not None:  # before the first row no row waits
                self.env["held_at"] = self.b.apply("select", row.eq(first), self.n, zero)
            self.steps(self.batch.steps)
            self.run(self.kernel.learn)
            if last is not None:
                self.leave()

        self.loop((first, stop, 1), self.carried(assigned(whole_row(self.kernel))), one)
        if last is not None:
            self.finish(self.b.apply("select", first < stop, zero, self.n))

    def from_memory(self, rows: Value, last: Last) -> Value:
        """Whether the rows come from memory, and are long enough for the next one to be no neighbour."""
        shortest, longest, elements = ahead_of(last, self.kernel)
        near = (self.n >= self.index(shortest)) & (self.n <= self.index(longest))
        return self.b.let("from_memory", near & (rows * self.n > self.index(elements)))

    # the last sweep

    def walked(self, sweep: Sweep) -> None:
        if sweep is self.host:
            self.finish(self.waiting())

    def waiting(self) -> Value:
        """From where on the row before still waits for its last sweep."""
        at = self.env["held_at"]
        assert isinstance(at, Value)
        return at

    def moving(self, sweep: Sweep) -> list[str]:
        return super().moving(sweep) + ["held_at"] * (sweep is self.host)

    def block(self, sweep: Sweep, start: Value, end: Value) -> None:
        super().block(sweep, start, end)
        if sweep is not self.host:
            return

        def along() -> None:
            at, addresses = self.waiting(), dict(self.b.addresses)
            self.one_block(self.b, self, at, {p.name: addresses[p.name].step for p in self.kernel.ports})
            self.b.addresses = addresses
            self.env["held_at"] = at + self.index(self.size)

        self.branch(self.waiting() < self.n, ["held_at"], along, rare=False)

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

    def finish(self, start: Value) -> None:
        """The rest of the last row's last sweep, which is seldom more than nothing."""
        b = self.b

        def body(at: Value, _: list[Value]) -> list[Value]:
            given = f"{b.typed(self.held)}, ptr %dims, ptr %steps, {b.typed(self.n)}, {b.typed(at)}"
            b.lines.append(f"call void @last({given})")
            return []

        def rest() -> None:
            b.loop((start, self.n, self.size), [], body)

        self.branch(start < self.n, [], rest, rare=True)

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

    def leave(self) -> None:
        """Leave it to the next row."""
        for name, of, place in self.slots:
            value = self.b.addresses[name].base if of == PTR else self.env[name]
            assert isinstance(value, Value)
            self.b.write(self.b.bytes_on(self.held, self.index(place)), value, 64 if of.lanes else 8)

    def last_block(self, b: LlvmMemory, steps: Mapping[str, Value]) -> None:
        """The function of one block of a row's last sweep: everything comes from what was kept."""
        self.held = Value(b, "%held", PTR)
        self.one_block(b, Row(b, Value(b, "%n", INDEX), rounds=self.rounds), Value(b, "%at", INDEX), steps)

    def one_block(self, b: LlvmMemory, row: Row, at: Value, steps: Mapping[str, Value | None]) -> None:
        assert self.batch.last is not None
        outer, row.rare = dict(row.env), False
        row.comments(f"Sweep: {c}." for c in self.batch.last.sweep.comment)
        for name, of, place in self.slots:
            value = b.read(b.bytes_on(self.held, b.const(place, INDEX)), of, 64 if of.lanes else 8)
            if of == PTR:
                b.addresses[name] = Address(value, steps.get(name), at)
            else:
                row.env[name] = value
        Row.block(row, self.batch.last.sweep, at, row.n)
        row.env = outer
