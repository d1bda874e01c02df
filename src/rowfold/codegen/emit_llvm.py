"""Kernel -> LLVM IR as text: vectors of the kernel's lanes, the same statements and bits as the C.

No fast-math flag and no contraction: LLVM may not reorder what the plan ordered. Pointers are opaque, as since LLVM 15.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .dtypes import FORMATS
from .isas import isa_of
from .loops import VECTORS, Kernel, Port, sizes_of
from .source import Source, symbol_of
from .ssa.llvm_text import PTR, SIZES, LlvmText
from .ssa.narrow import narrowed, widened
from .ssa.values import FLAG, INDEX, Type, Value
from .ssa.walk import write_row
from .targets import Target

# Linux passes doubles in registers there; without this an object says that it does not, and no linker takes it.
DOUBLES = ("!llvm.module.flags = !{!1}", '!1 = !{i32 1, !"target-abi", !"lp64d"}')


def emit(kernel: Kernel, target: Target, strategy: str, version: str, signature: str, types: str) -> Source:
    """The LLVM module of a kernel. Same input, same bytes."""
    symbol = symbol_of(kernel.name, kernel.dtype, strategy, target.name)
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
        *(f"declare i32 @fe{way}env(ptr)" for way in ("get", "set") if target.arch == "riscv64"),
        f'attributes #0 = {{ nounwind "target-features"="{features}"{wide} }}',
        '!0 = !{!"branch_weights", i32 1, i32 2000}',
        *(DOUBLES if target.arch == "riscv64" else ()),
        "",
    ]
    header = f"void {symbol}(char **args, const intptr_t *dims, const intptr_t *steps, void *data);\n"
    needed = isa_of(target.vocabulary).features
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
            read, write = (f"call i32 @fe{way}env(ptr %flags)" for way in ("get", "set"))
            return ["%flags = alloca i64", read, call, write, "ret void"]
        case _:  # WebAssembly has no such flags
            return [call, "ret void"]


HALVES = frozenset({"avx2", "avx512"})  # vocabularies whose CPUs convert float16 themselves


class Address(NamedTuple):
    """Where a port's row is: its first element, the bytes to its next element, and to the next row."""

    base: Value
    step: Value | None
    next_row: Value


