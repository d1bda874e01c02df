"""Losses on logits `x` and a target index `y`. Each gives a number a row unless it says otherwise."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

import rowfold as rf

from ..library import cross_entropy, log_softmax
from .entries import Paper

N7 = Paper("N7", "Grokking at the Edge of Numerical Stability")
N10 = Paper("N10", "Noisy Softmax: Improving the Generalization Ability of DCNN")
N15 = Paper("N15", "To Cool or not to Cool? Temperature Network Meets Large Foundation Models via DRO")
L1 = Paper("L1", "PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions")
L2 = Paper("L2", "The Z-loss: a shift and scale invariant classification loss belonging to the Spherical Family")
L3 = Paper("L3", "PaLM: Scaling Language Modeling with Pathways; ST-MoE")
L4 = Paper("L4", "MaxSup: Overcoming Representation Collapse in Label Smoothing")
L5 = Paper("L5", "Normalized Loss Functions for Deep Learning with Noisy Labels")
L6 = Paper("L6", "Dual Focal Loss for Calibration")
L7 = Paper("L7", "PSL: Rethinking and Improving Softmax Loss from Pairwise Perspective")
L20 = Paper("L20", "Shedding More Light on Robust Classifiers under the lens of Energy-based Models")
L22 = Paper("L22", "VQ-Logits: Compressing the Output Bottleneck")
L23 = Paper("L23", "SLCA: Slow Learner with Classifier Alignment")
L24 = Paper("L24", "Exploring Weight Balancing; Inducing Neural Collapse; Boosting Long-tailed Object Detection")
L26 = Paper("L26", "An Architecture Combining Convolutional Neural Network (CNN) and Support Vector Machine")
L27 = Paper("L27", "Unlocking Deterministic Robustness Certification")
X3_10 = Paper("3.10", "Exploring Weight Balancing on Long-Tailed Recognition Problem")
X3_19 = Paper("3.19", "A Light Weight Model for Active Speaker Detection")
X2_5 = Paper("2.5", "u-muP: The Unit-Scaled Maximal Update Parametrization")

Temperature = Annotated[rf.Scalar, rf.Between(0.0, open=True)]  # one a row
Sharpness = Annotated[rf.Static[float], rf.Between(0.0, open=True)]


@rf.kernel
def log_odds(x: rf.Row, y: rf.Index) -> Any:
    """log sum over j != y of e^(x_j - x_y): p_y = sigmoid(-it), and nothing cancels at any logit gap."""
    return rf.logsumexp(x, where=rf.positions(x) != y) - x[y]


@N7(walks=1)
@rf.kernel
def collapse_free_cross_entropy(x: rf.Row, y: rf.Index) -> Any:
    """softplus(logsumexp over j != y - x_y) in place of logsumexp - x_y, which is 0 from a gap of 16 on in float32."""
    return rf.softplus(log_odds(x, y))


@N10(walks=1)
@rf.kernel
def noisy_cross_entropy(x: rf.Row, y: rf.Index, norm: rf.Scalar, noise: rf.Scalar, *, alpha: rf.NonNegative = 0.1
) -> Any:  # fmt: skip
    """Cross-entropy with x_y lowered by alpha norm (1 - cos theta_y) |noise|; cos theta_y = x_y / norm."""
    lowered = x[y] - alpha * (norm - x[y]) * np.abs(noise)
    return rf.softplus(rf.logsumexp(x, where=rf.positions(x) != y) - lowered)


@N15(walks=1)
@rf.kernel
def temperature_dro(h: rf.Row, tau: Temperature, *, rho: rf.NonNegative = 1.0) -> Any:
    """(L, dL / d tau) for L = tau log(mean e^(h / tau)) + tau rho, tau > 0 one a row. Two numbers."""
    p = np.exp(log_softmax(h / tau))
    log_mean = rf.logsumexp(h / tau) - np.log(h.size)
    return tau * (log_mean + rho), log_mean - np.dot(p, h) / tau + rho


@L1(walks=1)
@rf.kernel
def poly1(x: rf.Row, y: rf.Index, *, epsilon: float = 1.0) -> Any:
    """Cross-entropy + epsilon (1 - p_y)."""
    gap = log_odds(x, y)
    return rf.softplus(gap) + epsilon * rf.sigmoid(gap)


@L1(walks=1)
@rf.kernel
def poly_n(x: rf.Row, y: rf.Index, *, epsilon1: float = 1.0, epsilon2: float = 0.0, epsilon3: float = 0.0) -> Any:
    """Cross-entropy + the sum over j of epsilon_j (1 - p_y)^j, N = 3."""
    gap = log_odds(x, y)
    q = rf.sigmoid(gap)
    return rf.softplus(gap) + q * (epsilon1 + q * (epsilon2 + q * epsilon3))


@L1(walks=1)
@rf.kernel
def focal(x: rf.Row, y: rf.Index, *, gamma: rf.Static[float] = 2.0) -> Any:
    """-(1 - p_y)^gamma log p_y."""
    gap = log_odds(x, y)
    return np.power(rf.sigmoid(gap), gamma) * rf.softplus(gap)


@L2(walks=1)
@rf.kernel
def z_loss_2016(x: rf.Row, y: rf.Index, *, a: rf.Positive = 1.0, b: float = 1.0) -> Any:
    """log(1 + e^(a (b - (x_y - mean x) / std x))) / a. Not lambda logsumexp^2, which is `palm_z_loss`."""
    z = (x[y] - np.mean(x)) / np.std(x)
    return rf.softplus(a * (b - z)) / a


@L3(walks=1)
@rf.kernel
def palm_z_loss(x: rf.Row, *, weight: rf.NonNegative = 1e-4) -> Any:
    """weight logsumexp(x)^2. Not the Z-loss of 2016."""
    return weight * np.square(rf.logsumexp(x))


@L4(walks=1)
@rf.kernel
def maxsup(x: rf.Row, y: rf.Index, *, alpha: rf.NonNegative = 0.1) -> Any:
    """Cross-entropy + alpha (max x - mean x); the mean is over the selected elements."""
    return cross_entropy(x, y) + alpha * (np.max(x) - np.mean(x))


@L4(walks=1)
@rf.kernel
def label_smoothing(x: rf.Row, y: rf.Index, *, alpha: rf.NonNegative = 0.1) -> Any:
    """Cross-entropy + alpha (x_y - mean x): label smoothing in its logit form."""
    return cross_entropy(x, y) + alpha * (x[y] - np.mean(x))


@L5(walks=1)
@rf.kernel
def nce(x: rf.Row, y: rf.Index) -> Any:
    """(logsumexp - x_y) / (n logsumexp - sum x): cross-entropy over the sum of those of all classes.

    By expansion: an absolute bound where all classes are alike, none where n = 1 (0 / 0).
    """
    return cross_entropy(x, y) / (x.size * rf.logsumexp(x) - np.sum(x))


@L5(walks=1)
@rf.kernel
def nfl(x: rf.Row, y: rf.Index, *, gamma: int = 2) -> Any:
    """Focal loss over the sum of those of all classes, for gamma = 1, 2 or 3: (1 - p)^gamma log p is then a sum of
    p^j log p, each an exponential polynomial.
    """
    logp = log_softmax(x)
    p = np.exp(logp)
    sums = [np.sum(logp), np.dot(p, logp), np.dot(p * p, logp), np.dot(p * p * p, logp)]
    weights = {1: (1, -1, 0, 0), 2: (1, -2, 1, 0), 3: (1, -3, 3, -1)}[gamma]
    total = sum(w * s for w, s in zip(weights, sums, strict=True) if w)
    return np.power(rf.sigmoid(log_odds(x, y)), float(gamma)) * logp[y] / total


@L5(walks=2)
@rf.kernel
def nfl_real(x: rf.Row, y: rf.Index, *, gamma: rf.Static[float] = 0.5) -> Any:
    """Focal loss over the sum of those of all classes, any gamma: (1 - p)^gamma needs the normalizer first."""
    logp = log_softmax(x)
    losses = np.power(-np.expm1(logp), gamma) * logp
    return np.power(rf.sigmoid(log_odds(x, y)), gamma) * logp[y] / np.sum(losses)


@L5(walks=1)
@rf.kernel
def mae(x: rf.Row, y: rf.Index) -> Any:
    """2 (1 - p_y), the distance of softmax(x) to the target in the 1-norm."""
    return 2.0 * rf.sigmoid(log_odds(x, y))


@L5(walks=1)
@rf.kernel
def rce(x: rf.Row, y: rf.Index, *, a: float = -4.0) -> Any:
    """-a (1 - p_y): the reverse cross-entropy, with a for the log of 0."""
    return -a * rf.sigmoid(log_odds(x, y))


@L5(walks=1)
@rf.kernel
def apl(x: rf.Row, y: rf.Index, *, alpha: float = 1.0, beta: float = 1.0) -> Any:
    """alpha nce + beta mae: an active loss and a passive one."""
    return alpha * nce(x, y) + beta * mae(x, y)


@L6(walks=1)
@rf.kernel
def dual_focal(x: rf.Row, y: rf.Index, *, gamma: rf.Static[float] = 5.0) -> Any:
    """-(1 - p_y + p_j)^gamma log p_y with p_j the largest probability below p_y: no ties, 0 if there is none."""
    gap = log_odds(x, y)
    below = np.exp(np.max(x, where=x < x[y], initial=-np.inf) - x[y]) * rf.sigmoid(-gap)
    return np.power(rf.sigmoid(gap) + below, gamma) * rf.softplus(gap)


@L7(walks=1)
@rf.kernel
def psl_tanh(x: rf.Row, y: rf.Index, *, tau: Sharpness = 0.5) -> Any:
    """log of the sum of (tanh(x_j - x_y) + 1)^(1 / tau). Bounded: no maximum is needed."""
    return np.log(np.sum(np.power(np.tanh(x - x[y]) + 1.0, 1.0 / tau)))


@L7(walks=1)
@rf.kernel
def psl_relu(x: rf.Row, y: rf.Index, *, tau: Sharpness = 0.5) -> Any:
    """log of the sum of relu(x_j - x_y + 1)^(1 / tau)."""
    return np.log(np.sum(np.power(np.maximum(x - x[y] + 1.0, 0.0), 1.0 / tau)))


@L7(walks=1)
@rf.kernel
def psl_atan(x: rf.Row, y: rf.Index, *, tau: Sharpness = 0.5) -> Any:
    """log of the sum of (atan(x_j - x_y) + 1)^(1 / tau) where atan + 1 > 0, else 0 (confirm the clamp)."""
    return np.log(np.sum(np.power(np.maximum(np.arctan(x - x[y]) + 1.0, 0.0), 1.0 / tau)))


@L20(walks=1)
@rf.kernel
def energies(x: rf.Row, y: rf.Index) -> Any:
    """(E(x), E(x, y), their difference): -logsumexp, -x_y, and cross-entropy. Three numbers."""
    return -rf.logsumexp(x), -x[y], cross_entropy(x, y)


@L20(walks=1)
@rf.kernel
def weat(x: rf.Row, y: rf.Index) -> Any:
    """Cross-entropy over log(1 + e^|E(x)|), E = -logsumexp (confirm: the paper's weight of a row)."""
    return cross_entropy(x, y) / rf.softplus(np.abs(rf.logsumexp(x)))


@L22(walks=1)
@rf.kernel
def weighted_logsumexp(z: rf.Row, count: rf.Row) -> Any:
    """log of the sum of n_k e^(z_k): a codebook in which code k stands for n_k >= 0 tokens."""
    m = np.max(z)
    return np.log(np.dot(count, np.exp(z - m))) + m


@L22(walks=1)
@rf.kernel
def codebook_cross_entropy(z: rf.Row, count: rf.Row, code: rf.Index) -> Any:
    """log of the sum of n_k e^(z_k) - z_c, c the code of the target token."""
    return np.log(np.dot(count, np.exp(z - z[code])))


@L23(walks=2)
@rf.kernel
def logit_normalized_cross_entropy(x: rf.Row, y: rf.Index, *, tau: rf.Positive = 0.1) -> Any:
    """Cross-entropy of x / (tau |x|_2). The norm is the temperature, so that it needs a walk of its own."""
    scale = 1.0 / (tau * np.linalg.norm(x))
    return rf.logsumexp(scale * (x - x[y]))


@L24(walks=1)
@rf.kernel
def logit_adjusted_cross_entropy(x: rf.Row, log_prior: rf.Row, y: rf.Index, *, tau: rf.NonNegative = 1.0) -> Any:
    """Cross-entropy of x + tau log prior; tau = 1 is balanced softmax."""
    return cross_entropy(x + tau * log_prior, y)


X3_10(walks=1)(logit_adjusted_cross_entropy)


@X3_10(walks=1)
@rf.kernel
def class_balanced_cross_entropy(x: rf.Row, y: rf.Index, count: rf.Scalar, *, beta: rf.Positive = 0.999) -> Any:
    """(1 - beta) / (1 - beta^n_y) times cross-entropy, n_y = `count` the number of rows of the target's class."""
    return (1.0 - beta) / -np.expm1(count * np.log(beta)) * cross_entropy(x, y)


@L26(walks=1)
@rf.kernel
def multiclass_hinge(x: rf.Row, y: rf.Index) -> Any:
    """The sum over j != y of relu(1 + x_j - x_y)."""
    return np.sum(np.maximum(1.0 + x - x[y], 0.0), where=rf.positions(x) != y)


@L26(walks=1)
@rf.kernel
def l2_svm(x: rf.Row, y: rf.Index) -> Any:
    """The sum of relu(1 - t x)^2 with t = 1 at y and -1 elsewhere."""
    t = np.where(rf.positions(x) == y, 1.0, -1.0)
    return np.sum(np.square(np.maximum(1.0 - t * x, 0.0)))


@L27(walks=1)
@rf.kernel
def emma(x: rf.Row, lipschitz: rf.Row, y: rf.Index, *, epsilon: rf.NonNegative = 0.1) -> Any:
    """Cross-entropy of x_j + e_j K_jy for j != y; K = `lipschitz` > 0, e_j = clip((x_y - x_j) / K_jy, 0, epsilon)."""
    e = np.clip((x[y] - x) / lipschitz, 0.0, epsilon)
    moved = x + e * lipschitz
    return rf.softplus(rf.logsumexp(moved, where=rf.positions(x) != y) - x[y])


@X3_19(walks=1)
@rf.kernel
def tempered_cross_entropy(x: rf.Row, y: rf.Index, *, temperature: rf.Positive = 1.0) -> Any:
    """Cross-entropy of x / T."""
    return cross_entropy(x / temperature, y)


@X2_5(walks=1)
@rf.kernel
def unit_scaled_cross_entropy(x: rf.Row, y: rf.Index) -> Any:
    """logsumexp - x_y. Its gradient is scaled by n / sqrt(n - 1), apart from the forward: see the backward kernel."""
    return cross_entropy(x, y)


@X2_5(walks=2)
@rf.kernel
def unit_scaled_cross_entropy_backward(x: rf.Row, y: rf.Index) -> Any:
    """(softmax(x) - onehot y) n / sqrt(n - 1): unit variance for unit-variance logits. A row."""
    n = x.size
    p = np.exp(log_softmax(x))
    return (p - np.where(rf.positions(x) == y, 1.0, 0.0)) * (n / np.sqrt(n - 1.0))
