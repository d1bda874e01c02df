"""A row in stages: its variables in a struct, a function that goes from one walk over the row to the next, and walks.

Where a row is cut for threads (cut.py) or walked beside others (tiles.py), what is decided between two walks must wait
until the whole row was walked. So everything that lives longer is a field of the row's struct.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ...errors import CompileError
from ...records import dataclass, replace
from ..loops import Kernel, Kind, Port, Scalars, Seek, Step, Stmt, Sweep, Unless, Until, Var, assigned, looks_up
from ..lower.overlap import Batch
from .sweeps import Names, Sweeps
from .text import CTYPES, indented

FIELDS = frozenset({Kind.VEC, Kind.MASK, Kind.ACC, Kind.NUM, Kind.FLAG})  # what a struct may hold
GIVEN = frozenset({"row_length", "live"})


@dataclass(frozen=True, slots=True)
class Walk:
    """One sweep: what it reads of the row, what goes from block to block, and how chunks of the row meet again.

    `reset` are the carried variables of which every chunk has its own until `chunk_end` adds them up; `joins` are the
    statements for the others, in which a chunk's value of v is `part_of_v`. None: some cannot be joined.
    """

    number: int
    sweep: Sweep
    captured: tuple[Var, ...]
    carried: tuple[Var, ...]
    reset: tuple[Var, ...]
    spare: tuple[Var, ...]  # assigned beside those that are reset, of no use before the chunk has ended
    joins: tuple[Stmt, ...] | None


class Staged(Sweeps):
    """Prints a kernel whose rows go from stage to stage."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        super().__init__(kernel, Batch((), kernel.steps, None), Names(name, "", ""))
        self.name = name
        self.first = (Scalars((), kernel.memory), *kernel.steps)
        self.declared = _declared(self.first)
        self.walks = [self._walk(k, s) for k, s in enumerate(_sweeps(self.first))]
        self.numbers = {id(w.sweep): w.number for w in self.walks}
        if looks_up(kernel.steps):
            raise CompileError(f"{kernel.name}: a row that is looked up is whole")
        unfit = [v for v in self.declared.values() if v.kind not in FIELDS | {Kind.PARTS}]
        if unfit or not self.walks:
            raise CompileError(
                f"{kernel.name}: a row with a {unfit[0].kind.value if unfit else 'single stage'} is whole"
            )

    # what a walk shares with the rest of its row

    def _walk(self, number: int, sweep: Sweep) -> Walk:
        inside = (replace(sweep, before=(), after=(), chunk_end=()),)
        stmts = [s for head, phase in sweep.phases for s in (*head, *phase.body, *phase.tail)] + list(sweep.block_end)
        carried = tuple(v for n, v in self.declared.items() if n in assigned(inside) and v.kind is not Kind.PARTS)
        ends = {v.name: s for s in sweep.chunk_end if s.assign for v in s.results}
        body = {v.name for s in stmts if s.assign for v in s.results}
        reset = tuple(v for v in carried if v.name in ends and not any(isinstance(a, Var) for a in ends[v.name].args))
        spare = tuple(v for v in carried if v.name in ends and v.name.endswith("_so_far"))
        rest = [v for v in carried if v not in (*reset, *spare)]
        joins = [_join(v, [s for s in stmts if s.assign and v in s.results]) for v in rest if v.name in body]
        every = [*stmts, *sweep.chunk_end] if None in joins else stmts
        own = {v.name for s in every for v in s.results} | GIVEN | {v.name for v in carried}
        used = dict.fromkeys(a for s in every for a in s.args if isinstance(a, Var) and a.kind is not Kind.PARTS)
        return Walk(number, sweep, tuple(v for v in used if v.name not in own), carried, reset, spare,
                    None if None in joins else tuple(j for j in joins if j))  # fmt: skip

    # the row

    def struct(self, more: Iterable[str] = ()) -> Iterator[str]:
        yield "typedef struct {"
        yield "    intptr_t n, extent; /* elements of the row, and how many of them the next walk goes over */"
        for p in self.kernel.ports:
            yield f"    {pointer(p)}{p.name};"
            if p.strided:
                yield f"    intptr_t {p.name}_step;"
        yield from (f"    {CTYPES[v.kind]} {v.name};" for v in self.declared.values() if v.kind is not Kind.PARTS)
        yield from indented(more)
        yield f"}} {self.name}_row;"

    def of_row(self, s: Stmt) -> str:
        """A statement between walks: its variables are the row's."""
        args = tuple(self.field(a) if isinstance(a, Var) else a for a in s.args)
        return self.stmt(replace(s, results=tuple(map(self.field, s.results)), args=args, assign=True))

    def field(self, var: Var) -> Var:
        """The variable where it lives, if that is the row."""
        inside = var.name in self.declared and var.kind is not Kind.PARTS
        return replace(var, name=f"r->{var.name}") if inside else var

    def _call_many(self, s: Stmt) -> str:
        text = super()._call_many(s)
        return text.split("; ", 1)[1] if s.assign else text

    def next(self) -> Iterator[str]:
        """From one walk to the next: the function's body."""
        body = [
            "switch (walked) {",
            *(f"case {w.number}: goto walked_{w.number};" for w in self.walks),
            "default: break;",
        ]
        body += ["}", *self.stages(self.first), "return -1;"]
        yield from self.heads(body)
        yield from body

    def heads(self, body: list[str]) -> Iterator[str]:
        """What the lines take from the row by a name of their own."""
        text = "\n".join(body)
        if mentions("n", text) or "row_length" in text:
            yield "const intptr_t n = r->n;"
        if "row_length" in text:
            yield "const double row_length = (double)n;"
        for p in self.kernel.ports:
            if mentions(p.name, text):
                yield f"{pointer(p)}{p.name} = r->{p.name};"
            if p.strided and mentions(f"{p.name}_step", text):
                yield f"const intptr_t {p.name}_step = r->{p.name}_step;"

    def stages(self, steps: tuple[Step, ...]) -> Iterator[str]:
        for step in steps:
            match step:
                case Scalars(comment, body):
                    yield from ("", *(f"/* {c} */" for c in comment)) if comment else ()
                    yield from map(self.of_row, body)
                case Seek():
                    yield from self.seek(step)
                case Unless(comment, safe, inner):
                    yield from ("", *(f"/* {c} */" for c in comment), f"if (!r->{safe.name}) {{")
                    yield from indented(self.stages(inner))
                    yield "}"
                case Until(comment, done, inner):
                    yield from ("", *(f"/* {c} */" for c in comment), f"while (!r->{done.name}) {{")
                    yield from indented(self.stages(inner))
                    yield "}"
                case Sweep():
                    yield from self.stage(step)

    def seek(self, seek: Seek) -> Iterator[str]:
        at = f"r->{seek.at.name}"
        yield from ("", *(f"/* {c} */" for c in seek.comment))
        yield f"for ({at} = 0.0; {at} < (double)(n - 1); {at} += 1.0) {{"
        yield from indented(map(self.of_row, seek.body))
        yield f"    if (r->{seek.found.name}) break;"
        yield "}"

    def stage(self, sweep: Sweep) -> Iterator[str]:
        number = self.numbers[id(sweep)]
        yield from map(self.of_row, (s for s in sweep.before if s.word != "parts"))
        yield f"r->extent = {self.length(sweep)};"
        yield from (f"return {number};", f"walked_{number}:;")
        yield from map(self.of_row, sweep.after)

    def length(self, sweep: Sweep) -> str:
        """How much of the row is walked."""
        if sweep.peek is not None:
            whole = [f"{a} == {b}" for a, b in sweep.peek] + ([f"r->{sweep.wary.name}"] if sweep.wary else [])
            head = f"rf_least(n, {self.kernel.lanes})"
            return f"({' || '.join(whole)}) ? n : {head}" if whole else head
        return f"r->{sweep.only.name} ? n : 0" if sweep.only else "n"

    def extent(self, sweep: Sweep) -> str:
        return "extent"

    def parts(self, sweep: Sweep) -> Iterator[str]:
        yield from (self.stmt(s) for s in sweep.before if s.word == "parts")

    def buffers(self, text: str) -> Iterator[str]:
        for p in self.kernel.ports:
            if f"{p.name}_buffer" in text:
                yield f"{self.element(p)} {p.name}_buffer[{self.block_size}];"


