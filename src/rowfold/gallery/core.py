"""Softmax in its published forms, and what its backward passes compute."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf

from .. import library
from .entries import Paper

C1 = Paper("C1", "The Two-Pass Softmax Algorithm")
C2 = Paper("C2", "The Two-Pass Softmax Algorithm")
C3 = Paper("C3", "The Two-Pass Softmax Algorithm")
C4 = Paper("C4", "Online normalizer calculation for softmax")
C6 = Paper("C6", "implied by C1-C5")
C7 = Paper("C7", "Gradient-Normalized Smoothness for Optimization")
C8 = Paper("C8", "Cross-Entropy Loss Functions: Theoretical Analysis")

C1(walks=2)(library.softmax)
softmax_two_pass = C1(walks=2, name="softmax_two_pass")(library.softmax.using(strategy="two_pass"))
softmax_recompute = C2(walks=3, name="softmax_recompute")(library.softmax.using(strategy="three_pass_recompute"))
softmax_reload = C3(walks=3, name="softmax_reload")(library.softmax.using(strategy="three_pass_reload"))
softmax_online = C4(walks=2, name="softmax_online")(library.softmax.using(strategy="online"))
C6(walks=1)(library.logsumexp)
C6(walks=2)(library.log_softmax)
C8(walks=1)(library.cross_entropy)

OURS = Paper("", "")  # in no row of the catalogue
OURS(walks=2)(library.softmin)
OURS(walks=2)(library.entmax15)
OURS(walks=2, alpha=1.25)(library.entmax)
OURS(walks=1)(library.kl_div)
OURS(walks=1)(library.max)
OURS(walks=1)(library.sum)
OURS(walks=1)(library.mean)
OURS(walks=1)(library.var)


@C7(walks=2)
@rf.kernel
def softmax_backward(p: rf.Row, g: rf.Row) -> Any:
    """p (g - <p, g>) for p = softmax(x): the gradient with respect to x. A row."""
    return p * (g - np.dot(p, g))


@C7(walks=2)
@rf.kernel
def log_softmax_backward(logp: rf.Row, g: rf.Row) -> Any:
    """g - p sum g for logp = log_softmax(x), p = e^logp. A row."""
    return g - np.exp(logp) * np.sum(g)


@C7(walks=1)
@rf.kernel
def cross_entropy_backward(x: rf.Row, y: rf.Index, lse: rf.Scalar, s: rf.Scalar) -> Any:
    """s (p - onehot y) with p = e^(x - lse): one read and one write when logsumexp(x) was saved. A row."""
    return s * (np.exp(x - lse) - np.where(rf.positions(x) == y, 1.0, 0.0))


@C7(walks=2)
@rf.kernel
def logsumexp_hvp(x: rf.Row, v: rf.Row) -> Any:
    """(diag p - p p') v for p = softmax(x): the Hessian of logsumexp times v, from the logits. A row."""
    p = library.softmax(x)
    return p * (v - np.dot(p, v))


@C8(walks=1)
@rf.kernel
def comp_sum_loss(x: rf.Row, y: rf.Index, *, tau: rf.Static[float] = 1.0) -> Any:
    """((1 + u)^(1 - tau) - 1) / (1 - tau) with u = sum over j != y of e^(x_j - x_y).

    tau = 0 is the sum-exponential loss, 1 cross-entropy (log(1 + u)), from 1 to 2 the generalized one, 2 is 1 - p_y.
    """
    u = np.sum(np.exp(x - x[y]), where=rf.positions(x) != y)
    return np.log1p(u) if tau == 1 else np.expm1((1 - tau) * np.log1p(u)) / (1 - tau)
