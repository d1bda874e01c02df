"""Walks a kernel's loops and has a `Builder` write them: the body of one row, in any language of values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from ...records import replace
from .. import loops
from ..c.text import TURNS, turn_name
from ..loops import ONE_OF, VECTORS, Arg, Kind, Phase, Port, Step, Stmt, Sweep, Var, assigned
from ..mathlib import FUNCTIONS
from .numbers import Numbers, functions_of
from .pool import Pool
from .rowwords import RowWords
from .small import Best, Small, cumsum, each, select, small
from .totals import accumulate
from .values import DOUBLE, Builder, Place, Value
from .words import Vectors, fold2, table

Held: TypeAlias = "Value | tuple[Value, ...] | Small | Best | Pool"  # a wide sum of float64 is two vectors
COUNTED = frozenset({"acc_add_tree", "acc_add_pairs", "parts_max"})  # words that take the number of vectors last
OF_NUMBERS = frozenset({"set", "set_lo"})  # words on vectors whose operands are doubles
WHOLE: Mapping[str, Callable[[Any, str, Builder], Small]] = {  # words on a k-vector or a buffer as a whole
    "cumsum": lambda v, name, b: cumsum(b, v, name),
    "best_values": lambda v, name, b: v.read(name, places=False),
    "best_places": lambda v, name, b: v.read(name, places=True),
}


class Row(RowWords):
    """One row of a kernel, statement by statement."""

    def __init__(self, builder: Builder, length: Value, *, rounds: bool) -> None:
        self.b, self.kernel, self.n = builder, builder.kernel, length
        self.ports = {p.name: p for p in self.kernel.ports}
        self.numbers = Numbers(builder, self.kernel.dtype)
        self.vectors = Vectors(builder, self.kernel.dtype, rounds=rounds)
        self.words = table(builder, self.vectors, self.numbers)
        self.several = {**functions_of(self.numbers), "fold2": fold2(builder, self.numbers)}
        self.env: dict[str, Held] = {"row_length": builder.convert("from_int", length, "f64")}
        self.place: Place | None = None
        self.rare = False  # whether this is code for few rows, which is to be short

    # steps

    def steps(self, steps: Iterable[Step]) -> None:
        for step in steps:
            match step:
                case loops.Scalars(comment, body):
                    self.comments(comment)
                    self.run(body)
                case loops.Unless(comment, safe, inner):
                    self.comments(comment)
                    self.unless(safe, inner)
                case loops.Until(comment, done, inner):
                    self.comments(comment)
                    self.until(done, inner)
                case loops.Seek():
                    self.comments(step.comment)
                    self.seek(step)
                case Sweep():
                    self.comments(f"Sweep: {c}." for c in step.comment)
                    self.sweep(step)

    def comments(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.b.comment(line)

    def unless(self, safe: Var, steps: tuple[Step, ...]) -> None:
        def then() -> None:
            outer, self.rare, self.vectors.short = self.rare, True, True
            self.steps(steps)
            self.rare = self.vectors.short = outer

        self.branch(~self.value(safe), self.carried(assigned(steps)), then, rare=True)

    def until(self, done: Var, steps: tuple[Step, ...]) -> None:
        names = self.carried(assigned(steps))
        at = len(self.flat(names[: names.index(done.name)]))

        def body(values: list[Value]) -> tuple[Value, list[Value]]:
            results = self.region(names, values, lambda: self.steps(steps))
            return results[at], results

        self.give(names, self.b.until(self.value(done), self.flat(names), body))

    def seek(self, seek: loops.Seek) -> None:
        def found(at: Value) -> Value:
            outer = dict(self.env)
            self.env[seek.at.name] = self.b.convert("from_int", at, "f64")
            self.run(seek.body)
            result, self.env = self.env[seek.found.name], outer
            assert isinstance(result, Value)
            return result

        last = self.n - self.index(1)
        last = self.b.apply("select", last < self.index(0), self.index(0), last)
        self.env[seek.at.name] = self.b.convert("from_int", self.b.seek(last, found), "f64")

    def sweep(self, sweep: Sweep) -> None:
        self.run(sweep.before)
        rotated = () if self.rare else sweep.rotate
        turns = [(name, turn_name(name, u)) for name in rotated for u in range(1, TURNS)]
        for name, turn in turns:
            self.env[turn] = self.env[name]
        names = self.moving(sweep) + [turn for _, turn in turns]
        block = VECTORS * self.kernel.lanes
        end = self.extent(sweep)
        self.loop((self.index(0), end, block), names, lambda i: self.block(sweep, i, end))
        self.walked(sweep)
        for name, turn in turns:
            self.env[name] = self.vectors.max(self.env.pop(turn), self.env[name])
        self.run(sweep.after)

    def ready(self, sweep: Sweep) -> None:
        """Called where the arrays of a block are open."""

    def walked(self, sweep: Sweep) -> None:
        """Called behind the last block."""

    def moving(self, sweep: Sweep) -> list[str]:
        """What changes from block to block."""
        return self.carried(assigned((replace(sweep, before=(), after=()),)))

    def extent(self, sweep: Sweep) -> Value:
        """How much of the row a sweep walks."""
        if sweep.only is not None:
            return self.b.apply("select", self.value(sweep.only), self.n, self.index(0))
        if sweep.peek is None:
            return self.n
        lanes = self.index(self.kernel.lanes)
        end = self.b.apply("select", self.n < lanes, self.n, lanes)
        for a, b in sweep.peek:
            end = self.b.apply("select", self.b.same(self.ports[a], self.ports[b]), self.n, end)
        return self.b.apply("select", self.value(sweep.wary), self.n, end) if sweep.wary else end

    def block(self, sweep: Sweep, start: Value, end: Value) -> None:
        lanes = self.kernel.lanes
        rest, block = end - start, self.index(VECTORS * lanes)
        count = self.b.let("count", self.b.apply("select", rest < block, rest, block))
        for name in dict.fromkeys((*sweep.reads, *sweep.writes)):
            self.b.open(self.ports[name], start, count, read=name in sweep.reads)
        self.ready(sweep)
        whole = self.b.let("whole", self.b.apply("and", count, -lanes))
        self.place = Place(start, count, whole)
        for head, phase in sweep.phases:
            self.run(head)
            if self.rare:
                self.masked(phase, self.place)
                continue
            done = self.turns(phase, sweep.rotate, self.place) if sweep.rotate else self.index(0)
            self.phase(phase, done, self.place)
        self.run(sweep.block_end)
        self.place = None
        for name in sweep.writes:
            self.b.close(self.ports[name], start, count)
        self.chunk(sweep, start)

    def chunk(self, sweep: Sweep, start: Value) -> None:
        """Behind a block: what is done where a chunk ends."""
        if sweep.chunk_end:
            names = self.carried(_assigned(sweep.chunk_end))
            end = start + self.index(VECTORS * self.kernel.lanes)
            over = self.b.apply("and", end, loops.CHUNK - 1).eq(0)
            self.branch(over, names, lambda: self.run(sweep.chunk_end), rare=True)

    def phase(self, phase: Phase, done: Value, place: Place) -> None:
        """The whole vectors of a block, then the masked rest."""

        def body(at: Value) -> None:
            self.body(phase.body, Place(place.start, place.count, at))

        def tail() -> None:
            live = self.b.let("live", self.b.first_lanes(place.count - place.at, self.kernel.lanes))
            self.env["live"] = live
            self.body(phase.tail, Place(place.start, place.count, place.at, live))

        self.loop((done, place.at, self.kernel.lanes), self.carried(_assigned(phase.body)), body)
        self.branch(place.at < place.count, self.carried(_assigned(phase.tail)), tail, rare=False)

    def masked(self, phase: Phase, place: Place) -> None:
        """All vectors of a block as the last one: half the text, a little slower."""

        def body(at: Value) -> None:
            live = self.b.let("live", self.b.first_lanes(place.count - at, self.kernel.lanes))
            self.env["live"] = live
            self.body(phase.tail, Place(place.start, place.count, at, live))

        bounds = (self.index(0), place.count, self.kernel.lanes)
        self.loop(bounds, self.carried(_assigned(phase.tail)), body)

    def turns(self, phase: Phase, names: Sequence[str], place: Place) -> Value:
        """The whole vectors in groups, each vector of a group with maxima of its own; where they end."""
        lanes = self.kernel.lanes
        end = self.b.apply("and", place.at, -TURNS * lanes)

        def body(at: Value) -> None:
            for u in range(TURNS):
                self.turn(names, u)
                self.body(phase.body, Place(place.start, place.count, at + u * lanes if u else at))
                self.turn(names, u)

        carried = self.carried(_assigned(phase.body)) + [turn_name(name, u) for name in names for u in range(1, TURNS)]
        self.loop((self.index(0), end, TURNS * lanes), carried, body)
        return end

    def turn(self, names: Sequence[str], turn: int) -> None:
        """Let a turn's maxima change places with the first ones."""
        for name in names if turn else ():
            other = turn_name(name, turn)
            self.env[name], self.env[other] = self.env[other], self.env[name]

    def body(self, stmts: Sequence[Stmt], place: Place) -> None:
        outer, self.place = self.place, place
        self.run(stmts)
        self.place = outer

    # regions: what they assign goes in and comes out, what they declare ends with them

    def carried(self, names: Iterable[str]) -> list[str]:
        return sorted(name for name in names if name in self.env)

    def loop(self, bounds: tuple[Value, Value, int], names: Sequence[str], body: Callable[[Value], None]) -> None:
        def inner(at: Value, values: list[Value]) -> list[Value]:
            return self.region(names, values, lambda: body(at))

        self.give(names, self.b.loop(bounds, self.flat(names), inner))

    def branch(self, test: Value, names: Sequence[str], then: Callable[[], None], *, rare: bool) -> None:
        before = self.flat(names)
        self.give(names, self.b.branch(test, lambda: self.region(names, before, then), before, rare=rare))

    def region(self, names: Sequence[str], values: list[Value], body: Callable[[], None]) -> list[Value]:
        outer = dict(self.env)
        self.give(names, values)
        body()
        results, self.env = self.flat(names), outer
        return results

    def flat(self, names: Sequence[str]) -> list[Value]:
        held = [self.env[name] for name in names]
        return [v for h in held for v in (h if isinstance(h, tuple) else (h,)) if isinstance(v, Value)]

    def give(self, names: Sequence[str], values: list[Value]) -> None:
        rest = iter(values)
        for name in names:
            held = self.env[name]
            new = tuple(next(rest) for _ in held) if isinstance(held, tuple) else next(rest)
            self.env[name] = new

    # statements

    def run(self, stmts: Sequence[Stmt]) -> None:
        for s in stmts:
            if not s.results:
                self.effect(s)
                continue
            made = self.made(s)
            several = len(s.results) > 1
            for var, held in zip(s.results, made if several else (made,), strict=True):
                self.env[var.name] = self.b.let(var.name, held) if isinstance(held, Value) else held

    def made(self, s: Stmt) -> Any:
        kind = s.results[0].kind
        if kind in ONE_OF:
            return self.entries(s)
        if s.call:
            return self.called(s, kind)
        if (own := getattr(self, f"_{s.word}", None)) is not None:
            return own(s)
        args = [self.arg(a, Kind.NUM if s.word in OF_NUMBERS else kind) for a in s.args]
        if s.word in COUNTED:
            assert self.place is not None
            lanes = self.kernel.lanes
            args.append(self.b.apply("shr", self.place.count + (lanes - 1), lanes.bit_length() - 1))
        return self.words[kind, s.word](*args)

    def entries(self, s: Stmt) -> Any:
        """A statement on k-vectors: the same on each of their entries, or a word on the whole."""
        if s.word == "field":
            return self._fields(s)
        if s.word in WHOLE:
            return WHOLE[s.word](self.value(cast(Var, s.args[0])), s.results[0].name, self.b)
        made = [small(self.b, v.name, v.size, flags=v.kind is Kind.FLAGS) for v in s.results]
        one = replace(s, results=tuple(replace(v, kind=ONE_OF[v.kind], size=0) for v in s.results))

        def body(at: Value) -> None:
            outer = dict(self.env)
            self.env.update({n: v.entry(at) for n, v in outer.items() if isinstance(v, Small) and n in names})
            results = self.made(one)
            for vector, result in zip(made, results if len(made) > 1 else (results,), strict=True):
                vector.put(at, result)
            self.env = outer

        names = {a.name for a in s.args if isinstance(a, Var)}
        each(self.b, made[0].size, body)
        return made if len(made) > 1 else made[0]

    def called(self, s: Stmt, kind: Kind) -> Any:
        args = [self.arg(a, kind) for a in s.args]
        if s.word in self.several:
            return self.several[s.word](*args)
        return FUNCTIONS[s.word].body(self.vectors if kind is Kind.VEC else self.numbers, *args)

    def value(self, var: Var) -> Any:
        return self.env[var.name]

    def arg(self, arg: Arg, kind: Kind) -> Any:
        match arg:
            case Var():
                return self.value(arg)
            case float():
                return self.b.const(arg, DOUBLE) if kind in (Kind.NUM, Kind.FLAG) else self.vectors.const(arg)
            case str():
                raise AssertionError(f"port {arg} is no value")

    def effect(self, s: Stmt) -> None:
        target = s.args[0]
        match s.word:
            case "put":
                assert self.place is not None
                self.b.store_array(self.arg(target, Kind.VEC), self.place.at, self.arg(s.args[1], Kind.VEC))
            case "keep":
                self.keep(self.ports[str(target)], self.arg(s.args[1], Kind.NUM), s.args[2])
            case "accumulate":
                accumulate(self, self.ports[str(target)], self.arg(s.args[1], Kind.VEC))
            case "result":
                self.result(self.ports[str(target)], self.arg(s.args[1], Kind.NUM))
            case word if word.startswith(("best_", "pool_")):
                select(word, [self.arg(a, Kind.VEC) for a in s.args], self.place)
            case word:
                assert word.startswith("store") and self.place is not None, word
                port = self.ports[str(target)]
                vector = self.stored(port, self.arg(s.args[1], Kind.VEC))
                self.b.store(port, self.place.at, vector, self.place.live if word.endswith("_tail") else None)

    def result(self, port: Port, value: Value | Small) -> None:
        def body(at: Value) -> None:
            entry = value.entry(at) if isinstance(value, Small) else value
            self.b.result(port, self.stored(port, entry), at)

        if port.entries:
            each(self.b, port.entries, body)
        else:
            assert isinstance(value, Value)
            self.b.result(port, self.stored(port, value))

    def stored(self, port: Port, value: Value) -> Value:
        """The value as the port's memory takes it; what no integer can hold becomes the lowest one."""
        match port.element:
            case "T":
                return value if value.type.element == self.kernel.dtype else self.b.convert("narrow", value, "f32")
            case "mask":
                flags = value if value.type.element == "i1" else value.ne(0.0)
                return self.b.convert("extend", flags, "i8")
            case "double":
                return value
            case _:
                wide = value if value.type.element == "f64" else self.b.convert("widen", value, "f64")
                fits = (wide >= -(2.0**63)) & (wide < 2.0**63)
                whole = self.b.convert("to_int", self.b.apply("select", fits, wide, 0.0), "i64")
                return self.b.apply("select", fits, whole, -(2**63))


def write_row(builder: Builder, length: Value, *, rounds: bool) -> None:
    """All steps of the builder's kernel. `rounds`: see `words.Vectors`."""
    row = Row(builder, length, rounds=rounds)
    row.run(builder.kernel.memory)
    row.steps(builder.kernel.steps)


def _assigned(stmts: Sequence[Stmt]) -> frozenset[str]:
    return frozenset(v.name for s in stmts if s.assign for v in s.results)