def pointer(port: Port) -> str:
    return f"{'' if port.output else 'const '}char *"


def mentions(name: str, text: str) -> bool:
    return re.search(rf"(?<![>\w]){re.escape(name)}\b", text) is not None


def part(var: Var) -> Var:
    """A chunk's value of a variable that chunks join."""
    return replace(var, name=f"part_of_{var.name}")


def _join(var: Var, stmts: list[Stmt]) -> Stmt | None:
    """How a chunk's value joins the one of the chunks before it; None where their order is all there is."""
    words = {s.word for s in stmts}
    if len(words) == 1 and (word := words.pop()) in ("max", "min", "mask_or"):
        if all(var in s.args for s in stmts):
            return Stmt((var,), word, (var, part(var)) if word == "mask_or" else (part(var), var), assign=True)
    return None


def _sweeps(steps: Iterable[Step]) -> Iterator[Sweep]:
    for step in steps:
        match step:
            case Sweep():
                yield step
            case Unless() | Until():
                yield from _sweeps(step.steps)
            case Scalars() | Seek():
                pass


def _declared(steps: Iterable[Step]) -> dict[str, Var]:
    """What is declared between walks."""
    found: dict[str, Var] = {}
    for step in steps:
        match step:
            case Sweep():
                stmts = (*step.before, *step.after)
            case Scalars() | Seek():
                stmts = step.body
            case Unless() | Until():
                found |= _declared(step.steps)
                continue
        if isinstance(step, Seek):
            found[step.at.name] = step.at
        found |= {v.name: v for s in stmts for v in s.results if not s.assign}
    return found
