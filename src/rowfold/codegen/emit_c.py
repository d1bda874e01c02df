"""Kernel -> C: statements as lines, words chosen from the templates, the page laid out by Jinja.

Python decides names and order, the templates decide layout; every statement is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

from ..records import dataclass
from .c.groups import Groups, words_used
from .c.library import FunctionText, functions_of
from .c.sweeps import Names, Sweeps
from .c.text import CTYPES, indented
from .c.words import builtins_of, environment, group_words, has_group_words, words_of
from .isas import isa_of
from .loops import Kernel, Port, sizes_of, statements, whole_row
from .lower.groups import group_of
from .lower.overlap import Last, batch_of
from .source import Source, identifier, symbol_of

# Measured (docs/performance.md): a batch beyond IN_CACHE bytes is fetched ahead, but for rows so short that the
# hardware goes on into the next one, and for rows so long that what is fetched drives out the row that waits.
IN_CACHE, NEAR_ROW, LONG_ROW = 16 << 20, 4 << 10, 256 << 10
SIZES = {"f32": 4, "f64": 8}


@dataclass(frozen=True, slots=True)
class LastText:
    """The struct that keeps a row for its last sweep, and that sweep as a function for one block."""

    comment: tuple[str, ...]
    fields: tuple[str, ...]
    parameters: str
    lines: tuple[str, ...]


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
    rows: RowsText

    @property
    def lines(self) -> list[str]:
        bodies = chain.from_iterable(f.lines for f in self.functions)
        return [*self.rows.lines, *(self.last.lines if self.last else ()), *bodies, self.rows.call]

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def unit_of(kernel: Kernel, isa_name: str, strategy: str, name: str = "", *, grouped: bool = False) -> Unit:
    """A kernel as lines of C; `grouped`: with short rows side by side."""
    page = _Page(kernel, name or identifier(kernel.name), isa_name if grouped else "")
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
        rows=page.rows(),
    )


def emit(
    kernel: Kernel, isa_name: str, strategy: str, version: str, signature: str, types: str, *, grouped: bool = False
) -> Source:
    """The translation unit of a kernel. Same input, same bytes."""
    isa, unit = isa_of(isa_name), unit_of(kernel, isa_name, strategy, grouped=grouped)
    more = group_words(isa_name, kernel.dtype, unit.lines)
    words = [*words_of(isa_name, kernel.dtype, [*unit.lines, *more]), *more]
    text = (
        environment()
        .get_template("kernel.c.j2")
        .render(
            unit.fields(),
            version=version,
            isa=isa_name,
            flags=" ".join(isa.flags) or "no flags",
            header=isa.header,
            words=words,
            builtins=builtins_of(isa.name, words) if isa.header == "immintrin.h" else [],
            export='__attribute__((visibility("default")))',
        )
    )
    header = f"void {unit.symbol}(char **args, const intptr_t *dims, const intptr_t *steps, void *data);\n"
    return Source(unit.symbol, text, header, isa_name, isa.flags, isa.features, signature, types)


class _Page:
    """Lays out one kernel."""

    def __init__(self, kernel: Kernel, name: str, groups_in: str = "") -> None:
        self.kernel, self.name = kernel, name
        self.batch = batch_of(kernel)
        self.sweeps = Sweeps(kernel, self.batch, Names(self.name, self.last_arguments()))
        self.groups = self._groups(groups_in) if groups_in else None

    def _groups(self, isa: str) -> Groups | None:
        group = group_of(self.kernel, self.batch.whole)
        if group is None or not has_group_words(isa, self.kernel.dtype, words_used(group)):
            return None
        return Groups(self.kernel, group, self.sweeps)

    # the last sweep

    def last_arguments(self) -> str:
        last = self.batch.last
        if last is None:
            return ""
        steps = [f"{p.name}_step" for p in last.ports if p.strided]
        return ", ".join(["&held", "n", "held_at", *steps, *(f"{p.name}_length" for p in last.ports if p.table)])

    def last(self) -> LastText | None:
        last = self.batch.last
        if last is None:
            return None
        fields = [(_pointer(p), "", p.name) for p in last.ports]
        fields += [(f"{CTYPES[v.kind]} ", "const ", v.name) for v in last.held]
        body = list(self.sweeps.block(last.sweep, rare=True))
        head = [f"{const}{ctype}{n} = held->{n};" for ctype, const, n in fields if _mentions(n, body)]
        parameters = [f"const {self.name}_held *held", "intptr_t n", "intptr_t i"]
        parameters += [f"intptr_t {p.name}_step" for p in last.ports if p.strided]
        parameters += [f"intptr_t {p.name}_length" for p in last.ports if p.table]
        kept = tuple(f"{ctype}{n};" for ctype, _, n in fields)
        return LastText(last.sweep.comment, kept, ", ".join(parameters), (*self.prelude(body), *head, *body))

    def keep(self, last: Last) -> Iterable[str]:
        """What a row leaves to be done with the next one."""
        yield ""
        yield from (f"held.{name} = {name};" for name in [p.name for p in last.ports] + [v.name for v in last.held])
        yield "held_at = 0;"

    def prelude(self, lines: Iterable[str]) -> list[str]:
        """The length of the row as a number, and room for rows that are not contiguous, where they are used."""
        text = "\n".join(lines)
        head = ["const double row_length = (double)n;"] if _mentions("row_length", [text]) else []
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
        if last:
            lines += [f"{self.name}_held held;", "intptr_t held_at = n; /* so far no row waits for its last sweep */"]
        lines += ["intptr_t alone = 0; /* rows before this one are not tried in a group */"] if group else []
        lines += ["", "for (intptr_t row = 0; row < rows; ++row) {", *indented([*group, *rows, *body]), "}"]
        if last:
            lines.append(f"for (; held_at < n; held_at += {self.sweeps.block_size}) {self.sweeps.names.last()}")
        return RowsText(self.parameters(), tuple(lines), self.call(), self.same_settings())

    def from_memory(self) -> list[str]:
        """Whether the rows come from memory, and are long enough for the next one to be no neighbour."""
        assert self.batch.last is not None
        bytes_each = len(self.sweeps.streams(self.batch.last.host)) * SIZES[self.kernel.dtype]
        shortest, longest = (size // SIZES[self.kernel.dtype] for size in (NEAR_ROW, LONG_ROW))
        test = f"n >= {shortest} && n <= {longest} && rows > {IN_CACHE // bytes_each} / n"
        return [f"const int from_memory = {test}; /* not from a cache */"]

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


def _pointer(port: Port) -> str:
    return f"{'' if port.output else 'const '}char *"


def _mentions(name: str, lines: Iterable[str]) -> bool:
    return any(re.search(rf"\b{re.escape(name)}\b", line) for line in lines)
