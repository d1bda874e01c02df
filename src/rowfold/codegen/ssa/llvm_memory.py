"""LLVM's text for what touches memory: rows with any step, blocks, results, and room on the stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...records import NamedTuple
from ..dtypes import FORMATS
from ..loops import VECTORS, Kernel, Port
from ..targets import Target
from .llvm_text import PTR, SIZES, LlvmText
from .narrow import narrowed, widened
from .values import FLAG, INDEX, Type, Value

HALVES = frozenset({"avx2", "avx512"})  # vocabularies whose CPUs convert float16 themselves


class Address(NamedTuple):
    """Where a port's row is: its first element, the bytes to its next element, and to the next row."""

    base: Value
    step: Value | None
    next_row: Value


class LlvmMemory(LlvmText):
    """Reads and writes the arrays of a call. `addresses` says where the row at hand is."""

    def __init__(self, kernel: Kernel, target: Target, shared: dict[str, list[str]] | None = None) -> None:
        super().__init__(kernel, target, {} if shared is None else shared)
        self.addresses: dict[str, Address] = {}
        self.opened: dict[str, Value] = {}
        self.buffers: dict[str, Value] = {}
        self.lengths: dict[str, Value] = {}  # of tables

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
        step = self.step(port)
        base = self.bytes_on(self.addresses[port.name].base, start * step)
        direct = self.direct(port)
        if direct.text == "true":
            self.opened[port.name] = base
            return
        if port.name not in self.buffers:
            self.buffers[port.name] = self.room(f"{port.name}_buffer", element)
        buffer = self.buffers[port.name]
        self.opened[port.name] = self.let(f"{port.name}_b", self.operation("select", [direct, base, buffer], PTR))
        if port.narrow:
            self.blocks(port, base, count, self.widen) if read else None
        elif read:
            stored = Type("i64" if port.element == "int" else element)

            self.branch(~direct, lambda: self.gather((base, step, count, buffer), stored, element), [], rare=True)

    def close(self, port: Port, start: Value, count: Value) -> None:
        step, element = self.step(port), self.memory(port)
        direct = self.direct(port)
        if direct.text == "true":
            return
        base = self.bytes_on(self.addresses[port.name].base, start * step)
        if port.narrow:
            self.blocks(port, base, count, self.narrow)
            return

        given = (base, step, count, self.buffers[port.name])
        self.branch(~direct, lambda: self.scatter(given, element), [], rare=True)

    def gather(self, given: Sequence[Value], stored: Type, element: str) -> list[Value]:
        """Elements that lie apart, from (a place, the step, so many) into a buffer of another format perhaps."""

        def body(b: Any, parameters: Sequence[Value]) -> list[Value]:
            def one(at: Value, place: Value, buffer: Value) -> None:
                value = b.read(place, stored)
                whole = value if stored.element == element else b.convert("from_int", value, element)
                b.write(b.elements_on(buffer, at, element), whole)

            return _each(b, parameters, one)

        return self.subroutine(f"gather_{stored.element}_{element}", given, (), body)

    def scatter(self, given: Sequence[Value], element: str) -> list[Value]:
        """Elements of a buffer to where they lie apart."""

        def body(b: Any, parameters: Sequence[Value]) -> list[Value]:
            def one(at: Value, place: Value, buffer: Value) -> None:
                b.write(place, b.read(b.elements_on(buffer, at, element), Type(element)))

            return _each(b, parameters, one)

        return self.subroutine(f"scatter_{element}", given, (), body)

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
        step, size = self.step(port), SIZES[self.memory(port)]
        return self.const(1, FLAG) if step.text == str(size) else step.eq(size)

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

    def unaligned(self, place: Value, size: int) -> Value:
        """How many elements of this size are before the next cache line."""
        number = self.line(f"ptrtoint {self.typed(place)} to {self.name(INDEX)}", INDEX)
        return self.apply("shr", self.apply("and", 0 - number, 63), size.bit_length() - 1)

    def same(self, a: Port, b: Port) -> Value:
        left, right = (self.addresses[p.name].base for p in (a, b))
        return self.line(f"icmp eq ptr {left.text}, {right.text}", FLAG)


def _each(b: Any, parameters: Sequence[Value], copy: Callable[[Value, Value, Value], None]) -> list[Value]:
    """So many elements that lie apart, one by one, each by its number and its place."""
    base, step, count, buffer = parameters

    def body(at: Value, place: list[Value]) -> list[Value]:
        copy(at, place[0], buffer)
        return [b.bytes_on(place[0], step)]

    b.loop((b.const(0, INDEX), count, 1), [base], body)
    return []
