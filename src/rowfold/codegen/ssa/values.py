"""Values that are assigned once, and what a language of such values must be able to say: LLVM IR and MLIR do.

The walk over a kernel's loops (ssa.walk) and its words (ssa.words, ssa.numbers) are written once against `Builder`.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ...records import NamedTuple, dataclass
from ..loops import Kernel, Port


class Type(NamedTuple):
    """A number format, or a vector of `lanes` of it; `index` counts elements, `ptr` is a place in memory."""

    element: str  # f32 f64 i1 i8 i16 i32 i64 index ptr
    lanes: int = 0

    def of(self, element: str) -> Type:
        return Type(element, self.lanes)


INDEX, DOUBLE, FLAG = Type("index"), Type("f64"), Type("i1")
BITS = {"f32": "i32", "f64": "i64"}


class Value:
    """An operand. Floats beside it become constants of its type."""

    __slots__ = ("builder", "text", "type")

    def __init__(self, builder: Builder, text: str, type: Type) -> None:  # noqa: A002 - what it is
        self.builder, self.text, self.type = builder, text, type

    def __add__(self, other: Operand) -> Value:
        return self.builder.apply("add", self, other)

    def __radd__(self, other: float) -> Value:
        return self.builder.apply("add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return self.builder.apply("sub", self, other)

    def __rsub__(self, other: float) -> Value:
        return self.builder.apply("sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return self.builder.apply("mul", self, other)

    def __truediv__(self, other: Operand) -> Value:
        return self.builder.apply("div", self, other)

    def __rtruediv__(self, other: float) -> Value:
        return self.builder.apply("div", other, self)

    def __neg__(self) -> Value:
        return self.builder.apply("neg", self)

    def __lt__(self, other: Operand) -> Value:
        return self.builder.apply("lt", self, other)

    def __le__(self, other: Operand) -> Value:
        return self.builder.apply("le", self, other)

    def __gt__(self, other: Operand) -> Value:
        return self.builder.apply("gt", self, other)

    def __ge__(self, other: Operand) -> Value:
        return self.builder.apply("ge", self, other)

    def eq(self, other: Operand) -> Value:
        return self.builder.apply("eq", self, other)

    def ne(self, other: Operand) -> Value:
        return self.builder.apply("ne", self, other)

    def __and__(self, other: Value) -> Value:
        return self.builder.apply("and", self, other)

    def __or__(self, other: Value) -> Value:
        return self.builder.apply("or", self, other)

    def __xor__(self, other: Value) -> Value:
        return self.builder.apply("xor", self, other)

    def __invert__(self) -> Value:
        return self.builder.apply("not", self)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a row the code is: from element `start` of it, `count` elements of a block, and `at` in the block."""

    start: Value
    count: Value
    at: Value
    live: Value | None = None


Operand: TypeAlias = Value | float
Carried: TypeAlias = Sequence[Value]
Body: TypeAlias = Callable[[Any, Sequence[Value]], list[Value]]  # of a function: its builder, and what it is given
Again: TypeAlias = Callable[[list[Value]], tuple[Value, list[Value]]]
COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})


