"""Numbers of eight rows as values: a vector of doubles with one row a lane, and what joins the lanes of eight rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..loops import Kind, Stmt
from ..mathlib import FUNCTIONS
from .llvm_memory import LlvmMemory
from .numbers import Numbers, flag_words, functions_of, number_words
from .values import Value

REGISTER = 16  # bytes whose elements an instruction moves without a table of places
BEYOND = {"fold_max": "gt", "fold_min": "lt"}


class Lanes:
    """The words on numbers, for `rows` numbers at once: each lane does what a word does to one double."""

    def __init__(self, builder: LlvmMemory, computing: str, rows: int) -> None:
        self.b, self.rows = builder, rows
        self.numbers = Numbers(builder, computing, rows)
        self.words = {Kind.NUM: number_words(self.numbers), Kind.FLAG: flag_words(self.numbers)}
        self.several = functions_of(self.numbers)

    def made(self, s: Stmt, args: Sequence[Value]) -> Any:
        """The results of a statement on numbers."""
        if not s.call:
            return self.words[s.results[0].kind][s.word](*args)
        if s.word in self.several:
            return self.several[s.word](*args)
        return FUNCTIONS[s.word].body(self.numbers, *args)

    def spread(self, word: str, numbers: Value) -> Value:
        """What each row sets a vector to, in the computing format."""
        w = self.numbers
        if word == "set_lo":
            numbers = w.finite_or_0(numbers - w.single(numbers))
        return numbers if w.computing == "f64" else self.b.convert("narrow", numbers, "f32")

    def every(self, flags: Value) -> Value:
        return ~self.b.any(~flags)

    def folded(self, word: str, vectors: Sequence[Value]) -> Value:
        """One number for each row's vector; halves are joined with halves, as in a fold of one row."""

        def combine(x: Value, y: Value) -> Value:
            return x + y if word == "fold" else self.b.apply("select", self.b.apply(BEYOND[word], x, y), x, y)

        number = fold_rows(self.b, vectors, combine)
        return number if number.type.element == "f64" else self.b.convert("widen", number, "f64")


def fold_rows(b: LlvmMemory, vectors: Sequence[Value], combine: Callable[[Value, Value], Value]) -> Value:
    """The folds of several vectors, as a vector: two rows and then four share a register."""
    width, size = vectors[0].type.lanes, {"f32": 4, "f64": 8}[vectors[0].type.element]
    count = len(vectors)
    while width > count and size * width > 64:  # wider than a register
        vectors = [combine(b.half(v, 0), b.half(v, 1)) for v in vectors]
        width //= 2
    ends = _joined([[k] for k in range(count)], width, size)[0]
    held = [vectors[ends.index(k)] for k in range(count)]
    while len(held) > 1:
        near = size * width <= REGISTER
        held = [_join(b, held[k], held[k + 1], width, near, combine) for k in range(0, len(held), 2)]
        width //= 2
    last = held[0]
    while width > 1:
        evens, odds = (_halves(last.type.lanes, width, which) for which in (0, 1))
        last = combine(b.shuffle(last, last, evens), b.shuffle(last, last, odds))
        width //= 2
    return last


def _halves(lanes: int, width: int, which: int) -> list[int]:
    """The lanes of one half of every row."""
    half = width // 2
    return [k + j for k in range(which * half, lanes, width) for j in range(half)]


def _join(b: LlvmMemory, x: Value, y: Value, width: int, near: bool, combine: Callable[[Value, Value], Value]) -> Value:
    """The rows of two vectors in one, each half as wide."""
    return combine(*(b.shuffle(x, y, _places(x.type.lanes, width, near, which)) for which in (0, 1)))


def _places(lanes: int, width: int, near: bool, which: int) -> list[int]:
    half = width // 2
    rows = range(which * half, lanes, width)
    firsts = [k + other for k in rows for other in (0, lanes)] if near else [*rows, *(k + lanes for k in rows)]
    return [first + j for first in firsts for j in range(half)]


def _joined(held: list[list[int]], width: int, size: int) -> list[list[int]]:
    """In which order rows come out that went in in this one."""
    while len(held) > 1:
        pairs = [(held[k], held[k + 1]) for k in range(0, len(held), 2)]
        near = size * width <= REGISTER
        held = [[r for two in zip(x, y, strict=True) for r in two] if near else [*x, *y] for x, y in pairs]
        width //= 2
    return held
