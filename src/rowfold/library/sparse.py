"""Normalizers with zeros: a threshold takes the place of the exponential."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf

from .softmax import on_empty


@rf.kernel
def sparsemax(x: rf.Row, *, empty: str = "nan") -> Any:
    """max(x - tau, 0) with tau such that the row sums to 1: the projection of x onto the simplex.

    Shapes: x (..., n), result (..., n). The support is decided in float64; within 1 ULP of 1, and equal elements get
    equal shares. A NaN or +inf anywhere gives NaN throughout; -inf beside a number gives 0. A row of -inf alone gives
    NaN, or zeros with `empty="zero"`. Raises ValueError for any other `empty`.
    Source: From Softmax to Sparsemax (arXiv 1602.02068).
    """
    z = x - np.max(x)
    tau = rf.threshold(lambda v, t: np.maximum(v - t, 0.0), 1.0, z, lo=-np.inf, hi=np.inf)
    return on_empty(empty, x, np.maximum(z - tau, 0.0))


@rf.kernel
def entmax15(x: rf.Row) -> Any:
    """max(x - tau, 0)^2 / 4 with tau such that the row sums to 1: alpha-entmax for alpha = 1.5.

    Shapes: x (..., n), result (..., n). The support is decided in float64; within a few ULP of 1. Special values as
    those of sparsemax. Source: Sparse Sequence-to-Sequence Models (arXiv 1905.05702).
    """
    z = x - np.max(x)
    tau = rf.threshold(lambda v, t: np.square(np.maximum(v - t, 0.0)), 4.0, z, lo=-np.inf, hi=np.inf)
    return 0.25 * np.square(np.maximum(z - tau, 0.0))


@rf.kernel
def entmax(x: rf.Row, *, alpha: rf.Static[float] = 1.5) -> Any:
    """max((alpha - 1) x - tau, 0)^(1 / (alpha - 1)) with tau such that the row sums to 1: alpha-entmax.

    Shapes: x (..., n), result (..., n). alpha > 1, else ValueError: 2 is sparsemax, 1.5 entmax15, towards 1 softmax.
    For those two the support is exact; for any other, tau is found by bisection, to 37 bits in float32 and to the last
    in float64. Special values as those of sparsemax. Within what `k.check(x)` derives: tau's error, to that power.
    Source: Sparse Sequence-to-Sequence Models (arXiv 1905.05702).
    """
    if not 1.0 < alpha < np.inf:
        raise ValueError(f"entmax: alpha is {alpha}; expected a number above 1 (softmax is the limit at 1)")
    power = 1.0 / (alpha - 1.0)
    z = (alpha - 1.0) * (x - np.max(x))
    tau = rf.threshold(lambda v, t: np.maximum(v - t, 0.0) ** power, 1.0, z, lo=-1.0, hi=0.0)
    return np.maximum(z - tau, 0.0) ** power
