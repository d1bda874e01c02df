"""The words on row-constant doubles and flags as operations on values: line for line what common.c.j2 says in C."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..bisect import COARSE
from .library import Library
from .values import Builder, Type, Value

Word = Callable[..., Any]
INF = math.inf
REACH, ROUNDER = 94548.0, 1.5 * 2**52
LOG2E, LOG2E_LO = float.fromhex("0x1.71547652b82fep+0"), float.fromhex("0x1.777d0ffda0d24p-56")
FOUR_THIRDS = float.fromhex("0x1.5555555555555p+0")
FLOAT_MAX = {"f32": float.fromhex("0x1.fffffep+127"), "f64": float.fromhex("0x1.fffffffffffffp+1023")}
NORMAL = {"f32": 2.0**-126, "f64": 2.0**-1022}  # the smallest normal number
PLAIN = ("add", "sub", "mul", "div", "neg", "sqrt", "rint", "floor", "copysign", "fma")
COMPARED = ("lt", "le", "gt", "ge", "eq", "ne")


class Numbers(Library):
    """Doubles and flags of one builder, or of `rows` rows at once; also the words of the maths library's functions."""

    dtype = "f64"

    def __init__(self, builder: Builder, computing: str, rows: int = 0) -> None:
        self.b, self.computing, self.type = builder, computing, Type("f64", rows)

    # the library's words

    def const(self, value: float) -> Value:
        return self.b.const(value, self.type)

    def select(self, c: Value, a: Any, b: Any) -> Value:
        return self.b.apply("select", c, *(v if isinstance(v, Value) else self.const(v) for v in (a, b)))

    def choose(self, c: Value, a: Any, b: Any) -> Value:
        """The same by a test that is nearly always answered in one way."""
        return self.b.choose(c, *(v if isinstance(v, Value) else self.const(v) for v in (a, b)))

    def scale(self, p: Value, n: Value) -> Value:
        """p 2^n in two factors, where the machine has no instruction for it."""
        if (native := self.native("scale", p, self.max(self.min(n, 2046.0), -2044.0))) is not None:
            return native
        k = self.choose(n < 2046.0, self.max(n, -2044.0), 2046.0)
        h = self.b.convert("from_int", self.b.convert("to_int", k * 0.5, "i32"), "f64")
        return p * power(self.b, h) * power(self.b, k - h)

    def native(self, word: str, *values: Value) -> Value | None:
        """What the machine does for several rows at once, as C has it there; a single number has only what C has."""
        return self.b.native(word, values) if self.type.lanes else None

    def exponent(self, x: Value) -> Value:
        a = self.abs(x)
        if (native := self.native("exponent", a)) is not None:
            return self.choose(a.eq(0.0), -1077.0, self.choose(self.isfinite(a), native, 1024.0))
        return exponent_bits(self.b, self.raised(a)) - self.choose(a < NORMAL["f64"], 54.0, 0.0)

    def mantissa(self, x: Value) -> Value:
        native = self.native("mantissa", self.abs(x))
        return unit(self.b, self.raised(self.abs(x))) if native is None else native

    def raised(self, a: Value) -> Value:
        """A subnormal number lifted among the normal ones."""
        return self.choose(a < NORMAL["f64"], a * 2.0**54, a)

    # the words of the loops

    def single(self, a: Value) -> Value:
        """Rounded to the computing format."""
        return a if self.computing == "f64" else self.b.convert("widen", self.b.convert("narrow", a, "f32"), "f64")

    def finite_or_0(self, a: Value) -> Value:
        return self.choose(self.isfinite(a), a, 0.0)

    def isfinite(self, a: Value) -> Value:
        return (a - a).eq(0.0)

    def isnan(self, a: Value) -> Value:
        return a.ne(a)

    def join(self, hi: Value, lo: Value) -> Value:
        apart = (hi.eq(INF) & lo.eq(-INF)) | (hi.eq(-INF) & lo.eq(INF))
        return self.choose(apart, hi, hi + lo)

    def log_rest(self, small: Value, rest: Value, maximum: Value) -> Value:
        at_top = self.choose(self.isnan(rest), rest, -INF)
        nothing = maximum.eq(-INF) & rest.eq(0.0)
        return self.choose(maximum.eq(INF), at_top, self.choose(nothing, 0.0, small))

    def far_shift(self, m: Value, reach: Value) -> Value:
        top = FLOAT_MAX[self.computing]
        near = (reach <= REACH) & (reach >= -REACH)
        return self.choose(near, 0.0, self.choose(m > top, top, self.choose(m < -top, -top, m)))

    def exponent_of(self, m: Value, scale: Value) -> Value:
        reach = m * scale
        n = (reach + ROUNDER) - ROUNDER
        return self.choose(reach > REACH, REACH, self.choose(reach < -REACH, -REACH, n))

    def second_moment(
        self, squares: Value, squares_lo: Value, total: Value, total_lo: Value, off: Value, off_lo: Value
    ) -> Value:
        explained = total * off
        lost = self.finite_or_0(self.fma(total, off, -explained))
        return (squares - explained) + (squares_lo - (lost + (total * off_lo + total_lo * off)))

    def binade(self, a: Value) -> Value:
        return self.choose((a >= 1.5) & self.isfinite(a), self.exponent(a * FOUR_THIRDS), 0.0)

    def center(self, b: Value, a: Value) -> Value:
        bulk = self.choose(self.isfinite(self.single(b)), self.single(b), b)
        return self.choose(self.abs(b * a) < 2.0**12, 0.0, bulk)

    def stretch(self, a: Value) -> Value:
        size = self.abs(a)
        large = self.choose(size > 2.0**164, 2.0**126, self.choose(size > 2.0**100, 2.0**64, 1.0))
        return self.choose(size < 2.0**-164, 2.0**-126, self.choose(size < 2.0**-100, 2.0**-64, large))

    def leading(self, a: Value) -> Value:
        return self.b.convert("bits", self.b.apply("and", self.b.convert("bits", a, "i64"), -(1 << 29)), "f64")

    def halfway(self, a: Value, b: Value) -> Value:
        """The middle one of the numbers from a to b; a where there is none between."""
        apply, coarse = self.b.apply, COARSE[self.computing]
        low, high = (apply("shr", self._order(v), coarse) for v in (a, b))
        both = apply("and", apply("and", low, high), 1)
        middle = apply("shr", low, 1) + apply("shr", high, 1) + both
        whole = apply("shl", middle, coarse)
        bits = apply("select", whole < 0, apply("xor", whole, -(2**63)), ~whole)
        return self.choose(middle.eq(low), a, self.b.convert("bits", bits, "f64"))

    def _order(self, a: Value) -> Value:
        bits = self.b.convert("bits", a, "i64")
        return self.b.apply("select", bits < 0, ~bits, self.b.apply("or", bits, -(2**63)))

    def trailing(self, a: Value, leading: Value) -> Value:
        rest = self.max(self.abs(a - leading), self.abs(a) * 2.0**-48)
        return self.choose(self.isfinite(a), self.copysign(rest, a), a)

    # two results

    def two_sum(self, a: Value, b: Value) -> tuple[Value, Value]:
        s = a + b
        back = s - a
        return s, self.finite_or_0((a - (s - back)) + (b - back))

    def reciprocal2(self, hi: Value, lo: Value) -> tuple[Value, Value]:
        r = 1.0 / hi
        return r, self.finite_or_0(r * (self.fma(-r, hi, 1.0) - r * lo))

    def scale_log2e(self, c: Value, lo: Value) -> tuple[Value, Value]:
        hi = c * LOG2E
        return hi, self.finite_or_0(self.fma(c, LOG2E, -hi) + (c * LOG2E_LO + lo * LOG2E))


