"""Sweeps as loops of C: block by block, whole vectors and a masked tail; whole blocks with sums in registers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum

from ...records import dataclass
from ..loops import CHUNK, Kernel, Kind, Phase, Port, Scalars, Seek, Step, Stmt, Sweep, Unless, Until, Var
from ..lower.overlap import Batch, streams
from ..lower.whole import converted, loaded_first, sums_of
from .outline import Outlined, outlined, walks
from .stmts import Statements
from .text import POINTERS, TURNS, eight_name, half_name, indented, suffix, turn_name
from .widening import widened


class Pace(IntEnum):
    """How much text a sweep is worth."""

    FAST = 0  # whole blocks with their sums in registers, whole vectors, a masked tail
    PLAIN = 1  # whole vectors and a masked tail
    RARE = 2  # masked vectors


@dataclass(frozen=True, slots=True)
class Names:
    """What the page calls the struct that keeps a row for its last sweep, that sweep, and its arguments."""

    kernel: str
    last_arguments: str
    whole_arguments: str
    rest_arguments: str = ""

    def last(self) -> str:
        """The call that does one block of the last row's last sweep."""
        return f"{self.kernel}_last({self.last_arguments});"

    def rest(self) -> str:
        """The call that does what is left of it."""
        return f"{self.kernel}_rest({self.rest_arguments});"

    def rare(self, before: int) -> str:
        """The name of the function for the next kind of rare row."""
        return f"{self.kernel}_rare{f'_{before + 1}' if before else ''}"

    def last_whole(self) -> str:
        """The call that does one block of which nothing is missing, in contiguous rows."""
        return f"{self.kernel}_last_whole({self.whole_arguments});"


