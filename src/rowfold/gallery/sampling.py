"""Which tokens may be drawn, from the logits of a vocabulary. Each gives a row unless it says otherwise."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

import rowfold as rf

from ..library import entropy, masked_softmax, softmax
from .entries import Paper

S3 = Paper("S3", "Closing the Curious Case of Neural Text Degeneration")
S5 = Paper("S5", "Closing the Curious Case of Neural Text Degeneration")
S6 = Paper("S6", "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs")
S7 = Paper("S7", "From Uniform to Heterogeneous: Tailoring Policy Optimization to Every Token's Nature (HAPO)")
X3_18 = Paper("3.18", "Sampling Through the Lens of Sequential Decision Making (ASR)")
X4_1 = Paper("4.1", "Fast Controlled Generation from Language Models with Adaptive Weighted Rejection Sampling")
X4_8 = Paper("4.8", "TTS-VAR: A Test-Time Scaling Framework for Visual Auto-Regressive Generation")
X4_9 = Paper("4.9", "Batch Speculative Decoding Done Right")

Share = Annotated[float, rf.Between(0.0, 1.0, open=True)]  # above 1 no element of any row would be kept


@S3(walks=2)
@rf.kernel
def epsilon_filter(x: rf.Row, *, epsilon: Share = 3e-4) -> Any:
    """x where softmax(x) >= epsilon, else -inf: compared as logits, x >= logsumexp(x) + log epsilon.

    0 < epsilon <= 1, else ValueError; a row whose largest probability is below epsilon keeps nothing.
    """
    return np.where(x >= rf.logsumexp(x) + np.log(epsilon), x, -np.inf)


@S5(walks=2)
@rf.kernel
def eta_filter(x: rf.Row, *, epsilon: Share = 3e-4) -> Any:
    """x where softmax(x) >= min(epsilon, sqrt(epsilon) e^-H), H the entropy of softmax(x), else -inf."""
    log_eps = np.log(epsilon)
    return np.where(x >= rf.logsumexp(x) + np.minimum(log_eps, 0.5 * log_eps - entropy(x)), x, -np.inf)


@S6(walks=2)
@rf.kernel
def min_p_filter(x: rf.Row, *, base: Share = 0.1) -> Any:
    """x where softmax(x) >= base max softmax(x), else -inf: x >= max x + log base needs no normalizer."""
    return np.where(x >= np.max(x) + np.log(base), x, -np.inf)


@S7(walks=3)
@rf.kernel
def entropy_adaptive_softmax(x: rf.Row, *, low: rf.Positive = 0.8, high: rf.Positive = 1.2) -> Any:
    """softmax(x / T), T = low + (high - low) H / log n, H the entropy of softmax(x) (confirm).

    A sure token is sharpened; T needs the whole row.
    """
    share = entropy(x) / np.maximum(np.log(x.size), 1e-30)
    return softmax(x / (low + (high - low) * share))


@X3_18(walks=2)
@rf.kernel
def distance_weighted_probabilities(d: rf.Row, *, dim: rf.Static[float] = 128.0, cutoff: rf.Positive = 0.5) -> Any:
    """softmax of -(D - 2) log d - (D - 3) / 2 log(1 - d^2 / 4), distances d in (0, 2) kept above the cutoff."""
    at = np.maximum(d, cutoff)
    return softmax(-(dim - 2.0) * np.log(at) - 0.5 * (dim - 3.0) * np.log1p(-0.25 * np.square(at)))


X4_1(walks=2)(masked_softmax)


@X4_1(walks=1)
@rf.kernel
def is_peaked(x: rf.Row) -> Any:
    """(logsumexp(x), whether max softmax(x) >= 2 / 3): where a rejection sampler accepts at once. Number, boolean."""
    lse = rf.logsumexp(x)
    return lse, np.max(x) - lse >= np.log(2.0 / 3.0)


@X4_8(walks=2)
@rf.kernel
def resampling_weights(score: rf.Row, *, lam: rf.Static[float] = 10.0) -> Any:
    """e^(lambda s) / sum: the potentials of candidates; the multinomial draw is a Gumbel-max of lambda s."""
    return softmax(lam * score)


@X4_8(walks=1)
@rf.kernel
def history_potential(score: rf.Row, value: rf.Scalar) -> Any:
    """(value, value - mean, sum, max) of a history of scores: the four potentials. `value` is the last score."""
    return value, value - np.mean(score), np.sum(score), np.max(score)


@X4_9(walks=1)
@rf.kernel
def acceptance(x: rf.Row, z: rf.Row, y: rf.Index) -> Any:
    """min(1, p_y / q_y), p = softmax(x) the target's, q = softmax(z) the draft's: speculative decoding. A number."""
    return np.exp(np.minimum(x[y] - rf.logsumexp(x) - (z[y] - rf.logsumexp(z)), 0.0))


@X4_9(walks=3)
@rf.kernel
def residual(x: rf.Row, z: rf.Row) -> Any:
    """relu(p - q) / sum relu(p - q): what a rejected draft is replaced from. Two normalizers, then their difference."""
    r = np.maximum(softmax(x) - softmax(z), 0.0)
    return r / np.sum(r)


@X4_9(walks=1)
@rf.kernel
def greedy_match(x: rf.Row, y: rf.Index) -> Any:
    """Whether the drafted token y is the argmax. A boolean."""
    return np.argmax(x) == y
