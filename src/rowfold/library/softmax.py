"""Softmax and what is read off its normalizer."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf


def on_empty(empty: str, x: Any, y: Any) -> Any:
    """The weights `y` of a row `x`, where a row of -inf alone gets what `empty` says."""
    if empty not in ("nan", "zero"):
        raise ValueError(f"empty is {empty!r}; expected 'nan' or 'zero', what a row of -inf alone gives")
    return y if empty == "nan" else np.where(np.max(x) == -np.inf, 0.0, y)


@rf.kernel
def softmax(x: rf.Row, *, temperature: rf.Positive = 1.0, empty: str = "nan") -> Any:
    """e^(x/T) / sum e^(x/T).

    Shapes: x (..., n), result (..., n). Within 4 ULP in float32 and float64 for any n; n = 1 gives
    exactly 1. NaN or +inf anywhere gives NaN throughout; -inf beside a number gives 0. A row of -inf alone gives NaN,
    or zeros with `empty="zero"`. Raises ValueError for any other `empty`.
    Source: The Two-Pass Softmax Algorithm (arXiv 2001.04438), Online normalizer calculation (1805.02867).
    """
    e = np.exp((x - np.max(x)) / temperature)
    return on_empty(empty, x, e / np.sum(e))


@rf.kernel
def masked_softmax(x: rf.Row, mask: rf.Mask, *, temperature: rf.Positive = 1.0, empty: str = "nan") -> Any:
    """softmax over the elements that `mask` keeps, 0 elsewhere; a row in which it keeps none gives NaN, or zeros with
    `empty="zero"`.

    Shapes: x (..., n), mask (..., n) of bool, result (..., n). Bounds, special values and errors of softmax; what the
    mask hides is never an operand.
    """
    z = np.where(mask, x, -np.inf)
    e = np.exp((z - np.max(z)) / temperature)
    return on_empty(empty, z, e / np.sum(e))


@rf.kernel(masked=-np.inf)
def log_softmax(x: rf.Row, *, temperature: rf.Positive = 1.0) -> Any:
    """x/T - log sum e^(x/T).

    Shapes: x (..., n), result (..., n). Within 3 ULP, the confident class included. Specials as softmax; -inf beside a
    number stays -inf, and where x - max x overflows, the result is -inf at any temperature.
    """
    z = x / temperature
    return z - rf.logsumexp(z)


@rf.kernel
def softmin(x: rf.Row, *, temperature: rf.Positive = 1.0) -> Any:
    """softmax(-x): the smallest element gets the largest weight. Shapes and bounds of softmax."""
    e = np.exp((np.min(x) - x) / temperature)
    return e / np.sum(e)


@rf.kernel
def softpick(x: rf.Row, *, eps: rf.NonNegative = 1e-8) -> Any:
    """relu(e^x - 1) / (sum |e^x - 1| + eps), both times e^-m with m = max(0, max x): eps is added after the shift.

    Shapes: x (..., n), result (..., n). Within the bound that is derived from the program. e^x - 1 is e^x (1 - e^-x)
    above 0 and expm1(x) below, so that neither end cancels or overflows.
    Source: Softpick: No Attention Sink (arXiv 2504.20966).
    """
    m = np.maximum(np.max(x), 0.0)
    above = np.where(x > 0, np.exp(x - m) * -np.expm1(-x), 0.0)
    below = np.exp(-m) * np.sum(-np.expm1(np.minimum(x, 0.0)))
    return above / (np.sum(above) + below + eps)


@softpick.defvjp
def _softpick_vjp(x: rf.Row, gradient: rf.Row, *, eps: rf.NonNegative = 1e-8) -> Any:
    """Products of e^(x-m) alone: beside a sum with other terms e^x and e^m would stand alone, infinite from 709 on.

    The maximum that only shifts all but eps has the slope of eps, shared by ties; that of |e^x - 1| at 0 is -1/2.
    """
    top = np.max(x)
    m = np.maximum(top, 0.0)
    e = np.exp(x - m)
    above = e * -np.expm1(-x)
    below = np.exp(-m) * np.sum(-np.expm1(np.minimum(x, 0.0)))
    whole = np.sum(np.where(x > 0, above, 0.0)) + below + eps
    along = np.sum(np.where(x > 0, above * gradient, 0.0)) / whole
    slope = np.where(x > 0, 1.0, np.where(x == 0, -0.5, -1.0))
    best = (x == top) & (top > 0)
    shift = np.where(best, eps / np.count_nonzero(x == top), 0.0)
    return e * (np.where(x > 0, gradient, 0.0) - along * slope) / whole - along * shift / whole


@rf.kernel
def logsumexp(x: rf.Row) -> Any:
    """log sum e^x, one number a row.

    Shapes: x (..., n), result (...). Within 1 ULP plus 4u (u = 2^-24, 2^-53). A row of -inf, or none, gives -inf; +inf
    without a NaN gives +inf.
    """
    return rf.logsumexp(x)


@rf.kernel
def entropy(x: rf.Row) -> Any:
    """The entropy of softmax(x) in nats, one number a row: log s - sum x e^x / s.

    Shapes: x (..., n), result (...). Elements at -inf contribute nothing. Absolute error a few u of 1 and of the spread
    of what matters, wherever the row lies: both sums have the same exponentials, rounded once, and round nothing else.
    """
    p = softmax(x)
    return -np.sum(p * np.log(p))
