"""Kernel -> C: statements as lines, words chosen from the templates, the page laid out by Jinja.

Python decides names and order, the templates decide layout; every statement is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

from ..records import dataclass, replace
from .c.groups import Groups, words_used
from .c.library import FunctionText, functions_of
from .c.outline import Outlined
from .c.sweeps import Names, Pace, Sweeps
from .c.text import CTYPES, indented
from .c.words import environment, group_words, has_group_words, heading, words_of
from .isas import isa_of
from .loops import Kernel, Port, sizes_of, statements, whole_row
from .lower.groups import group_of
from .lower.overlap import SIZES, Last, ahead_of, batch_of
from .lower.whole import constants, converted, shifted
from .source import Source, identifier, symbol_of


@dataclass(frozen=True, slots=True)
class LastText:
    """The struct that keeps a row for its last sweep, and that sweep as a function for one block."""

    comment: tuple[str, ...]
    fields: tuple[str, ...]
    parameters: str
    lines: tuple[str, ...]
    whole_parameters: str  # of the function for a block of which nothing is missing
    whole: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowsText:
    """The function for all rows of a batch, its call, and whether settings may change from row to row."""

    parameters: str
    lines: tuple[str, ...]
    call: str
    same: str  # the test that all rows have the same settings


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

    @property
    def lines(self) -> list[str]:
        last = (*self.last.lines, *self.last.whole) if self.last else ()
        bodies = chain(*(f.lines for f in self.functions), *(part.lines for part in self.rare))
        return [*self.rows.lines, *last, *bodies, self.rows.call]

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def unit_of(
    kernel: Kernel, isa_name: str, strategy: str, name: str = "", *, grouped: int = 0, compact: bool = False
) -> Unit:
    """A kernel as lines of C; `grouped`: with rows of up to so many blocks side by side; `compact`: less text."""
    page = _Page(kernel, name or identifier(kernel.name), isa_name, grouped, compact=compact and not grouped)
    rows = page.rows()
    fused = isa_of(isa_name).fma
    functions = functions_of(kernel, statements(whole_row(kernel)), page.sweeps, fused=fused)
    return Unit(
        symbol=symbol_of(kernel.name, kernel.dtype, strategy, isa_name),
        name=page.name,
        banner=kernel.banner,
        lanes=kernel.lanes,
        ctype=page.sweeps.ctype,
        functions=[*functions, *(page.groups.functions(fused=fused) if page.groups else ())],
        last=page.last(),
        rare=tuple(replace(part, lines=(*page.prelude(part.lines), *part.lines)) for part in page.sweeps.outlined),
        rows=rows,
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

    def __init__(self, kernel: Kernel, name: str, isa: str, grouped: int, *, compact: bool) -> None:
        self.kernel, self.name, self.compact = kernel, name, compact
        self.batch = batch_of(kernel)
        names = Names(self.name, self.last_arguments(), self.whole_arguments())
        self.sweeps = Sweeps(kernel, self.batch, names, compact=compact)
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

    def whole_arguments(self) -> str:
        last = self.batch.last
        far = ["held_far"] if self.streamed() else []
        return ", ".join(["&held", "held_at", *far, *(_extent_names(last.ports, whole=True) if last else ())])

    def last(self) -> LastText | None:
        last = self.batch.last
        if last is None:
            return None
        fields = [(_pointer(p), "", p.name) for p in last.ports]
        fields += [(f"{CTYPES[v.kind]} ", "const ", v.name) for v in last.held]
        any_block = self.sweeps.block(last.sweep, Pace.PLAIN)
        whole = iter(()) if self.compact else self.sweeps.last_block(last.sweep, self.streamed())
        texts = []
        for body in map(list, (any_block, whole)):
            used = [field for field in fields if _mentions(field[2], body)]
            texts.append((*self.prelude(body), *_unpacked(used), *body))
        held, far = f"const {self.name}_held *held", ["int far"] if self.streamed() else []
        every = [f"intptr_t {name}" for name in _extent_names(last.ports)]
        some = [f"intptr_t {name}" for name in _extent_names(last.ports, whole=True)]
        return LastText(
            last.sweep.comment, tuple(f"{ctype}{n};" for ctype, _, n in fields),
            ", ".join([held, "intptr_t n", "intptr_t i", *every]), texts[0],
            ", ".join([held, "intptr_t i", *far, *some]), texts[1],
        )  # fmt: skip

    def keep(self, last: Last) -> Iterable[str]:
        """What a row leaves to be done with the next one."""
        yield ""
        yield from (f"held.{name} = {name};" for name in [p.name for p in last.ports] + [v.name for v in last.held])
        if self.compact:
            yield "held_at = 0;"
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

    # all rows

    def rows(self) -> RowsText:
        last = self.batch.last
        once = [self.sweeps.stmt(s) for s in self.batch.once]
        body = list(self.sweeps.steps(self.batch.steps))
        body += ["", *map(self.sweeps.stmt, self.kernel.learn)] if self.kernel.learn else []
        body += self.keep(last) if last else []
        moving = [p for p in self.kernel.ports if not p.setting and _mentions(p.name, body)]
        rows = [f"{_pointer(p)}{p.name} = {p.name}_rows + row * {p.name}_next;" for p in moving]
        group = list(self.groups.lines()) if self.groups else []
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
        return RowsText(self.parameters(), (*self.unused(lines), *lines), self.call(), self.same_settings())

    def unused(self, lines: list[str]) -> list[str]:
        """Says which parameters no line reads."""
        names = [part.rsplit(" ", 1)[1].lstrip("*") for part in self.parameters().split(", ")]
        idle = [f"(void){name}" for name in names if not _mentions(name, lines)]
        return [f"{', '.join(idle)};"] if idle else []

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

    def parameters(self) -> str:
        parts = ["intptr_t rows", "intptr_t n"]
        for p in self.kernel.ports:
            pointer = _pointer(p) + p.name
            parts += [pointer] if p.setting else [f"{pointer}_rows", f"intptr_t {p.name}_next"]
            parts += [f"intptr_t {p.name}_step"] if p.strided else []
            parts += [f"intptr_t {p.name}_length"] if p.table else []
        return ", ".join(parts)

    def call(self) -> str:
        sizes = sizes_of(self.kernel)
        parts, core, count = ["together", f"dims[{sizes['n']}]"], 0, len(self.kernel.ports)
        for k, p in enumerate(self.kernel.ports):
            parts += [f"args[{k}] + row * steps[{k}]", *([] if p.setting else [f"steps[{k}]"])]
            parts += [f"steps[{count + core}]"] if p.strided else []
            parts += [f"dims[{sizes[p.name]}]"] if p.table else []
            core += p.core
        return ", ".join(parts)

    def same_settings(self) -> str:
        return " && ".join(f"steps[{k}] == 0" for k, p in enumerate(self.kernel.ports) if p.setting)


def _unpacked(fields: Iterable[tuple[str, str, str]]) -> Iterable[str]:
    """What a last sweep takes from the struct, a line for each type."""
    kinds: dict[str, list[str]] = {}
    for ctype, const, name in fields:
        kinds.setdefault(const + ctype if ctype[-1] != "*" else f"{ctype}{name}", []).append(name)
    for kind, names in kinds.items():
        head = kind if kind[-1] == " " else kind[: -len(names[0])]
        yield head + ", ".join(f"{n} = held->{n}" for n in names) + ";"


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
