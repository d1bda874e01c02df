"""Kernel -> C: statements as lines, words chosen from the templates, the page laid out by Jinja.

Python decides names and order, the templates decide layout; every statement is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

from ..records import dataclass, replace
from .c import nested as reading
from .c.groups import Groups, words_used
from .c.library import FunctionText, functions_of
from .c.outline import Outlined
from .c.shared import Walk
from .c.small import Small
from .c.sweeps import Names, Pace, Sweeps
from .c.text import CTYPES, indented
from .c.words import environment, group_words, has_group_words, heading, words_of
from .isas import isa_of
from .loops import Kernel, Port, Var, sizes_of, statements, whole_row
from .lower.groups import group_of
from .lower.overlap import SIZES, Last, ahead_of, batch_of
from .lower.whole import constants, converted, shifted
from .source import Source, identifier, symbol_of


@dataclass(frozen=True, slots=True)
class LastText:
    """The struct that keeps a row for its last sweep, and that sweep as a function for one block.

    `small`: nothing is missing of that block, and the second function is for several of any kind.
    """

    comment: tuple[str, ...]
    fields: tuple[str, ...]
    parameters: str
    lines: tuple[str, ...]
    whole_parameters: str  # of the function for a block of which nothing is missing
    whole: tuple[str, ...]
    small: bool = False


@dataclass(frozen=True, slots=True)
class RowsText:
    """The function for all rows of a batch, its call, and whether settings may change from row to row."""

    parameters: str
    idle: tuple[str, ...]  # what says which parameters no line reads
    lines: tuple[str, ...]
    call: str
    same: str  # the test that all rows have the same settings
    unpacked: tuple[str, ...] = ()  # the parameters that are read, from what NumPy hands over


@dataclass(frozen=True, slots=True)
class Unit:
    """What is on the page of one kernel, whose static functions begin with `name`. `lines` uses the vocabulary."""

    symbol: str
    name: str
    banner: tuple[str, ...]
    lanes: int
    ctype: str
    functions: list[FunctionText]
    last: LastText | None
    rare: tuple[Outlined, ...]  # what few rows run
    rows: RowsText
    walks: tuple[Walk, ...] = ()  # what several sweeps do

    @property
    def lines(self) -> list[str]:
        last = (*self.last.lines, *self.last.whole) if self.last else ()
        parts = (*(f.lines for f in self.functions), *(w.lines for w in self.walks), *(r.lines for r in self.rare))
        bodies = chain(*parts)
        return [*self.rows.lines, *last, *bodies, self.rows.call]

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def unit_of(
    kernel: Kernel, isa_name: str, strategy: str, name: str = "", *, grouped: int = 0, compact: bool = False,
    read: bool = False,
) -> Unit:  # fmt: skip
    """A kernel as lines of C; `grouped`: with rows of up to so many blocks side by side; `compact`: less text.

    `read`: for people, with numbers of a row put into each other.
    """
    page = _Page(kernel, name or identifier(kernel.name), isa_name, grouped, compact=compact and not grouped, read=read)
    rows = page.rows()
    fused = isa_of(isa_name).fma
    functions = functions_of(kernel, statements(whole_row(kernel)), page.sweeps, fused=fused)
    functions = [replace(f, lines=tuple(reading.unnamed(f.lines))) for f in functions] if read else functions
    return Unit(
        symbol=symbol_of(kernel.name, kernel.dtype, strategy, isa_name),
        name=page.name,
        banner=kernel.banner,
        lanes=kernel.lanes,
        ctype=page.sweeps.ctype,
        functions=[*functions, *(page.groups.functions(fused=fused) if page.groups else ())],
        last=page.last(),
        rare=tuple(page.outlined(part) for part in page.sweeps.outlined),
        rows=rows,
        walks=page.walks(),
    )


def emit(
    kernel: Kernel, isa_name: str, strategy: str, version: str, signature: str, types: str, *, grouped: int = 0
) -> Source:
    """The translation unit of a kernel. Same input, same bytes."""
    isa, unit = isa_of(isa_name), unit_of(kernel, isa_name, strategy, grouped=grouped)
    more = group_words(isa_name, kernel.dtype, unit.lines)
    words = [*words_of(isa_name, kernel.dtype, [*unit.lines, *more]), *more]
    text = environment().get_template("kernel.c.j2").render(unit.fields(), **heading(isa, version, words))
    header = f"void {unit.symbol}(char **args, const intptr_t *dims, const intptr_t *steps, void *data);\n"
    return Source(unit.symbol, text, header, isa_name, isa.flags, isa.features, signature, types)


class _Page:
    """Lays out one kernel."""

    def __init__(self, kernel: Kernel, name: str, isa: str, grouped: int, *, compact: bool, read: bool) -> None:
        self.kernel, self.name, self.compact, self.read = kernel, name, compact, read
        self.batch = batch_of(kernel)
        names = Names(self.name, self.last_arguments(), self.whole_arguments(), self.rest_arguments())
        room = isa_of(isa).vectors > 16
        small = Small(kernel, self.batch, names, ahead=room) if compact else None
        self.sweeps = small or Sweeps(kernel, self.batch, names)
        self.groups = self._groups(isa, grouped) if grouped else None

    def _groups(self, isa: str, blocks: int) -> Groups | None:
        group = group_of(self.kernel, self.batch.whole, one_block=blocks == 1)
        if group is None or not has_group_words(isa, self.kernel.dtype, words_used(group)):
            return None
        return Groups(self.kernel, group, self.sweeps, blocks)

    # the last sweep

    def last_arguments(self) -> str:
        last = self.batch.last
        if last is None:
            return ""
        return ", ".join(["&held", "n", "held_at", *_extent_names(last.ports)])

    def fields(self, last: Last) -> list[tuple[str, str, str]]:
        """What the last sweep needs of its row: (type, const, name)."""
        pointers = [(_pointer(p), "", p.name) for p in last.ports]
        return [*pointers, *((f"{CTYPES[v.kind]} ", "const ", v.name) for v in last.held)]

    def rest_arguments(self, start: str = "held_at", end: str = "n") -> str:
        last = self.batch.last
        return ", ".join(["&held", start, end, *self.length(), *_extent_names(last.ports)]) if last else ""

    def length(self) -> list[str]:
        """The length of the row, where the last sweep works with it."""
        walked = statements((self.batch.last.sweep,)) if self.batch.last else []
        return ["n"] if any(isinstance(a, Var) and a.name == "row_length" for s in walked for a in s.args) else []

    def whole_arguments(self) -> str:
        last = self.batch.last
        more = self.length() if self.compact else ["held_far"] if self.streamed() else []
        return ", ".join(["&held", "held_at", *more, *(_extent_names(last.ports, whole=True) if last else ())])

    def last(self) -> LastText | None:
        last = self.batch.last
        if last is None:
            return None
        if self.compact:
            return self.small_last(last)
        any_block = self.unpacking(last, self.sweeps.block(last.sweep, Pace.PLAIN))
        whole = self.unpacking(last, self.sweeps.last_block(last.sweep, self.streamed()))
        held, far = f"const {self.name}_held *held", ["int far"] if self.streamed() else []
        every = [f"intptr_t {name}" for name in _extent_names(last.ports)]
        some = [f"intptr_t {name}" for name in _extent_names(last.ports, whole=True)]
        return LastText(
            last.sweep.comment, tuple(f"{ctype}{n};" for ctype, _, n in self.fields(last)),
            ", ".join([held, "intptr_t n", "intptr_t i", *every]), any_block,
            ", ".join([held, "intptr_t i", *far, *some]), whole,
        )  # fmt: skip

    def unpacking(self, last: Last, block: Iterable[str]) -> tuple[str, ...]:
        """A block of the last sweep, after what it takes from the struct."""
        body = list(block)
        used = [field for field in self.fields(last) if _mentions(field[2], body)]
        return (*self.prelude(body), *_unpacked(used), *body)

    def small_last(self, last: Last) -> LastText:
        """The same as a function of a block of which nothing is missing, and one for all others."""
        size, length = self.sweeps.block_size, self.length()
        held = f"const {self.name}_held *held"
        block = [held, *(f"intptr_t {n}" for n in ("i", *length, *_extent_names(last.ports, whole=True)))]
        rest = [held, *(f"intptr_t {n}" for n in ("held_at", "held_end", *length, *_extent_names(last.ports)))]
        head = f"for (intptr_t i = held_at; i < held_end; i += {size}) {{"
        count = f"const intptr_t count = rf_least(held_end - i, {size});"
        loop = [head, *indented([count, *self.sweeps.counted_block(last.sweep, Pace.RARE)]), "}"]
        fields = tuple(_unpacked([(ctype, "", name) for ctype, _, name in self.fields(last)], ""))
        lines = self.unpacking(last, self.sweeps.last_block(last.sweep, None))
        return LastText(
            last.sweep.comment, fields, ", ".join(block), lines, ", ".join(rest), self.unpacking(last, loop), small=True
        )

    def keep(self, last: Last) -> Iterable[str]:
        """What a row leaves to be done with the next one."""
        yield from () if self.compact else ("",)
        yield from (f"held.{name} = {name};" for _, _, name in self.fields(last))
        if self.compact:
            target = shifted(last)
            start = f"n >= {self.sweeps.block_size} ? rf_unaligned({target}) : 0" if target else "0"
            yield f"held_at = {start};{' /* whole lines */' if target else ''}"
            if target:
                yield f"if (held_at > 0) {self.name}_rest({self.rest_arguments('0', 'held_at')});"
            return
        bad = "".join(f" && !num_bad({name})" for name in constants(last, self.kernel))
        yield f"held_whole = contiguous{bad}; /* rows of NaN: by one loop, the compiler decides which is kept */"
        target = shifted(last)
        if target is None:
            yield "held_at = 0;"
            return
        steps = "".join(f", {name}" for name in _extent_names(last.ports))
        yield f"held_at = held_whole && n >= {self.sweeps.block_size} ? rf_unaligned({target}) : 0; /* whole lines */"
        yield f"if (held_at > 0) {self.name}_last(&held, held_at, 0{steps});"
        if self.streamed():
            place = f"(uintptr_t){target} + (uintptr_t)held_at * sizeof({self.sweeps.ctype})"
            yield f"held_far = far && held_whole && ({place}) % 64 == 0;"

    def streamed(self) -> str | None:
        """The array that the last sweep may write around the caches: one whose lines nothing has touched."""
        last = self.batch.last
        if last is None or len(last.sweep.writes) > 1:
            return None
        target = shifted(last)
        return None if target in (*last.sweep.reads, *last.host.writes) else target

    def prelude(self, lines: Iterable[str]) -> list[str]:
        """The length of the row as a number, and room for rows that are not contiguous, where they are used."""
        lines = list(lines)
        text = "\n".join(lines)
        head = ["const double row_length = (double)n;"] if _mentions("row_length", lines) else []
        for p in self.kernel.ports:
            if f"{p.name}_buffer" in text:
                head.append(f"{self.sweeps.element(p)} {p.name}_buffer[{self.sweeps.block_size}];")
        return head

    def walks(self) -> tuple[Walk, ...]:
        found = self.sweeps.walks() if isinstance(self.sweeps, Small) else ()
        made = (replace(walk, lines=(*self.prelude(walk.lines), *walk.lines)) for walk in found)
        return tuple(replace(walk, lines=tuple(reading.together(walk.lines))) for walk in made)

    def outlined(self, part: Outlined) -> Outlined:
        lines = reading.chosen(reading.nested(part.lines)) if self.read else list(part.lines)
        lines = [*self.prelude(lines), *lines]
        lines = lines if lines[0] else lines[1:]
        return replace(part, lines=tuple(reading.together(lines) if self.read else lines))

    # all rows

    def rows(self) -> RowsText:
        last = self.batch.last
        once = [self.sweeps.stmt(s) for s in self.batch.once]
        body = list(self.sweeps.steps(self.batch.steps))
        body += ["", *map(self.sweeps.stmt, self.kernel.learn)] if self.kernel.learn else []
        body += self.keep(last) if last else []
        group = list(self.groups.lines()) if self.groups else []
        if self.read:
            once, body, group = reading.once(once, body, group)
        moving = [p for p in self.kernel.ports if not p.setting and _mentions(p.name, body)]
        rows = [f"{_pointer(p)}{p.name} = {p.name}_rows + row * {p.name}_next;" for p in moving]
        lines = self.prelude([*once, *body, *group])
        lines += ["", "/* The same for all rows. */", *once] if once else []
        memory = [self.sweeps.stmt(s) for s in self.kernel.memory]
        lines += ["", "/* What one row tells the next. */", *memory] if memory else []
        lines += self.from_memory() if _mentions("from_memory", body) else []
        whole = last and not self.compact
        lines += self.contiguous() if whole or _mentions("contiguous", [*body, *group]) else []
        if last:
            lines += [f"{self.name}_held held;", "intptr_t held_at = n; /* so far no row waits for its last sweep */"]
        if whole:
            lines += ["int held_whole = 0;", *(self.far() if self.streamed() else [])]
        lines += self.groups.memory_of_rows() if self.groups else []
        end = "row < rows || waiting" if self.groups and self.groups.last else "row < rows"
        lines += ["", f"for (intptr_t row = 0; {end}; ++row) {{", *indented([*group, *rows, *body]), "}"]
        if last:
            lines += self.sweeps.rest_of_last()
            lines += ["if (far) rf_stream_end();"] if whole and self.streamed() else []
        lines = reading.together(reading.chosen(reading.kept(reading.nested(lines)))) if self.read else lines
        given = self.parameters()
        idle = [f"(void){name}" for _, name, _ in given if not _mentions(name, lines)]
        unread = (f"{', '.join(idle)};",) if idle else ()
        unpacked = _declared([(ctype, name, place) for ctype, name, place in given if _mentions(name, lines)])
        parameters = ", ".join(f"{ctype}{name}" for ctype, name, _ in given)
        return RowsText(parameters, unread, tuple(lines), self.call(given), self.same_settings(), tuple(unpacked))

    def from_memory(self) -> list[str]:
        """Whether the rows come from memory, and are long enough for the next one to be no neighbour."""
        assert self.batch.last is not None
        shortest, longest, elements = ahead_of(self.batch.last, self.kernel)
        test = f"n >= {shortest} && n <= {longest} && rows > {elements} / n"
        return [f"const int from_memory = {test}; /* not from a cache */"]

    def far(self) -> list[str]:
        """Whether results bypass the caches, which hold no such row."""
        arrays = sum(p.row and not converted(p) for p in self.kernel.ports)
        most = self.kernel.traffic.stream // (arrays * SIZES[self.kernel.dtype])
        return [f"const int far = n > {most}; /* a row that no cache holds */", "int held_far = 0;"]

    def contiguous(self) -> list[str]:
        """Whether every row of the computing type is one piece."""
        size = f"(intptr_t)sizeof({self.sweeps.ctype})"
        tests = [f"{p.name}_step == {size}" for p in self.kernel.ports if p.row and not converted(p)]
        return [f"const int contiguous = {' && '.join(tests) or 1};"]

    def parameters(self) -> list[tuple[str, str, str]]:
        """(type, name, where NumPy hands it over)."""
        sizes, core, count = sizes_of(self.kernel), 0, len(self.kernel.ports)
        found = [("intptr_t ", "rows", "dims[0]"), ("intptr_t ", "n", f"dims[{sizes['n']}]")]
        for k, p in enumerate(self.kernel.ports):
            found += [(_pointer(p), p.name if p.setting else f"{p.name}_rows", f"args[{k}]")]
            found += [] if p.setting else [("intptr_t ", f"{p.name}_next", f"steps[{k}]")]
            found += [("intptr_t ", f"{p.name}_step", f"steps[{count + core}]")] if p.strided else []
            found += [("intptr_t ", f"{p.name}_length", f"dims[{sizes[p.name]}]")] if p.table else []
            core += p.core
        return found

    def call(self, given: Iterable[tuple[str, str, str]]) -> str:
        """The arguments for rows that share their settings."""
        places = [place for _, _, place in given][1:]
        return ", ".join(["together", *(re.sub(r"args(\[\d+\])", r"args\1 + row * steps\1", p) for p in places)])

    def same_settings(self) -> str:
        return " && ".join(f"steps[{k}] == 0" for k, p in enumerate(self.kernel.ports) if p.setting)


def _declared(given: Iterable[tuple[str, str, str]]) -> Iterable[str]:
    """Variables with their values, a line for each type."""
    kinds: dict[str, list[str]] = {}
    for ctype, name, value in given:
        star = "*" if ctype[-1] == "*" else ""
        kinds.setdefault(ctype.rstrip("*") if star else f"const {ctype}", []).append(f"{star}{name} = {value}")
    return [kind + ", ".join(names) + ";" for kind, names in kinds.items()]


def _unpacked(fields: Iterable[tuple[str, str, str]], source: str = " = held->{}") -> Iterable[str]:
    """What a last sweep takes from the struct, a line for each type."""
    kinds: dict[str, list[str]] = {}
    for ctype, const, name in fields:
        kinds.setdefault(const + ctype if ctype[-1] != "*" else f"{ctype}{name}", []).append(name)
    for kind, names in kinds.items():
        head = kind if kind[-1] == " " else kind[: -len(names[0])]
        yield head + ", ".join(n + source.format(n) for n in names) + ";"


def _extent_names(ports: Iterable[Port], *, whole: bool = False) -> list[str]:
    """The steps and lengths that a walk over these arrays needs; where it is `whole`, contiguous rows need none."""
    walked = list(ports)
    steps = [f"{p.name}_step" for p in walked if p.strided and not (whole and p.row and not converted(p))]
    return [*steps, *(f"{p.name}_length" for p in walked if p.table)]


def _pointer(port: Port) -> str:
    return f"{'' if port.output else 'const '}char *"


def _mentions(name: str, lines: Iterable[str]) -> bool:
    word = re.compile(rf"\b{re.escape(name)}\b")
    return any(name in line and word.search(line.split("/*", 1)[0]) for line in lines)
