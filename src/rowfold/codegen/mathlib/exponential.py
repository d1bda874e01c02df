"""Exponentials. All of them reduce to 2^f on abs(f) <= 1/2 or e^t on abs(t) <= ln2/2, and a power of two."""

from __future__ import annotations

import math

from rowfold.codegen.mathlib.coefficients import EXP, EXP2, EXP2_NEAR, EXPM1, LN2, LOG2E, SIXTEENTHS
from rowfold.codegen.mathlib.words import Dtype, Value, Words, fast_two_sum, function, horner, near_fma, two_sum

MAGIC: dict[Dtype, float] = {"f32": 1.5 * 2**23, "f64": 1.5 * 2**52}  # adding it rounds to an integer
FINE_MAGIC: dict[Dtype, float] = {"f32": 1.5 * 2**19, "f64": 1.5 * 2**48}  # adding it rounds to a sixteenth
UNIT: dict[str, float] = {dtype: table[0] for dtype, table in SIXTEENTHS.items()}  # what exp_shifted multiplies by
EXP_RANGE: dict[Dtype, tuple[float, float]] = {"f32": (-104.0, 89.0), "f64": (-746.0, 710.0)}  # beyond: 0 and inf
EXP2_RANGE: dict[Dtype, tuple[float, float]] = {"f32": (-151.0, 129.0), "f64": (-1076.0, 1025.0)}
FAR = 65536.0  # beyond it e^x is 0 or infinite whatever it meets
EXPM1_LOW: dict[Dtype, float] = {"f32": -20.0, "f64": -40.0}  # e^low is lost beside -1


def clamp(w: Words, low: float, high: float, x: Value) -> Value:
    """x kept within [low, high]. It comes second each time, so that a NaN stays."""
    return w.min(w.const(high), w.max(w.const(low), x))


def exp2_fraction(w: Words, f: Value) -> Value:
    """2^f for abs(f) <= 1/2. The constant term is exactly one, so that 2^0 = 1."""
    return near_fma(w, horner(w, f, EXP2[w.dtype]), f, w.const(1.0))


@function(
    "exp_split",
    inputs=("x", "k_hi", "k_lo"),
    outputs=("p", "n"),
    error={"f32": 1.07, "f64": 1.0},
    domain="abs(x k) <= 94548 in float32 (abs(x) <= 2^16 for e^x), 2^50 in float64; NaN gives NaN",
    source="the (mantissa, exponent) form of Dukhan and Ablavatski 2020",
)
def exp_split(w: Words, x: Value, k_hi: Value, k_lo: Value) -> tuple[Value, Value]:
    """2^(x (k_hi + k_lo)) = p 2^n with an integer n and p in [0.7, 1.42]: nothing overflows, whatever n is."""
    n, f = whole_and_fraction(w, x, k_hi, k_lo)
    return w.let("p", exp2_fraction(w, f)), n


def whole_and_fraction(w: Words, x: Value, k_hi: Value, k_lo: Value) -> tuple[Value, Value]:
    """(n, f) of x (k_hi + k_lo) = n + f with an integer n and abs(f) <= 1/2."""
    magic = w.const(MAGIC[w.dtype])
    n = w.let("n", w.fma(x, k_hi, magic) - magic)
    f = w.let("f", w.fma(x, k_hi, -n))
    return n, w.let("f", w.fma(x, k_lo, f))


@function(
    "exp_split_pair",
    inputs=("x", "k_hi", "k_lo"),
    outputs=("p", "p_lo", "n"),
    error={"f32": 0.6, "f64": 0.5},
    domain="as exp_split",
    source="as exp_split, with what its last step rounds away",
)
def exp_split_pair(w: Words, x: Value, k_hi: Value, k_lo: Value) -> tuple[Value, Value, Value]:
    """exp_split with p as the sum of two numbers, p itself and a small one."""
    n, f = whole_and_fraction(w, x, k_hi, k_lo)
    one, slope = w.const(1.0), w.let("slope", horner(w, f, EXP2[w.dtype]))
    p = w.let("p", w.fma(slope, f, one))
    return p, w.let("p_lo", w.fma(slope, f, one - p)), n


