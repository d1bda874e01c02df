"""k-vectors as operations on values: arrays of doubles, and the sorted buffer that selection fills."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...records import dataclass
from .values import DOUBLE, FLAG, INDEX, Builder, Place, Type, Value

Word = Callable[..., Any]
WHOLE = Type("i64")


@dataclass(frozen=True, slots=True)
class Small:
    """A k-vector: `size` doubles in memory; flags are ones and zeros."""

    b: Builder
    place: Value
    size: int
    flags: bool = False

    def entry(self, at: Value) -> Value:
        number = self.b.load_array(self.place, at, DOUBLE)
        return number.ne(0.0) if self.flags else number

    def put(self, at: Value, value: Value) -> None:
        one, zero = self.b.const(1.0, DOUBLE), 0.0
        number = self.b.apply("select", value, one, zero) if self.flags else value
        self.b.store_array(self.place, at, number)


def small(b: Builder, name: str, size: int, *, flags: bool = False) -> Small:
    """Room for a k-vector."""
    return Small(b, b.array(name, DOUBLE, size), size, flags)


def each(b: Builder, size: int, body: Callable[[Value], None]) -> None:
    """The body for every entry, in order."""
    counted(b, b.const(size, INDEX), body)


def counted(b: Builder, stop: Value, body: Callable[[Value], None]) -> None:
    def inner(at: Value, _: list[Value]) -> list[Value]:
        body(at)
        return []

    b.loop((b.const(0, INDEX), stop, 1), [], inner)


# folds, the entries one after the other


def small_words(b: Builder) -> Mapping[str, Word]:
    """The words that fold a k-vector to a double."""

    def fold(first: float | None, combine: Word) -> Word:
        def word(v: Small) -> Value:
            start = v.entry(b.const(0, INDEX)) if first is None else b.const(first, DOUBLE)
            bounds = (b.const(int(first is None), INDEX), b.const(v.size, INDEX), 1)
            return b.loop(bounds, [start], lambda at, total: [combine(total[0], v.entry(at))])[0]

        return word

    def beyond(comparison: str) -> Word:
        return lambda m, a: b.apply("select", b.apply(comparison, a, m) | a.ne(a), a, m)

    return {
        "small_sum": fold(0.0, lambda s, a: s + a),
        "small_prod": fold(1.0, lambda s, a: s * a),
        "small_max": fold(None, beyond("gt")),
        "small_min": fold(None, beyond("lt")),
        "pick": lambda v, index: v.entry(b.const(int(index), INDEX)),
    }


def cumsum(b: Builder, v: Small, name: str) -> Small:
    made = small(b, name, v.size)

    def body(at: Value, total: list[Value]) -> list[Value]:
        made.put(at, further := total[0] + v.entry(at))
        return [further]

    b.loop((b.const(0, INDEX), b.const(v.size, INDEX), 1), [b.const(0.0, DOUBLE)], body)
    return made


# selection


@dataclass(frozen=True, slots=True)
class Best:
    """The largest elements so far, in order, with their positions; `found` of `k` places are taken."""

    b: Builder
    values: Value
    places: Value
    count: Value
    number: Type
    k: int

    def found(self) -> Value:
        return self.b.load_array(self.count, self.b.const(0, INDEX), INDEX)

    def bar(self) -> Value:
        """What an element must not be at most: NaN while there is room, +inf once only NaNs are kept."""
        last = self.b.load_array(self.values, self.b.const(self.k - 1, INDEX), self.number)
        level = self.b.apply("select", last.ne(last), math.inf, last)
        return self.b.apply("select", self.found() < self.k, math.nan, level)

    def read(self, name: str, *, places: bool) -> Small:
        """The values, or their positions, as doubles."""
        made = small(self.b, name, self.k)

        def body(at: Value) -> None:
            if places:
                number = self.b.convert("from_int", self.b.load_array(self.places, at, WHOLE), "f64")
            else:
                number = self.b.load_array(self.values, at, self.number)
                number = number if self.number == DOUBLE else self.b.convert("widen", number, "f64")
            made.put(at, number)

        each(self.b, self.k, body)
        return made

    def put(self, value: Value, place: Value) -> None:
        """Insert: from the first place on that the value comes before, everything moves on by one."""
        b, found, still = self.b, self.found(), self.b.const(0, FLAG)

        def body(at: Value, moving: list[Value]) -> list[Value]:
            value, place, moved = moving
            here, its = b.load_array(self.values, at, self.number), b.load_array(self.places, at, WHOLE)
            before = moved | (value > here) | (value.ne(value) & here.eq(here))
            b.store_array(self.values, at, b.apply("select", before, value, here))
            b.store_array(self.places, at, b.apply("select", before, place, its))
            return [b.apply("select", before, here, value), b.apply("select", before, its, place), before]

        last, its, _ = b.loop((b.const(0, INDEX), found, 1), [value, place, still], body)

        def grow() -> list[Value]:
            b.store_array(self.values, found, last)
            b.store_array(self.places, found, its)
            b.store_array(self.count, b.const(0, INDEX), found + b.const(1, INDEX))
            return []

        b.branch(found < self.k, grow, [], rare=False)


def best(b: Builder, name: str, number: Type, k: int) -> Best:
    """An empty buffer."""
    rooms = (b.array(name, number, k), b.array(f"{name}_at", WHOLE, k), b.array(f"{name}_found", INDEX, 1))
    made = Best(b, *rooms, number, k)

    def body(at: Value) -> None:
        b.store_array(made.values, at, b.const(-math.inf, number))
        b.store_array(made.places, at, b.const(-1, WHOLE))

    each(b, k, body)
    b.store_array(made.count, b.const(0, INDEX), b.const(0, INDEX))
    return made


def take(kept: Best, parts: Sequence[Value], above: Value, start: Value, count: Value) -> None:
    """The elements of a block that come above the bar, where any does; `parts` may end with which are eligible."""
    b, lanes = kept.b, kept.b.kernel.lanes

    def element(at: Value) -> None:
        value = b.load_array(parts[0], at, kept.number)
        wanted = ~(value <= kept.bar())
        if len(parts) > 1:
            wanted = wanted & b.load_array(parts[1], at, kept.number).ne(0.0)

        def insert() -> list[Value]:
            kept.put(value, b.convert("wide", start + at, "i64"))
            return []

        b.branch(wanted, insert, [], rare=False)

    def vector(at: Value, _: list[Value]) -> list[Value]:
        values = b.load_array(parts[0], at, Type(kept.number.element, lanes))
        beyond = b.any(~(values <= b.splat(kept.bar(), lanes)))
        stop = at + b.const(lanes, INDEX)
        stop = b.apply("select", stop < count, stop, count)

        def elements() -> list[Value]:
            def one(at: Value, _: list[Value]) -> list[Value]:
                element(at)
                return []

            b.loop((at, stop, 1), [], one)
            return []

        b.branch(beyond, elements, [], rare=True)
        return []

    def scan() -> list[Value]:
        return b.loop((b.const(0, INDEX), count, lanes), [], vector)

    b.branch(b.any(above), scan, [], rare=True)


def select(word: str, held: Sequence[Any], place: Place | None) -> None:
    """A statement that puts a block into a buffer or a pool, or moves a threshold."""
    kept, *rest = held
    match word:
        case "pool_solve" | "pool_step":
            getattr(kept, word.removeprefix("pool_"))()
            return
    assert place is not None
    match word:
        case "pool_take":
            kept.take(*rest, place.count)
        case "pool_add":
            kept.add(*rest, place.count)
        case _:
            *parts, above = rest
            take(kept, parts, above, place.start, place.count)
