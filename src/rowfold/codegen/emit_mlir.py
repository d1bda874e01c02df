"""Kernel -> MLIR as text: func, scf, arith, memref and vector operations, with the project's own exponentials.

A row has unit stride; strided rows are what the C and the LLVM IR copy into blocks. `math` is asked for what is one
instruction: fma, sqrt, rounding, absolute value and sign.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .loops import Kernel, Port
from .source import symbol_of
from .ssa.values import BITS, FLAG, INDEX, Again, Builder, Carried, Type, Value, bits_of
from .ssa.walk import write_row

FLOATS = {"add": "addf", "sub": "subf", "mul": "mulf", "div": "divf", "neg": "negf"}
INTEGERS = {"add": "addi", "sub": "subi", "mul": "muli", "and": "andi", "or": "ori", "xor": "xori", "shl": "shli",
            "shr": "shrui"}  # fmt: skip
FLOAT_TESTS = {"lt": 4, "le": 5, "gt": 2, "ge": 3, "eq": 1, "ne": 13}  # ordered, but for "ne"
INTEGER_TESTS = {"lt": 2, "le": 3, "gt": 4, "ge": 5, "eq": 0, "ne": 1}  # signed
MATHS = {"fma": "fma", "sqrt": "sqrt", "rint": "roundeven", "floor": "floor", "abs": "absf", "copysign": "copysign"}
CONVERSIONS = {"widen": "extf", "narrow": "truncf", "to_int": "fptosi", "from_int": "sitofp", "extend": "extui",
               "truncate": "trunci", "bits": "bitcast"}  # fmt: skip
WIDTHS = {"i8": 8, "i32": 32, "i64": 64}


def emit(kernel: Kernel, strategy: str, version: str) -> str:
    """The module of a kernel. Same input, same bytes."""
    symbol = symbol_of(kernel.name, kernel.dtype, strategy, "mlir")
    banner = (symbol, "", *kernel.banner, "", f"Written by rowfold {version}.")
    lines = ["module {", *MlirBuilder(kernel).function(symbol), "}"]
    return "\n".join([*(f"// {line}".rstrip() for line in banner), "", *indented(lines), ""])


def indented(lines: Sequence[str]) -> list[str]:
    """Two spaces for every brace that is open."""
    made, depth = [], 0
    for line in lines:
        depth -= line.startswith("}")
        made.append("  " * depth + line)
        depth += line.endswith("{")
    return made


class MlirBuilder(Builder):
    """Writes MLIR's text. Constants and room stand at the head of the function."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.head: list[str] = []
        self.constants: dict[tuple[str, Type], Value] = {}
        self.rooms: dict[str, str] = {}
        self.starts: dict[str, Value] = {}
        self.row = Value(self, "%row", INDEX)

    def function(self, symbol: str) -> list[str]:
        ports = self.kernel.ports
        self._taken = {p.name: 1 for p in ports} | {"row": 1}
        arguments = ", ".join(f"%{p.name}: {self.memory(p)}" for p in ports)
        first = next(p for p in ports if p.row)
        rows, n = (self.size(first, k, name) for k, name in enumerate(("rows", "n")))

        def one(row: Value, _: list[Value]) -> list[Value]:
            self.row = row
            write_row(self, n, rounds=True)
            return []

        self.loop((self.const(0, INDEX), rows, 1), [], one)
        return [f"func.func @{symbol}({arguments}) {{", *self.head, *self.lines, "return", "}"]

    def size(self, port: Port, axis: int, name: str) -> Value:
        where = self.const(axis, INDEX)
        return self.line(f"memref.dim %{port.name}, {where.text} : {self.memory(port)}", INDEX, name)

    def comment(self, text: str) -> None:
        self.lines.append(f"// {text}")

    # texts

    def name(self, of: Type) -> str:
        return f"vector<{of.lanes}x{of.element}>" if of.lanes else of.element

    def stored(self, port: Port) -> str:
        kinds = {"mask": "i8", "int": "i64", "index": "i64", "key": "i64", "double": "f64", "total": "f64"}
        return kinds.get(port.element, self.kernel.dtype)

    def memory(self, port: Port) -> str:
        if port.strided:
            return f"memref<?x?x{self.stored(port)}, strided<[?, 1]>>"
        return f"memref<?x{self.stored(port)}>"

    def const(self, value: float, type: Type) -> Value:  # noqa: A002
        element = type.element
        if element in BITS:
            text = f"0x{bits_of(value, element):0{16 if element == 'f64' else 8}X}"
        elif element == "i1":
            text = str(bool(value)).lower()
        else:
            text = str(signed(int(value), WIDTHS.get(element, 64)))
        text = f"dense<{text}>" if type.lanes else text
        if (text, type) not in self.constants:
            name = self.fresh("c")
            typed = "" if type == FLAG else f" : {self.name(type)}"
            self.head.append(f"{name} = arith.constant {text}{typed}")
            self.constants[text, type] = Value(self, name, type)
        return self.constants[text, type]

    # arithmetic

    def operation(self, word: str, values: Sequence[Value], result: Type) -> Value:
        of = values[0].type
        texts, typed = ", ".join(v.text for v in values), self.name(of)
        if word == "select":
            return self.general("arith.select", values, result)
        if word == "not":
            return self.line(f"arith.xori {texts}, {self.const(-1, of).text} : {typed}", result)
        if word in MATHS:
            return self.line(f"math.{MATHS[word]} {texts} : {typed}", result)
        real = of.element in BITS
        if word in FLOAT_TESTS:
            test = FLOAT_TESTS[word] if real else INTEGER_TESTS[word]
            properties = f"predicate = {test} : i64{', fastmath = #arith.fastmath<none>' if real else ''}"
            return self.general("arith.cmpf" if real else "arith.cmpi", values, result, f" <{{{properties}}}>")
        return self.line(f"arith.{(FLOATS if real else INTEGERS)[word]} {texts} : {typed}", result)

    def general(self, name: str, values: Sequence[Value], result: Type, properties: str = "") -> Value:
        """The form that every reader knows; xdsl's short ones of these operations have no vectors."""
        types = f"({', '.join(self.name(v.type) for v in values)}) -> {self.name(result)}"
        return self.line(f'"{name}"({", ".join(v.text for v in values)}){properties} : {types}', result)

    def convert(self, word: str, value: Value, element: str) -> Value:
        of = value.type
        if word == "wide":
            return value if of.element == "i64" else self.cast(value, "i64")
        if of.element == "index":
            value = self.cast(value, "i64")
        if element == "index":
            return self.cast(self.convert(word, value, "i64"), "index")
        to = of.of(element)
        text = f"arith.{CONVERSIONS[word]} {value.text} : {self.name(value.type)} to {self.name(to)}"
        return self.line(text, to)

    def cast(self, value: Value, element: str) -> Value:
        to = value.type.of(element)
        return self.line(f"arith.index_cast {value.text} : {self.name(value.type)} to {self.name(to)}", to)

    def splat(self, number: Value, lanes: int) -> Value:
        to = Type(number.type.element, lanes)
        return self.line(f"vector.broadcast {number.text} : {self.name(number.type)} to {self.name(to)}", to)

    def shuffle(self, a: Value, b: Value, places: Sequence[int]) -> Value:
        to = Type(a.type.element, len(places))
        typed = f"{self.name(a.type)}, {self.name(b.type)}"
        return self.line(f"vector.shuffle {a.text}, {b.text} [{', '.join(map(str, places))}] : {typed}", to)

    def lane(self, vector: Value, which: int) -> Value:
        of = Type(vector.type.element)
        return self.line(f"vector.extract {vector.text}[{which}] : {of.element} from {self.name(vector.type)}", of)

    def lanes_from(self, first: Value, lanes: int) -> Value:
        of = Type("i64", lanes)
        numbers = self.line(f"arith.constant dense<[{', '.join(map(str, range(lanes)))}]> : {self.name(of)}", of)
        return self.splat(self.cast(first, "i64"), lanes) + numbers

    def first_lanes(self, count: Value, lanes: int) -> Value:
        of = Type("i1", lanes)
        return self.line(f"vector.create_mask {count.text} : {self.name(of)}", of)

    def any(self, mask: Value) -> Value:
        return self.line(f"vector.reduction <or>, {mask.text} : {self.name(mask.type)} into i1", FLAG)

    def lowest(self, vector: Value) -> Value:
        of = Type(vector.type.element)
        return self.line(f"vector.reduction <minui>, {vector.text} : {self.name(vector.type)} into {of.element}", of)

    # control

    def opened(self, names: Sequence[Value], text: str) -> None:
        made = f"{', '.join(v.text for v in names)} = " if names else ""
        self.lines.append(made + text)

    def given(self, values: Carried) -> None:
        if values:
            types = ", ".join(self.name(v.type) for v in values)
            self.lines.append(f"scf.yield {', '.join(v.text for v in values)} : {types}")

    def like(self, values: Carried) -> list[Value]:
        return [Value(self, self.fresh(v.text.lstrip("%").split(".")[0]), v.type) for v in values]

    def loop(
        self, bounds: tuple[Value, Value, int], carried: Carried, body: Callable[[Value, list[Value]], list[Value]]
    ) -> list[Value]:
        low, high, step = bounds[0], bounds[1], self.const(bounds[2], INDEX)
        at, inner, made = Value(self, self.fresh("at"), INDEX), self.like(carried), self.like(carried)
        text = f"scf.for {at.text} = {low.text} to {high.text} step {step.text}"
        if carried:
            starts = ", ".join(f"{i.text} = {c.text}" for i, c in zip(inner, carried, strict=True))
            text += f" iter_args({starts}) -> ({', '.join(self.name(c.type) for c in carried)})"
        self.opened(made, f"{text} {{")
        self.given(body(at, inner))
        self.lines.append("}")
        return made

    def branch(
        self, test: Value, then: Callable[[], list[Value]], otherwise: Carried, rare: bool = False
    ) -> list[Value]:
        made = self.like(otherwise)
        types = f" -> ({', '.join(self.name(v.type) for v in otherwise)})" if made else ""
        self.opened(made, f"scf.if {test.text}{types} {{")
        self.given(then())
        if made:
            self.lines.append("} else {")
            self.given(otherwise)
        self.lines.append("}")
        return made

    def seek(self, stop: Value, test: Callable[[Value], Value]) -> Value:
        at, here, before = (Value(self, self.fresh("at"), INDEX) for _ in range(3))
        self.opened([at], f"scf.while ({here.text} = {self.const(0, INDEX).text}) : (index) -> index {{")
        (going,) = self.branch(here < stop, lambda: [~test(here)], [self.const(0, FLAG)])
        self.lines += [f"scf.condition({going.text}) {here.text} : index", "} do {", f"^bb0({before.text}: index):"]
        self.given([before + self.const(1, INDEX)])
        self.lines.append("}")
        return at

    def until(self, done: Value, carried: Carried, body: Again) -> list[Value]:
        """The flag travels with the values; the test stands before the body."""
        every = [done, *carried]
        made, before, inner = self.like(every), self.like(every), self.like(every)
        types = ", ".join(self.name(v.type) for v in every)
        starts = ", ".join(f"{i.text} = {v.text}" for i, v in zip(before, every, strict=True))
        self.opened(made, f"scf.while ({starts}) : ({types}) -> ({types}) {{")
        going = ~before[0]
        self.lines.append(f"scf.condition({going.text}) {', '.join(v.text for v in before)} : {types}")
        self.lines += ["} do {", f"^bb0({', '.join(f'{v.text}: {self.name(v.type)}' for v in inner)}):"]
        stop, results = body(inner[1:])
        self.given([stop, *results])
        self.lines.append("}")
        return made[1:]

    # memory

    def open(self, port: Port, start: Value, count: Value, *, read: bool) -> None:
        self.starts[port.name] = start

    def close(self, port: Port, start: Value, count: Value) -> None:
        """A row is written in place."""

    def place(self, port: Port, at: Value | None) -> str:
        return f"%{port.name}[{self.row.text}{f', {at.text}' if at else ''}]"

    def load(self, port: Port, at: Value, live: Value | None) -> Value:
        of = Type(self.stored(port), self.kernel.lanes)
        place, memory = self.place(port, self.starts[port.name] + at), self.memory(port)
        if live is None:
            vector = self.line(f"vector.load {place} : {memory}, {self.name(of)}", of)
        else:
            zero = self.const(0.0, of)
            types = f"{memory}, {self.name(live.type)}, {self.name(of)} into {self.name(of)}"
            vector = self.line(f"vector.maskedload {place}, {live.text}, {zero.text} : {types}", of)
        if port.element == "mask":
            return vector.ne(0)
        return self.convert("from_int", vector, self.kernel.dtype) if port.element == "int" else vector

    def store(self, port: Port, at: Value, vector: Value, live: Value | None) -> None:
        place, memory = self.place(port, self.starts[port.name] + at), self.memory(port)
        if live is None:
            self.lines.append(f"vector.store {vector.text}, {place} : {memory}, {self.name(vector.type)}")
        else:
            types = f"{memory}, {self.name(live.type)}, {self.name(vector.type)}"
            self.lines.append(f"vector.maskedstore {place}, {live.text}, {vector.text} : {types}")

    def read(self, port: Port, at: Value | None) -> Value:
        return self.line(f"memref.load {self.place(port, at)} : {self.memory(port)}", Type(self.stored(port)))

    def number(self, port: Port) -> Value:
        value = self.read(port, None)
        return self.convert("from_int", value, "f64") if value.type.element == "i64" else value

    def length(self, port: Port) -> Value:
        return self.size(port, 1, f"{port.name}_length")

    def field(self, port: Port, at: Value) -> Value:
        return self.read(port, at)

    def key(self, port: Port) -> Value:
        return self.read(port, None)

    def element(self, port: Port, at: Value) -> Value:
        value = self.read(port, at)
        match value.type.element:
            case "i8":
                return self.apply("select", value.ne(0), self.const(1.0, Type("f64")), 0.0)
            case "i64":
                return self.convert("from_int", value, "f64")
            case "f32":
                return self.convert("widen", value, "f64")
        return value

    def result(self, port: Port, value: Value, entry: Value | None = None) -> None:
        self.lines.append(f"memref.store {value.text}, {self.place(port, entry)} : {self.memory(port)}")

    def total(self, port: Port, at: Value, of: Type) -> Value:
        return self.line(f"vector.load %{port.name}[{at.text}] : {self.memory(port)}, {self.name(of)}", of)

    def keep_total(self, port: Port, at: Value, value: Value) -> None:
        types = f"{self.memory(port)}, {self.name(value.type)}"
        self.lines.append(f"vector.store {value.text}, %{port.name}[{at.text}] : {types}")

    def array(self, name: str, of: Type, count: int) -> Value:
        room, memory = self.fresh(name), f"memref<{count}x{of.element}>"
        self.head.append(f"{room} = memref.alloca() : {memory}")
        self.rooms[room] = memory
        return Value(self, room, Type("ptr"))

    def load_array(self, array: Value, at: Value, of: Type) -> Value:
        text = f"{array.text}[{at.text}] : {self.rooms[array.text]}"
        return self.line(f"vector.load {text}, {self.name(of)}" if of.lanes else f"memref.load {text}", of)

    def store_array(self, array: Value, at: Value, value: Value) -> None:
        text = f"{value.text}, {array.text}[{at.text}] : {self.rooms[array.text]}"
        kind, types = ("vector", f", {self.name(value.type)}") if value.type.lanes else ("memref", "")
        self.lines.append(f"{kind}.store {text}{types}")


def signed(value: int, width: int) -> int:
    """An integer of so many bits, as two's complement reads it."""
    half = 1 << (width - 1)
    return (value + half) % (2 * half) - half