def sixteenths(w: Words, x: Value, k_hi: Value, k_lo: Value) -> tuple[Value, Value, Value]:
    """(n, t, f) of x k = n + f with n a multiple of 1/16 and abs(f) <= 1/32; t = UNIT 2^(n - floor(n))."""
    magic = w.const(FINE_MAGIC[w.dtype])
    z = w.let("z", near_fma(w, x, k_hi, magic))
    n = w.let("n", z - magic)
    if not w.fused:
        return n, w.let("t", w.sixteenth(z)), w.let("f", in_three(w, x, k_hi, k_lo, n))
    f = w.let("f", w.fma(x, k_hi, -n))
    return n, w.let("t", w.sixteenth(z)), w.let("f", w.fma(x, k_lo, f))


def from_entry(w: Words, t: Value, f: Value) -> Value:
    """t 2^f for abs(f) <= 1/32.

    In float64 t may be as small as 2^-1020, where nothing is left of an element: t f would be subnormal, and a product
    that is takes Intel's processors a hundred times as long. In float32 the bias keeps t far from there.
    """
    if w.dtype == "f32":
        return near_fma(w, t * f, horner(w, f, EXP2_NEAR["f32"]), t)
    return near_fma(w, t, w.let("rest", f * horner(w, f, EXP2_NEAR["f64"])), t)


def in_three(w: Words, x: Value, k_hi: Value, k_lo: Value, n: Value) -> Value:
    """x (k_hi + k_lo) - n without fma (Cody and Waite, for any k): the first two products and differences are exact."""
    k_1 = w.let("k_1", w.leading(k_hi))
    k_2 = w.let("k_2", (k_hi - k_1) + k_lo)
    x_1 = w.let("x_1", w.leading(x))
    f = w.let("f", x_1 * k_1 - n)
    f = w.let("f", f + (x - x_1) * k_1)
    return f + x * k_2


@function(
    "exp_shifted",
    inputs=("x", "k_hi", "k_lo", "shift"),
    outputs=("e",),
    error={"f32": 0.78, "f64": 0.78},
    domain="abs(x k) <= 94548 in float32 (abs(x) <= 2^16 for e^x) for normal results, 2^45 in float64; NaN gives NaN",
    source="a table of 16 in a register, chosen so that its rounding is small (Tang 1989; Gal 1986)",
)
def exp_shifted(w: Words, x: Value, k_hi: Value, k_lo: Value, shift: Value) -> Value:
    """UNIT 2^(x (k_hi + k_lo) - shift) for an integer shift; the constant UNIT (1.03) cancels in every ratio."""
    n, t, f = sixteenths(w, x, k_hi, k_lo)
    t = w.let("t", w.scale_floor(t, n - shift))
    return from_entry(w, t, f)


@function(
    "exp_running",
    inputs=("x", "k_hi", "k_lo", "shift"),
    outputs=("e",),
    error={"f32": 0.78, "f64": 0.78},
    domain="as exp_shifted, subnormal results too",
    source="as exp_shifted",
)
def exp_running(w: Words, x: Value, k_hi: Value, k_lo: Value, shift: Value) -> Value:
    """exp_shifted where no bias keeps its results above the subnormal numbers."""
    n, t, f = sixteenths(w, x, k_hi, k_lo)
    t = w.let("t", w.scale_whole(t, n - shift))
    return from_entry(w, t, f)


@function(
    "exp_normal",
    inputs=("x", "k_hi", "k_lo", "shift"),
    outputs=("e",),
    error={"f32": 0.78, "f64": 0.78},
    domain="as exp_shifted; below 2^-127 it is 0, above 2^127 any number above 2^126",
    source="as exp_shifted",
)
def exp_normal(w: Words, x: Value, k_hi: Value, k_lo: Value, shift: Value) -> Value:
    """UNIT 2^(x (k_hi + k_lo) - shift), bit by bit that of exp_shifted, where steps of the exponent can be added."""
    z = w.let("z", w.fma(x, k_hi, w.const(FINE_MAGIC[w.dtype])))
    f = w.let("f", w.fma(x, k_hi, -w.let("n", z - w.const(FINE_MAGIC[w.dtype]))))
    f = w.let("f", w.fma(x, k_lo, f))
    t = w.let("t", w.scaled_sixteenth(z, shift))
    return from_entry(w, t, f)


@function(
    "exp_pair",
    inputs=("x", "k_hi", "k_lo"),
    outputs=("p", "n"),
    error={"f32": 0.78, "f64": 0.78},
    domain="as exp_shifted",
    source="the (mantissa, exponent) form of Dukhan and Ablavatski 2020",
)
def exp_pair(w: Words, x: Value, k_hi: Value, k_lo: Value) -> tuple[Value, Value]:
    """UNIT 2^(x (k_hi + k_lo)) = p 2^floor(n) with n in sixteenths, p in [1, 2.1]: the bits of exp_shifted."""
    n, t, f = sixteenths(w, x, k_hi, k_lo)
    return w.let("p", from_entry(w, t, f)), n


