"""What each row of a group has of its own between steps: arrays on the stack with a place for every row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..loops import VECTORS, Kind, Var
from ..lower.groups import ROWS
from .llvm_text import PTR, SIZES
from .values import Type, Value

if TYPE_CHECKING:
    from .llvm_batch import Rows

ALIGNED = 64  # bytes: a row's vectors begin on a line


class OwnOfRows:
    """Reads and writes the arrays of the rows; `spread`: numbers that a row has in all lanes of a vector."""

    def __init__(self, rows: Rows, spread: frozenset[str]) -> None:
        self.r, self.b, self.kernel, self.spread = rows, rows.b, rows.kernel, spread
        self.arrays: dict[str, tuple[Value, Type, int]] = {}  # the array, what a row has there, the bytes of a row
        vectors = dict.fromkeys((Kind.ACC, Kind.WIDE), "f64") | {Kind.VEC: self.kernel.dtype, Kind.MASK: "i1"}
        self.types = {kind: Type(element, self.kernel.lanes) for kind, element in vectors.items()}
        self.types |= {Kind.NUM: Type("f64"), Kind.FLAG: Type("i8"), Kind.PARTS: PTR}

    def room(self, v: Var) -> tuple[Value, Type, int]:
        if v.name not in self.arrays:
            dtype = self.kernel.dtype
            of = Type(dtype) if v.name in self.spread else self.types[v.kind]
            block = VECTORS * self.kernel.lanes * SIZES[dtype]
            size = block if of == PTR else slot(of) if of.lanes else SIZES[of.element]
            size *= 2 if self.pair(v) else 1
            self.arrays[v.name] = self.b.room(f"each_of_{v.name}", "i8", ROWS * size), of, size
        return self.arrays[v.name]

    def rooms(self, variables: Sequence[Var]) -> None:
        for v in variables:
            self.room(v)

    def pair(self, v: Var) -> bool:
        """Whether it is two vectors: wide sums of doubles are."""
        return v.kind is Kind.ACC and self.kernel.dtype == "f64"

    def place_of(self, v: Var, member: Value, part: int = 0) -> Value:
        array, of, size = self.room(v)
        at = member * size if size > 1 else member
        return self.b.bytes_on(array, at + part * slot(of) if part else at)

    # by all rows

    def put(self, v: Var, numbers: Value) -> None:
        """The numbers of all rows where each finds its own."""
        flags = numbers.type.element == "i1"
        self.b.write(self.room(v)[0], self.b.convert("extend", numbers, "i8") if flags else numbers)

    def numbers(self, v: Var) -> Value:
        """The numbers that the rows left, as a vector."""
        array, of, _ = self.room(v)
        value = self.b.read(array, Type(of.element, ROWS))
        return value if v.kind is Kind.NUM else value.ne(0)

    def all_of(self, v: Var) -> list[Value]:
        """The vectors that the rows left, one after the other."""
        of = self.room(v)[1]
        return [self.b.read(self.place_of(v, self.r.index(k)), of, ALIGNED) for k in range(ROWS)]

    # by one row

    def take(self, v: Var, member: Value) -> None:
        of, place = self.room(v)[1], self.place_of(v, member)
        if of == PTR:
            self.r.env[v.name] = place
            return
        value = self.b.read(place, of, ALIGNED if of.lanes else 1)
        if self.pair(v):
            self.r.env[v.name] = value, self.b.read(self.place_of(v, member, 1), of, ALIGNED)
        elif v.kind is Kind.FLAG:
            self.r.env[v.name] = value.ne(0)
        else:
            self.r.env[v.name] = self.b.splat(value, self.kernel.lanes) if v.name in self.spread else value

    def leave(self, v: Var, member: Value) -> None:
        held, of = self.r.env[v.name], self.room(v)[1]
        if of == PTR:  # parts are where they stay
            return
        for k, value in enumerate(held if isinstance(held, tuple) else (held,)):
            assert isinstance(value, Value)
            kept = self.b.convert("extend", value, "i8") if v.kind is Kind.FLAG else value
            self.b.write(self.place_of(v, member, k), kept, ALIGNED if of.lanes else 1)


def slot(of: Type) -> int:
    """The bytes that a vector takes there."""
    return max(ALIGNED, of.lanes * {"f32": 4, "f64": 8, "i1": 1}[of.element])
