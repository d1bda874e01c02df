"""Kernel -> LLVM IR as text: vectors of the kernel's lanes, the same statements and bits as the C.

No fast-math flag and no contraction: LLVM may not reorder what the plan ordered. Pointers are opaque (LLVM 15 and later).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .isas import isa_of
from .loops import VECTORS, Kernel, Port
from .source import Source, symbol_of
from .ssa import BITS, FLAG, INDEX, Builder, Carried, Type, Value, bits_of
from .targets import Target
from .walk_ssa import write_row

PTR = Type("ptr")
FLOATS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "neg": "fneg", "lt": "fcmp olt", "le": "fcmp ole",
          "gt": "fcmp ogt", "ge": "fcmp oge", "eq": "fcmp oeq", "ne": "fcmp une"}  # fmt: skip
INTEGERS = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor", "shl": "shl",
            "shr": "lshr", "lt": "icmp slt", "le": "icmp sle", "gt": "icmp sgt", "ge": "icmp sge", "eq": "icmp eq",
            "ne": "icmp ne"}  # fmt: skip
CALLS = {"fma": "fma", "sqrt": "sqrt", "rint": "rint", "floor": "floor", "abs": "fabs", "copysign": "copysign"}
CONVERSIONS = {"widen": "fpext", "narrow": "fptrunc", "to_int": "fptosi", "from_int": "sitofp", "from_flag": "zext",
               "bits": "bitcast"}  # fmt: skip
NATIVE = {"scale": "scalef", "exponent": "getexp", "mantissa": "getmant"}  # AVX-512's names
RARE = ", !prof !0"
SIZES = {"f32": 4, "f64": 8, "i8": 1, "i64": 8}


def emit(kernel: Kernel, target: Target, strategy: str, version: str, signature: str, types: str) -> Source:
    """The LLVM module of a kernel. Same input, same bytes."""
    symbol = symbol_of(kernel.name, kernel.dtype, strategy, target.name)
    isa = isa_of(target.vocabulary)
    body = LlvmBuilder(kernel, target).function(signature)
    banner = (symbol, "", *kernel.banner, "", f"Written by rowfold {version} for {target.name}.")
    features = ",".join(target.features)
    wide = ' "prefer-vector-width"="512" "min-legal-vector-width"="512"' if target.vocabulary == "avx512" else ""
    lines = [
        *(f"; {line}".rstrip() for line in banner),
        *(f'target triple = "{target.triple}"' for _ in range(bool(target.triple))),
        "",
        *body,
        "",
        f"define void @{symbol}(ptr %args, ptr %dims, ptr %steps, ptr %data) #0 {{",
        *(f"  {line}" for line in guarded(target.arch)),
        "}",
        "",
        f'attributes #0 = {{ nounwind "target-features"="{features}"{wide} }}',
        '!0 = !{!"branch_weights", i32 1, i32 2000}',
        "",
    ]
    header = f"void {symbol}(char **args, const intptr_t *dims, const intptr_t *steps, void *data);\n"
    needed = isa.features
    return Source(symbol, "\n".join(lines), header, target.name, (), needed, signature, types, "llvm")


def guarded(arch: str) -> list[str]:
    """The call of all rows, between reading the floating-point flags and writing them back."""
    call = "call void @rows(ptr %args, ptr %dims, ptr %steps)"
    match arch:
        case "x86_64":
            read, write = ("call void @llvm.x86.sse.{}(ptr %flags)".format(w) for w in ("stmxcsr", "ldmxcsr"))  # noqa: UP032
            return ["%flags = alloca i32", read, call, write, "ret void"]
        case "aarch64":
            read = "%flags = call i64 @llvm.aarch64.get.fpsr()"
            return [read, call, "call void @llvm.aarch64.set.fpsr(i64 %flags)", "ret void"]
        case "riscv64":
            read = '%flags = call i64 asm sideeffect "frflags $0", "=r"()'
            return [read, call, 'call void asm sideeffect "fsflags $0", "r"(i64 %flags)', "ret void"]
        case _:  # WebAssembly has no such flags
            return [call, "ret void"]


class Address(NamedTuple):
    """Where a port's row is: its first element, the bytes to its next element, and to the next row."""

    base: Value
    step: Value | None
    next_row: Value