@function(
    "exp_parts",
    inputs=("x",),
    outputs=("p", "n"),
    error={"f32": 0.9, "f64": 0.89},
    domain="abs(x) <= 2^16 in float32 (1.07 ULP up to 2^21), 2^45 in float64; NaN gives NaN",
    source="the reduction of Cody and Waite, its first step exact",
)
def exp_parts(w: Words, x: Value) -> tuple[Value, Value]:
    """e^x = p 2^n with an integer n and p in [0.7, 1.42]: exp_split for a fixed scale, with one rounding less."""
    n, t, _ = natural(w, x)
    return w.let("p", near_fma(w, horner(w, t, EXP[w.dtype]), t, w.const(1.0))), n


def natural(w: Words, x: Value) -> tuple[Value, Value, Value]:
    """(n, t, t_hi) with t = x - n ln2 and abs(t) <= ln2/2. t_hi, which is exact, lacks the small end of n ln2."""
    magic = w.const(MAGIC[w.dtype])
    ln2_hi, ln2_lo, _ = LN2[w.dtype]
    n = w.let("n", w.fma(x, w.const(LOG2E[w.dtype][0]), magic) - magic)
    t_hi = w.let("t_hi", w.fma(n, w.const(-ln2_hi), x))
    return n, w.let("t", w.fma(n, w.const(-ln2_lo), t_hi)), t_hi


def expm1_tail(w: Words, n: Value, t: Value, t_hi: Value) -> Value:
    """e^t - 1 - t for abs(t) <= 1/2, with the rounding error of t = t_hi - n ln2_lo in it."""
    t_lo = w.let("t_lo", w.fma(n, w.const(-LN2[w.dtype][1]), t_hi - t))
    return w.let("tail", w.fma(t * t, horner(w, t, EXPM1[w.dtype]), t_lo))


def exp_two_terms(w: Words, x: Value) -> tuple[Value, Value]:
    """e^x as a rounded number and a small correction to it."""
    n, t, t_hi = natural(w, clamp(w, *EXP_RANGE[w.dtype], x))
    one = w.const(1.0)
    high = w.let("high", one + t)
    low = w.let("low", ((one - high) + t) + expm1_tail(w, n, t, t_hi))
    high, low = fast_two_sum(w, high, low)
    return w.scale(high, n), w.scale(low, n)


@function(
    "exp",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.9, "f64": 0.89},
    domain="all x; subnormal results within 1.5 ULP",
    source="as exp_parts",
)
def exp(w: Words, x: Value) -> Value:
    """e^x."""
    return w.scale(*w.call("exp_parts", w.let("x_in", clamp(w, *EXP_RANGE[w.dtype], x))))


def parts_of_two(w: Words, x: Value, rest: Value, low: float, high: float) -> tuple[Value, Value]:
    """e^(x + rest) = p 2^n, rest being what x lost when rounded; unused beyond the range, where it may be NaN."""
    x_in = w.let("x_in", clamp(w, low, high, x))
    n, _, t_hi = natural(w, x_in)
    rest = w.let("rest", w.select(w.eq(x, x_in), rest, w.const(0.0)))
    t = w.let("t", t_hi + w.fma(n, w.const(-LN2[w.dtype][1]), rest))
    return near_fma(w, horner(w, t, EXP[w.dtype]), t, w.const(1.0)), n


def pair_of_two(w: Words, x: Value, rest: Value) -> tuple[Value, Value]:
    """e^(x + rest) = p 2^n for any x that matters, whatever multiplies it."""
    p, n = parts_of_two(w, x, rest, -FAR, FAR)
    p = w.let("p", w.select(w.eq(x, w.const(-math.inf)), w.const(0.0), p))
    return w.let("p", w.select(w.eq(x, w.const(math.inf)), w.const(math.inf), p)), n


def exp_of_two(w: Words, x: Value, rest: Value) -> Value:
    """e^(x + rest) as a number."""
    return w.scale(*parts_of_two(w, x, rest, *EXP_RANGE[w.dtype]))