class Builder(ABC):
    """Writes one function, line by line. Every result has a name; `let` gives the newest another one."""

    kernel: Kernel
    adds_exponents = False  # whether powers of two go by integers, and what would be subnormal by a branch

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._taken: dict[str, int] = {}
        self._newest = ""

    # lines and names

    def line(self, text: str, type: Type, wanted: str = "t") -> Value:  # noqa: A002
        """A line that makes a value."""
        self._newest = self.fresh(wanted)
        self.lines.append(f"{self._newest} = {text}")
        return Value(self, self._newest, type)

    def fresh(self, wanted: str) -> str:
        count = self._taken.get(wanted, 0)
        self._taken[wanted] = count + 1
        return f"%{wanted}.{count}" if count else f"%{wanted}"

    def let(self, wanted: str, value: Value) -> Value:
        """The same value, under this name if it is what the last line made."""
        if value.text == self._newest and self.lines[-1].startswith(f"{self._newest} = "):
            right = self.lines.pop().removeprefix(self._newest)
            value.text = self._newest = self.fresh(wanted)
            self.lines.append(value.text + right)
        return value

    @abstractmethod
    def comment(self, text: str) -> None: ...

    # arithmetic

    def apply(self, word: str, *operands: Operand) -> Value:
        """One operation on operands of one type (`select`: after a mask)."""
        typed = next(a.type for a in operands[word == "select" :] if isinstance(a, Value))
        values = [a if isinstance(a, Value) else self.const(a, typed) for a in operands]
        return self.operation(word, values, typed.of("i1") if word in COMPARISONS else typed)

    def choose(self, test: Value, then: Value, otherwise: Value) -> Value:
        """`select` by a test that is nearly always answered in one way."""
        return self.apply("select", test, then, otherwise)

    @abstractmethod
    def operation(self, word: str, values: Sequence[Value], result: Type) -> Value:
        """add sub mul div neg fma sqrt rint floor abs copysign and or xor not shl shr, the comparisons, select."""

    @abstractmethod
    def const(self, value: float, type: Type) -> Value:  # noqa: A002
        """A number, in every lane of a vector."""

    @abstractmethod
    def convert(self, word: str, value: Value, element: str) -> Value:
        """widen narrow to_int from_int extend (by zeros) truncate bits (as another format) wide (from an index)."""

    @abstractmethod
    def splat(self, number: Value, lanes: int) -> Value: ...

    @abstractmethod
    def shuffle(self, a: Value, b: Value, places: Sequence[int]) -> Value:
        """Those lanes of a, and behind them of b."""

    def half(self, vector: Value, which: int) -> Value:
        """The lower (0) or upper (1) half of a vector."""
        lanes = vector.type.lanes // 2
        return self.shuffle(vector, vector, range(lanes * which, lanes * (which + 1)))

    def interleaved(self, a: Value, b: Value) -> Value:
        """The lanes of a and b in turn."""
        lanes = a.type.lanes
        return self.shuffle(a, b, [k // 2 + k % 2 * lanes for k in range(2 * lanes)])

    @abstractmethod
    def lane(self, vector: Value, which: int) -> Value: ...

    @abstractmethod
    def lanes_from(self, first: Value, lanes: int) -> Value:
        """A vector of 64-bit integers: first, first + 1 and so on."""

    @abstractmethod
    def first_lanes(self, count: Value, lanes: int) -> Value: ...

    @abstractmethod
    def any(self, mask: Value) -> Value: ...

    @abstractmethod
    def lowest(self, vector: Value) -> Value:
        """The smallest of a vector of integers."""

    def native(self, word: str, values: Sequence[Value]) -> Value | None:
        """scale, exponent, mantissa or a mask's first lane, where the machine has an instruction or two for it."""
        return None

    def subroutine(self, name: str, given: Carried, results: Sequence[Type], body: Body) -> list[Value]:
        """What a function makes of what it is given; here its body itself, where the language has one function."""
        return body(self, given)

    # control

    @abstractmethod
    def loop(
        self, bounds: tuple[Value, Value, int], carried: Carried, body: Callable[[Value, list[Value]], list[Value]]
    ) -> list[Value]:
        """From the first bound to below the second in these steps; `body` takes and gives the carried values."""

    @abstractmethod
    def branch(self, test: Value, then: Callable[[], list[Value]], otherwise: Carried, rare: bool) -> list[Value]:
        """What `then` gives where the test is true, else the other values."""

    @abstractmethod
    def seek(self, stop: Value, test: Callable[[Value], Value]) -> Value:
        """The first index below `stop` at which the test is true, else `stop`."""

    @abstractmethod
    def until(self, done: Value, carried: Carried, body: Again) -> list[Value]:
        """The body again and again until the flag that it gives before the carried values, `done` at first."""

    # memory

    @abstractmethod
    def open(self, port: Port, start: Value, count: Value, *, read: bool) -> None:
        """Make `count` elements of a port from `start` on addressable."""

    @abstractmethod
    def close(self, port: Port, start: Value, count: Value) -> None: ...

    @abstractmethod
    def load(self, port: Port, at: Value, live: Value | None) -> Value:
        """A vector of an open port; zeros where `live` is false. The bytes of a mask come as a mask."""

    @abstractmethod
    def store(self, port: Port, at: Value, vector: Value, live: Value | None) -> None: ...

    @abstractmethod
    def number(self, port: Port) -> Value:
        """A row-constant argument as a double."""

    @abstractmethod
    def key(self, port: Port) -> Value:
        """A row-constant argument of 64 bits."""

    @abstractmethod
    def element(self, port: Port, at: Value) -> Value:
        """One element of a row as a double, at an index inside the row."""

    @abstractmethod
    def length(self, port: Port) -> Value:
        """How many elements a table has."""

    @abstractmethod
    def field(self, port: Port, at: Value) -> Value:
        """A double of a state."""

    @abstractmethod
    def result(self, port: Port, value: Value, entry: Value | None = None) -> None:
        """Store a number of the port's own format, at an entry of a k-vector."""

    @abstractmethod
    def total(self, port: Port, at: Value, of: Type) -> Value:
        """Doubles of what is summed over the rows."""

    @abstractmethod
    def keep_total(self, port: Port, at: Value, value: Value) -> None: ...

    @abstractmethod
    def array(self, name: str, of: Type, count: int) -> Value:
        """Room for numbers."""

    @abstractmethod
    def load_array(self, array: Value, at: Value, of: Type) -> Value:
        """A number or a vector, from this element on."""

    @abstractmethod
    def store_array(self, array: Value, at: Value, value: Value) -> None: ...

    def same(self, a: Port, b: Port) -> Value:
        """Whether two ports are one memory, in this row; false where the language has no such thing."""
        return self.const(0, FLAG)


def bits_of(value: float, element: str) -> int:
    """The number's bits in a format, rounded to it."""
    if element == "f64":
        return int.from_bytes(struct.pack("<d", value), "little")
    try:
        return int.from_bytes(struct.pack("<f", value), "little")
    except OverflowError:
        return 0x7F800000 if value > 0 else 0xFF800000
