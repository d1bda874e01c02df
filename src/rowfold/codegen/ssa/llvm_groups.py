"""A group of short rows as LLVM IR: numbers of all its rows on vectors of doubles, loops over its rows between them.

What `c.groups` prints as C, from the same parts (lower.groups). A batch goes in turns: each takes a group of rows, and
does those one by one that no group can take. What a row leaves to a later step is in an array with a place for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..loops import VECTORS, Port, Stmt, Sweep, Var, assigned, whole_row
from ..lower.groups import FOLDED, NUMBERS, ROWS, SPREAD, Alike, Check, Each, Group, Learn, Part, Together, overlapping
from .llvm_text import SIZES
from .ownrows import OwnOfRows
from .together import Lanes
from .values import FLAG, Place, Value

if TYPE_CHECKING:
    from .llvm_batch import Rows


class Groups:
    """Writes the turns of a batch. `many` has the numbers of all rows, `own` what each row finds of its own."""

    def __init__(self, rows: Rows, group: Group, blocks: int) -> None:
        self.r, self.b, self.kernel = rows, rows.b, rows.kernel
        self.group, self.blocks = group, blocks
        self.lanes = Lanes(rows.b, rows.kernel.dtype, ROWS)
        self.many: dict[str, Value] = {}
        together = [s for p in group.parts if isinstance(p, Together) for s in p.body]
        taken = [v for p in group.parts if isinstance(p, Each | Learn) for v in p.takes]
        flags = [p.flag for p in group.parts if isinstance(p, Check) and not p.alike]
        asked = [a for s in together for a in s.args if isinstance(a, Var)]
        self.taken = {v.name for v in taken if v.kind in NUMBERS}
        self.asked = {v.name for v in (*flags, *asked)}
        self.own = OwnOfRows(rows, frozenset(s.results[0].name for s in together if s.word in SPREAD))
        overlap = overlapping(group, rows.kernel)
        self.host: Each | None = overlap[0] if overlap else None
        self.last: Each | None = overlap[1] if overlap else None
        self.names = rows.carried(assigned(whole_row(rows.kernel)))  # what one row tells the next

    # the turns

    def all(self, first: Value, stop: Value, alone: Callable[[Value, Value], None]) -> None:
        """From the first row to the stop."""
        b, r = self.b, self.r
        fits = b.let("together", self.fits())
        size = b.let("rows_a_turn", b.apply("select", fits, ROWS, stop - first))
        self.unwind(first)

        def turn(values: list[Value]) -> tuple[Value, list[Value]]:
            outer = dict(r.env)
            r.give(self.state(), values)
            row = self.now("row")
            self.unless_alone(fits & ((stop - row) >= ROWS))
            end = row + size
            end = b.let("end", b.apply("select", end < stop, end, stop))
            alone(b.apply("select", self.now("grouped"), end, row), end)
            r.env["row"] = end
            over = ~(end < stop)
            results = r.flat(self.state())
            over = over & ~self.now("waiting") if self.last else over
            r.env = outer
            return over, results

        r.give(self.state(), b.until(~(first < stop), r.flat(self.state()), turn))

    def unwind(self, first: Value) -> None:
        no = self.b.const(0, FLAG)
        self.r.env.update({"row": first, "grouped": no, "waiting": no, "waiting_at": first})

    def state(self) -> list[str]:
        """What goes from turn to turn."""
        return [*self.names, "row", *(["waiting", "waiting_at"] if self.last else [])]

    def now(self, name: str) -> Value:
        value = self.r.env[name]
        assert isinstance(value, Value)
        return value

    def fits(self) -> Value:
        """Whether there is a way to have the rows of this call in groups."""
        b, n = self.b, self.r.n
        test = (n > 0) & (n <= self.r.index(self.blocks * VECTORS * self.kernel.lanes))
        for port in filter(plain, self.kernel.ports):
            test = test & b.step(port).eq(SIZES[self.kernel.dtype])
        for x, y in self.group.apart:
            test = test & ~b.same(self.r.ports[x], self.r.ports[y])
        return test

    def unless_alone(self, more: Value) -> None:
        """The rows of a turn as a group; `grouped` tells whether they are done."""
        r, parts = self.r, self.group.parts
        names = [*self.names, "grouped", *(["waiting", "waiting_at"] if self.last else [])]
        r.env["grouped"] = self.b.const(0, FLAG)
        if self.host is None:
            r.branch(more, names, lambda: self.parts(parts), rare=False)
            return
        place = parts.index(self.host)
        more = self.b.let("more", self.before(parts[:place], more))
        waiting = self.now("waiting")
        r.branch(more | waiting, [], lambda: self.both(more, waiting), rare=False)
        r.env["waiting"] = self.b.const(0, FLAG)

        def rest() -> None:
            assert self.host is not None
            self.loaded(self.host)
            self.parts(parts[place + 1 :])

        r.branch(more, names, rest, rare=False)

    def before(self, parts: Sequence[Part], more: Value) -> Value:
        """What all rows share, in front of the first walk; whether they go on."""
        for part in parts:
            match part:
                case Alike(body):
                    self.r.run(body)
                case Check(flag):
                    more = more & self.now(flag.name)
                case _:
                    raise AssertionError("overlapping() lets nothing else be there")
        return more

    def both(self, more: Value, waiting: Value) -> None:
        """The last sweep of the group before, and the first one of this group."""
        assert self.host is not None and self.last is not None
        row, waiting_at, host, last = self.now("row"), self.now("waiting_at"), self.host, self.last
        self.own.rooms((*last.takes, *host.gives))

        def member(at: Value, _: list[Value]) -> list[Value]:
            self.r.branch(waiting, [], lambda: self.one(last, waiting_at, at), rare=False)
            self.r.branch(more, [], lambda: self.one(host, row, at), rare=False)
            return []

        self.b.loop((self.r.index(0), self.r.index(ROWS), 1), [], member)

    # parts

    def parts(self, parts: Sequence[Part]) -> None:
        for k, part in enumerate(parts):
            match part:
                case Alike(body):
                    self.r.run(body)
                case Together(body):
                    for s in body:
                        self.together(s)
                case Each() if part is self.last:
                    self.r.env["waiting_at"], self.r.env["waiting"] = self.now("row"), self.b.const(1, FLAG)
                case Each():
                    self.each(part)
                case Learn():
                    self.learn(part)
                case Check(flag, alike):
                    test = self.now(flag.name) if alike else self.lanes.every(self.number(flag))
                    names = [*self.names, "grouped", *(["waiting", "waiting_at"] if self.last else [])]
                    self.r.branch(test, names, partial(self.parts, parts[k + 1 :]), rare=False)
                    return
        self.r.env["grouped"] = self.b.const(1, FLAG)

    def together(self, s: Stmt) -> None:
        if s.word in SPREAD:
            assert isinstance(s.args[0], Var)
            self.own.put(s.results[0], self.lanes.spread(s.word, self.number(s.args[0])))
            return
        made: Any
        if s.word in FOLDED:
            assert isinstance(s.args[0], Var)
            made = self.lanes.folded(s.word, self.own.all_of(s.args[0]))
        else:
            made = self.lanes.made(s, [self.number(a) for a in s.args])
        for var, value in zip(s.results, made if len(s.results) > 1 else (made,), strict=True):
            self.many[var.name] = self.b.let(f"all_of_{var.name}", value)
            if var.name in self.taken:
                self.own.put(var, value)

    def number(self, a: Any) -> Value:
        """An operand: a number of each row, or one that all share."""
        if isinstance(a, Var):
            own = self.many.get(a.name)
            return own if own is not None else self.b.splat(self.now(a.name), ROWS)
        return self.lanes.numbers.const(a)

    def loaded(self, part: Each) -> None:
        """The numbers that the rows left, as vectors."""
        for v in part.gives:
            if v.kind in NUMBERS and v.name in self.asked:
                self.many[v.name] = self.own.numbers(v)

    # rows one by one

    def each(self, part: Each) -> None:
        row = self.now("row")
        self.own.rooms((*part.takes, *part.gives))

        def member(at: Value, _: list[Value]) -> list[Value]:
            self.one(part, row, at)
            return []

        self.b.loop((self.r.index(0), self.r.index(ROWS), 1), [], member)
        self.loaded(part)

    def one(self, part: Each, first: Value, member: Value) -> None:
        """What one row of the group that begins at `first` does."""
        r, b = self.r, self.b
        outer, addresses, r.vectors.near = dict(r.env), dict(b.addresses), True
        r.move(first + member, step=SIZES[self.kernel.dtype])
        for v in part.takes:
            self.own.take(v, member)
        whole = b.let("whole", b.apply("and", r.n, -self.kernel.lanes))
        block = Place(r.index(0), r.n, whole)
        for item in part.parts:
            r.place = block if self.blocks == 1 else None
            match item:
                case Sweep():
                    r.comments(f"Sweep: {c}." for c in item.comment)
                    self.walk(item, block) if self.blocks == 1 else r.sweep(item)
                case Stmt(results, "parts") if results[0] in part.gives:
                    self.own.take(results[0], member)
                case Stmt():
                    r.run([item])
        for v in part.gives:
            self.own.leave(v, member)
        r.place = None
        r.env, b.addresses, r.vectors.near = outer, addresses, False

    def walk(self, sweep: Sweep, block: Place) -> None:
        """A walk over the one block of a row."""
        b, r = self.b, self.r
        for name in dict.fromkeys((*sweep.reads, *sweep.writes)):
            b.open(r.ports[name], block.start, block.count, read=name in sweep.reads)
        for head, phase in sweep.phases:
            r.run(head)
            r.phase(phase, r.by_fours(phase, block), block)
        for name in sweep.writes:
            b.close(r.ports[name], block.start, block.count)

    def learn(self, part: Learn) -> None:
        """With the numbers of the last row."""
        r, b = self.r, self.b
        outer, addresses = dict(r.env), dict(b.addresses)
        last = r.index(ROWS - 1)
        r.move(self.now("row") + last)
        for v in part.takes:
            own = self.many.get(v.name)
            if own is None:
                self.own.take(v, last)
            else:
                r.env[v.name] = b.lane(own, ROWS - 1)
        r.run(part.body)
        kept = {name: r.env[name] for name in self.names}
        r.env, b.addresses = outer | kept, addresses


def plain(port: Port) -> bool:
    """Whether its rows are used where they are."""
    return port.row and port.element == "T" and not port.narrow
