"""What each word of the loops means, in NumPy, bit for bit: one table for a dtype, keyed by result kind and word.

The meaning is that of templates/common.c.j2 and of the instruction sets with a fused multiply-add. A vector lies along
the last axis; a wide sum is float64 lanes for float32, and a pair of lanes (hi, lo) for float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from rowfold.codegen.bisect import COARSE, halfway
from rowfold.codegen.loops import Kind
from rowfold.codegen.mathlib import FUNCTIONS
from rowfold.codegen.mathlib.exponential import MAGIC
from rowfold.codegen.mathlib.words import Dtype
from rowfold.codegen.running.numpywords import FORMATS, NumpyWords, fma64, two_sum
from rowfold.codegen.running.planselection import FOLDS
from rowfold.codegen.running.sumwords import doubles, sums32, sums64

Array = Any  # an array, a NumPy scalar, or the pair of arrays of a wide sum
Word = Callable[..., Any]
Table = Mapping[tuple[Kind, str], Word]

ROUNDER = 1.5 * 2**52
LOG2E = float.fromhex("0x1.71547652b82fep+0")
LOG2E_LO = float.fromhex("0x1.777d0ffda0d24p-56")
FOUR_THIRDS = float.fromhex("0x1.5555555555555p+0")
REACH = 94548.0  # 2^16 log2 e: beyond it the exponent of a vector is no longer exact
COUNTED = frozenset({"acc_add_tree", "acc_add_pairs", "parts_max"})  # words that take the number of vectors last
OF_NUMBERS = frozenset({"set", "set_lo"})  # words on vectors whose operands are doubles
COMPARISONS: Mapping[str, Word] = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
ARITHMETIC: Mapping[str, Word] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "sqrt": np.sqrt,
    "rint": np.rint,
    "floor": np.floor,
    "copysign": np.copysign,
    "copy": lambda a: a,
}


def finite_or_0(a: Array) -> Array:
    return np.where(np.isfinite(a), a, 0.0)


class Numbers(NumpyWords):
    """The library's words on row-constant doubles, which differ from those on vectors in their powers of two."""

    def __init__(self) -> None:
        super().__init__("f64")

    def scale(self, p: Array, n: Array) -> Array:
        """p 2^n in two factors."""
        k = np.where(n < 2046, np.where(n > -2044, n, -2044.0), 2046.0)
        half = np.trunc(k * 0.5)
        return p * np.ldexp(1.0, half.astype(np.int32)) * np.ldexp(1.0, (k - half).astype(np.int32))

    def abs(self, a: Array) -> Array:
        return np.where(a < 0, -a, a + 0)


NUMBERS = Numbers()


@cache
def table(dtype: Dtype) -> Table:
    """Every word of every kind."""
    words: dict[tuple[Kind, str], Word] = {}
    groups = {
        Kind.VEC: _vectors(dtype),
        Kind.MASK: _masks(),
        Kind.ACC: sums32() if dtype == "f32" else sums64(),
        Kind.WIDE: doubles(),
        Kind.NUM: {**_numbers(dtype), **FOLDS},
        Kind.FLAG: _flags(),
    }
    for kind, group in groups.items():
        words.update({(kind, word): meaning for word, meaning in group.items()})
    return MappingProxyType(words)


@cache
def functions(dtype: Dtype, kind: Kind) -> Mapping[str, Word]:
    """What is called rather than written in place: the maths library, and the words with two results."""
    words = NumpyWords(dtype) if kind is Kind.VEC else NUMBERS
    found: dict[str, Word] = {name: lambda *a, f=f: f.body(words, *a) for name, f in FUNCTIONS.items()}
    if kind is Kind.NUM:
        found |= {"fold2": fold2, "two_sum": two_sum2, "reciprocal2": reciprocal2, "scale_log2e": scale_log2e}
    return found


# vectors


def _vectors(dtype: Dtype) -> dict[str, Word]:
    words = NumpyWords(dtype)
    magic, number = words.const(MAGIC[dtype]), words.format
    named = (
        *("fma", "min", "max", "abs", "select"),
        *("scale", "scale_floor", "scale_whole", "scale_far", "sixteenth", "scaled_sixteenth", "exponent", "mantissa"),
    )

    def set_lo(a: Array) -> Array:
        return finite_or_0(a - a.astype(number)).astype(number)

    def parts_max(parts: Array, vectors: int) -> Array:
        top = parts[0]
        for part in parts[1:vectors]:
            top = words.max(part, top)
        return top

    return {
        **ARITHMETIC,
        **{name: getattr(words, name) for name in named},
        "set": lambda a: a.astype(number),
        "set_lo": set_lo,
        "exponent_v": lambda x, scale: words.fma(x, scale, magic) - magic,
        "parts_max": parts_max,
    }