class LlvmBuilder(Builder):
    """Writes LLVM's text. A constant is written where it is used."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        super().__init__()
        self.kernel, self.target = kernel, target
        self.head: list[str] = []  # room on the stack, in the entry block
        self.label = "entry"
        self.addresses: dict[str, Address] = {}
        self.opened: dict[str, Value] = {}
        self.buffers: dict[str, Value] = {}

    # the function

    def function(self, signature: str) -> list[str]:
        """All rows of a batch."""
        dims = [self.load_word("%dims", k, name) for k, name in enumerate(("rows", "n"))]
        ports = self.kernel.ports
        core, bases = len(ports), []
        for k, port in enumerate(ports):
            base = self.line(f"load ptr, ptr {self.word('%args', k, 'ptr').text}", PTR, f"{port.name}_rows")
            next_row = self.load_word("%steps", k, f"{port.name}_next")
            step = self.load_word("%steps", core, f"{port.name}_step") if port.row else None
            core += port.row
            bases.append(Address(base, step, next_row))

        def one(row: Value, _: list[Value]) -> list[Value]:
            for port, a in zip(ports, bases, strict=True):
                self.addresses[port.name] = a._replace(base=self.bytes_on(a.base, row * a.next_row, port.name))
            write_row(self, dims[1], rounds=self.target.vocabulary == "avx2")
            return []

        self.loop((self.const(0, INDEX), dims[0], 1), [], one)
        lines = [*self.head, *self.lines, "ret void"]
        indented = (line if line.endswith(":") else f"  {line}" for line in lines)
        return ["define internal void @rows(ptr %args, ptr %dims, ptr %steps) noinline #0 {", "entry:", *indented, "}"]

    def word(self, array: str, k: int, element: str) -> Value:
        return self.line(f"getelementptr {element}, ptr {array}, {self.name(INDEX)} {k}", PTR, "word")

    def load_word(self, array: str, k: int, name: str) -> Value:
        index = self.name(INDEX)
        return self.line(f"load {index}, ptr {self.word(array, k, index).text}", INDEX, name)

    def comment(self, text: str) -> None:
        self.lines.append(f"; {text}")

    # texts

    def name(self, of: Type) -> str:
        element = {"f32": "float", "f64": "double", "index": self.target.index}.get(of.element, of.element)
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

    def intrinsic(self, name: str, values: Sequence[Value], result: Type) -> Value:
        return self.line(f"call {self.name(result)} @llvm.{name}({', '.join(map(self.typed, values))})", result)

    def convert(self, word: str, value: Value, element: str) -> Value:
        to = value.type.of(element)
        return self.line(f"{CONVERSIONS[word]} {self.typed(value)} to {self.name(to)}", to)

    def splat(self, number: Value, lanes: int) -> Value:
        of = Type(number.type.element, lanes)
        one = self.line(f"insertelement {self.name(of)} poison, {self.typed(number)}, i64 0", of)
        return self.shuffle(one, one, [0] * lanes)

    def shuffle(self, a: Value, b: Value, places: Sequence[int]) -> Value:
        of = Type(a.type.element, len(places))
        mask = ", ".join(f"i32 {p}" for p in places)
        return self.line(f"shufflevector {self.typed(a)}, {self.typed(b)}, <{len(places)} x i32> <{mask}>", of)

    def half(self, vector: Value, which: int) -> Value:
        lanes = vector.type.lanes // 2
        return self.shuffle(vector, vector, range(lanes * which, lanes * (which + 1)))

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
        if self.target.vocabulary != "avx512":
            return None
        of = values[0].type
        most = 64 // SIZES[of.element]
        if of.lanes > most:
            halves = [self.native(word, [self.half(v, which) for v in values]) for which in (0, 1)]
            assert halves[0] is not None and halves[1] is not None
            return self.shuffle(halves[0], halves[1], range(of.lanes))
        kind = "ps" if of.element == "f32" else "pd"
        given = [*map(self.typed, values), *["i32 0"] * (word == "mantissa")]  # in [1, 2), with the sign
        given += [f"{self.name(of)} zeroinitializer", f"i{most} -1", "i32 4"]  # all lanes, the current rounding
        return self.line(f"call {self.name(of)} @llvm.x86.avx512.mask.{NATIVE[word]}.{kind}.512({', '.join(given)})", of)

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

    # memory

    def bytes_on(self, base: Value, count: Value, name: str = "p") -> Value:
        return self.line(f"getelementptr i8, {self.typed(base)}, {self.typed(count)}", PTR, name)

    def elements_on(self, base: Value, at: Value, element: str) -> Value:
        return self.line(f"getelementptr {self.name(Type(element))}, {self.typed(base)}, {self.typed(at)}", PTR, "p")

    def read(self, place: Value, of: Type, align: int = 1) -> Value:
        return self.line(f"load {self.name(of)}, {self.typed(place)}, align {align}", of)

    def write(self, place: Value, value: Value, align: int = 1) -> None:
        self.lines.append(f"store {self.typed(value)}, {self.typed(place)}, align {align}")

    def memory(self, port: Port) -> str:
        """The format of a port's elements where the vectors are read or written."""
        kinds = {"mask": "i8", "int": "i64" if port.output else self.kernel.dtype}
        return kinds.get(port.element, self.kernel.dtype)

    def room(self, name: str, element: str) -> Value:
        """Room for a block on the stack, one cache line of alignment."""
        place = self.fresh(name)
        elements = VECTORS * self.kernel.lanes
        self.head.append(f"{place} = alloca [{elements} x {self.name(Type(element))}], align 64")
        return Value(self, place, PTR)

    def open(self, port: Port, start: Value, count: Value, *, read: bool) -> None:
        element = self.memory(port)
        if port.name not in self.buffers:
            self.buffers[port.name] = self.room(f"{port.name}_buffer", element)
        buffer, step = self.buffers[port.name], self.step(port)
        base = self.bytes_on(self.addresses[port.name].base, start * step)
        direct = self.direct(port)
        self.opened[port.name] = self.let(f"{port.name}_b", self.operation("select", [direct, base, buffer], PTR))
        if read:
            stored = Type("i64" if port.element == "int" else element)

            def gather(at: Value, _: list[Value]) -> list[Value]:
                value = self.read(self.bytes_on(base, at * step), stored)
                whole = value if stored.element == element else self.convert("from_int", value, element)
                self.write(self.elements_on(buffer, at, element), whole)
                return []

            self.branch(~direct, lambda: self.loop((self.const(0, INDEX), count, 1), [], gather), [], rare=True)

    def close(self, port: Port, start: Value, count: Value) -> None:
        step, element = self.step(port), self.memory(port)
        base = self.bytes_on(self.addresses[port.name].base, start * step)

        def scatter(at: Value, _: list[Value]) -> list[Value]:
            value = self.read(self.elements_on(self.buffers[port.name], at, element), Type(element))
            self.write(self.bytes_on(base, at * step), value)
            return []

        rest = ~self.direct(port)
        self.branch(rest, lambda: self.loop((self.const(0, INDEX), count, 1), [], scatter), [], rare=True)

    def step(self, port: Port) -> Value:
        step = self.addresses[port.name].step
        assert step is not None
        return step

    def direct(self, port: Port) -> Value:
        """Whether the vectors are read and written in place."""
        if port.element == "int" and not port.output:
            return self.const(0, FLAG)
        return self.step(port).eq(SIZES[self.memory(port)])

    def load(self, port: Port, at: Value, live: Value | None) -> Value:
        element = self.memory(port)
        of = Type(element, self.kernel.lanes)
        place = self.elements_on(self.opened[port.name], at, element)
        if live is None:
            vector = self.read(place, of)
        else:
            given = f"{self.typed(place)}, i32 1, {self.typed(live)}, {self.name(of)} zeroinitializer"
            vector = self.line(f"call {self.name(of)} @llvm.masked.load.{self.suffix(of)}.p0({given})", of)
        return vector.ne(0) if port.element == "mask" else vector

    def store(self, port: Port, at: Value, vector: Value, live: Value | None) -> None:
        place = self.elements_on(self.opened[port.name], at, self.memory(port))
        if live is None:
            self.write(place, vector)
            return
        given = f"{self.typed(vector)}, {self.typed(place)}, i32 1, {self.typed(live)}"
        self.lines.append(f"call void @llvm.masked.store.{self.suffix(vector.type)}.p0({given})")

    def number(self, port: Port) -> Value:
        place = self.addresses[port.name].base
        if port.element == "index":
            return self.convert("from_int", self.read(place, Type("i64")), "f64")
        return self.read(place, Type("f64"))

    def element(self, port: Port, at: Value) -> Value:
        place = self.bytes_on(self.addresses[port.name].base, at * self.step(port))
        stored = {"mask": "i8", "int": "i64"}.get(port.element, self.kernel.dtype)
        value = self.read(place, Type(stored))
        match stored:
            case "i8":
                return self.line(f"uitofp {self.typed(value.ne(0))} to double", Type("f64"))
            case "i64":
                return self.convert("from_int", value, "f64")
            case "f32":
                return self.convert("widen", value, "f64")
        return value

    def result(self, port: Port, value: Value) -> None:
        self.write(self.addresses[port.name].base, value)

    def array(self, name: str) -> Value:
        return self.room(name, self.kernel.dtype)

    def load_array(self, array: Value, at: Value) -> Value:
        of = Type(self.kernel.dtype, self.kernel.lanes)
        return self.read(self.elements_on(array, at, of.element), of, 64)

    def store_array(self, array: Value, at: Value, vector: Value) -> None:
        self.write(self.elements_on(array, at, vector.type.element), vector, 64)

    def ahead(self, port: Port, at: Value) -> None:
        a = self.addresses[port.name]
        far = self.bytes_on(a.base, a.next_row + at * SIZES[self.memory(port)])
        self.lines.append(f"call void @llvm.prefetch.p0({self.typed(far)}, i32 {int(port.output)}, i32 2, i32 1)")


def single(value: float) -> float:
    """Rounded to float32."""
    import struct

    return float(struct.unpack("<f", bits_of(value, "f32").to_bytes(4, "little"))[0])
