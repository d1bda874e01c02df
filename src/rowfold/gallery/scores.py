"""Confidence, out-of-distribution and conformal scores of a row of logits. Each gives a number a row."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf

from ..library import cross_entropy, entropy, log_softmax, softmax
from .entries import Paper
from .losses import log_odds

O1 = Paper("O1", "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks")
O2 = Paper("O2", "Enhancing The Reliability of Out-of-distribution Image Detection in Neural Networks (ODIN)")
O3 = Paper("O3", "Energy-based Out-of-distribution Detection")
O4 = Paper("O4", "Rethinking Entropy Interventions; Learning More with Less (D3S); EntroPE")
O5 = Paper("O5", "To Softmax, or not to Softmax: that is the question when applying Active Learning")
O6 = Paper("O6", "DYNAMAX; Dynamic Perceiver for Efficient Visual Recognition")
O7 = Paper("O7", "Conformal Risk Control; Non-Exchangeable Conformal; Optimized Conformal Selection")
O8 = Paper("O8", "PSL: Rethinking and Improving Softmax Loss; Breaking the Top-K Barrier")
O9 = Paper("O9", "Identifying Incorrect Classifications with Balanced Uncertainty")
L21 = Paper("L21", "Beyond Reverse KL; Margin Matching Preference; SparsePO; Preference Fine-Tuning for Factuality")
X2_8 = Paper("2.8", "On Pitfalls of Test-Time Adaptation (TTAB)")
X2_11 = Paper("2.11", "Transformer Feed-Forward Layers Build Predictions by Promoting Concepts in the Vocabulary Space")
X4_6 = Paper("4.6", "Towards Stable Test-Time Adaptation in Dynamic Wild World (SAR)")
X4_7 = Paper("4.7", "PA&DA: Jointly Sampling PAth and DAta for Consistent NAS")
X4_11 = Paper("4.11", "h-calibration: Rethinking Classifier Recalibration with Probabilistic Error-Bounded Objective")

O4(walks=1)(entropy)


@O1(walks=1)
@rf.kernel
def max_softmax_probability(x: rf.Row) -> Any:
    """max softmax(x) = 1 / sum e^(x - max x)."""
    return 1.0 / np.sum(np.exp(x - np.max(x)))


@O2(walks=1)
@rf.kernel
def odin_score(x: rf.Row, *, temperature: rf.Positive = 1000.0) -> Any:
    """max softmax(x / T). The input perturbation, a step along the sign of its gradient, is outside."""
    return 1.0 / np.sum(np.exp((x - np.max(x)) / temperature))


@O3(walks=1)
@rf.kernel
def energy_score(x: rf.Row, *, temperature: rf.Positive = 1.0) -> Any:
    """-T logsumexp(x / T)."""
    return -temperature * rf.logsumexp(x / temperature)


@O4(walks=1)
@rf.kernel
def weighted_entropy(x: rf.Row, advantage: rf.Scalar) -> Any:
    """|A| H: the rank of a token for an entropy intervention, A one a row."""
    return np.abs(advantage) * entropy(x)


@O5(walks=1)
@rf.kernel
def least_confidence(x: rf.Row) -> Any:
    """1 - max softmax(x)."""
    return 1.0 - max_softmax_probability(x)


@O6(walks=1)
@rf.kernel
def early_exit_by_probability(x: rf.Row, *, theta: float = 0.9) -> Any:
    """Whether max softmax(x) >= theta. A boolean."""
    return max_softmax_probability(x) >= theta


@O6(walks=1)
@rf.kernel
def early_exit_by_entropy(x: rf.Row, *, theta: float = 0.5) -> Any:
    """Whether the entropy of softmax(x) is at most theta. A boolean."""
    return entropy(x) <= theta


@O7(walks=1)
@rf.kernel
def lac_score(x: rf.Row, y: rf.Index) -> Any:
    """1 - p_y, the least ambiguous set-valued classifier's score, right however close to 0."""
    return rf.sigmoid(log_odds(x, y))


@O7(walks=1)
@rf.kernel
def aps_score(x: rf.Row, y: rf.Index, u: rf.Scalar) -> Any:
    """The sum of p_j over x_j > x_y, plus u p_y: adaptive prediction sets without a sort, u in [0, 1] one a row."""
    p = softmax(x)
    return np.sum(p, where=x > x[y]) + u * p[y]


@O8(walks=1)
@rf.kernel
def target_rank(x: rf.Row, y: rf.Index) -> Any:
    """1 + the number of x_j > x_y, an integer."""
    return (1 + np.count_nonzero(x > x[y])).astype(np.int64)


@O8(walks=1)
@rf.kernel
def topk_hit(x: rf.Row, y: rf.Index, *, k: int = 5) -> Any:
    """Whether fewer than k elements are above x_y. A boolean."""
    return np.count_nonzero(x > x[y]) < k