class LlvmBuilder(LlvmText):
    """Writes the loop over the rows of a batch."""

    def __init__(self, kernel: Kernel, target: Target) -> None:
        super().__init__(kernel, target)
        self.head: list[str] = []  # room on the stack, in the entry block
        self.addresses: dict[str, Address] = {}
        self.opened: dict[str, Value] = {}
        self.buffers: dict[str, Value] = {}
        self.lengths: dict[str, Value] = {}  # of tables

    # the function

    def function(self, signature: str) -> list[str]:
        """All rows of a batch."""
        sizes = sizes_of(self.kernel)
        dims = [self.load_word("%dims", k, name) for k, name in ((0, "rows"), (sizes["n"], "n"))]
        self.lengths = {
            p.name: self.load_word("%dims", sizes[p.name], f"{p.name}_length") for p in self.kernel.ports if p.table
        }
        ports = self.kernel.ports
        core, bases = len(ports), []
        for k, port in enumerate(ports):
            base = self.line(f"load ptr, ptr {self.word('%args', k, 'ptr').text}", PTR, f"{port.name}_rows")
            next_row = self.load_word("%steps", k, f"{port.name}_next")
            step = self.load_word("%steps", core, f"{port.name}_step") if port.strided else None
            core += port.core
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

    # memory

    def memory(self, port: Port) -> str:
        """The format of a port's elements where the vectors are read or written."""
        kinds = {"mask": "i8", "int": "i64" if port.output else self.kernel.dtype}
        return kinds.get(port.element, self.kernel.dtype)

    def room(self, name: str, element: str, count: int = 0) -> Value:
        """Room on the stack, for a block unless a count says otherwise, aligned to a cache line."""
        place = self.fresh(name)
        elements = count or VECTORS * self.kernel.lanes
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
        if port.narrow:
            self.blocks(port, base, count, self.widen) if read else None
        elif read:
            stored = Type("i64" if port.element == "int" else element)

            def gather(at: Value, place: Value) -> None:
                value = self.read(place, stored)
                whole = value if stored.element == element else self.convert("from_int", value, element)
                self.write(self.elements_on(buffer, at, element), whole)

            self.branch(~direct, lambda: self.each(count, base, step, gather), [], rare=True)

    def close(self, port: Port, start: Value, count: Value) -> None:
        step, element = self.step(port), self.memory(port)
        base = self.bytes_on(self.addresses[port.name].base, start * step)
        if port.narrow:
            self.blocks(port, base, count, self.narrow)
            return

        def scatter(at: Value, place: Value) -> None:
            self.write(place, self.read(self.elements_on(self.buffers[port.name], at, element), Type(element)))

        self.branch(~self.direct(port), lambda: self.each(count, base, step, scatter), [], rare=True)

    def each(self, count: Value, base: Value, step: Value, copy: Callable[[Value, Value], None]) -> list[Value]:
        """So many elements that lie apart, one by one, each by its number and its place."""

        def body(at: Value, place: list[Value]) -> list[Value]:
            copy(at, place[0])
            return [self.bytes_on(place[0], step)]

        self.loop((self.const(0, INDEX), count, 1), [base], body)
        return []

    def blocks(self, port: Port, base: Value, count: Value, move: Callable[[Port, Value, Value, int], None]) -> None:
        """Move a block between its buffer and memory of another format: vectors where they are dense, then numbers."""
        size, lanes, buffer = FORMATS[port.narrow].bits // 8, self.kernel.lanes, self.buffers[port.name]
        step, zero = self.step(port), self.const(0, INDEX)
        whole = self.apply("select", step.eq(size), self.apply("and", count, -lanes), zero)

        def vectors(at: Value, _: list[Value]) -> list[Value]:
            move(port, self.bytes_on(base, at * size), self.elements_on(buffer, at, "f32"), lanes)
            return []

        def numbers(at: Value, _: list[Value]) -> list[Value]:
            move(port, self.bytes_on(base, at * step), self.elements_on(buffer, at, "f32"), 0)
            return []

        self.loop((zero, whole, lanes), [], vectors)
        self.loop((whole, count, 1), [], numbers)

    def widen(self, port: Port, place: Value, to: Value, lanes: int) -> None:
        f = FORMATS[port.narrow]
        if f.name == "f16" and self.target.vocabulary in HALVES and lanes:
            self.write(to, self.convert("widen", self.read(place, Type("f16", lanes)), "f32"))
        else:
            self.write(to, widened(self, self.read(place, Type(f"i{f.bits}", lanes)), f))

    def narrow(self, port: Port, place: Value, at: Value, lanes: int) -> None:
        f, value = FORMATS[port.narrow], self.read(at, Type("f32", lanes))
        native = f.name == "f16" and self.target.vocabulary in HALVES and lanes
        self.write(place, self.convert("narrow", value, "f16") if native else narrowed(self, value, f))

    def step(self, port: Port) -> Value:
        step = self.addresses[port.name].step
        assert step is not None
        return step

    def direct(self, port: Port) -> Value:
        """Whether the vectors are read and written in place."""
        if port.narrow or (port.element == "int" and not port.output):
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

    def key(self, port: Port) -> Value:
        return self.read(self.addresses[port.name].base, Type("i64"))

    def element(self, port: Port, at: Value) -> Value:
        place = self.bytes_on(self.addresses[port.name].base, at * self.step(port))
        if port.narrow:
            f = FORMATS[port.narrow]
            return self.convert("widen", widened(self, self.read(place, Type(f"i{f.bits}")), f), "f64")
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

    def length(self, port: Port) -> Value:
        return self.lengths[port.name]

    def field(self, port: Port, at: Value) -> Value:
        return self.read(self.bytes_on(self.addresses[port.name].base, at * self.step(port)), Type("f64"))

    def result(self, port: Port, value: Value, entry: Value | None = None) -> None:
        base = self.addresses[port.name].base
        value = narrowed(self, value, FORMATS[port.narrow]) if port.narrow else value
        self.write(base if entry is None else self.bytes_on(base, entry * self.step(port)), value)

    def total(self, port: Port, at: Value, of: Type) -> Value:
        return self.read(self.elements_on(self.addresses[port.name].base, at, "f64"), of)

    def keep_total(self, port: Port, at: Value, value: Value) -> None:
        self.write(self.elements_on(self.addresses[port.name].base, at, "f64"), value)

    def array(self, name: str, of: Type, count: int) -> Value:
        return self.room(name, of.element, count)

    def load_array(self, array: Value, at: Value, of: Type) -> Value:
        return self.read(self.elements_on(array, at, of.element), of, 64 if of.lanes else 4)

    def store_array(self, array: Value, at: Value, value: Value) -> None:
        self.write(self.elements_on(array, at, value.type.element), value, 64 if value.type.lanes else 4)

    def same(self, a: Port, b: Port) -> Value:
        left, right = (self.addresses[p.name].base for p in (a, b))
        return self.line(f"icmp eq ptr {left.text}, {right.text}", FLAG)
