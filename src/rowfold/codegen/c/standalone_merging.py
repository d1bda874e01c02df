"""How states merge (lower/merging.py) as C: its words recorded as statements over doubles, and printed one a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import Any

from ...records import dataclass, replace
from ..loops import Arg, Code, Kernel, Kind, Names, Stmt, Var
from ..lower.mergewords import HELPERS, Helper
from ..lower.merging import Head, Placed, begun, both_in, placed
from .functions import Recorder, Value
from .stmts import Statements
from .text import INFIX, indented

_TAKEN = ("a", "b", "m", "merged", "entry")  # names in the function that the statements stand in
_SHORT = 60  # characters of an expression that stands where it is read
_BINDS = {"mul": 4, "div": 4, "add": 3, "sub": 3, "and": 1, "or": 1}  # comparisons: 2


@dataclass(frozen=True, slots=True)
class Merging:
    """Two states `a` and `b` as one: `m` is `a` where `begun` is true, else `b`, and then `lines` run."""

    begun: str
    lines: tuple[str, ...]
    functions: tuple[str, ...]  # that they call


def merging_of(fields: Sequence[tuple[str, tuple[int, ...]]], dtype: str) -> Merging:
    """The statements for states of these fields."""
    page, names = _Page(dtype), Names(set(_TAKEN))
    lines, called = list[str](), list[str]()
    w = _words(names)
    first, second = (Value(w, Var(f"{side}[1]", Kind.NUM)) for side in "ab")
    begun(w, first)
    (start,) = w.code.take()
    for round_, states in groupby(placed(fields), lambda p: p.round):
        w = _words(names)
        both = both_in(w, round_, first, second).var
        lines += page.lines(w.code.take(), [both], {})
        lines.append(f"if ({page.arg(both, Kind.FLAG)}) {{")
        for p in states:
            more, functions = _merged(page, names, p)
            lines += [] if isinstance(p.state, Head) else [f"    /* {p.state.name} */"]
            lines += indented(more)
            called += functions
        lines.append("}")
    return Merging(page.value(start), tuple(lines), tuple(_functions(dtype, called)))


@dataclass(frozen=True, slots=True)
class _Interleaving:
    """What makes one of two ordered lists: the cursors in them, and the statements that tell whose head is next."""

    cursors: tuple[Var, ...]
    body: tuple[Stmt, ...]
    left: Var
    lists: tuple[tuple[Var, ...], ...]  # of each vector, that of the first list and that of the second


class _Recorder(Recorder):
    """Records doubles, and k-vectors of them."""

    def __init__(self, names: Names) -> None:
        super().__init__(Kind.NUM, "f64", names, fused=False)
        self.loops: dict[str, _Interleaving] = {}  # by the first vector that they make

    def interleave(
        self,
        rank: Callable[..., Sequence[Value]],
        before: Callable[..., Value],
        lists: Sequence[Sequence[Value]],
    ) -> list[Value]:
        """A loop whose statements are recorded apart."""
        outer, self.code = self.code, Code(self.code.names)
        cursors = tuple(Var(outer.names.fresh(name), Kind.NUM) for name in ("from_a", "from_b"))
        heads = ([self.word("pick", v, Value(self, at)) for v in side] for side, at in zip(lists, cursors, strict=True))
        left = self.let("left", before(self, *(rank(self, *head) for head in heads))).var
        assert isinstance(left, Var)
        body, self.code = self.code.take(), outer
        pairs = tuple(tuple(v.var for v in pair) for pair in zip(*lists, strict=True))
        made = tuple(Var(outer.names.fresh("best"), Kind.SMALL, pair[0].size) for pair in pairs)
        self.loops[made[0].name] = _Interleaving(cursors, body, left, pairs)
        outer.stmts.append(Stmt(made, "interleave", ()))
        return [Value(self, v) for v in made]

    def let(self, name: str, value: Value) -> Value:
        last = self.code.stmts[-1] if self.code.stmts else None
        if last and isinstance(value.var, Var) and last.results == (value.var,):
            var = replace(value.var, name=self.code.names.fresh(name))
            self.code.rename(last, var)
            value.var = var
        return value

    def call(self, function: str, *args: Value) -> Any:
        made = self.code.call(Kind.NUM, HELPERS[function].outputs, function, *(a.var for a in args))
        values = tuple(Value(self, v) for v in made)
        return values[0] if len(values) == 1 else values


def _words(names: Names) -> Any:
    """A recorder has every word, which no type says."""
    return _Recorder(names)


class _Page(Statements):
    """Prints them: what is short and read once stands where it is read."""

    def __init__(self, dtype: str) -> None:
        super().__init__(Kernel("", dtype, (), ()))
        self.inside: dict[str, Stmt] = {}

    def lines(
        self, stmts: Sequence[Stmt], results: Sequence[Var | float], loops: Mapping[str, _Interleaving]
    ) -> list[str]:
        """The statements, for results that are read once more behind them."""
        read = Counter(v.name for v in chain(results, *(s.args for s in stmts)) if isinstance(v, Var))
        lines = []
        for s in stmts:
            name = s.results[0].name
            if s.word == "interleave":
                lines += self._loop(s.results, loops[name])
            elif len(s.results) == 1 and read[name] == 1 and len(self.number(s)) <= _SHORT:
                self.inside[name] = s
            else:
                lines.append(self.stmt(s))
        return lines

    def _loop(self, made: Sequence[Var], loop: _Interleaving) -> list[str]:
        (i, j), size, left = (c.name for c in loop.cursors), made[0].size, loop.left.name
        body = self.lines(loop.body, [loop.left, loop.left], {})  # it is no part of a line
        for best, (first, second) in zip(made, loop.lists, strict=True):
            body.append(f"{best.name}[entry] = {left} ? {first.name}[{i}] : {second.name}[{j}];")
        return [
            f"int {i} = 0, {j} = 0;",
            f"double {', '.join(f'{v.name}[{size}]' for v in made)};",
            f"for (int entry = 0; entry < {size}; ++entry) {{",
            *indented([*body, f"{i} += {left};", f"{j} += !{left};"]),
            "}",
        ]

    def number(self, s: Stmt) -> str:
        if s.word == "pick":
            vector, at = s.args
            assert isinstance(vector, Var)
            return f"{vector.name}[{self.arg(at, Kind.NUM)}]"
        if s.word in INFIX:
            left, right = (self._operand(a, s.word, last) for a, last in zip(s.args, (False, True), strict=True))
            return f"{left} {INFIX[s.word]} {right}"
        if s.word == "not":
            return f"!{self._operand(s.args[0], 'mul', True)}"
        return super().number(s)

    def arg(self, a: Arg, kind: Kind) -> str:
        if isinstance(a, Var) and a.name in self.inside:
            return self.number(self.inside[a.name])
        return super().arg(a, kind)

    def _operand(self, a: Arg, outer: str, last: bool) -> str:
        """In parentheses where C, or a reader, would take it for something else."""
        text = self.arg(a, Kind.NUM)
        inner = self.inside[a.name].word if isinstance(a, Var) and a.name in self.inside else ""
        if inner not in INFIX:
            return text
        within, around = _BINDS.get(inner, 2), _BINDS.get(outer, 2)
        logic = around == 1 and inner != outer and within == 1
        return f"({text})" if within < around or (within == around and last) or logic else text


def _merged(page: _Page, names: Names, p: Placed) -> tuple[list[str], list[str]]:
    """The lines of one state, and the functions that they call."""
    w, entries = _words(names), p.state.entries
    places = range(p.at, p.at + p.state.size, entries or 1)
    made = p.state.merge(w, *([_number(w, side, at, entries) for at in places] for side in "ab"))
    stmts, results = w.code.take(), [value.var for value in made]
    lines = page.lines(stmts, results, w.loops)
    for at, value in zip(places, results, strict=True):
        text = page.arg(value, Kind.NUM)
        if entries:
            name = text.removesuffix("[entry]")
            lines.append(f"RF_COPY(m + {at}, {name}, sizeof {name});")
        elif text != f"a[{at}]":
            lines.append(f"m[{at}] = {text};")
    return lines, [s.word for s in stmts if s.call]


def _number(w: _Recorder, side: str, at: int, entries: int) -> Value:
    """A number of a state, or a k-vector."""
    return Value(w, Var(f"({side} + {at})", Kind.SMALL, entries) if entries else Var(f"{side}[{at}]", Kind.NUM))


def _functions(dtype: str, called: Iterable[str]) -> Iterator[str]:
    """Those that are called, each after those that it calls itself."""
    made: dict[str, list[str]] = {}

    def need(name: str) -> None:
        if name in made:
            return
        page, names, helper = _Page(dtype), Names(), HELPERS[name]
        w = _Recorder(names)
        found = helper.body(w, *(Value(w, Var(names.fresh(i), Kind.NUM)) for i in helper.inputs))
        stmts, results = w.code.take(), [r.var for r in (found if isinstance(found, tuple) else (found,))]
        for s in stmts:
            if s.call:
                need(s.word)
        lines = page.lines(stmts, results, {})
        made[name] = list(_function(helper, lines, [page.arg(r, Kind.NUM) for r in results]))

    for name in called:
        need(name)
    return (line for text in made.values() for line in text)


def _function(helper: Helper, lines: Sequence[str], values: Sequence[str]) -> Iterator[str]:
    parameters = [f"double {i}" for i in helper.inputs]
    if len(values) == 1:
        head, ends = "double", [f"return {values[0]};"]
    else:
        head, ends = "void", [f"*out_{o} = {v};" for o, v in zip(helper.outputs, values, strict=True)]
        parameters += [f"double *out_{o}" for o in helper.outputs]
    yield f"/* {helper.doc} */"
    yield f"static RF_COLD {head} num_{helper.name}({', '.join(parameters)})"
    yield "{"
    yield from indented([*lines, *ends])
    yield "}"