@O8(walks=1)
@rf.kernel
def dcg(x: rf.Row, y: rf.Index) -> Any:
    """1 / log2(1 + rank of the target): the discounted gain of one relevant item."""
    return 1.0 / np.log2(2.0 + np.count_nonzero(x > x[y]))


@O9(walks=1)
@rf.kernel
def true_class_probability(x: rf.Row, y: rf.Index) -> Any:
    """p_y = e^(x_y - logsumexp(x))."""
    return rf.sigmoid(-log_odds(x, y))


@O9(walks=1)
@rf.kernel
def focal_regression(x: rf.Row, y: rf.Index, predicted: rf.Scalar, *, gamma: rf.Static[float] = 2.0) -> Any:
    """|d|^gamma d^2, d = predicted - p_y: the regressor of the true class probability (confirm the weight)."""
    d = predicted - true_class_probability(x, y)
    return np.power(np.abs(d), gamma) * np.square(d)


@L21(walks=1)
@rf.kernel
def selective_log_softmax(x: rf.Row, y: rf.Index) -> Any:
    """log p_y: what DPO and its kin read from a row of a vocabulary."""
    return -rf.softplus(log_odds(x, y))


@X2_8(walks=1)
@rf.kernel
def eata_weight(x: rf.Row, *, margin: float = 0.4) -> Any:
    """e^(margin - H) where the entropy H of softmax(x) is below the margin, else 0."""
    h = entropy(x)
    return np.where(h < margin, np.exp(margin - h), 0.0)


@X2_8(walks=2)
@rf.kernel
def entropy_backward(x: rf.Row) -> Any:
    """-p (log p + H): the gradient of the entropy of softmax(x). A row; 0 where x is -inf."""
    logp = log_softmax(x)
    p = np.exp(logp)
    return np.where(p > 0, -p * (logp + entropy(x)), 0.0)


@X2_11(walks=1)
@rf.kernel
def logit_lens(x: rf.Row) -> Any:
    """(logsumexp, largest log-probability, its token): what a layer would predict. The token is an integer."""
    lse = rf.logsumexp(x)
    return lse, np.max(x) - lse, np.argmax(x)


@X2_11(walks=1)
@rf.kernel
def dominance(v: rf.Row, m: rf.Scalar) -> Any:
    """|m| |v|_2: how much a value vector with coefficient m weighs."""
    return np.abs(m) * np.linalg.norm(v)


@X4_6(walks=1)
@rf.kernel
def reliable_entropy(x: rf.Row, *, factor: rf.Positive = 0.4) -> Any:
    """(H, whether H < factor log n): rows that are kept for adaptation. The mean over kept rows is outside."""
    h = entropy(x)
    return h, h < factor * np.log(x.size)


@X4_6(walks=2)
@rf.kernel
def reliable_entropy_backward(x: rf.Row, kept: rf.Scalar, count: rf.Scalar) -> Any:
    """-p (log p + H) kept / count, kept 0 or 1 and count the number of kept rows. A row."""
    return entropy_backward(x) * (kept / count)


@X4_7(walks=1)
@rf.kernel
def el2n(x: rf.Row, y: rf.Index) -> Any:
    """|softmax(x) - onehot y|_2, the norm of a sample's gradient: root of (1 - p_y)^2 plus the p_j^2 of the others."""
    others = np.sum(np.square(softmax(x)), where=rf.positions(x) != y)
    return np.sqrt(np.square(lac_score(x, y)) + others)


@X4_7(walks=2)
@rf.kernel
def proportional(x: rf.Row) -> Any:
    """x / sum x: norms of gradients as sampling probabilities. A row."""
    return x / np.sum(x)


@rf.kernel
def brier(x: rf.Row, y: rf.Index) -> Any:
    """|softmax(x) - onehot y|^2, from sum p^2 - 2 p_y + 1 without its cancellation."""
    return np.square(lac_score(x, y)) + np.sum(np.square(softmax(x)), where=rf.positions(x) != y)


@X4_11(walks=1)
@rf.kernel
def calibration_metrics(x: rf.Row, y: rf.Index) -> Any:
    """(cross-entropy, Brier score, max p, whether the target is the argmax, entropy), p = softmax(x)."""
    right = np.argmax(x) == y
    return cross_entropy(x, y), brier(x, y), max_softmax_probability(x), right, entropy(x)


@X4_11(walks=2)
@rf.kernel
def vector_scaled_softmax(x: rf.Row, weight: rf.Row, bias: rf.Row) -> Any:
    """softmax(w x + b): vector scaling; temperature scaling is w = 1 / T, b = 0. A row."""
    return softmax(weight * x + bias)
