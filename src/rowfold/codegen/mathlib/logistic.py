"""tanh, sigmoid and softplus."""

from __future__ import annotations

import math

from rowfold.codegen.mathlib.coefficients import TANH
from rowfold.codegen.mathlib.exponential import exp_two_terms
from rowfold.codegen.mathlib.logarithm import log1p_parts
from rowfold.codegen.mathlib.words import Value, Words, fast_two_sum, function, horner, two_sum


@function(
    "tanh",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.96, "f64": 0.97},
    domain="all x",
    source="an odd polynomial up to 1, then 1 - 2 / (e^2x + 1)",
)
def tanh(w: Words, x: Value) -> Value:
    """The hyperbolic tangent."""
    one, two = w.const(1.0), w.const(2.0)
    a = w.let("a", w.abs(x))
    z = w.let("z", a * a)
    near = w.let("near", w.fma(z * a, horner(w, z, TANH[w.dtype]), a))
    far = w.let("far", one - two / (w.call("exp", a + a) + one))
    return w.copysign(w.select(w.lt(a, one), near, far), x)


@function(
    "sigmoid",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 0.79, "f64": 0.79},
    domain="all x; the relative error is as small for very negative x",
    source="e^min(x, 0) / (1 + e^-abs(x)), the exponential as a sum of two numbers, and one correction of the quotient",
)
def sigmoid(w: Words, x: Value) -> Value:
    """1 / (1 + e^-x)."""
    one, zero = w.const(1.0), w.const(0.0)
    e, e_lo = exp_two_terms(w, -w.abs(x))
    negative = w.lt(x, zero)
    top, top_lo = w.select(negative, e, one), w.select(negative, e_lo, zero)
    below, lost = fast_two_sum(w, one, e)
    inverse = w.let("inverse", one / below)
    y = w.let("y", top * inverse)
    residual = w.let("residual", w.fma(-y, below, top) + w.fma(-y, lost + e_lo, top_lo))
    return w.fma(residual, inverse, y)


@function(
    "softplus",
    inputs=("x",),
    outputs=("y",),
    error={"f32": 1.0, "f64": 1.0},
    domain="all x; the relative error is as small for very negative x",
    source="max(x, 0) + log1p(e^-abs(x)), the exponential as a sum of two numbers",
)
def softplus(w: Words, x: Value) -> Value:
    """log(1 + e^x)."""
    _, high, low = log1p_parts(w, *exp_two_terms(w, -w.abs(x)))
    total, lost = two_sum(w, w.max(w.const(0.0), x), high)
    y = w.let("y", total + (lost + low))
    return w.select(w.lt(x, w.const(math.inf)), y, x)


FAMILY = (tanh, sigmoid, softplus)
