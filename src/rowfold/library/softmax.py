"""Softmax and what is read off its normalizer."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf


@rf.kernel
def softmax(x: rf.Row, *, temperature: rf.Positive = 1.0) -> Any:
    """e^(x/T) / sum e^(x/T).

    Shapes: x (..., n), result (..., n). Within 4 ULP in float32 and float64 for any n; n = 1 gives
    exactly 1. NaN or +inf anywhere, or a row of -inf alone, gives NaN throughout; -inf beside a number gives 0.
    Source: The Two-Pass Softmax Algorithm (arXiv 2001.04438), Online normalizer calculation (1805.02867).
    """
    e = np.exp((x - np.max(x)) / temperature)
    return e / np.sum(e)


@rf.kernel
def masked_softmax(x: rf.Row, mask: rf.Mask, *, temperature: rf.Positive = 1.0) -> Any:
    """softmax over the elements that `mask` keeps, 0 elsewhere; NaN for a row in which it keeps none.

    Shapes: x (..., n), mask (..., n) of bool, result (..., n). Bounds and special values of softmax; what the mask
    hides is never an operand.
    """
    z = np.where(mask, x, -np.inf)
    e = np.exp((z - np.max(z)) / temperature)
    return e / np.sum(e)


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
def logsumexp(x: rf.Row) -> Any:
    """log sum e^x, one number a row.

    Shapes: x (..., n), result (...). Within 1 ULP plus 4u (u = 2^-24, 2^-53). A row of -inf, or none, gives -inf; +inf
    without a NaN gives +inf.
    """
    return rf.logsumexp(x)


@rf.kernel
def entropy(x: rf.Row) -> Any:
    """The entropy of softmax(x) in nats, one number a row: log s - sum x e^x / s.

    Shapes: x (..., n), result (...). Elements at -inf contribute nothing. Absolute error a few u of the largest |x|
    that matters, because the exponentials of float32 are rounded once.
    """
    p = softmax(x)
    return -np.sum(p * np.log(p))
