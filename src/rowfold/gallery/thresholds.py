"""Thresholds that a sum decides: tau with sum f(x, tau) = target. Each gives a row.

They are found by bisection, in walks over a row that is in cache by then; `Plan.walks` counts the others, as the
catalogue does (M-THR).
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

import rowfold as rf

from ..library import softmax
from .entries import Paper

L9 = Paper("L9", "Dual-Encoders for Extreme Multi-Label Classification")
S4 = Paper("S4", "Closing the Curious Case of Neural Text Degeneration")


@S4(walks=2)
@rf.kernel
def nucleus(x: rf.Row, *, mass: rf.Positive = 0.9) -> Any:
    """x in the smallest set of largest probabilities with mass >= P, ties of its last stay; else -inf.

    Exact whatever the size of the set; a mass that rounding keeps the whole row from keeps the whole row.
    """
    p = softmax(x)
    tau = rf.threshold(lambda v, t: np.where(v >= t, p, 0.0), mass, x, lo=-np.inf, hi=np.inf)
    return np.where(x < tau, -np.inf, x)


@L9(walks=1, k=5.0)
@rf.kernel
def soft_topk(x: rf.Row, *, k: Annotated[float, rf.Between(0.0, length=True, open=True)]) -> Any:
    """sigmoid(x - tau) with tau such that the row sums to k, 0 < k <= n, else ValueError; NaN where `where=` selects
    fewer than k.
    """
    tau = rf.threshold(lambda v, t: rf.sigmoid(v - t), k, x, lo=-np.inf, hi=np.inf)
    return rf.sigmoid(x - tau)