class Sweeps(Statements):
    """Prints one kernel's steps. `batch` says which sweep takes the last row's last one along."""

    whole_apart = True  # whether blocks of which nothing is missing have loops of their own

    def __init__(self, kernel: Kernel, batch: Batch, names: Names) -> None:
        super().__init__(kernel)
        self.batch, self.names = batch, names
        self.outlined: list[Outlined] = []

    def steps(self, steps: tuple[Step, ...], pace: Pace = Pace.FAST) -> Iterator[str]:
        for step in steps:
            match step:
                case Scalars(comment, body):
                    yield from ("", *(f"/* {c} */" for c in comment)) if comment else ()
                    yield from map(self.stmt, body)
                case Seek():
                    yield from self.seek(step)
                case Unless():
                    yield from self.unless(step)
                case Until(comment, done, inner):
                    yield from ("", *(f"/* {c} */" for c in comment), f"while (!{done.name}) {{")
                    yield from indented(self.steps(inner, max(pace, Pace.PLAIN)))
                    yield "}"
                case Sweep():
                    yield from self.sweep(step, pace)

    def unless(self, step: Unless) -> Iterator[str]:
        lines = list(self.steps(step.steps, Pace.RARE))
        yield from ("", *(f"/* {c} */" for c in step.comment))
        name = self.names.rare(len(self.outlined))
        apart = outlined(self.kernel, step, lines, name) if walks(step) else None
        if apart is None:
            yield from (f"if (!{step.safe.name}) {{", *indented(lines), "}")
        else:
            self.outlined.append(apart)
            yield f"if (!{step.safe.name}) {apart.call}"

    def seek(self, seek: Seek) -> Iterator[str]:
        at = seek.at.name
        yield from ("", *(f"/* {c} */" for c in seek.comment), f"double {at} = 0.0;")
        yield f"for (; {at} < (double)(n - 1); {at} += 1.0) {{"
        yield from indented(map(self.stmt, seek.body))
        yield f"    if ({seek.found.name}) break;"
        yield "}"

    def sweep(self, sweep: Sweep, pace: Pace) -> Iterator[str]:
        host, rotate = self.hosts(sweep), sweep.rotate if pace is not Pace.RARE else ()
        yield from ("", *(f"/* Sweep: {c}. */" for c in sweep.comment))
        yield from self.before(sweep)
        yield from (f"rf_vec {turn_name(name, u)} = {name};" for name in rotate for u in range(1, TURNS))
        yield f"for (intptr_t i = 0; i < {self.extent(sweep)}; i += {self.block_size}) {{"
        if pace is Pace.FAST and self.whole_apart and (sums := sums_of(sweep)):
            yield from indented(self.fast_block(sweep, sums))
        yield from indented(self.block(sweep, max(pace, Pace.PLAIN)))
        if sweep.chunk_end:
            yield from indented(self.chunk_end(sweep))
        if host:
            yield from indented(self.take_along())
        yield "}"
        if host:
            yield from self.rest_of_last()
        yield from (f"{name} = rf_max({turn_name(name, u)}, {name});" for name in rotate for u in range(1, TURNS))
        yield from map(self.stmt, sweep.after)

    def before(self, sweep: Sweep) -> Iterable[str]:
        return map(self.stmt, sweep.before)

    def chunk_end(self, sweep: Sweep) -> Iterator[str]:
        yield f"if (!((i + {self.block_size}) & {CHUNK - 1})) {{ /* a chunk ends */"
        yield from indented(map(self.stmt, sweep.chunk_end))
        yield "}"

    def hosts(self, sweep: Sweep) -> bool:
        return self.batch.last is not None and self.batch.last.host is sweep

    def ahead(self, sweep: Sweep) -> Iterator[str]:
        """Several streams at once, and stores among them, are more than the hardware's own prefetching follows."""
        if found := streams(sweep, self.ports):
            yield "if (from_memory) {"
            yield from (f"    {self.fetch(p)}" for p in found)
            yield "}"

    def fetch(self, port: Port) -> str:
        return f"rf_ahead{'_write' if port.output else ''}({port.name}_b);"

    def take_along(self) -> Iterator[str]:
        """A block of the row before, whose stores and scales hide beneath the arithmetic of this one."""
        yield f"if (held_at < n) {{ {self.names.last()} held_at += {self.block_size}; }}"

    def rest_of_last(self) -> Iterator[str]:
        """What the sweep that takes it along has left of the row before."""
        step = self.block_size
        yield f"for (; held_whole && n - held_at >= {step}; held_at += {step}) {self.names.last_whole()}"
        yield f"for (; held_at < n; held_at += {step}) {self.names.last()}"

    def direct(self, sweep: Sweep) -> Iterator[str]:
        """Contiguous rows where they lie; the others as in any block."""
        if any(converted(self.ports[name]) for name in (*sweep.reads, *sweep.writes)):
            yield f"const intptr_t count = {self.block_size};"
        for name in dict.fromkeys((*sweep.reads, *sweep.writes)):
            port, const = self.ports[name], "" if name in sweep.writes else "const "
            if not converted(port):
                place = f"({const}{self.ctype} *)({const}void *)({name} + i * (intptr_t)sizeof({self.ctype}))"
                yield f"{const}{self.ctype} *{name}_b = {place};"
            elif name in sweep.reads:
                yield from self.open_read(port, name in sweep.writes)
            else:
                yield self.open_write(port)

    def closed(self, sweep: Sweep) -> Iterator[str]:
        yield from (self.close(self.ports[name]) for name in sweep.writes if converted(self.ports[name]))

    def fast_block(self, sweep: Sweep, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        """A block of which nothing is missing, straight through, with one of the row before where one waits."""
        host = self.hosts(sweep)
        yield f"if (contiguous && n - i >= {self.block_size}) {{"
        yield from indented(self.direct(sweep))
        if host:
            yield from indented(self.ahead(sweep))
        yield from indented(self.whole_block(sweep, sums, self.beneath() if host else ()))
        yield from indented(self.closed(sweep))
        if sweep.chunk_end:
            yield from indented(self.chunk_end(sweep))
        yield "    continue;"
        yield "}"

    def beneath(self) -> Iterator[str]:
        """A block of the row that waits, with nothing missing if it can be."""
        yield f"if (held_whole && n - held_at >= {self.block_size}) {{"
        yield f"    {self.names.last_whole()}"
        yield f"    held_at += {self.block_size};"
        yield "} else if (held_at < n) {"
        yield f"    {self.names.last()}"
        yield f"    held_at += {self.block_size};"
        yield "}"

    def last_block(self, sweep: Sweep, streamed: str | None) -> Iterator[str]:
        """The lines of a whole block of the last sweep. `streamed`: an array that is written around caches if `far`."""
        yield from self.direct(sweep)
        if any("vectors" in self.stmt(s) for s in sweep.block_end):
            yield f"const intptr_t vectors = {self.block_size // self.kernel.lanes};"
        for head, phase in sweep.phases:
            yield from map(self.stmt, head)
            yield f"for (intptr_t j = 0; j < {self.block_size}; j += {self.kernel.lanes}) {{"
            yield from indented(self.written(s, streamed) for s in phase.body)
            yield "}"
        yield from map(self.stmt, sweep.block_end)
        yield from self.closed(sweep)

    def written(self, s: Stmt, streamed: str | None) -> str:
        if s.word == "store" and s.args[0] == streamed:
            return f"rf_store_far({streamed}_b + j, {self.arg(s.args[1], Kind.VEC)}, far);"
        return self.stmt(s)

    def extent(self, sweep: Sweep) -> str:
        """How much of the row a sweep walks."""
        if sweep.peek is not None:
            all_of_it = [f"{a} == {b}" for a, b in sweep.peek] + ([sweep.wary.name] if sweep.wary else [])
            shared = " || ".join(all_of_it)
            head = f"rf_least(n, {self.kernel.lanes})"
            return f"({shared} ? n : {head})" if shared else head
        return f"({sweep.only.name} ? n : 0)" if sweep.only else "n"

    def block(self, sweep: Sweep, pace: Pace) -> Iterator[str]:
        """Any block; beyond FAST, none is worth a text of its own where nothing is missing."""
        end = "n" if sweep.peek is None else self.extent(sweep)
        yield f"const intptr_t count = rf_least({end} - i, {self.block_size});"
        yield from self.counted_block(sweep, pace)

    def counted_block(self, sweep: Sweep, pace: Pace) -> Iterator[str]:
        """The same from where the number of its elements is known on."""
        for name in sweep.reads:
            yield from self.open_read(self.ports[name], name in sweep.writes)
        for name in sweep.writes:
            if name not in sweep.reads:
                yield self.open_write(self.ports[name])
        if self.hosts(sweep):
            yield from self.ahead(sweep)
        yield from self.lines_of_block(sweep, pace)
        yield from (self.close(self.ports[name]) for name in sweep.writes)

    def lines_of_block(self, sweep: Sweep, pace: Pace) -> Iterator[str]:
        """What is done with a block that is open."""
        if pace is Pace.FAST and self.whole_apart and (sums := sums_of(sweep)):
            yield f"if (count == {self.block_size}) {{"
            yield from indented(self.whole_block(sweep, sums))
            yield "} else {"
            yield from indented(self.any_block(sweep, pace))
            yield "}"
        else:
            yield from self.any_block(sweep, pace)

    def any_block(self, sweep: Sweep, pace: Pace) -> Iterator[str]:
        if any("vectors" in self.stmt(s) for s in sweep.block_end):
            yield f"const intptr_t vectors = (count + {self.kernel.lanes - 1}) / {self.kernel.lanes};"
        yield from ["intptr_t j = 0;"] if pace is not Pace.RARE else ()
        for k, (head, phase) in enumerate(sweep.phases):
            yield from ["j = 0;"] if k and pace is not Pace.RARE else ()
            yield from map(self.stmt, head)
            if pace is Pace.RARE:
                yield from self.masked_vectors(phase)
                continue
            if sweep.rotate:
                yield from self.turns(phase, sweep.rotate)
            yield from self.whole_vectors(phase, "count")
            yield from self.tail(phase)
        yield from map(self.stmt, sweep.block_end)

    def masked_vectors(self, phase: Phase) -> Iterator[str]:
        """Every vector as if it were the last: less text for what hardly ever runs."""
        lanes, left = self.kernel.lanes, f"rf_least(count - j, {self.kernel.lanes})"
        yield f"for (intptr_t j = 0; j < count; j += {lanes}) {{"
        yield from indented(line.replace("count - j", left) for line in self.masked(phase))
        yield "}"

    def whole_block(self, sweep: Sweep, sums: Mapping[Var, Stmt], beneath: Iterable[str] = ()) -> Iterator[str]:
        """A block of all its vectors, summed in registers, in the order of the tree, with what runs beneath it."""
        last = len(sweep.phases) - 1
        for k, (head, phase) in enumerate(sweep.phases):
            yield from map(self.stmt, head)
            if k < last:
                yield "{"
                yield "    intptr_t j = 0;"
                yield from indented(self.whole_vectors(phase, str(self.block_size)))
                yield "}"
            else:
                yield from self.by_halves(phase, sums)
        yield from beneath
        for parts, s in sums.items():
            acc = s.results[0].name
            yield f"{acc} = rf_acc_add_half({acc}, {half_name(parts.name)});"

    def by_halves(self, phase: Phase, sums: Mapping[Var, Stmt]) -> Iterator[str]:
        """Its first eight vectors, then the others added to them."""
        body = widened(phase.body, self.kernel.dtype)
        first = loaded_first(body)
        yield from (f"rf_vec {half_name(p.name)}[8];" for p in sums)
        for second in (False, True):
            yield from self.loads(first, second) if first else ()
            yield from self.eight(second, (self.of_eight(s) if s in first else self.summed(s, second) for s in body))

    def loads(self, first: list[Stmt], second: bool) -> Iterator[str]:
        """Eight vectors of what is read, loaded before any result is stored."""
        if not second:
            yield from (f"rf_vec {eight_name(s.results[0].name)}[8];" for s in first)
        yield from self.eight(second, (f"{eight_name(s.results[0].name)}[k] = {self.value(s)};" for s in first))

    def of_eight(self, s: Stmt) -> str:
        name = s.results[0].name
        return f"const rf_vec {name} = {eight_name(name)}[k];"

    def eight(self, second: bool, body: Iterable[str]) -> Iterator[str]:
        lanes = self.kernel.lanes
        yield "RF_UNROLL"
        yield "for (int k = 0; k < 8; ++k) {"
        yield f"    const intptr_t j = {f'{8 * lanes} + ' if second else ''}{lanes} * k;"
        yield from indented(body)
        yield "}"

    def summed(self, s: Stmt, second: bool) -> str:
        """A statement of a whole block: what would be put among the parts stays in a register."""
        if s.word != "put":
            return self.stmt(s)
        parts = s.args[0]
        assert isinstance(parts, Var)
        half, value = self.half(parts), self.arg(s.args[1], Kind.VEC)
        return f"{half} = rf_add({half}, {value});" if second else f"{half} = {value};"

    def close(self, port: Port) -> str:
        return f"rf_close{suffix(port, POINTERS)}({port.name}, {port.name}_step, i, count, {port.name}_b);"

    def half(self, parts: Var) -> str:
        """The place of a vector in half a block."""
        return f"{half_name(parts.name)}[k]"

    def open_write(self, port: Port) -> str:
        n = port.name
        return f"{self.element(port)} *{n}_b = rf_open{suffix(port, POINTERS)}({n}, {n}_step, i, {n}_buffer);"

    def open_read(self, port: Port, written: bool) -> Iterable[str]:
        n = port.name
        read = f"rf_read{suffix(port, POINTERS)}({n}, {n}_step, i, count, {n}_buffer)"
        if not written:
            yield f"const {self.element(port)} *{n}_b = {read};"
            return
        yield self.open_write(port)
        yield f"(void){read};"

    def whole_vectors(self, phase: Phase, end: str) -> Iterator[str]:
        yield f"for (; j + {self.kernel.lanes} <= {end}; j += {self.kernel.lanes}) {{"
        yield from indented(map(self.stmt, widened(phase.body, self.kernel.dtype)))
        yield "}"

    def tail(self, phase: Phase) -> Iterator[str]:
        yield "if (j < count) {"
        yield from indented(self.masked(phase))
        yield "}"

    def masked(self, phase: Phase) -> list[str]:
        tail = [self.stmt(s) for s in phase.tail]
        if any(re.search(r"\blive\b", line) for line in tail):
            tail.insert(0, "const rf_mask live = rf_first_lanes(count - j);")
        return tail

    def turns(self, phase: Phase, names: tuple[str, ...]) -> Iterator[str]:
        """The body once for each accumulator, in scopes of their own."""
        lanes = self.kernel.lanes
        yield f"for (; j + {TURNS * lanes} <= count; j += {TURNS * lanes}) {{"
        for u in range(TURNS):
            pattern = re.compile(rf"\b(?:j|{'|'.join(names)})\b")
            turn = {"j": f"j + {u * lanes}"} | {name: turn_name(name, u) for name in names} if u else {}
            lines = (pattern.sub(lambda m, t=turn: t.get(m[0], m[0]), self.stmt(s)) for s in phase.body)  # type: ignore[misc]
            yield from indented(["{", *indented(lines), "}"])
        yield "}"