@function(
    "exp_sum",
    inputs=("x", "b", "b_lo"),
    outputs=("y",),
    error={"f32": 0.9, "f64": 1.0},
    domain="all x; subnormal results within 1.5 ULP",
    source="as exp_parts; what the sum loses joins the reduced argument",
)
def exp_sum(w: Words, x: Value, b: Value, b_lo: Value) -> Value:
    """e^(x + b + b_lo), the sum not rounded."""
    total, error = two_sum(w, x, b)
    return exp_of_two(w, total, error + b_lo)


@function(
    "exp_sum_pair",
    inputs=("x", "b", "b_lo"),
    outputs=("p", "n"),
    error={"f32": 0.9, "f64": 1.0},
    domain="all x, clamped at 2^16; p is 0 and infinite for infinite exponents",
    source="as exp_sum",
)
def exp_sum_pair(w: Words, x: Value, b: Value, b_lo: Value) -> tuple[Value, Value]:
    """e^(x + b + b_lo) = p 2^n with an integer n and p in [0.7, 1.42], the sum not rounded."""
    total, error = two_sum(w, x, b)
    return pair_of_two(w, total, error + b_lo)


@function(
    "exp_line",
    inputs=("x", "a", "a_lo", "b", "b_lo"),
    outputs=("y",),
    error={"f32": 0.9, "f64": 1.0},
    domain="as exp_sum",
    source="as exp_sum",
)
def exp_line(w: Words, x: Value, a: Value, a_lo: Value, b: Value, b_lo: Value) -> Value:
    """e^(x (a + a_lo) + b + b_lo), neither product nor sum rounded."""
    return exp_of_two(w, *line(w, x, a, a_lo, b, b_lo))


def line(w: Words, x: Value, a: Value, a_lo: Value, b: Value, b_lo: Value) -> tuple[Value, Value]:
    """x (a + a_lo) + b + b_lo as a rounded number and what it lost."""
    product = w.let("product", x * a)
    lost = w.let("lost", w.fma(x, a_lo, w.fma(x, a, -product)))
    total, error = two_sum(w, product, b)
    return total, error + (lost + b_lo)


@function(
    "exp_line_pair",
    inputs=("x", "a", "a_lo", "b", "b_lo"),
    outputs=("p", "n"),
    error={"f32": 0.9, "f64": 1.0},
    domain="as exp_sum_pair",
    source="as exp_sum",
)
def exp_line_pair(w: Words, x: Value, a: Value, a_lo: Value, b: Value, b_lo: Value) -> tuple[Value, Value]:
    """e^(x (a + a_lo) + b + b_lo) = p 2^n with an integer n and p in [0.7, 1.42], neither product nor sum rounded."""
    return pair_of_two(w, *line(w, x, a, a_lo, b, b_lo))


@function(
    "exp2",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.8, "f64": 0.79},
    domain="all x; subnormal results within 1.5 ULP",
    source="as exp_split, with an exact reduction",
)
def exp2(w: Words, x: Value) -> Value:
    """2^x."""
    x = w.let("x_in", clamp(w, *EXP2_RANGE[w.dtype], x))
    n = w.let("n", w.rint(x))
    return w.scale(exp2_fraction(w, w.let("f", x - n)), n)


@function(
    "expm1",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.97, "f64": 0.93},
    domain="all x; the relative error is as small near 0",
    source="e^x - 1 = 2^n ((1 - 2^-n) + (e^t - 1)) with a compensated sum",
)
def expm1(w: Words, x: Value) -> Value:
    """e^x - 1."""
    one, zero = w.const(1.0), w.const(0.0)
    x_in = w.let("x_in", clamp(w, EXPM1_LOW[w.dtype], EXP_RANGE[w.dtype][1], x))
    n, t, t_hi = natural(w, x_in)
    near = w.lt(w.abs(x), w.const(0.5))
    n, t, t_hi = (w.select(near, a, b) for a, b in ((zero, n), (x_in, t), (x_in, t_hi)))
    step = w.let("step", -w.scale(one, -n))
    whole, lost = two_sum(w, one, step)
    high = w.let("high", whole + t)
    low = w.let("low", ((whole - high) + t) + lost)
    return w.copysign(w.scale(high + (low + expm1_tail(w, n, t, t_hi)), n), x)


FAMILY = (
    *(exp_shifted, exp_running, exp_normal, exp_pair, exp_split, exp_split_pair, exp_parts),
    *(exp, exp_sum, exp_sum_pair, exp_line, exp_line_pair, exp2, expm1),
)