def power(b: Builder, n: Value) -> Value:
    """2^n for an integer n of the normal exponents: added to a power of two, n stands in the low bits."""
    digits, bias = (23, 127) if n.type.element == "f32" else (52, 1023)
    number = b.convert("bits", n + (2.0**digits + bias), _bits(n))
    return b.convert("bits", b.apply("shl", number, digits), n.type.element)


def exponent_bits(b: Builder, x: Value) -> Value:
    """The exponent of a normal positive number."""
    digits, bias = (23, 127) if x.type.element == "f32" else (52, 1023)
    high = b.apply("shr", b.convert("bits", x, _bits(x)), digits)
    lifted = b.apply("or", high, b.convert("bits", b.const(2.0**digits, x.type), _bits(x)))
    return b.convert("bits", lifted, x.type.element) - (2.0**digits + bias)


def unit(b: Builder, x: Value) -> Value:
    """A normal positive number with the exponent of one."""
    digits = 23 if x.type.element == "f32" else 52
    bits = b.apply("and", b.convert("bits", x, _bits(x)), (1 << digits) - 1)
    return b.convert("bits", b.apply("or", bits, b.convert("bits", b.const(1.0, x.type), _bits(x))), x.type.element)


def _bits(x: Value) -> str:
    return {"f32": "i32", "f64": "i64"}[x.type.element]


