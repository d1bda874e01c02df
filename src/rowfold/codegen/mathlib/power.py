"""Powers: the reciprocal square root, and x^c by a logarithm of twice the precision."""

from __future__ import annotations

import math

from rowfold.codegen.mathlib.coefficients import LOG, LOG2E
from rowfold.codegen.mathlib.exponential import EXP2_RANGE, clamp, exp2_fraction
from rowfold.codegen.mathlib.logarithm import reduce
from rowfold.codegen.mathlib.words import Dtype, Value, Words, fast_two_sum, function, horner

TINY: dict[Dtype, float] = {"f32": 2.0**-60, "f64": 2.0**-500}  # below it the square root's residual would be subnormal
LIFT: dict[Dtype, float] = {"f32": 2.0**60, "f64": 2.0**500}  # an even power of two
Pair = tuple[Value, Value]


@function(
    "rsqrt",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.51, "f64": 0.51},
    domain="all x, subnormals included; rsqrt 0 = inf, negative x gives NaN",
    source="1 / sqrt x and one step of Newton that takes back both roundings",
)
def rsqrt(w: Words, x: Value) -> Value:
    """1 / sqrt x."""
    one, half = w.const(1.0), w.const(0.5)
    tiny = w.lt(x, w.const(TINY[w.dtype]))
    v = w.let("v", w.select(tiny, x * w.const(LIFT[w.dtype]), x))
    s = w.let("s", w.sqrt(v))
    y = w.let("y", one / s)
    residual = w.let("residual", w.fma(-s, y, one) - half * (w.fma(-s, s, v) * y) * y)
    refined = w.let("refined", w.fma(y, residual, y))
    y = w.let("y", w.select(w.mask_and(w.gt(v, w.const(0.0)), w.lt(v, w.const(math.inf))), refined, y))
    return w.select(tiny, y * w.const(math.sqrt(LIFT[w.dtype])), y)


@function(
    "power",
    inputs=("x", "c"),
    outputs=("y",),
    error={"f32": 0.94, "f64": 0.91},
    domain="all x and finite c; negative x gives NaN unless c is whole",
    source="2^(c log2 x), log2 x and its product with c as unevaluated sums of two numbers",
)
def power(w: Words, x: Value, c: Value) -> Value:
    """x^c."""
    zero, one, inf, half = w.const(0.0), w.const(1.0), w.const(math.inf), w.let("half", c * w.const(0.5))
    size = w.let("size", w.abs(x))
    high, low = log2_pair(w, size)
    y_hi = w.let("y_hi", c * high)
    y_lo = w.let("y_lo", w.fma(c, low, w.fma(c, high, -y_hi)))
    lost = w.gt(w.abs(y_hi), w.const(4 * EXP2_RANGE[w.dtype][1]))
    y_lo = w.select(lost, zero, y_lo)  # the result is 0 or inf, and y_lo need not be finite
    y_hi = w.let("y_hi", clamp(w, *EXP2_RANGE[w.dtype], y_hi))
    n = w.let("n", w.rint(y_hi))
    p = exp2_fraction(w, w.let("f", (y_hi - n) + y_lo))
    y = w.scale(p, n)
    edge = w.select(w.gt(c, zero), size, one / size)  # of 0 and inf
    edge = w.select(w.eq(c, zero), one, edge)
    y = w.let("y", w.select(w.mask_and(w.gt(size, zero), w.lt(size, inf)), y, edge))
    even, whole = w.eq(w.rint(half), half), w.eq(w.rint(c), c)
    signed = w.select(even, y, w.copysign(y, x))
    y = w.let("y", w.select(whole, signed, y))
    return w.select(w.mask_or(w.mask_or(w.ge(x, zero), whole), w.eq(size, inf)), y, w.const(math.nan))


def log2_pair(w: Words, x: Value) -> Pair:
    """log2 x as a sum of two numbers, with half as many bits again as one."""
    r, e = reduce(w, x)
    t_hi, t_lo = log1p_pair(w, r)
    k_hi, k_lo = (w.const(k) for k in LOG2E[w.dtype][:2])
    part = w.let("part", t_hi * k_hi)
    rest = w.let("rest", w.fma(t_hi, k_hi, -part) + w.fma(t_hi, k_lo, t_lo * k_hi))
    high = w.let("high", e + part)
    low = w.let("low", ((e - high) + part) + rest)
    return fast_two_sum(w, high, low)


def log1p_pair(w: Words, r: Value) -> Pair:
    """log(1 + r) = 2 s + s^3 q(s^2) as a sum of two numbers, s = r / (2 + r) and the first term of q being so too."""
    two = w.const(2.0)
    d = w.let("d", two + r)
    d_lo = w.let("d_lo", (two - d) + r)
    s = w.let("s", r / d)
    s_lo = w.let("s_lo", w.fma(-s, d_lo, w.fma(-s, d, r)) / d)
    z = w.let("z", s * s)
    z_lo = w.let("z_lo", w.fma(s + s, s_lo, w.fma(s, s, -z)))
    q_hi, q_lo = fast_two_sum(w, w.const(LOG[w.dtype][0]), w.let("q", z * horner(w, z, LOG[w.dtype][1:])))
    cube = product(w, product(w, (s, s_lo), (z, z_lo)), (q_hi, q_lo))
    high, low = fast_two_sum(w, s + s, cube[0])
    return high, w.let("tail", low + (s_lo + s_lo + cube[1]))


def product(w: Words, a: Pair, b: Pair) -> Pair:
    high = a[0] * b[0]
    return high, w.fma(a[0], b[1], w.fma(a[1], b[0], w.fma(a[0], b[0], -high)))


FAMILY = (rsqrt, power)
