"""Blocks of all their vectors as LLVM IR, straight through: no tail, and sums that stay in registers (lower.whole)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..loops import VECTORS, Kind, Phase, Stmt, Sweep, Var
from ..lower.whole import converted, loaded_first, sums_of
from .llvm_memory import LlvmMemory
from .llvm_text import SIZES
from .values import FLAG, Place, Value
from .walk import Row

FOUR = 4  # vectors a turn, written out: nothing unrolls them later


class WholeBlocks(Row):
    """A walk whose blocks are straight where rows are contiguous; `hurried` tells whether that is worth its text."""

    b: LlvmMemory
    hurried = False

    def contiguous(self) -> Value:
        """Whether every row of the computing type is one piece."""
        test = self.b.const(1, FLAG)
        for p in self.kernel.ports:
            if p.row and not converted(p):
                test = test & self.b.step(p).eq(SIZES[self.kernel.dtype])
        return test

    def straight(self, sweep: Sweep) -> Mapping[Var, Stmt]:
        """What is summed in registers if a block of this sweep is straight."""
        return sums_of(sweep) if self.hurried and not self.rare else {}

    def direct(self, sweep: Sweep, start: Value) -> None:
        """Contiguous rows where they lie; the others as in any block."""
        b, count = self.b, self.index(VECTORS * self.kernel.lanes)
        for name in dict.fromkeys((*sweep.reads, *sweep.writes)):
            port = self.ports[name]
            if converted(port):
                b.open(port, start, count, read=name in sweep.reads)
            else:
                place = b.bytes_on(b.addresses[name].base, start * SIZES[self.kernel.dtype])
                b.opened[name] = b.let(f"{name}_b", place)

    def closed(self, sweep: Sweep, start: Value) -> None:
        count = self.index(VECTORS * self.kernel.lanes)
        for name in sweep.writes:
            if converted(self.ports[name]):
                self.b.close(self.ports[name], start, count)

    def whole_block(self, sweep: Sweep, start: Value, beneath: Callable[[], None]) -> None:
        """A block summed in registers, in the order of the tree, with what runs beneath it."""
        self.direct(sweep, start)
        self.ready(sweep)
        block = Place(start, self.index(VECTORS * self.kernel.lanes), self.index(0))
        *others, (head, last) = sweep.phases
        for first, phase in others:
            self.place = block
            self.run(first)
            self.by_fours(phase, block)
        self.place = block
        self.run(head)
        halves = self.halves(last.body, block)
        self.place = None
        beneath()
        add = self.words[Kind.ACC, "acc_add"]
        for parts, s in sums_of(sweep).items():
            v = halves[parts.name]
            four = [v[k] + v[k + 4] for k in range(4)]
            acc = s.results[0].name
            self.env[acc] = add(add(self.env[acc], four[0] + four[2]), four[1] + four[3])
        self.closed(sweep, start)
        self.chunk(sweep, start)

    def halves(self, body: tuple[Stmt, ...], block: Place) -> dict[str, list[Value]]:
        """What would be put among the parts: its first eight vectors, the others added to them."""
        lanes, half, first = self.kernel.lanes, VECTORS // 2, loaded_first(body)
        kept: dict[str, list[Value]] = {}
        for places in (range(half), range(half, VECTORS)):
            at = [Place(block.start, block.count, self.index(k * lanes)) for k in places]
            loaded = {s.results[0].name: [self.loaded(s, place) for place in at] for s in first}
            for k, place in enumerate(at):
                self.place = place
                self.env.update({name: vectors[k] for name, vectors in loaded.items()})
                self.one_of_half([s for s in body if s not in first], kept)
        return {name: [v[k] + v[k + half] for k in range(half)] for name, v in kept.items()}

    def loaded(self, s: Stmt, place: Place) -> Value:
        self.place = place
        self.run([s])
        value = self.env[s.results[0].name]
        assert isinstance(value, Value)
        return value

    def one_of_half(self, stmts: Sequence[Stmt], kept: dict[str, list[Value]]) -> None:
        for s in stmts:
            if s.word == "put":
                parts = s.args[0]
                assert isinstance(parts, Var)
                kept.setdefault(parts.name, []).append(self.arg(s.args[1], Kind.VEC))
            else:
                self.run([s])

    def by_fours(self, phase: Phase, block: Place) -> Value:
        """Several vectors a turn as far as that goes; where it ends."""
        lanes, end = self.kernel.lanes, block.count
        end = end if end.text.isdigit() else self.b.apply("and", end, -FOUR * lanes)

        def body(at: Value) -> None:
            for u in range(FOUR):
                self.body(phase.body, Place(block.start, block.count, at + u * lanes if u else at))

        if end.text == str(FOUR * lanes):
            body(self.index(0))
            return end
        carried = self.carried(v.name for s in phase.body if s.assign for v in s.results)
        self.loop((self.index(0), end, FOUR * lanes), carried, body)
        return end