def number_words(w: Numbers) -> Mapping[str, Word]:
    """The words that give a double."""
    apply, choose = w.b.apply, w.choose
    methods = ("min", "max", "abs", "scale", "exponent", "mantissa", "finite_or_0", "join", "binade", "far_shift",
               "exponent_of", "log_rest", "second_moment", "center", "stretch", "leading", "trailing",
               "halfway")  # fmt: skip
    return {
        **{name: lambda *a, name=name: apply(name, *a) for name in PLAIN},
        **{name: getattr(w, name) for name in methods},
        "copy": lambda a: a,
        "choose": choose,
        "single": lambda a: w.finite_or_0(w.single(a)),
        "lost": lambda hi, lo: w.finite_or_0(hi - w.single(hi)) + lo,
        "low_end": lambda n, octave, drop: (n - choose(n > 1.0 - REACH, drop, 4096.0)) * octave,
        "high_end": lambda n, octave, drop: (n + drop) * octave,
        "div_rest": lambda a, b, q: w.finite_or_0(w.fma(-q, b, a) / b),
        "div_rest2": lambda hi, lo, b, q: w.finite_or_0((w.fma(-q, b, hi) + lo) / b),
        "mul_rest": lambda a, b, p: w.finite_or_0(w.fma(a, b, -p)),
        "nan_if": lambda c, a: choose(c, math.nan, a),
        "from_flag": lambda c: choose(c, 1.0, 0.0),
        "at_least_0": lambda a: w.select(a < 0.0, 0.0, a),
        "square": lambda a: a * a,
        "reciprocal": lambda a: 1.0 / a,
        "sign": lambda a: w.select(a > 0.0, 1.0, w.select(a < 0.0, -1.0, a)),
        "minimum": lambda a, b: w.select((a < b) | w.isnan(a), a, b),
        "maximum": lambda a, b: w.select((a > b) | w.isnan(a), a, b),
    }


def flag_words(w: Numbers) -> Mapping[str, Word]:
    """The words that give a flag."""
    return {
        **{name: lambda *a, name=name: w.b.apply(name, *a) for name in (*COMPARED, "and", "or", "xor", "not")},
        "any": w.b.any,
        "isnan": w.isnan,
        "isfinite": w.isfinite,
        "copy": lambda a: a,
    }


def functions_of(w: Numbers) -> Mapping[str, Word]:
    """What is called with several results and is no function of the library."""
    return {"two_sum": w.two_sum, "reciprocal2": w.reciprocal2, "scale_log2e": w.scale_log2e}
