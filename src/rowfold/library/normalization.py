"""Normalization layers over a row."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf


@rf.kernel
def layer_norm(
    x: rf.Row, weight: rf.Row | None = None, bias: rf.Row | None = None, *, eps: rf.NonNegative = 1e-5
) -> Any:
    """(x - mean x) / sqrt(var x + eps) * weight + bias (Layer Normalization, arXiv 1607.06450).

    Shapes: x (..., n), weight and bias (n) or (..., n), result (..., n). An infinity makes the row NaN. In float32 and
    without weight and bias within 1.5 ULP plus 2^-36 for any finite row (two roundings, the first perhaps in the binade
    above); in float64 the squares must not overflow.
    """
    y = (x - np.mean(x)) / np.sqrt(np.var(x) + eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@rf.kernel
def rms_norm(x: rf.Row, weight: rf.Row | None = None, *, eps: rf.NonNegative = 1e-6) -> Any:
    """x / sqrt(mean x^2 + eps) * weight (Root Mean Square Layer Normalization, arXiv 1910.07467).

    Shapes: x (..., n), weight (n) or (..., n), result (..., n). In float32 and without weight within 1 ULP plus 2^-36
    for any finite row; in float64 the squares must not overflow.
    """
    y = x / np.sqrt(np.mean(np.square(x)) + eps)
    return y if weight is None else y * weight