def _masks() -> dict[str, Word]:
    def first(mask: Array) -> Array:
        return mask & (np.cumsum(mask, axis=-1) == 1)

    logic = {"mask_and": np.logical_and, "mask_or": np.logical_or, "mask_xor": np.logical_xor}
    return {**COMPARISONS, **logic, "mask_not": np.logical_not, "mask_first": first, "copy": lambda a: a}


def fold(lanes: Array) -> Array:
    """The sum over the lanes: halves are added to halves."""
    half = lanes.shape[-1] // 2
    while half:
        lanes = lanes[..., :half] + lanes[..., half : 2 * half]
        half //= 2
    return lanes[..., 0]


def fold2(s: Array) -> tuple[Array, Array]:
    """The sum over the lanes as a double and what its rounding lost."""
    lane, rest = s
    half = lane.shape[-1] // 2
    while half:
        lane, lost = two_sum(lane[..., :half], lane[..., half : 2 * half])
        rest = rest[..., :half] + rest[..., half : 2 * half] + lost
        half //= 2
    lane, rest = lane[..., 0], rest[..., 0]
    total = lane + rest
    return np.where(np.isfinite(total), total, lane), finite_or_0((lane - total) + rest)


# row-constant doubles


def _bulk(b: Array, number: type[np.floating[Any]]) -> Array:
    """The number rounded to the rows' type, which what that cannot hold is beyond."""
    rounded = b.astype(number).astype(np.float64)
    return np.where(np.isfinite(rounded), rounded, b)


def _numbers(dtype: Dtype) -> dict[str, Word]:
    number, w = FORMATS[dtype], NUMBERS
    top = float(np.finfo(number).max)

    def far_shift(m: Array, reach: Array) -> Array:
        near = (reach <= REACH) & (reach >= -REACH)
        return np.where(near, 0.0, np.where(m > top, top, np.where(m < -top, -top, m)))

    def single(a: Array) -> Array:
        return finite_or_0(a.astype(number).astype(np.float64))

    return {
        **ARITHMETIC,
        **_folds(),
        **_rests(COARSE[dtype]),
        "fma": fma64,
        "min": w.min,
        "max": w.max,
        **{name: getattr(w, name) for name in ("abs", "scale", "exponent", "mantissa")},
        "choose": np.where,
        "finite_or_0": finite_or_0,
        "single": single,
        "center": lambda b, a: np.where(np.abs(b * a) < 2.0**12, 0.0, _bulk(b, number)),
        "lost": lambda hi, lo: finite_or_0(hi - hi.astype(number).astype(np.float64)) + lo,
        "join": lambda hi, lo: np.where(np.isinf(hi) & (lo == -hi), hi, hi + lo),
        "binade": binade,
        "far_shift": far_shift,
        "exponent_of": exponent_of,
        "log_rest": log_rest,
        "low_end": lambda n, octave, drop: (n - np.where(n > 1 - REACH, drop, 4096.0)) * octave,
        "high_end": lambda n, octave, drop: (n + drop) * octave,
        "nan_if": lambda c, a: np.where(c, np.nan, a),
        "from_flag": lambda c: c.astype(np.float64),
        "square": lambda a: a * a,
        "reciprocal": lambda a: 1 / a,
        "sign": lambda a: np.where(a > 0, 1.0, np.where(a < 0, -1.0, a)),
        "minimum": lambda a, b: np.where((a < b) | np.isnan(a), a, b),
        "maximum": lambda a, b: np.where((a > b) | np.isnan(a), a, b),
    }


def _rests(coarse: int) -> dict[str, Word]:
    """A factor in two parts, what roundings lost, and moments from what is left of them."""
    return {
        "second_moment": second_moment,
        "at_least_0": lambda a: np.where(a < 0, 0.0, a),
        "stretch": stretch,
        "leading": lambda a: (a.view(np.uint64) & np.uint64(0xFFFFFFFFE0000000)).view(np.float64),
        "trailing": trailing,
        "halfway": lambda a, b: halfway(a, b, coarse),
        "div_rest": lambda a, b, q: finite_or_0(fma64(-q, b, a) / b),
        "div_rest2": lambda hi, lo, b, q: finite_or_0((fma64(-q, b, hi) + lo) / b),
        "mul_rest": lambda a, b, p: finite_or_0(fma64(a, b, -p)),
    }


