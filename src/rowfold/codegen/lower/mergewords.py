"""What the merges of several kinds of states have in common: pairs of doubles, exponentials of shifts, ranks.

The constants are those of states too: a sum of exponentials is number / unit 2^exponent e^(factor shift).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...records import dataclass

if TYPE_CHECKING:
    from ..mathlib.words import Mask, Value, Words

INF = math.inf
LOG2E = math.log2(math.e)
LN2_HI, LN2_LO = float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33")  # k LN2_HI is exact
TAYLOR = tuple(1 / math.factorial(k) for k in range(13, -1, -1))
SPLITTER = 2.0**27 + 1.0
PLACES = 2.0**53  # more than a row has


# functions of their own


@dataclass(frozen=True, slots=True)
class Helper:
    """A function that merges call: numbers in, numbers out."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    body: Callable[..., Any]

    @property
    def doc(self) -> str:
        return " ".join((self.body.__doc__ or "").split())


def add2(w: Words, a: Value, a_lo: Value, b: Value, b_lo: Value) -> tuple[Value, Value]:
    """Two sums, each the sum of two doubles."""
    total = w.let("sum", a + b)
    back = w.let("back", total - a)
    lost = w.let("lost", (a - (total - back)) + (b - back))
    return _pair(w, total, w.let("lost", lost + (a_lo + b_lo)))


def times2(w: Words, a: Value, a_lo: Value, c: Value) -> tuple[Value, Value]:
    """A sum of two doubles times a double: Dekker's product. Where its halves overflow nothing is known of the rest."""
    product = w.let("product", a * c)
    (a_1, a_2), (c_1, c_2) = _halves(w, a), _halves(w, c)
    rest = w.let("rest", (a_1 * c_1 - product) + a_1 * c_2 + a_2 * c_1 + a_2 * c_2)
    return _pair(w, product, w.let("rest", _finite(w, rest, w.const(0.0)) + a_lo * c))


def power(w: Words, y: Value) -> tuple[Value, Value]:
    """(p, n) with e^y = p 2^n: Taylor's series, at most ln 2 / 2 from 0."""
    n = w.let("octaves", w.rint(y * w.const(LOG2E)))
    r = w.let("r", (y - n * w.const(LN2_HI)) - n * w.const(LN2_LO))
    p = w.const(TAYLOR[0])
    for c in TAYLOR[1:]:
        p = w.let("p", w.mad(p, r, w.const(c)))
    return p, n


def moved(w: Words, n: Value, shift: Value, to_n: Value, to_shift: Value, factor: Value) -> Value:
    """What sums over one shift are multiplied by to stand over another; a step that is no number makes it NaN."""
    step = w.let("step", n - to_n)
    apart = w.let("apart", w.select(w.eq(shift, to_shift), w.const(0.0), (shift - to_shift) * factor))
    p, octaves = w.call("power", _clipped(w, apart, 1e4))
    return w.scale(p, octaves) * w.scale(w.const(1.0), step) + step * w.const(0.0)


def term(w: Words, x: Value, n: Value, factor: Value, unit: Value) -> Value:
    """e^(factor x) over the power of two of a shift, in the unit of the sums."""
    p, octaves = w.call("power", _clipped(w, x * factor, 1e6))
    return w.scale(p * unit, octaves - n) + x * w.const(0.0)


HELPERS: Mapping[str, Helper] = {
    h.name: h
    for h in (
        Helper("add2", ("x", "x_lo", "y", "y_lo"), ("sum", "sum_lo"), add2),
        Helper("times2", ("x", "x_lo", "c"), ("product", "product_lo"), times2),
        Helper("power", ("y",), ("p", "octaves"), power),
        Helper("moved", ("exponent", "shift", "to_exponent", "to_shift", "factor"), ("scale",), moved),
        Helper("term", ("x", "exponent", "factor", "unit"), ("t",), term),
    )
}


# in place


def _pair(w: Words, hi: Value, lo: Value) -> tuple[Value, Value]:
    """A sum in two doubles; what is not finite is in the first."""
    total = w.let("total", hi + lo)
    rest = w.let("rest", (hi - total) + lo)
    return _finite(w, total, hi), _finite(w, rest, w.const(0.0))


def _finite(w: Words, a: Value, otherwise: Value) -> Value:
    return w.select(w.eq(a - a, w.const(0.0)), a, otherwise)


def _halves(w: Words, a: Value) -> tuple[Value, Value]:
    stretched = w.let("stretched", a * w.const(SPLITTER))
    high = w.let("high", stretched - (stretched - a))
    return high, w.let("low", a - high)


def _clipped(w: Words, a: Value, most: float) -> Value:
    """A NaN stays one."""
    return w.min(w.const(most), w.max(w.const(-most), a))


def is_nan(w: Words, a: Value) -> Mask:
    return w.ne(a, a)


def rank(w: Words, x: Value, at: Value) -> tuple[Value, Value]:
    """An element and its place as numbers in whose order they come: NaN first, the place -1, which is nowhere, last."""
    nan, nowhere = w.let("unordered", is_nan(w, x)), w.let("nowhere", w.lt(at, w.const(0.0)))
    value = w.let("value", w.select(nowhere, w.const(-INF), w.select(nan, w.const(INF), x)))
    place = w.let("at", w.select(nowhere, w.const(INF), w.select(nan, at - w.const(PLACES), at)))
    return value, place


def ahead(w: Words, a: Sequence[Value], b: Sequence[Value]) -> Mask:
    """Whether what is of this rank comes before the other: the larger, of equal ones the one further ahead."""
    return w.mask_or(w.gt(a[0], b[0]), w.mask_and(w.eq(a[0], b[0]), w.lt(a[1], b[1])))


def plus(w: Words, a: Sequence[Value], b: Sequence[Value]) -> Sequence[Value]:
    if len(a) == 1:
        return (a[0] + b[0],)
    made: Sequence[Value] = w.call("add2", *a, *b)
    return made


def times(w: Words, a: Sequence[Value], c: Value) -> Sequence[Value]:
    if len(a) == 1:
        return (a[0] * c,)
    made: Sequence[Value] = w.call("times2", *a, c)
    return made


def either(
    w: Words, first: Mask, a: Sequence[Value], b: Sequence[Value], names: Sequence[str] | None = None
) -> list[Value]:
    return [w.let(name, w.select(first, x, y)) for name, x, y in zip(names or ("t",) * len(a), a, b, strict=True)]
