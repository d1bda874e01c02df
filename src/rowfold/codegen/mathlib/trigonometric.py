"""sin and cos by the reduction of Cody and Waite in three constants, and the inverse functions."""

from __future__ import annotations

import math

from rowfold.codegen.mathlib.coefficients import ARCSIN, ARCTAN, COS, HALF_PI, SIN
from rowfold.codegen.mathlib.words import Dtype, Mask, Value, Words, function, horner

LIMIT: dict[Dtype, float] = {"f32": 2.0**18, "f64": 2.0**30}  # NaN beyond: the three constants no longer suffice


def quadrant(w: Words, x: Value) -> tuple[Value, Value, Value]:
    """(n, t, t_lo) with x = n pi/2 + t + t_lo and abs(t) <= pi/4, t_lo the rounding error of t."""
    c1, c2, c3 = (w.const(c) for c in HALF_PI[w.dtype])
    inside = w.le(w.abs(x), w.const(LIMIT[w.dtype]))
    v = w.let("v", w.select(inside, x, w.const(math.nan)))
    n = w.let("n", w.rint(v * w.const(2 / math.pi)))
    first = w.let("first", w.fma(-n, c1, v))
    part = w.let("part", n * c2)
    part_lo = w.let("part_lo", w.fma(n, c3, w.fma(n, c2, -part)))
    t = w.let("t", first - part)
    back = w.let("back", t - first)
    t_lo = w.let("t_lo", ((first - (t - back)) - (part + back)) - part_lo)
    total = w.let("t", t + t_lo)
    return n, total, w.let("t_lo", (t - total) + t_lo)


def odd(w: Words, n: Value) -> Mask:
    half = w.const(0.5) * n
    return w.ne(half, w.floor(half))


def sin_near(w: Words, t: Value, t_lo: Value) -> Value:
    z = w.let("z", t * t)
    return w.let("sine", t + w.fma(t * z, horner(w, z, SIN[w.dtype]), t_lo))


def cos_near(w: Words, t: Value, t_lo: Value) -> Value:
    one = w.const(1.0)
    z = w.let("z", t * t)
    half = w.let("half", w.const(0.5) * z)
    high = w.let("high", one - half)
    tail = w.let("tail", w.fma(z * z, horner(w, z, COS[w.dtype]), -(t * t_lo)))
    return w.let("cosine", high + (((one - high) - half) + tail))


def by_quadrant(w: Words, n: Value, t: Value, t_lo: Value) -> Value:
    """sin(n pi/2 + t)."""
    value = w.select(odd(w, n), cos_near(w, t, t_lo), sin_near(w, t, t_lo))
    return w.select(odd(w, w.floor(w.const(0.5) * n)), -value, value)


@function(
    "sin",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.83, "f64": 0.83},
    domain="abs(x) <= 2^18 in float32, 2^30 in float64; NaN beyond",
    source="Cody and Waite's reduction with fma, the remainder as a sum of two numbers",
)
def sin(w: Words, x: Value) -> Value:
    """The sine."""
    return w.select(w.eq(x, w.const(0.0)), x, by_quadrant(w, *quadrant(w, x)))


@function(
    "cos",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.83, "f64": 0.83},
    domain="abs(x) <= 2^18 in float32, 2^30 in float64; NaN beyond",
    source="as sin",
)
def cos(w: Words, x: Value) -> Value:
    """The cosine."""
    n, t, t_lo = quadrant(w, x)
    return by_quadrant(w, n + w.const(1.0), t, t_lo)


@function(
    "arctan",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 1.02, "f64": 1.0},
    domain="all x",
    source="an odd polynomial up to 1, pi/2 - arctan(1/x) beyond",
)
def arctan(w: Words, x: Value) -> Value:
    """The inverse tangent."""
    one, zero = w.const(1.0), w.const(0.0)
    a = w.let("a", w.abs(x))
    far = w.gt(a, one)
    q = w.let("q", w.select(far, one / a, a))
    z = w.let("z", q * q)
    lost = w.select(w.mask_and(far, w.lt(a, w.const(math.inf))), w.fma(-q, a, one) * q, zero)
    lost = w.let("lost", lost / (one + z))  # what the quotient's rounding lost
    tail = w.let("tail", w.fma(q * z, horner(w, z, ARCTAN[w.dtype]), lost))
    return w.copysign(w.select(far, right_angle_less(w, 1, q, tail), q + tail), x)


def right_angle_less(w: Words, count: int, value: Value, tail: Value) -> Value:
    """count pi/2 - value - tail, with the error of the leading sum carried."""
    angle = w.const(count * HALF_PI[w.dtype][0])
    high = w.let("high", angle - value)
    low = w.let("low", (angle - high) - value)
    return high + (low + (w.const(count * HALF_PI[w.dtype][1]) - tail))


def arcsin_parts(w: Words, a: Value) -> tuple[Mask, Value, Value]:
    """(far, v, tail): arcsin a = v + tail up to 1/2, and pi/2 - 2 (v + tail) beyond."""
    half = w.const(0.5)
    far = w.gt(a, half)
    z = w.let("z", w.select(far, w.fma(-half, a, half), a * a))
    v = w.let("v", w.select(far, w.sqrt(z), a))
    lost = w.fma(-v, v, z) / (v + v)  # what the square root's rounding lost
    lost = w.select(w.mask_and(far, w.gt(z, w.const(0.0))), lost, w.const(0.0))
    return far, v, w.let("tail", w.fma(v * z, horner(w, z, ARCSIN[w.dtype]), lost))


@function(
    "arcsin",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.62, "f64": 0.62},
    domain="abs(x) <= 1; NaN beyond",
    source="an odd polynomial up to 1/2, pi/2 - 2 arcsin sqrt((1 - x) / 2) beyond",
)
def arcsin(w: Words, x: Value) -> Value:
    """The inverse sine."""
    far, v, tail = arcsin_parts(w, w.let("a", w.abs(x)))
    return w.copysign(w.select(far, right_angle_less(w, 1, v + v, tail + tail), v + tail), x)


@function(
    "arccos",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.62, "f64": 0.62},
    domain="abs(x) <= 1; NaN beyond",
    source="as arcsin",
)
def arccos(w: Words, x: Value) -> Value:
    """The inverse cosine."""
    far, v, tail = arcsin_parts(w, w.let("a", w.abs(x)))
    negative = w.lt(x, w.const(0.0))
    signed_v, signed_tail = w.copysign(v, x), w.select(negative, -tail, tail)
    beyond = w.select(negative, right_angle_less(w, 2, v + v, tail + tail), (v + v) + (tail + tail))
    return w.select(far, beyond, right_angle_less(w, 1, signed_v, signed_tail))


FAMILY = (sin, cos, arctan, arcsin, arccos)