def _folds() -> dict[str, Word]:
    def extreme(beyond: Word) -> Word:
        def word(lanes: Array) -> Array:
            while half := lanes.shape[-1] // 2:
                first, second = lanes[..., :half], lanes[..., half:]
                lanes = np.where(beyond(first, second), first, second)
            return lanes[..., 0].astype(np.float64)

        return word

    def product(lanes: Array) -> Array:
        p = np.ones(lanes.shape[:-1])
        for lane in np.moveaxis(lanes, -1, 0):
            p = p * lane.astype(np.float64)
        return p

    def first(best: Array, vector: Array) -> Array:
        lanes = best.shape[-1]
        place, top = np.full(best.shape[:-1], -1.0), np.zeros(best.shape[:-1], best.dtype)
        for lane in range(lanes):
            value, here = best[..., lane], vector[..., lane].astype(np.float64) * lanes + lane
            nan, other = np.isnan(value), np.isnan(top)
            same, above = np.where(nan, other, value == top), np.where(nan, ~other, value > top)
            take = (here >= 0) & ((place < 0) | above | (same & (here < place)))
            place, top = np.where(take, here, place), np.where(take, value, top)
        return place

    plain: dict[str, Word] = {"fold": fold, "fold_first": first, "fold_mul": product}
    return {**plain, "fold_max": extreme(np.greater), "fold_min": extreme(np.less)}


def _flags() -> dict[str, Word]:
    return {
        **COMPARISONS,
        "and": np.logical_and,
        "or": np.logical_or,
        "xor": np.logical_xor,
        "not": np.logical_not,
        "any": lambda mask: np.any(mask, axis=-1),
        "isnan": np.isnan,
        "isfinite": np.isfinite,
        "copy": lambda a: a,
    }


def exponent_of(m: Array, scale: Array) -> Array:
    """rint(m scale), kept within reach."""
    reach = m * scale
    return np.where(reach > REACH, REACH, np.where(reach < -REACH, -REACH, (reach + ROUNDER) - ROUNDER))


def stretch(a: Array) -> Array:
    """The power of two that a factor near the ends of float32 gives to the row."""
    size = np.abs(a)
    small = np.where(size < 2.0**-164, 2.0**-126, np.where(size < 2.0**-100, 2.0**-64, 1.0))
    return np.where(size > 2.0**164, 2.0**126, np.where(size > 2.0**100, 2.0**64, small))


def trailing(a: Array, leading: Array) -> Array:
    """What a has beside its leading bits, with its sign and 0 only if a is: infinity times it is infinity.

    The least that it is for that is far below u, and far above where its products would be subnormal, hence slow.
    """
    rest = np.copysign(np.maximum(np.abs(a - leading), np.abs(a) * 2.0**-48), a)
    return np.where(np.isfinite(a), rest, a)


def log_rest(small: Array, rest: Array, maximum: Array) -> Array:
    """What is added to the maximum: an infinite one has no rest, unless a NaN was among the terms."""
    at_top = np.where(np.isnan(rest), rest, -np.inf)
    nothing = (maximum == -np.inf) & (rest == 0)
    return np.where(maximum == np.inf, at_top, np.where(nothing, 0.0, small))


def second_moment(squares: Array, squares_lo: Array, total: Array, total_lo: Array, off: Array, off_lo: Array) -> Array:
    """sum (x - mean x)(z - mean z) from the sums about pivots, that of z `off` away from its mean."""
    explained = total * off
    lost = finite_or_0(fma64(total, off, -explained))
    m2: Array = (squares - explained) + (squares_lo - (lost + (total * off_lo + total_lo * off)))
    return m2


def binade(a: Array) -> Array:
    """The power of two nearest to a, as its exponent; 0 below 1.5 and where there is none."""
    split = (a >= 1.5) & np.isfinite(a)
    return np.where(split, NUMBERS.exponent(np.where(split, a, 1.0) * FOUR_THIRDS), 0.0)


def two_sum2(a: Array, b: Array) -> tuple[Array, Array]:
    total, lost = two_sum(a, b)
    return total, finite_or_0(lost)


def reciprocal2(hi: Array, lo: Array) -> tuple[Array, Array]:
    r = 1 / hi
    return r, finite_or_0(r * (fma64(-r, hi, 1.0) - r * lo))


def scale_log2e(c: Array, lo: Array) -> tuple[Array, Array]:
    hi = c * LOG2E
    return hi, finite_or_0(fma64(c, LOG2E, -hi) + (c * LOG2E_LO + lo * LOG2E))
