"""LLVM's text for operations, loops and branches; what touches memory is in llvm_memory."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from ..loops import Kernel
from ..mathlib.coefficients import SIXTEENTHS
from ..targets import Target
from .llvm_eights import eights, fours
from .values import BITS, INDEX, Again, Body, Builder, Carried, Type, Value, bits_of

PTR = Type("ptr")
FLOATS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "neg": "fneg", "lt": "fcmp olt", "le": "fcmp ole",
          "gt": "fcmp ogt", "ge": "fcmp oge", "eq": "fcmp oeq", "ne": "fcmp une"}  # fmt: skip
INTEGERS = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor", "shl": "shl",
            "shr": "lshr", "lt": "icmp slt", "le": "icmp sle", "gt": "icmp sgt", "ge": "icmp sge", "eq": "icmp eq",
            "ne": "icmp ne"}  # fmt: skip
CALLS = {"fma": "fma", "sqrt": "sqrt", "rint": "rint", "floor": "floor", "abs": "fabs", "copysign": "copysign"}
CONVERSIONS = {"widen": "fpext", "narrow": "fptrunc", "to_int": "fptosi", "from_int": "sitofp", "extend": "zext",
               "truncate": "trunc", "bits": "bitcast",
               "wide": "sext"}  # fmt: skip
NATIVE = {"scale": "scalef", "exponent": "getexp", "mantissa": "getmant"}  # AVX-512's names
WEIGHTS = ('!0 = !{!"branch_weights", i32 1, i32 2000}', '!2 = !{!"branch_weights", i32 2000, i32 1}')
RARE, LIKELY = ", !prof !0", ", !prof !2"  # what LLVM makes a branch of, which nothing has to wait for
SIZES = {"f32": 4, "f64": 8, "i8": 1, "i16": 2, "i64": 8}


class LlvmText(Builder, ABC):
    """Writes LLVM's text. A constant is written where it is used."""

    def __init__(self, kernel: Kernel, target: Target, shared: dict[str, list[str]]) -> None:
        super().__init__()
        self.kernel, self.target = kernel, target
        self.adds_exponents = target.vocabulary == "avx2"
        self.label = "entry"
        self.shared = shared  # functions of the module that several others call
        self.head: list[str] = []  # room on the stack, in the entry block

    def comment(self, text: str) -> None:
        self.lines.append(f"; {text}")

    # texts

    def name(self, of: Type) -> str:
        names = {"f16": "half", "f32": "float", "f64": "double", "index": self.target.index}
        element = names.get(of.element, of.element)
        return f"<{of.lanes} x {element}>" if of.lanes else element

    def typed(self, value: Value) -> str:
        return f"{self.name(value.type)} {value.text}"

    def suffix(self, of: Type) -> str:
        element = self.target.index if of.element == "index" else of.element
        return f"v{of.lanes}{element}" if of.lanes else element

    def const(self, value: float, type: Type) -> Value:  # noqa: A002
        if type.element in BITS:
            exact = value if type.element == "f64" else single(value)
            text = f"0x{bits_of(exact, 'f64'):016X}"
        else:
            text = str(int(value)) if type.element != "i1" else str(bool(value)).lower()
        element = self.name(Type(type.element))
        return Value(self, f"splat ({element} {text})" if type.lanes else text, type)

    # arithmetic

    def operation(self, word: str, values: Sequence[Value], result: Type) -> Value:
        of = values[0].type
        texts = ", ".join(v.text for v in values)
        if word == "select":
            return self.line(f"select {', '.join(map(self.typed, values))}", result)
        if word == "not":
            return self.line(f"xor {self.typed(values[0])}, {self.const(-1, of).text}", result)
        if word in CALLS:
            return self.intrinsic(f"{CALLS[word]}.{self.suffix(of)}", values, result)
        table = FLOATS if of.element in BITS else INTEGERS
        return self.line(f"{table[word]} {self.name(of)} {texts}", result)

    def choose(self, test: Value, then: Value, otherwise: Value) -> Value:
        given = ", ".join(map(self.typed, (test, then, otherwise)))
        return self.line(f"select {given}{LIKELY if not test.type.lanes else ''}", then.type)

    def intrinsic(self, name: str, values: Sequence[Value], result: Type) -> Value:
        return self.line(f"call {self.name(result)} @llvm.{name}({', '.join(map(self.typed, values))})", result)

    def convert(self, word: str, value: Value, element: str) -> Value:
        to = value.type.of(element)
        if word == "wide" and self.target.index == "i64":
            return Value(self, value.text, to)
        return self.line(f"{CONVERSIONS[word]} {self.typed(value)} to {self.name(to)}", to)

    def splat(self, number: Value, lanes: int) -> Value:
        of = Type(number.type.element, lanes)
        one = self.line(f"insertelement {self.name(of)} poison, {self.typed(number)}, i64 0", of)
        return self.shuffle(one, one, [0] * lanes)

    def shuffle(self, a: Value, b: Value, places: Sequence[int]) -> Value:
        of = Type(a.type.element, len(places))
        mask = ", ".join(f"i32 {p}" for p in places)
        return self.line(f"shufflevector {self.typed(a)}, {self.typed(b)}, <{len(places)} x i32> <{mask}>", of)

    def lane(self, vector: Value, which: int) -> Value:
        return self.line(f"extractelement {self.typed(vector)}, i64 {which}", Type(vector.type.element))

    def lanes_from(self, first: Value, lanes: int) -> Value:
        return self.splat(first, lanes) + self.iota(INDEX, lanes)

    def iota(self, of: Type, lanes: int) -> Value:
        element = self.name(of)
        return Value(self, f"<{', '.join(f'{element} {k}' for k in range(lanes))}>", Type(of.element, lanes))

    def first_lanes(self, count: Value, lanes: int) -> Value:
        number = self.line(f"trunc {self.typed(count)} to i32", Type("i32")) if self.target.index != "i32" else count
        number = Value(self, number.text, Type("i32"))
        return self.iota(Type("i32"), lanes) < self.splat(number, lanes)

    def any(self, mask: Value) -> Value:
        bits = self.line(f"bitcast {self.typed(mask)} to i{mask.type.lanes}", Type(f"i{mask.type.lanes}"))
        return bits.ne(0)

    def lowest(self, vector: Value) -> Value:
        return self.intrinsic(f"vector.reduce.umin.{self.suffix(vector.type)}", [vector], Type(vector.type.element))

    def native(self, word: str, values: Sequence[Value]) -> Value | None:
        of = values[0].type
        if word == "first":  # the lowest bit that is set
            bits = self.line(f"bitcast {self.typed(values[0])} to i{of.lanes}", Type(f"i{of.lanes}"))
            lowest = bits & (self.const(0, bits.type) - bits)
            return self.line(f"bitcast {self.typed(lowest)} to {self.name(of)}", of)
        if self.target.vocabulary == "avx2":
            return (eights if of.element == "f32" else fours)(self, word, *values)
        if self.target.vocabulary != "avx512" or word == "scaled_sixteenth":
            return None
        if word == "sixteenth":
            return self.sixteenth(values[0])
        most = 64 // SIZES[of.element]
        if of.lanes > most:
            halves = [self.native(word, [self.half(v, which) for v in values]) for which in (0, 1)]
            assert halves[0] is not None and halves[1] is not None
            return self.shuffle(halves[0], halves[1], range(of.lanes))
        kind = "ps" if of.element == "f32" else "pd"
        given = [*map(self.typed, values), *["i32 0"] * (word == "mantissa")]  # in [1, 2), with the sign
        given += [f"{self.name(of)} zeroinitializer", f"i{most} -1", "i32 4"]  # all lanes, the current rounding
        name = f"llvm.x86.avx512.mask.{NATIVE[word]}.{kind}.512"
        return self.line(f"call {self.name(of)} @{name}({', '.join(given)})", of)

    def sixteenth(self, z: Value) -> Value:
        """A table lookup by the low four bits."""
        of = z.type
        places = self.convert("bits", z, "i32" if of.element == "f32" else "i64")
        text = [self.const(entry, Type(of.element)) for entry in SIXTEENTHS[of.element]]
        if of.element == "f32":
            table = f"<{', '.join(map(self.typed, text))}>"
            given = f"{self.name(of)} {table}, {self.typed(places)}"
            return self.line(f"call {self.name(of)} @llvm.x86.avx512.permvar.sf.512({given})", of)
        low, high = (f"{self.name(of)} <{', '.join(map(self.typed, half))}>" for half in (text[:8], text[8:]))
        given = f"{low}, {self.typed(places)}, {high}"
        return self.line(f"call {self.name(of)} @llvm.x86.avx512.vpermi2var.pd.512({given})", of)

    # functions

    @abstractmethod
    def another(self) -> LlvmText:
        """A builder for one more function of this module."""

    def reserve(self, *names: str) -> None:
        """Names of parameters, which no value may have."""
        self._taken.update((name, self._taken.get(name, 0) + 1) for name in names)

    def defined(self, head: str, result: str = "void", value: str = "") -> list[str]:
        """The function of all lines so far."""
        lines = [*self.head, *self.lines, f"ret {result}{value and ' '}{value}"]
        indented = (line if line.endswith(":") else f"  {line}" for line in lines)
        return [f"define internal {result} {head} #0 {{", "entry:", *indented, "}"]

    def subroutine(self, name: str, given: Carried, results: Sequence[Type], body: Body) -> list[Value]:
        if name not in self.shared:
            b = self.another()
            parameters = [Value(b, b.fresh("given"), v.type) for v in given]
            made = body(b, parameters)
            struct, packed = f"{{ {', '.join(map(self.name, results))} }}", "poison"
            for k, value in enumerate(made):
                packed = b.line(f"insertvalue {struct} {packed}, {b.typed(value)}, {k}", value.type).text
            head = f"@{name}({', '.join(b.typed(p) for p in parameters)})"
            self.shared[name] = b.defined(head, struct, packed) if made else b.defined(head)
        struct = f"{{ {', '.join(map(self.name, results))} }}" if results else "void"
        call = f"call {struct} @{name}({', '.join(map(self.typed, given))})"
        if not results:
            self.lines.append(call)
            return []
        whole = self.line(call, PTR).text
        return [self.line(f"extractvalue {struct} {whole}, {k}", of) for k, of in enumerate(results)]

    # control

    def begin(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.label = label

    def phis(self, values: Carried, sources: Callable[[int], Sequence[tuple[str, str]]], name: str) -> list[Value]:
        made = []
        for k, value in enumerate(values):
            parts = ", ".join(f"[ {text}, %{label} ]" for text, label in sources(k))
            wanted = value.text.lstrip("%").split(".")[0] if value.text.startswith("%") else name
            made.append(self.line(f"phi {self.name(value.type)} {parts}", value.type, wanted))
        return made

    def loop(
        self, bounds: tuple[Value, Value, int], carried: Carried, body: Callable[[Value, list[Value]], list[Value]]
    ) -> list[Value]:
        """The test stands before the loop and at its end."""
        low, high, step = bounds
        label, end = self.fresh("loop")[1:], self.fresh("done")[1:]
        before = self.label
        test = low < high
        self.lines.append(f"br {self.typed(test)}, label %{label}, label %{end}")
        self.begin(label)
        first = len(self.lines)
        heads = self.phis([low, *carried], lambda k: [([low, *carried][k].text, before)], "at")
        results = body(heads[0], heads[1:])
        following = heads[0] + self.const(step, INDEX)
        again = following < high
        last = self.label
        self.lines.append(f"br {self.typed(again)}, label %{label}, label %{end}")
        for k, value in enumerate([following, *results]):
            self.lines[first + k] += f", [ {value.text}, %{last} ]"
        self.begin(end)
        return self.phis(carried, lambda k: [(carried[k].text, before), (results[k].text, last)], "v")

    def branch(
        self, test: Value, then: Callable[[], list[Value]], otherwise: Carried, rare: bool = False
    ) -> list[Value]:
        label, end = self.fresh("rare" if rare else "then")[1:], self.fresh("on")[1:]
        before = self.label
        self.lines.append(f"br {self.typed(test)}, label %{label}, label %{end}{RARE if rare else ''}")
        self.begin(label)
        results = then()
        last = self.label
        self.lines.append(f"br label %{end}")
        self.begin(end)
        return self.phis(otherwise, lambda k: [(otherwise[k].text, before), (results[k].text, last)], "v")

    def seek(self, stop: Value, test: Callable[[Value], Value]) -> Value:
        label, more, end = (self.fresh(name)[1:] for name in ("seek", "look", "found"))
        before = self.label
        self.lines.append(f"br label %{label}")
        self.begin(label)
        place = len(self.lines)
        at = self.phis([self.const(0, INDEX)], lambda _: [("0", before)], "at")[0]
        self.lines.append(f"br {self.typed(at < stop)}, label %{more}, label %{end}")
        self.begin(more)
        found = test(at)
        following = at + self.const(1, INDEX)
        self.lines[place] += f", [ {following.text}, %{self.label} ]"
        self.lines.append(f"br {self.typed(found)}, label %{end}, label %{label}")
        self.begin(end)
        return at

    def until(self, done: Value, carried: Carried, body: Again) -> list[Value]:
        label, end = (self.fresh(name)[1:] for name in ("again", "settled"))
        before = self.label
        self.lines.append(f"br {self.typed(done)}, label %{end}, label %{label}")
        self.begin(label)
        first = len(self.lines)
        heads = self.phis(carried, lambda k: [(carried[k].text, before)], "v")
        stop, results = body(heads)
        last = self.label
        self.lines.append(f"br {self.typed(stop)}, label %{end}, label %{label}")
        for k, value in enumerate(results):
            self.lines[first + k] += f", [ {value.text}, %{last} ]"
        self.begin(end)
        return self.phis(carried, lambda k: [(carried[k].text, before), (results[k].text, last)], "v")

    # places

    def bytes_on(self, base: Value, count: Value, name: str = "p") -> Value:
        return self.line(f"getelementptr i8, {self.typed(base)}, {self.typed(count)}", PTR, name)

    def elements_on(self, base: Value, at: Value, element: str) -> Value:
        return self.line(f"getelementptr {self.name(Type(element))}, {self.typed(base)}, {self.typed(at)}", PTR, "p")

    def read(self, place: Value, of: Type, align: int = 1) -> Value:
        return self.line(f"load {self.name(of)}, {self.typed(place)}, align {align}", of)

    def write(self, place: Value, value: Value, align: int = 1) -> None:
        self.lines.append(f"store {self.typed(value)}, {self.typed(place)}, align {align}")


def single(value: float) -> float:
    """Rounded to float32."""
    return float(struct.unpack("<f", bits_of(value, "f32").to_bytes(4, "little"))[0])
