"""Kernel -> C: statements as lines, words chosen from the templates, the page laid out by Jinja.

Python decides names and order, the templates decide layout; every statement is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

from ..records import dataclass, replace
from .ir import SMALL_FOLDS
from .isas import isa_of
from .library_c import FunctionText, functions_of
from .loops import (
    AHEAD,
    ONE_OF,
    Arg,
    Kernel,
    Kind,
    Phase,
    Port,
    Scalars,
    Seek,
    Step,
    Stmt,
    Sweep,
    Unless,
    Until,
    Var,
    assigned,
    statements,
)  # fmt: skip
from .source import Source, identifier, symbol_of
from .text_c import (
    CTYPES,
    ELEMENT,
    EXTENT,
    FOLDS,
    INFIX,
    POINTERS,
    RESULTS,
    TURNS,
    WHOLE,
    WITH_COUNT,
    indented,
    literal,
    turn_name,
)
from .words_c import builtins_of, environment, words_of


@dataclass(frozen=True, slots=True)
class Unit:
    """What is on the page of one kernel. `lines` is all text that uses words of the vocabulary."""

    symbol: str
    banner: tuple[str, ...]
    lanes: int
    ctype: str
    functions: list[FunctionText]
    row_name: str
    row_parameters: str
    row_arguments: str
    body: list[str]

    @property
    def lines(self) -> list[str]:
        return [*self.body, *chain.from_iterable(f.lines for f in self.functions), self.row_arguments]

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def unit_of(kernel: Kernel, isa_name: str, strategy: str) -> Unit:
    """A kernel as lines of C."""
    page = _Page(kernel)
    body = page.body()
    return Unit(
        symbol=symbol_of(kernel.name, kernel.dtype, strategy, isa_name),
        banner=kernel.banner,
        lanes=kernel.lanes,
        ctype=page.ctype,
        functions=functions_of(kernel, statements(kernel.steps), page),
        row_name=f"{identifier(kernel.name)}_row",
        row_parameters=page.parameters(),
        row_arguments=page.arguments(),
        body=body,
    )


def emit(kernel: Kernel, isa_name: str, strategy: str, version: str, signature: str, types: str) -> Source:
    """The translation unit of a kernel. Same input, same bytes."""
    isa, unit = isa_of(isa_name), unit_of(kernel, isa_name, strategy)
    words = words_of(isa_name, kernel.dtype, unit.lines)
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


# the page


class _Page:
    """Prints one kernel's statements."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.ctype = "float" if kernel.dtype == "f32" else "double"
        self.ports = {p.name: p for p in kernel.ports}
        self.mutable = assigned(kernel.steps)

    def parameters(self) -> str:
        parts = []
        for p in self.kernel.ports:
            parts.append(f"{'' if p.output else 'const '}char *{p.name}")
            if p.row or p.entries:
                parts.append(f"intptr_t {p.name}_step")
        return ", ".join(["intptr_t n", *parts])

    def arguments(self) -> str:
        parts, core, count = [], 0, len(self.kernel.ports)
        for k, p in enumerate(self.kernel.ports):
            parts.append(f"args[{k}] + row * steps[{k}]")
            if p.row or p.entries:
                parts.append(f"steps[{count + core}]")
                core += 1
        return ", ".join(["dims[1]", *parts])

    def body(self) -> list[str]:
        steps = list(self.steps(self.kernel.steps))
        head = []
        if any(re.search(r"\brow_length\b", line) for line in steps):
            head.append("const double row_length = (double)n;")
        for p in self.kernel.ports:
            if any(f"{p.name}_buffer" in line for line in steps):
                head.append(f"{self.element(p)} {p.name}_buffer[{16 * self.kernel.lanes}];")
        return head + steps

    def steps(self, steps: tuple[Step, ...]) -> Iterable[str]:
        for step in steps:
            match step:
                case Scalars(comment, body):
                    yield from ("", *(f"/* {c} */" for c in comment))
                    yield from map(self.stmt, body)
                case Seek():
                    yield from self.seek(step)
                case Unless(comment, safe, inner):
                    yield from ("", *(f"/* {c} */" for c in comment), f"if (!{safe.name}) {{")
                    yield from indented(self.steps(inner))
                    yield "}"
                case Until(comment, done, inner):
                    yield from ("", *(f"/* {c} */" for c in comment), f"while (!{done.name}) {{")
                    yield from indented(self.steps(inner))
                    yield "}"
                case Sweep():
                    yield from self.sweep(step)

    def seek(self, seek: Seek) -> Iterable[str]:
        at = seek.at.name
        yield from ("", *(f"/* {c} */" for c in seek.comment), f"double {at} = 0.0;")
        yield f"for (; {at} < (double)(n - 1); {at} += 1.0) {{"
        yield from indented(map(self.stmt, seek.body))
        yield f"    if ({seek.found.name}) break;"
        yield "}"

    def sweep(self, sweep: Sweep) -> Iterable[str]:
        block = 16 * self.kernel.lanes
        yield from ("", *(f"/* Sweep: {c}. */" for c in sweep.comment))
        yield from map(self.stmt, sweep.before)
        yield from (f"rf_vec {turn_name(name, u)} = {name};" for name in sweep.rotate for u in range(1, TURNS))
        yield f"for (intptr_t i = 0; i < {self.extent(sweep)}; i += {block}) {{"
        yield from indented(self.block(sweep, block))
        yield "}"
        yield from (f"{name} = rf_max({turn_name(name, u)}, {name});" for name in sweep.rotate for u in range(1, TURNS))
        yield from map(self.stmt, sweep.after)

    def extent(self, sweep: Sweep) -> str:
        """How much of the row a sweep walks."""
        if sweep.peek is not None:
            shared = " || ".join(f"{a} == {b}" for a, b in sweep.peek)
            head = f"rf_least(n, {self.kernel.lanes})"
            return f"({shared} ? n : {head})" if shared else head
        return f"({sweep.only.name} ? n : 0)" if sweep.only else "n"

    def block(self, sweep: Sweep, block: int) -> Iterable[str]:
        end = "n" if sweep.peek is None else self.extent(sweep)
        yield f"const intptr_t count = rf_least({end} - i, {block});"
        for name in sweep.reads:
            yield from self.open_read(self.ports[name], name in sweep.writes)
        for name in sweep.writes:
            if name not in sweep.reads:
                yield self.open_write(self.ports[name])
        yield f"const intptr_t whole = count & ~(intptr_t){self.kernel.lanes - 1};"
        if any("vectors" in self.stmt(s) for s in sweep.block_end):
            yield f"const intptr_t vectors = (count + {self.kernel.lanes - 1}) / {self.kernel.lanes};"
        if len(sweep.phases) == 1:
            yield "intptr_t j = 0;"
        for k, (head, phase) in enumerate(sweep.phases):
            if len(sweep.phases) > 1:
                yield "intptr_t j = 0;" if k == 0 else "j = 0;"
            yield from map(self.stmt, head)
            if sweep.rotate:
                yield from self.turns(phase, sweep.rotate)
            yield from self.phase(phase, sweep.ahead if k + 1 == len(sweep.phases) else ())
        yield from map(self.stmt, sweep.block_end)
        for name in sweep.writes:
            yield f"rf_close{POINTERS[self.ports[name].element]}({name}, {name}_step, i, count, {name}_b);"

    def element(self, port: Port) -> str:
        """The C type of a row's buffer: integers are read as numbers of the computing dtype."""
        return {"mask": "uint8_t", "int": "int64_t" if port.output else self.ctype}.get(port.element, self.ctype)

    def open_write(self, port: Port) -> str:
        n = port.name
        return f"{self.element(port)} *{n}_b = rf_open{POINTERS[port.element]}({n}, {n}_step, i, {n}_buffer);"

    def open_read(self, port: Port, written: bool) -> Iterable[str]:
        n = port.name
        read = f"rf_read{POINTERS[port.element]}({n}, {n}_step, i, count, {n}_buffer)"
        if not written:
            yield f"const {self.element(port)} *{n}_b = {read};"
            return
        yield self.open_write(port)
        yield f"(void){read};"

    def phase(self, phase: Phase, ahead: tuple[str, ...]) -> Iterable[str]:
        lanes = self.kernel.lanes
        yield f"for (; j < whole; j += {lanes}) {{"
        for name in ahead:
            write = int(self.ports[name].output)
            yield f"    RF_PREFETCH({name}, (i + j) * (intptr_t)sizeof({self.ctype}) + {AHEAD}, {write});"
        yield from indented(map(self.stmt, phase.body))
        yield "}"
        yield "if (j < count) {"
        tail = [self.stmt(s) for s in phase.tail]
        if any(re.search(r"\blive\b", line) for line in tail):
            tail.insert(0, "const rf_mask live = rf_first_lanes(count - j);")
        yield from indented(tail)
        yield "}"

    def turns(self, phase: Phase, names: tuple[str, ...]) -> Iterable[str]:
        """The body once for each accumulator, in scopes of their own."""
        lanes = self.kernel.lanes
        yield f"for (; j + {(TURNS - 1) * lanes} < whole; j += {TURNS * lanes}) {{"
        for u in range(TURNS):
            pattern = re.compile(rf"\b(?:j|{'|'.join(names)})\b")
            turn = {"j": f"j + {u * lanes}"} | {name: turn_name(name, u) for name in names} if u else {}
            lines = (pattern.sub(lambda m, t=turn: t.get(m[0], m[0]), self.stmt(s)) for s in phase.body)  # type: ignore[misc]
            yield from indented(["{", *indented(lines), "}"])
        yield "}"

    # statements

    def stmt(self, s: Stmt) -> str:
        if s.results and s.results[0].kind in ONE_OF:
            return self._small(s)
        if s.results and s.results[0].kind is Kind.POOL:
            given = [self.arg(a, Kind.NUM) for a in s.args]
            return f"rf_pool {s.results[0].name}; rf_pool_start(&{s.results[0].name}, {', '.join(given)});"
        if s.results and s.results[0].kind is Kind.BEST:
            return f"rf_best {s.results[0].name}; rf_best_start(&{s.results[0].name}, {s.results[0].size});"
        if s.call and len(s.results) > 1:
            return self._call_many(s)
        if not s.results:
            return f"{self.effect(s)};"
        if s.word == "parts":
            return f"RF_ALIGNED {self.ctype} {s.results[0].name}[{16 * self.kernel.lanes}];"
        var = s.results[0]
        if s.assign:
            return f"{var.name} = {self.value(s)};"
        const = "" if var.name in self.mutable else "const "
        return f"{const}{CTYPES[var.kind]} {var.name} = {self.value(s)};"

    def _small(self, s: Stmt) -> str:
        """A statement on a k-vector: the same on each of its entries."""
        size = s.results[0].size
        declared = f"{CTYPES[s.results[0].kind]} {', '.join(f'{v.name}[{size}]' for v in s.results)};"
        if s.word in WHOLE:
            source = s.args[0]
            assert isinstance(source, Var)
            return f"{declared} {WHOLE[s.word]}({self.whole(source)}, {size}, {s.results[0].name});"
        each = replace(s, results=tuple(Var(f"{v.name}[entry]", ONE_OF[v.kind]) for v in s.results))
        if s.call and len(s.results) > 1:
            text = self._call_many(each).split("; ", 1)[1]
        else:
            text = f"{each.results[0].name} = {self.number(each)};"
        return f"{declared} for (int entry = 0; entry < {size}; ++entry) {text}"

    def whole(self, var: Var) -> str:
        return f"&{var.name}" if var.kind is Kind.BEST else var.name

    def _call_many(self, s: Stmt) -> str:
        kind = s.results[0].kind
        prefix = "rf_" if kind is Kind.VEC or s.word == "fold2" else "num_"
        word = "two_sum2" if s.word == "two_sum" else s.word
        given = [self.arg(a, kind) for a in s.args] + [f"&{v.name}" for v in s.results]
        declared = ", ".join(v.name for v in s.results)
        return f"{CTYPES[kind]} {declared}; {prefix}{word}({', '.join(given)});"

    def effect(self, s: Stmt) -> str:
        port = s.args[0]
        match s.word:
            case "put":
                assert isinstance(port, Var)
                return f"rf_store({port.name} + j, {self.arg(s.args[1], Kind.VEC)})"
            case "best_take" | "best_take_where" | "pool_take" | "pool_solve" | "pool_add" | "pool_step":
                assert isinstance(port, Var)
                others = [a.name for a in s.args[1:] if isinstance(a, Var)]
                given = [f"&{port.name}", *others, *EXTENT.get(s.word, ())]
                return f"rf_{s.word}({', '.join(given)})"
            case "result" if self.ports[str(port)].entries:
                place = f"{port} + entry * {port}_step"
                word = f"num_result{RESULTS[self.ports[str(port)].element]}"
                size = self.ports[str(port)].entries
                return f"for (int entry = 0; entry < {size}; ++entry) {word}({place}, {self.arg(s.args[1], Kind.NUM)})"
            case "result":
                return f"num_result{RESULTS[self.ports[str(port)].element]}({port}, {self.arg(s.args[1], Kind.NUM)})"
            case "store_mask_tail" | "store_int_tail":
                return f"rf_{s.word}({port}_b + j, {self.arg(s.args[1], Kind.VEC)}, count - j)"
            case _:
                rest = [self.arg(a, Kind.VEC) for a in s.args[1:]]
                return f"rf_{s.word}({', '.join([f'{port}_b + j', *rest])})"

    def value(self, s: Stmt) -> str:
        kind = s.results[0].kind
        if kind in (Kind.NUM, Kind.FLAG):
            return self.number(s)
        if s.word == "copy":
            return self.arg(s.args[0], kind)
        if s.word in ("best_bar", "pool_bar"):
            assert isinstance(s.args[0], Var)
            return f"rf_{s.word}(&{s.args[0].name})"
        if s.word in ("set", "set_lo"):
            return f"rf_{s.word}({self.arg(s.args[0], Kind.NUM)})"
        if s.word in ("positions", "vector_number"):
            return f"rf_{s.word}(i + j)"
        if s.word == "uniform":
            return f"rf_uniform(i + j, num_key({s.args[0]}))"
        if s.word.startswith("load"):
            rest = ["count - j"] if s.word == "load_mask_tail" else [self.arg(a, kind) for a in s.args[1:]]
            return f"rf_{s.word}({', '.join([f'{s.args[0]}_b + j', *rest])})"
        given = [self.arg(a, Kind.VEC) for a in s.args]
        if s.word in WITH_COUNT:
            given.insert(WITH_COUNT[s.word], "vectors")
        return f"rf_{s.word}({', '.join(given)})"

    def number(self, s: Stmt) -> str:
        if s.word in SMALL_FOLDS and isinstance(source := s.args[0], Var) and source.size:
            index = f"[{int(s.args[1])}]" if s.word == "pick" and isinstance(s.args[1], float) else ""
            return source.name + index if index else f"num_{s.word}({source.name}, {source.size})"
        a = [self.arg(x, Kind.NUM) for x in s.args]
        if s.word in INFIX and not s.call:
            return f"{a[0]} {INFIX[s.word]} {a[1]}"
        match s.word:
            case "pool_high" | "pool_low" | "pool_solved":
                return f"rf_{s.word}(&{a[0]})"
            case "copy" | "from_flag":
                return a[0]
            case "neg":
                return f"-{a[0]}"
            case "not":
                return f"!{a[0]}"
            case "any":
                return f"rf_any({a[0]})"
            case "scalar":
                port = self.ports[str(s.args[0])]
                return f"num_{'index' if port.element == 'index' else 'scalar'}({port.name})"
            case "uniform":
                return f"num_uniform({a[0]}, num_key({a[1]}))"
            case "element":
                port = self.ports[str(s.args[0])]
                return f"{ELEMENT[port.element]}({port.name}, {port.name}_step, n, {a[1]})"
        return f"{'rf_' if s.word in FOLDS else 'num_'}{s.word}({', '.join(a)})"

    def arg(self, a: Arg, kind: Kind) -> str:
        if isinstance(a, Var):
            return f"{a.name}[entry]" if a.kind in ONE_OF else a.name
        if isinstance(a, str):
            return a
        return f"rf_set({literal(a)})" if kind in (Kind.VEC, Kind.MASK, Kind.ACC) else literal(a)
