"""A group of rows as C: numbers of all its rows on vectors of doubles, and loops over its rows between them.

What stands on the vectors of eight doubles has words with `rows_` before them: the vocabulary of doubles, beside that
of the kernel's own numbers (templates/together/).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from ...records import replace
from ..loops import Arg, Kernel, Kind, Phase, Port, Stmt, Sweep, Var
from ..lower.groups import FOLDED, NUMBERS, ROWS, SPREAD, Alike, Check, Each, Group, Learn, Part, Together, overlapping
from ..lower.whole import converted
from .library import FunctionText, functions_of
from .stmts import Statements
from .sweeps import Pace, Sweeps
from .text import CTYPES, indented, literal
from .widening import widened

# Where a word on a double and one on eight of them are the same for every number; the others begin with num_.
SAME = {"choose": "select", "and": "mask_and", "or": "mask_or", "not": "mask_not", "xor": "mask_xor"} | {
    word: word for word in "add sub mul div fma neg min max sqrt rint floor copysign lt le gt ge eq ne".split()
}
# what is no function of the maths library
CALLED = {"two_sum": "two_sum2", "reciprocal2": "reciprocal2", "scale_log2e": "scale_log2e"}
SPREAD_BY = {"set": "spread", "set_lo": "spread_lo"}
TYPES = {Kind.NUM: "rows_vec", Kind.FLAG: "rows_mask"}


def words_used(group: Group) -> set[str]:
    """The words on the numbers of a group, as the vocabulary of doubles has them."""
    stmts = [s for p in group.parts if isinstance(p, Together) for s in p.body]
    used = {CALLED.get(s.word, "") if s.call else _word(s.word) for s in stmts if s.word not in {*SPREAD, *FOLDED}}
    return used - {""}


def _word(word: str) -> str:
    return SAME.get(word, f"num_{word}")


def all_of(name: str) -> str:
    """A number of every row; no variable of a program is called so."""
    return f"all_of_{name}"


def each_of(name: str) -> str:
    """The same in memory, one row behind the other."""
    return f"each_of_{name}"


class Groups:
    """Prints one group."""

    def __init__(self, kernel: Kernel, group: Group, sweeps: Sweeps, blocks: int) -> None:
        self.kernel, self.group, self.sweeps, self.blocks = kernel, group, sweeps, blocks
        self.alone = Statements(kernel)
        self.doubles = Statements(replace(kernel, dtype="f64"))
        parts = group.parts
        made = [v for p in parts if isinstance(p, Together) for s in p.body for v in s.results]
        self.own = {v.name for v in made} | {v.name for p in parts if isinstance(p, Each) for v in p.gives}
        taken = [v for p in parts if isinstance(p, Each | Learn) for v in p.takes]
        given = [a for p in parts if isinstance(p, Together) for s in p.body if s.word in SPREAD for a in s.args]
        self.spread = {s.results[0] for p in parts if isinstance(p, Together) for s in p.body if s.word in SPREAD}
        overlap = overlapping(group, kernel)
        self.host: Each | None = overlap[0] if overlap else None
        self.last: Each | None = overlap[1] if overlap else None
        self.hoisted = set(self.last.takes) if self.last else set[Var]()
        self.stored = {v.name for v in (*taken, *given) if isinstance(v, Var) and v.kind in NUMBERS}

    def functions(self, *, fused: bool) -> list[FunctionText]:
        """The library functions of a group, for eight doubles."""
        vectors = {Kind.NUM: Kind.VEC, Kind.FLAG: Kind.MASK}

        def on_vectors(s: Stmt) -> Stmt:
            return replace(s, results=tuple(Var(v.name, vectors.get(v.kind, v.kind)) for v in s.results))

        stmts = [on_vectors(s) for p in self.group.parts if isinstance(p, Together) for s in p.body if s.call]
        made = functions_of(replace(self.kernel, dtype="f64"), stmts, self.doubles, fused=fused)
        return [FunctionText(f.doc, _rows(f.head), tuple(map(_rows, f.lines))) for f in made]

    def lines(self) -> Iterator[str]:
        """The group, ahead of a row alone."""
        body = _read(list(self.waiting() if self.last else self.parts(self.group.parts)))
        yield from ("", f"/* {ROWS} short rows together, unless one of them is rare. */")
        yield "{" if self.last else f"if ({self.where()}) {{"
        yield from indented([*self.sizes(body), *body])
        yield "}"
        yield from ["if (row >= rows) break;"] if self.last else ()

    def where(self) -> str:
        """The test that there is a group, and that it can be done in this way."""
        plain = [p.name for p in self.kernel.ports if self.plain(p)]
        tests = [f"{a}_rows != {b}_rows" for a, b in self.group.apart]
        tests += [f"{name}_step == (intptr_t)sizeof({self.sweeps.ctype})" for name in plain]
        longest = self.blocks * self.sweeps.block_size
        return " && ".join([f"rows - row >= {ROWS}", "row >= alone", "n > 0", f"n <= {longest}", *tests])

    def sizes(self, body: Sequence[str]) -> Iterator[str]:
        if self.blocks > 1:
            return
        text, lanes = "\n".join(body), self.kernel.lanes
        sizes = [("i", "0"), ("count", "n"), ("whole", f"n & ~(intptr_t){lanes - 1}")]
        sizes += [("vectors", f"(n + {lanes - 1}) / {lanes}")]
        used = [f"{name} = {value}" for name, value in sizes if re.search(rf"\b{name}\b", text)]
        yield f"const intptr_t {', '.join(used)}; /* one block */"

    def memory_of_rows(self) -> Iterator[str]:
        """What is declared before the first row."""
        yield "intptr_t alone = 0; /* rows before this one are not tried in a group */"
        if self.last:
            yield "intptr_t waiting_at = 0; /* the rows of a group that waits for its last sweep */"
            yield "int waiting = 0;"
            yield from (self.array(v) for v in self.last.takes)

    def waiting(self) -> Iterator[str]:
        """The last sweep of a group runs beneath the first of the next one."""
        assert self.host is not None and self.last is not None
        place = self.group.parts.index(self.host)
        yield f"int more = {self.where()};"
        for part in self.group.parts[:place]:
            match part:
                case Check(flag):
                    yield f"more = more && {flag.name};"
                case _:
                    yield from self.parts([part], through=True)
        yield from (self.array(v) for v in self.host.gives if v not in self.last.takes)
        yield "if (more || waiting) {"
        yield f"    for (int member = 0; member < {ROWS}; ++member) {{"
        for test, walk, row in (("waiting", self.last, "waiting_at"), ("more", self.host, "row")):
            yield f"        if ({test}) {{"
            yield from indented(indented(indented(self.one(walk, row))))
            yield "        }"
        yield from ("    }", "    waiting = 0;", "}", "if (more) {")
        yield from indented(self.loaded(v) for v in self.host.gives if v.kind in NUMBERS)
        yield from indented(self.parts(self.group.parts[place + 1 :]))
        yield "}"

    def parts(self, parts: Sequence[Part], *, through: bool = False) -> Iterator[str]:
        for k, part in enumerate(parts):
            match part:
                case Alike(body):
                    yield from map(self.alone.stmt, body)
                case Together(body):
                    for s in body:
                        yield from self.together(s)
                case Each() if part is self.last:
                    yield from ("waiting_at = row;", "waiting = 1;")
                case Each():
                    yield from self.each(part)
                case Learn():
                    yield from self.learn(part)
                case Check(flag, alike):
                    yield from [] if alike else [f"alone = row + {ROWS};"]
                    yield f"if ({flag.name if alike else f'rows_every({self.arg(flag)})'}) {{"
                    yield from indented(self.parts(parts[k + 1 :]))
                    yield "}"
                    return
        yield from () if through else (f"row += {ROWS - 1};", "continue;")

    def together(self, s: Stmt) -> Iterator[str]:
        first, array = s.results[0], each_of(s.results[0].name)
        if s.word in SPREAD or s.word in FOLDED:
            assert isinstance(s.args[0], Var)
            source = each_of(s.args[0].name)
            if s.word in SPREAD:
                yield f"{self.room(first)}rf_{SPREAD_BY[s.word]}({source}, {array});"
            else:
                yield f"{self.room(first)}rf_{s.word}_rows({source}, {array});"
                yield self.loaded(first)
            return
        given = [self.arg(a) for a in s.args]
        if len(s.results) > 1:
            names = [all_of(v.name) for v in s.results]
            given += [f"&{n}" for n in names]
            yield f"{TYPES[first.kind]} {', '.join(names)}; rows_{CALLED.get(s.word, s.word)}({', '.join(given)});"
        else:
            word = s.word if s.call else _word(s.word)
            yield f"const {TYPES[first.kind]} {all_of(first.name)} = rows_{word}({', '.join(given)});"
        yield from (self.kept(v) for v in s.results if v.name in self.stored)

    def arg(self, a: Arg) -> str:
        """An operand: a number of each row, or one that all share."""
        if isinstance(a, Var) and a.name in self.own:
            return all_of(a.name)
        if isinstance(a, Var):
            return f"rows_{'set' if a.kind is Kind.NUM else 'flags'}({a.name})"
        assert isinstance(a, float)
        return f"rows_set({literal(a)})"

    def kept(self, v: Var) -> str:
        word = "store" if v.kind is Kind.NUM else "numbers_of"
        return f"{self.room(v)}rows_{word}({each_of(v.name)}, {all_of(v.name)});"

    def loaded(self, v: Var) -> str:
        word = "load" if v.kind is Kind.NUM else "flags_of"
        return f"const {TYPES[v.kind]} {all_of(v.name)} = rows_{word}({each_of(v.name)});"

    def each(self, part: Each) -> Iterator[str]:
        yield from (self.array(v) for v in part.gives if v not in part.takes and v not in self.hoisted)
        yield f"for (int member = 0; member < {ROWS}; ++member) {{"
        yield from indented(self.one(part, "row"))
        yield "}"
        yield from (self.loaded(v) for v in part.gives if v.kind in NUMBERS)

    def one(self, part: Each, first: str) -> Iterator[str]:
        """What one row of the group that begins at `first` does."""
        body = [*(self.taken(v) for v in part.takes), *self.inside(part)]
        yield from self.pointers(body, f"({first} + member)")
        yield from body
        given = [v for v in part.gives if v.kind is not Kind.PARTS]  # parts are where they stay
        yield from (f"{each_of(v.name)}[member] = {v.name};" for v in given)

    def pointers(self, lines: Sequence[str], row: str) -> Iterator[str]:
        """The arrays of one row."""
        text = "\n".join(line for line in lines if not line.lstrip().startswith("/*"))
        for p in self.kernel.ports:
            if not p.setting and re.search(rf"\b{p.name}\b", text):
                yield f"{'' if p.output else 'const '}char *{p.name} = {p.name}_rows + {row} * {p.name}_next;"

    def inside(self, part: Each) -> Iterator[str]:
        for item in part.parts:
            match item:
                case Sweep():
                    yield from self.walk(item) if self.blocks == 1 else self.sweeps.sweep(item, Pace.FAST)
                case Stmt(results, "parts") if results[0] in part.gives:
                    yield self.taken(results[0])
                case Stmt():
                    yield self.alone.stmt(item)

    def plain(self, port: Port) -> bool:
        """Whether its rows are used where they are."""
        return port.row and not converted(port)

    def walk(self, sweep: Sweep) -> Iterator[str]:
        """A walk over the one block of a row."""
        yield from ("", *(f"/* Sweep: {c}. */" for c in sweep.comment), "{")
        yield from indented(self.block(sweep))
        yield "}"

    def block(self, sweep: Sweep) -> Iterator[str]:
        ports = [self.sweeps.ports[name] for name in dict.fromkeys((*sweep.reads, *sweep.writes))]
        for p in ports:
            if self.plain(p):
                ctype, const = self.sweeps.ctype, "" if p.output else "const "
                yield f"{const}{ctype} *{p.name}_b = ({const}{ctype} *)({const}void *){p.name};"
            elif p.name in sweep.reads:
                yield from self.sweeps.open_read(p, p.name in sweep.writes)
            else:
                yield self.sweeps.open_write(p)
        yield "intptr_t j = 0;"
        for k, (head, phase) in enumerate(sweep.phases):
            yield from ["j = 0;"] if k else ()
            yield from map(self.alone.stmt, head)
            yield from self.by_fours(phase)
            yield from self.sweeps.whole_vectors(phase, "whole")
            yield from self.sweeps.tail(phase)
        yield from (self.sweeps.close(p) for p in ports if p.output and not self.plain(p))

    def by_fours(self, phase: Phase) -> Iterator[str]:
        """Four vectors a turn: short loops whose ends are foreseen (docs/performance.md)."""
        lanes = self.kernel.lanes
        yield f"while (j + {3 * lanes} < whole)"
        yield "    RF_UNROLL"
        yield f"    for (int k = 0; k < 4; ++k, j += {lanes}) {{"
        yield from indented(indented(map(self.alone.stmt, widened(phase.body, self.kernel.dtype))))
        yield "    }"

    def room(self, v: Var) -> str:
        """Its array, in front of what fills it, unless it is there already."""
        return "" if v in self.hoisted else f"{self.array(v)} "

    def array(self, v: Var) -> str:
        """Room for a variable of each row."""
        if v.kind is Kind.PARTS:
            return f"RF_ALIGNED {self.sweeps.ctype} {each_of(v.name)}[{ROWS}][{self.sweeps.block_size}];"
        ctype = "double" if v.kind in NUMBERS else self.sweeps.ctype if v in self.spread else CTYPES[v.kind]
        return f"{ctype} {each_of(v.name)}[{ROWS}];"

    def taken(self, v: Var) -> str:
        where = f"{each_of(v.name)}[member]"
        const = "" if v.name in self.alone.mutable else "const "
        if v.kind is Kind.PARTS:
            return f"{self.sweeps.ctype} *{v.name} = {where};"
        if v.kind in NUMBERS:
            return f"const double {v.name} = {where};" if v.kind is Kind.NUM else f"const int {v.name} = {where} != 0;"
        return f"{const}{CTYPES[v.kind]} {v.name} = {f'rf_set((double){where})' if v in self.spread else where};"

    def learn(self, part: Learn) -> Iterator[str]:
        """With the numbers of the last row."""
        yield "{"
        for v in part.takes:
            ctype, test = ("double", "") if v.kind is Kind.NUM else ("int", " != 0")
            yield f"    const {ctype} last_of_{v.name} = {each_of(v.name)}[{ROWS - 1}]{test};"
        renamed = {v: Var(f"last_of_{v.name}", v.kind) for v in part.takes}
        args = [tuple(renamed.get(a, a) if isinstance(a, Var) else a for a in s.args) for s in part.body]
        lines = [self.alone.stmt(replace(s, args=a)) for s, a in zip(part.body, args, strict=True)]
        yield from indented([*self.pointers(lines, f"(row + {ROWS - 1})"), *lines])
        yield "}"


def _read(lines: list[str]) -> list[str]:
    """The lines without those that load a number which only memory is asked for."""
    names = Counter(re.findall(r"\ball_of_\w+", "\n".join(lines)))
    loads = (re.match(r"\s*const rows_\w+ (all_of_\w+) = rows_(?:load|flags_of)\(", line) for line in lines)
    return [line for line, load in zip(lines, loads, strict=True) if load is None or names[load[1]] > 1]


def _rows(line: str) -> str:
    """A line in the vocabulary of eight doubles."""
    return re.sub(r"\brf_(?=\w)", "rows_", line)
