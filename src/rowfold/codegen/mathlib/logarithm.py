"""Logarithms. x = m 2^e with m in [1/sqrt 2, sqrt 2), and log m = 2 artanh(s) with s = (m - 1) / (m + 1)."""

from __future__ import annotations

import math

from rowfold.codegen.mathlib.coefficients import LN2_SHORT, LOG, LOG2E
from rowfold.codegen.mathlib.words import Value, Words, fast_two_sum, function, horner, two_sum


def reduce(w: Words, x: Value) -> tuple[Value, Value]:
    """(r, e) with x = (1 + r) 2^e, both exact, and 1 + r in [1/sqrt 2, sqrt 2)."""
    m = w.let("m", w.mantissa(x))
    e = w.let("e", w.exponent(x))
    upper = w.gt(m, w.const(math.sqrt(2)))
    r = w.let("r", w.select(upper, m * w.const(0.5), m) - w.const(1.0))
    return r, w.let("e", w.select(upper, e + w.const(1.0), e))


def log1p_tail(w: Words, r: Value) -> Value:
    """log(1 + r) - r, as s (r^2/2 + s^2 q(s^2)) - r^2/2."""
    s = w.let("s", r / (w.const(2.0) + r))
    z = w.let("z", s * s)
    half = w.let("half", w.const(0.5) * r * r)
    half_lo = w.let("half_lo", w.fma(w.const(0.5) * r, r, -half))
    return w.let("tail", w.fma(s, w.fma(z, horner(w, z, LOG[w.dtype]), half), -half_lo) - half)


def log_edges(w: Words, x: Value, y: Value) -> Value:
    """The logarithm y of x, with -inf for 0, x itself for +inf and NaN, and NaN below zero."""
    y = w.select(w.lt(x, w.const(math.inf)), y, x)
    y = w.select(w.gt(x, w.const(0.0)), y, w.const(-math.inf))
    return w.select(w.ge(x, w.const(0.0)), y, w.const(math.nan))


def ln_sum(w: Words, e: Value, r: Value, tail: Value) -> tuple[Value, Value]:
    """e ln2 + r + tail as a rounded leading sum and the rest of it."""
    ln2_hi, ln2_lo = LN2_SHORT[w.dtype]
    high, low = fast_two_sum(w, w.let("whole", e * w.const(ln2_hi)), r)
    return high, w.let("low", low + w.fma(e, w.const(ln2_lo), tail))


def log1p_parts(w: Words, x: Value, x_lo: Value | None = None) -> tuple[Value, Value, Value]:
    """(u, high, low): u = 1 + x rounded, and log(1 + x + x_lo) = high + low where u is positive and finite."""
    one = w.const(1.0)
    u, lost = two_sum(w, one, x)
    r, e = reduce(w, u)
    lost = w.let("lost", w.scale(lost, -e))
    extra = w.const(0.0) if x_lo is None else w.let("extra", w.scale(x_lo, -e))
    share = w.let("share", r / (one + r))  # log(1 + r + lost) = log(1 + r) + lost - lost r / (1 + r)
    small = w.let("small", w.fma(-(lost + extra), share, log1p_tail(w, r)) + extra)
    return u, *ln_sum(w, e, r, small + lost)


@function(
    "log",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.83, "f64": 0.82},
    domain="all x, subnormals included; log 0 = -inf, negative x gives NaN",
    source="the form of fdlibm's e_log.c, with a compensated sum",
)
def log(w: Words, x: Value) -> Value:
    """The natural logarithm."""
    r, e = reduce(w, x)
    high, low = ln_sum(w, e, r, log1p_tail(w, r))
    return log_edges(w, x, high + low)


@function(
    "log1p",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.86, "f64": 0.88},
    domain="all x; the relative error is as small near 0; log1p(-1) = -inf, NaN below",
    source="log u with u = 1 + x rounded, and the rounding error of u put back to first order",
)
def log1p(w: Words, x: Value) -> Value:
    """log(1 + x)."""
    u, high, low = log1p_parts(w, x)
    return w.copysign(log_edges(w, u, high + low), x)


@function(
    "log1p_sum",
    inputs=("x", "x_lo"),
    outputs=("y",),
    error={"f32": 0.97, "f64": 0.93},
    domain="all x of at least 0, with an x_lo of a few ULP of it, or 0",
    source="as log1p",
)
def log1p_sum(w: Words, x: Value, x_lo: Value) -> Value:
    """log(1 + x + x_lo), where x_lo is what x was rounded by."""
    u, high, low = log1p_parts(w, x, x_lo)
    return w.copysign(log_edges(w, u, high + low), x)


@function(
    "log2",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.98, "f64": 0.95},
    domain="all x, subnormals included; log2 0 = -inf, negative x gives NaN",
    source="as log, times log2 e in two parts",
)
def log2(w: Words, x: Value) -> Value:
    """The binary logarithm."""
    r, e = reduce(w, x)
    k_hi, k_lo = (w.const(k) for k in LOG2E[w.dtype][:2])
    part = w.let("part", r * k_hi)
    rest = w.let("rest", w.fma(r, k_lo, w.fma(r, k_hi, -part)))
    high, low = fast_two_sum(w, e, part)
    return log_edges(w, x, high + (low + w.fma(log1p_tail(w, r), k_hi, rest)))


FAMILY = (log, log1p, log1p_sum, log2)
