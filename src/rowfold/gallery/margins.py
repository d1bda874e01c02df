"""Losses on scaled cosines, pairs and sets of positives. Cosines `c` come as a row; each gives a number a row."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf

from .entries import Paper
from .losses import log_odds

L9 = Paper("L9", "Dual-Encoders for Extreme Multi-Label Classification")
L10 = Paper("L10", "Partial FC: Training 10 Million Identities on a Single Machine; Killing Two Birds with One Stone")
L11 = Paper("L11", "Hyperspherical embedding; BUT System Description; Adaptive Margin Global Classifier")
L12 = Paper("L12", "Wrapped Cauchy Distributed Angular Softmax for Long-Tailed Visual Recognition")
L13 = Paper("L13", "Circle Loss: A Unified Perspective of Pair Similarity Optimization")
L14 = Paper("L14", "SphereFace2: Binary Classification is All You Need for Deep Face Recognition")


@L9(walks=1)
@rf.kernel
def decoupled_softmax(x: rf.Row, positives: rf.Mask, y: rf.Index) -> Any:
    """logaddexp(x_y, logsumexp of the negatives) - x_y for one positive y: the other positives do not compete."""
    return rf.softplus(rf.logsumexp(x, where=~positives) - x[y])


@L10(walks=1)
@rf.kernel
def sampled_margin_softmax(c: rf.Row, sampled: rf.Mask, y: rf.Index, *, s: rf.Positive = 64.0, margin: float = 0.4
) -> Any:  # fmt: skip
    """Cross-entropy of s cos over the target and the sampled negatives, with `margin` taken from cos theta_y."""
    negatives = sampled & (rf.positions(c) != y)
    return rf.softplus(rf.logsumexp(s * c, where=negatives) - s * (c[y] - margin))


@L11(walks=1)
@rf.kernel
def normalized_softmax(c: rf.Row, y: rf.Index, *, s: rf.Positive = 30.0) -> Any:
    """Cross-entropy of s cos theta."""
    return rf.softplus(log_odds(s * c, y))


@L11(walks=1)
@rf.kernel
def am_softmax(c: rf.Row, y: rf.Index, *, s: rf.Positive = 30.0, margin: float = 0.35) -> Any:
    """Cross-entropy of s cos theta with s (cos theta_y - margin) for the target."""
    return rf.softplus(log_odds(s * c, y) + s * margin)


@L11(walks=1)
@rf.kernel
def aam_softmax(c: rf.Row, y: rf.Index, *, s: rf.Positive = 30.0, m1: rf.Positive = 1.0, m2: float = 0.2,
                m3: float = 0.0) -> Any:  # fmt: skip
    """Cross-entropy of s cos theta with s (cos(m1 theta_y + m2) - m3) for the target: m2 alone is ArcFace."""
    target = np.cos(m1 * np.arccos(c[y]) + m2) - m3
    return rf.softplus(rf.logsumexp(s * c, where=rf.positions(c) != y) - s * target)


@L11(walks=1)
@rf.kernel
def adaptive_margin_softmax(c: rf.Row, margin: rf.Row, y: rf.Index, *, s: rf.Positive = 30.0) -> Any:
    """Cross-entropy of s cos theta with a margin for each class, taken from the target alone."""
    return rf.softplus(log_odds(s * c, y) + s * margin[y])


@L12(walks=1)
@rf.kernel
def wcdas(c: rf.Row, rho: rf.Row, y: rf.Index, *, s: rf.Positive = 30.0) -> Any:
    """Cross-entropy of s (1 - rho^2) / (1 + rho^2 - 2 rho cos theta) / (2 pi), rho in [0, 1) one a class."""
    square = np.square(rho)
    logits = s / (2.0 * np.pi) * (1.0 - square) / (1.0 + square - 2.0 * rho * c)
    return rf.softplus(log_odds(logits, y))


@L13(walks=1)
@rf.kernel
def circle_loss(c: rf.Row, positives: rf.Mask, *, gamma: rf.Positive = 80.0, margin: float = 0.4) -> Any:
    """softplus(LSE of g a_n (c - m) over the negatives + LSE of -g a_p (c - 1 + m) over the positives).

    a_n = relu(c + m) and a_p = relu(1 + m - c) are taken for constants by the derivative.
    """
    away = rf.stop_gradient(np.maximum(c + margin, 0.0)) * (c - margin)
    near = rf.stop_gradient(np.maximum(1.0 + margin - c, 0.0)) * (1.0 - margin - c)
    return rf.softplus(rf.logsumexp(gamma * away, where=~positives) + rf.logsumexp(gamma * near, where=positives))


@L14(walks=1)
@rf.kernel
def sphereface2(c: rf.Row, y: rf.Index, *, r: rf.Positive = 30.0, m: float = 0.4, b: float = 0.3,
                lam: rf.Static[float] = 0.7, t: rf.Static[float] = 3.0) -> Any:  # fmt: skip
    """(l / r) softplus(-r (g(c_y) - m) - b) + ((1 - l) / r) sum over j != y of softplus(r (g(c_j) + m) + b).

    g(z) = 2 ((z + 1) / 2)^t - 1: one binary classifier a class.
    """
    g = 2.0 * np.power((c + 1.0) / 2.0, t) - 1.0
    others = np.sum(rf.softplus(r * (g + m) + b), where=rf.positions(c) != y)
    return lam / r * rf.softplus(-r * (g[y] - m) - b) + (1.0 - lam) / r * others
