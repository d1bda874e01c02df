"""Softmax with another scale, another power, another bias. Each gives a row unless it says otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf

from ..library import log_softmax, softmax
from .core import logsumexp_hvp
from .entries import Paper

X2_1 = Paper("2.1", "muNIT Scaling: Simple and Scalable FP8 LLM Training")
X2_5 = Paper("2.5", "u-muP: The Unit-Scaled Maximal Update Parametrization")
X2_6 = Paper("2.6", "Tensor Programs V (muTransfer); Cerebras-GPT")
X2_7 = Paper("2.7", "PCB-Merging: Parameter Competition Balancing for Model Merging")
X2_9 = Paper("2.9", "Exact Gauss-Newton Optimization for Training Deep Neural Networks")
X2_10 = Paper("2.10", "Target-based Surrogates for Stochastic Optimization (SSO)")
X2_14 = Paper("2.14", "AutoHAS: Efficient Hyperparameter and Architecture Search")
X4_22 = Paper("4.22", "ScaleBiO: Scalable Bilevel Optimization for LLM Data Reweighting")

X2_9(walks=2)(logsumexp_hvp)
X2_6(walks=2)(softmax)


@X2_1(walks=2)
@rf.kernel
def sqrt_softmax(x: rf.Row) -> Any:
    """e^((x - logsumexp(x)) / 2): the squares sum to 1, so that attention keeps the variance."""
    return np.exp(0.5 * log_softmax(x))


@X2_1(walks=2)
@rf.kernel
def sqrt_softmax_backward(y: rf.Row, g: rf.Row) -> Any:
    """(y g - y^2 sum(g y)) / 2 for y = sqrt_softmax(x): the gradient in x."""
    return 0.5 * (y * g - y * y * np.dot(g, y))


@X2_5(walks=2)
@rf.kernel
def unit_scaled_softmax(x: rf.Row) -> Any:
    """softmax(x) n / 1.31. Its gradient has a scale of its own, see the backward kernel."""
    return softmax(x) * (x.size / 1.31)


@X2_5(walks=2)
@rf.kernel
def unit_scaled_softmax_backward(p: rf.Row, g: rf.Row) -> Any:
    """p (g - <p, g>) n / 1.65 for p = softmax(x)."""
    return p * (g - np.dot(p, g)) * (p.size / 1.65)


@X2_6(walks=2)
@rf.kernel
def mup_attention(x: rf.Row, *, d: rf.Positive = 64.0) -> Any:
    """softmax(x / d) for q.k = x, in place of the root of d."""
    return softmax(x / d)


@X2_6(walks=1)
@rf.kernel
def mup_cross_entropy(x: rf.Row, y: rf.Index, *, alpha: rf.Positive = 1.0, width: rf.Positive = 1.0) -> Any:
    """Cross-entropy of x alpha / width. A number."""
    return -log_softmax(x * (alpha / width))[y]


@X2_7(walks=3)
@rf.kernel
def parameter_competition(t: rf.Row, total: rf.Row) -> Any:
    """The min-max of e^(n u^2) tanh(t sum_j t_j), u the min-max of |t|, `total` the sum over tasks; clipping by
    quantiles and the merge are outside. e^(n u^2) is shifted by its largest exponent, n; the min-max undoes it.
    """
    a = np.abs(t)
    u = (a - np.min(a)) / (np.max(a) - np.min(a))
    score = np.exp(t.size * (np.square(u) - 1.0)) * np.tanh(t * total)
    return (score - np.min(score)) / (np.max(score) - np.min(score))


@X2_7(walks=3)
@rf.kernel
def intra_balancing(t: rf.Row) -> Any:
    """softmax(n u), u = t^2 / max t^2: the competition inside one task (confirm the norm)."""
    u = np.square(t)
    return softmax(t.size * u / np.max(u))


@X2_10(walks=2)
@rf.kernel
def surrogate_gradient(z: rf.Row, z_t: rf.Row, y: rf.Index, *, eta: rf.Positive = 1.0) -> Any:
    """softmax(z) - onehot y + (z - z_t) / eta: a step of the inner loop in logit space."""
    return softmax(z) - np.where(rf.positions(z) == y, 1.0, 0.0) + (z - z_t) / eta


@X2_10(walks=2)
@rf.kernel
def proximal_gradient(z: rf.Row, z_t: rf.Row, g: rf.Row, *, eta: rf.Positive = 1.0) -> Any:
    """g + (softmax(z) - softmax(z_t)) / eta: the gradient of g.z + KL(softmax(z_t) || softmax(z)) / eta."""
    return g + (softmax(z) - softmax(z_t)) / eta


@X2_14(walks=1)
@rf.kernel
def reinforce_loss(a: rf.Row, choice: rf.Index, reward: rf.Scalar, baseline: rf.Scalar) -> Any:
    """-(R - b) log softmax(a)[choice], a number."""
    return (baseline - reward) * log_softmax(a)[choice]


@X2_14(walks=2)
@rf.kernel
def reinforce_gradient(a: rf.Row, choice: rf.Index, reward: rf.Scalar, baseline: rf.Scalar) -> Any:
    """(R - b)(onehot choice - softmax(a))."""
    return (reward - baseline) * (np.where(rf.positions(a) == choice, 1.0, 0.0) - softmax(a))


@X4_22(walks=1)
@rf.kernel
def source_weighted_loss(lam: rf.Row, loss: rf.Row) -> Any:
    """sum softmax(lam) loss, a number: data sources under weights."""
    return np.dot(softmax(lam), loss)


@X4_22(walks=2)
@rf.kernel
def source_weight_gradient(lam: rf.Row, loss: rf.Row) -> Any:
    """p (l - p.l), p = softmax(lam)."""
    p = softmax(lam)
    return p * (loss - np.dot(p, loss))
