"""How two states of each kind of carry become one, and what the state of no element is: written once.

A merge is written in words over numbers, as the maths library is (mathlib/words.py): NumPy runs it on arrays
(kernels/merging.py), C that stands alone prints its statements (c/standalone_merging.py), and both have the same bits.
No word of it is fused or a library's exponential.

Every merge is associative up to the rounding of doubles (pairs of doubles for float64 kernels): the order of the parts
and the shape of the tree leave the bounds as they are. Parts stand in the order of the row where that matters (the
first of equal elements): positions tell, not the order of the arguments.

The names of a state's fields say of which kinds they are, so that any process can merge any states.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ...records import dataclass
from .mergewords import INF, LOG2E, ahead, either, is_nan, plus, rank, times

if TYPE_CHECKING:
    from ..mathlib.words import Mask, Value, Words

SHIFT = 4  # of exponentials: sum = number / unit * 2^exponent e^(factor shift), with these four before the numbers


# the states, by kind


class State(ABC):
    """The state of a kind of carry: `size` numbers, in a field of this name. A sum has `wide` of them."""

    kinds: ClassVar[tuple[str, ...]]  # in the name of a field: round1_0_moments_a_aa is of "moments"
    entries = 0  # if its values are k-vectors, k

    def __init__(self, name: str, size: int, wide: int) -> None:
        self.name, self.size, self.wide = name, size, wide

    @property
    def identity(self) -> tuple[float, ...]:
        """The numbers of a part without elements."""
        return (0.0,) * self.size

    @abstractmethod
    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        """The numbers of both parts together."""


class Head(State):
    """How many elements a part has, and the last round that was done. Later rounds count none."""

    kinds = ()

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        return a[0] + b[0], a[1]


class Added(State):
    """A sum in one double, or in two."""

    kinds = ("sum", "count")

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        return plus(w, a, b)


class Multiplied(State):
    kinds = ("prod",)

    @property
    def identity(self) -> tuple[float, ...]:
        return (1.0,)

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        return (a[0] * b[0],)


class Largest(State):
    """The larger; a NaN that counts stays."""

    kinds = ("max",)

    @property
    def identity(self) -> tuple[float, ...]:
        return (-INF,)

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        return (w.select(w.mask_or(w.ge(a[0], b[0]), is_nan(w, a[0])), a[0], b[0]),)


class Smallest(State):
    """The smaller; a NaN that counts stays."""

    kinds = ("min",)

    @property
    def identity(self) -> tuple[float, ...]:
        return (INF,)

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        return (w.select(w.mask_or(w.le(a[0], b[0]), is_nan(w, a[0])), a[0], b[0]),)


class First(State):
    """The largest element and its place: of equal ones the first, a NaN before everything."""

    kinds = ("argmax",)

    @property
    def identity(self) -> tuple[float, ...]:
        return (0.0, -1.0)

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        return either(w, ahead(w, rank(w, *a), rank(w, *b)), a, b)


class Best(State):
    """The k best elements in order, and their places: two k-vectors, of which the better head is always the next."""

    kinds = ("topk",)

    def __init__(self, name: str, size: int, wide: int) -> None:
        super().__init__(name, size, wide)
        self.entries = size // 2

    @property
    def identity(self) -> tuple[float, ...]:
        return (-INF,) * self.entries + (-1.0,) * self.entries

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        words: Any = w  # of k-vectors beside those of numbers
        made: Sequence[Value] = words.interleave(rank, ahead, (a, b))
        return made


class Found(State):
    """An element at a given place, and whether this part has it."""

    kinds = ("take",)

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        return either(w, w.gt(a[1], w.const(0.0)), a, b)


class Powers(State):
    """Sums of exponentials over one shift: (exponent, shift, factor, unit) and the sums."""

    kinds: ClassVar[tuple[str, ...]] = ("exp",)
    least = 0.0  # the shift of a part without elements

    @property
    def identity(self) -> tuple[float, ...]:
        return (0.0, 0.0, 1.0, 1.0, self.least, *(0.0,) * (self.size - SHIFT - 1))

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        """The other side moves by a power of two."""
        head, (to_a, to_b) = self._common(w, a, b)
        sums: list[Value] = []
        for k in range(SHIFT, self.size, self.wide):
            sides = (times(w, s[k : k + self.wide], to) for s, to in ((a, to_a), (b, to_b)))
            sums += plus(w, *sides)
        return *head, *sums

    def _common(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> tuple[list[Value], list[Value]]:
        """The shift of the side whose exponents reach higher, and what each side's sums are multiplied by."""
        left = w.let("left", w.ge(self._reach(w, a), self._reach(w, b)))
        n, *others = either(w, left, a[:SHIFT], b[:SHIFT], ("n", "shift", "factor", "unit"))
        unknown = w.mask_or(is_nan(w, a[0]), is_nan(w, b[0]))
        n = w.let("exponent", w.select(unknown, w.const(math.nan), n))
        scales = [w.call("moved", side[0], side[1], n, *others[:2]) for side in (a, b)]
        return [n, *others], scales

    def _reach(self, w: Words, side: Sequence[Value]) -> Value:
        """How high the exponents of a side reach; nothing reaches nowhere."""
        nothing: Mask = None
        for number in side[SHIFT:]:
            none = w.mask_or(w.eq(number, w.const(0.0)), w.eq(number, w.const(-INF)))
            nothing = none if nothing is None else w.mask_and(nothing, none)
        return w.let("reach", w.select(nothing, w.const(-INF), side[0] / w.const(LOG2E) + side[2] * side[1]))


