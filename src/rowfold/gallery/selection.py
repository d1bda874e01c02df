"""The k largest, and noise that makes them a sample. `seed` is one key a row: every walk sees the same noise.

Order: value descending, then index; k above n is a ValueError before anything is written.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

import rowfold as rf

from ..library import softmax, softmax_topk, sparsemax
from .entries import Paper

C5 = Paper("C5", "Online normalizer calculation for softmax")
C10 = Paper("C10", "Sparse-softmax: A Simpler and Faster Alternative Softmax Transformation")
N1 = Paper("N1", "From Softmax to Sparsemax: A Sparse Model of Attention and Multi-Label Classification")
N8 = Paper("N8", "Categorical Reparameterization with Gumbel-Softmax")
L8 = Paper("L8", "Breaking the Top-K Barrier: Advancing Top-K Ranking Metrics Optimization in Recommender Systems")
S1 = Paper("S1", "Foundations of Top-k Decoding for Language Models")
S2 = Paper("S2", "Foundations of Top-k Decoding for Language Models")
S4 = Paper("S4", "Closing the Curious Case of Neural Text Degeneration")
S8 = Paper("S8", "Generalized Differentiable RANSAC; Gumbel-Softmax Flow Matching")
S9 = Paper("S9", "implied")
O5 = Paper("O5", "To Softmax, or not to Softmax: that is the question when applying Active Learning")
G1 = Paper("G1", "Statistical Perspective of Top-K Sparse Softmax Gating Mixture of Experts")
G3 = Paper("G3", "MoE vs. MLP; Mixture-of-Linguistic-Experts; Learning to Branch; ToMoE")
X2_4 = Paper("2.4", "VB-LoRA: Extreme Parameter Efficient Fine-Tuning with Vector Banks")
X2_11 = Paper("2.11", "Transformer Feed-Forward Layers Build Predictions by Promoting Concepts in the Vocabulary Space")
X3_4 = Paper("3.4", "Q-Probe: A Lightweight Approach to Reward Maximization for Language Models")
X4_1 = Paper("4.1", "Fast Controlled Generation from Language Models with Adaptive Weighted Rejection Sampling")

Some = Annotated[int, rf.Between(1, 256)]  # how many are kept: softmax over none of them has no sum to divide by

N1(walks=2)(sparsemax)
C5(walks=1, k=5)(softmax_topk)
X2_11(walks=1, k=5)(softmax_topk)


@S1(walks=1, k=5)
@rf.kernel
def topk_softmax(x: rf.Row, *, k: Some) -> Any:
    """(softmax over the k largest, their positions): top-k decoding renormalized. Two k-vectors."""
    v, at = rf.topk(x, k)
    e = np.exp(v - v[0])
    return e / np.sum(e), at


C10(walks=1, k=5)(topk_softmax)
G1(walks=1, k=2)(topk_softmax)
X2_4(walks=1, k=2)(topk_softmax)


@C10(walks=2, k=5)
@rf.kernel
def topk_softmax_dense(x: rf.Row, *, k: Some) -> Any:
    """softmax over the k largest, 0 elsewhere; of ties for the last place the first stay. A row."""
    v, at = rf.topk(x, k)
    kept = (x > v[k - 1]) | ((x == v[k - 1]) & (rf.positions(x) <= at[k - 1]))
    return np.where(kept, np.exp(x - v[0]) / np.sum(np.exp(v - v[0])), 0.0)


@C10(walks=1, k=5)
@rf.kernel
def sparse_softmax_loss(x: rf.Row, y: rf.Index, *, k: Some) -> Any:
    """log of the sum of e^x over the k largest - x_y, a number (confirm: negative where y is not among them)."""
    v, _ = rf.topk(x, k)
    return np.log(np.sum(np.exp(v - v[0]))) + (v[0] - x[y])


@N1(walks=2)
@rf.kernel
def sparsemax_backward(p: rf.Row, g: rf.Row) -> Any:
    """g - mean of g over the support where p > 0, else 0, for p = sparsemax(x): the gradient in x. A row."""
    kept = p > 0
    return np.where(kept, g - np.sum(g, where=kept) / np.count_nonzero(kept), 0.0)


@N1(walks=2)
@rf.kernel
def sparsemax_loss(x: rf.Row, y: rf.Index) -> Any:
    """-x_y + sum over the support of (x^2 - tau^2) / 2 + 1/2, taken at x - max x, which changes nothing. A number."""
    z = x - np.max(x)
    tau = rf.threshold(lambda v, t: np.maximum(v - t, 0.0), 1.0, z, lo=-np.inf, hi=np.inf)
    over = np.maximum(z - tau, 0.0)
    return 0.5 + 0.5 * np.sum(over * (over + 2.0 * tau)) - z[y]


@N8(walks=2)
@rf.kernel
def gumbel_softmax(x: rf.Row, seed: rf.Scalar, *, tau: rf.Positive = 1.0) -> Any:
    """softmax((x + g) / tau), g Gumbel noise: both walks make the same numbers. A row."""
    return softmax((x + rf.gumbel(x, seed)) / tau)


G3(walks=2)(gumbel_softmax)


@N8(walks=2)
@rf.kernel
def gumbel_onehot(x: rf.Row, seed: rf.Scalar) -> Any:
    """onehot(argmax(x + g)): the hard sample as a row; its gradient is that of gumbel_softmax."""
    return np.where(rf.positions(x) == np.argmax(x + rf.gumbel(x, seed)), 1.0, 0.0)


G3(walks=2)(gumbel_onehot)


@S9(walks=1)
@rf.kernel
def categorical(x: rf.Row, seed: rf.Scalar) -> Any:
    """argmax(x + g): a sample of softmax(x), an integer. Inverting the distribution, a scan, is outside."""
    return np.argmax(x + rf.gumbel(x, seed))


@X3_4(walks=1)
@rf.kernel
def probe_sample(q: rf.Row, seed: rf.Scalar, *, beta: rf.Positive = 0.1) -> Any:
    """argmax(q / beta + g): a candidate drawn from softmax(q / beta). An integer."""
    return np.argmax(q / beta + rf.gumbel(q, seed))


@S8(walks=1, k=5)
@rf.kernel
def gumbel_topk(x: rf.Row, seed: rf.Scalar, *, k: int, tau: rf.Positive = 1.0) -> Any:
    """(keys, positions) of the k largest of x / tau + g: k draws without replacement. Two k-vectors."""
    return rf.topk(x / tau + rf.gumbel(x, seed), k)


@X4_1(walks=1, k=16)
@rf.kernel
def rejection_candidates(x: rf.Row, seed: rf.Scalar, *, k: int) -> Any:
    """(positions of the k largest of x + g, logsumexp(x), max x): candidates in the order in which they are tried."""
    _, at = rf.topk(x + rf.gumbel(x, seed), k)
    return at, rf.logsumexp(x), np.max(x)


@L8(walks=1, k=5)
@rf.kernel
def softmax_loss_at_k(x: rf.Row, y: rf.Index, *, k: Some, tau: rf.Positive = 1.0, weight: str = "sigmoid") -> Any:
    """w(x_y - b) log sum e^((x_j - x_y) / tau), b the k-th largest score, a number. w: sigmoid, exp, or relu."""
    over = x[y] - rf.kth(x, k)
    choices = {"sigmoid": rf.sigmoid(over), "exp": np.exp(over), "relu": np.maximum(over, 0.0)}
    return choices[weight] * rf.logsumexp((x - x[y]) / tau)


@O5(walks=1)
@rf.kernel
def margin_score(x: rf.Row) -> Any:
    """p1 - p2, the two largest of softmax(x), a number."""
    p, _ = softmax_topk(x, k=2)
    return p[0] - p[1]


@S2(walks=1, k=5)
@rf.kernel
def bregman_topk(x: rf.Row, *, k: Some, alpha: rf.Static[float] = 2.0) -> Any:
    """(probabilities, positions) on the k largest p = softmax(x), moved to sum 1 by a Bregman projection.

    alpha = 1 scales (Kullback-Leibler), 2 adds (1 - sum p) / k, 1.5 adds to the square roots. Choosing k is outside.
    """
    p, at = softmax_topk(x, k=k)
    if alpha == 1:
        return p / np.sum(p), at
    if alpha == 2:
        return p + (1.0 - np.sum(p)) / k, at
    if alpha != 1.5:
        raise ValueError(f"alpha is {alpha}, and it has to be 1, 1.5 or 2")
    root = np.sqrt(p)
    s = np.sum(root)
    return np.square(root + (np.sqrt(np.square(s) + k * (1.0 - np.sum(p))) - s) / k), at


@S4(walks=2)
@rf.kernel
def nucleus_filter(x: rf.Row, *, mass: rf.Positive = 0.9, k: Some = 64) -> Any:
    """x in the smallest set of largest probabilities with mass >= P, ties of its last stay; else -inf. A row.

    The set is looked for among the k largest (k at most n); where they have less mass, they are kept. `nucleus` looks
    at the whole row.
    """
    p, _ = softmax_topk(x, k=k)
    v, _ = rf.topk(x, k)
    last = np.min(np.where(np.cumsum(p) - p < mass, v, np.inf))
    return np.where(x >= last, x, -np.inf)