class Displaced(Powers):
    """The same where the largest term stands apart from the others: of the two largest, the lower one joins them."""

    kinds = ("lse",)
    least = -INF

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        head, (to_a, to_b) = self._common(w, a, b)
        n, shift, factor, unit = head
        first = w.let("first", w.mask_or(w.ge(a[4], b[4]), is_nan(w, b[4])))
        low, high = w.let("low", w.select(first, b[4], a[4])), w.select(first, a[4], b[4])
        apart = w.let("apart", w.select(w.eq(low, w.const(INF)), w.const(0.0), low - shift))
        more = w.select(w.eq(low, w.const(-INF)), w.const(0.0), w.call("term", apart, n, factor, unit))
        return *head, high, (a[5] * to_a + b[5] * to_b) + more


class Distances(State):
    """Sums of products of distances from pivots: those of one side are moved to the pivots of the other.

    The pivots, the sum of each product, with weights their sum, and what is 0 where there are no elements.
    """

    kinds = ("moments", "wmoments")

    def __init__(self, name: str, size: int, wide: int) -> None:
        super().__init__(name, size, wide)
        self.products = name.split("_")[3:]
        self.rows = [p for p in self.products if len(p) == 1]
        self.weighted = kind_of(name) == "wmoments"
        named = [*self.products, *([""] if self.weighted else [])]
        self.places = {p: len(self.rows) + k * wide for k, p in enumerate(named)}

    def merge(self, w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
        zero = w.const(0.0)
        gone = w.let("gone", w.eq(a[-1], zero))  # an empty side has no pivots
        left = either(w, gone, b, a, ("left",) * self.size)
        right = either(w, gone, a, b, ("right",) * self.size)
        none = w.let("none", w.eq(right[-1], zero))
        apart = {r: w.let("apart", w.select(none, zero, right[k] - left[k])) for k, r in enumerate(self.rows)}
        sums = {p: right[at : at + self.wide] for p, at in self.places.items()}
        sums.setdefault("", [right[-1], zero][: self.wide])
        merged = list(left)
        for p, at in self.places.items():
            merged[at : at + self.wide] = plus(w, left[at : at + self.wide], self._shifted(w, p, sums, apart))
        merged[-1] = left[-1] + right[-1]
        return merged

    def _shifted(
        self, w: Words, product: str, sums: Mapping[str, Sequence[Value]], apart: Mapping[str, Value]
    ) -> Sequence[Value]:
        """The product of (distance + apart), multiplied out."""
        total = sums[product]
        for chosen in range(1, 2 ** len(product)):
            outside = [r for k, r in enumerate(product) if chosen >> k & 1]
            moving = sums["".join(r for k, r in enumerate(product) if not chosen >> k & 1)]
            for r in outside:
                moving = times(w, moving, apart[r])
            total = plus(w, total, moving)
        return total


STATES: Mapping[str, type[State]] = {
    kind: state
    for state in (Added, Multiplied, Largest, Smallest, First, Best, Found, Powers, Displaced, Distances)
    for kind in state.kinds
}


# whole states


def kind_of(name: str) -> str:
    """round1_0_moments_a_aa -> moments."""
    return name.split("_")[2]


def round_of(name: str) -> int:
    """round1_0_moments_a_aa -> 1."""
    return int(name[5 : name.index("_")])


@dataclass(frozen=True, slots=True)
class Placed:
    """A state among the doubles of all, and the round that makes it."""

    at: int
    round: int
    state: State


def placed(fields: Sequence[tuple[str, tuple[int, ...]]]) -> Iterator[Placed]:
    """What is merged of these fields: the head, and each unit. Arguments are the same in every part."""
    at, wide = 0, 2 if "_f64_" in fields[0][0] else 1
    for k, (name, shape) in enumerate(fields):
        size = math.prod(shape)
        if k == 0:
            yield Placed(at, 1, Head(name, size, wide))
        elif name.startswith("round"):
            yield Placed(at, round_of(name), STATES[kind_of(name)](name, size, wide))
        at += size


def identity(fields: Sequence[tuple[str, tuple[int, ...]]]) -> list[float]:
    """The doubles of a part that holds no element: merging with it changes nothing."""
    numbers = [0.0] * sum(math.prod(shape) for _, shape in fields)
    for p in placed(fields):
        numbers[p.at : p.at + p.state.size] = p.state.identity
    return numbers


def begun(w: Words, done: Value) -> Mask:
    """Whether a state is one of some part: an identity has done no round, and leaves the other state as it is."""
    return w.gt(done, w.const(0.0))


def both_in(w: Words, round_: int, a: Value, b: Value) -> Mask:
    """Whether both have done this round last: what earlier rounds made is the same in both."""
    done = w.const(float(round_))
    return w.mask_and(w.eq(a, done), w.eq(b, done))
