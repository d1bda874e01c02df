"""How far apart two softmaxed rows are, or one and a fixed one. Each gives a number a row unless it says otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf

from ..library import entropy, kl_div, log_softmax, softmax
from .entries import Paper

L15 = Paper("L15", "LTD: Low Temperature Distillation for Robust Adversarial Training; MEAL V2; FerKD")
L16 = Paper("L16", "AlphaNet: Improved Training of Supernets with Alpha-Divergence")
L17 = Paper("L17", "DivMerge; Machine Learning with Multitype Protected Attributes")
L18 = Paper("L18", "Robustness and Accuracy Could Be Reconcilable by (Proper) Definition")
L19 = Paper("L19", "Norm of Word Embedding Encodes Information Gain; SMAR: Soft Modality-Aware Routing")
L25 = Paper("L25", "Jaccard Metric Losses; Dice Semimetric Losses")
L28 = Paper("L28", "AERO: Softmax-Only LLMs for Efficient Private Inference")
L29 = Paper("L29", "Towards the Fundamental Limits of Knowledge Transfer over Finite Domains")
X3_8 = Paper("3.8", "TinyCLIP: CLIP Distillation via Affinity Mimicking and Weight Inheritance")
X3_9 = Paper("3.9", "Weight Averaging Improves Knowledge Distillation under Domain Shift; MiniViT")
X3_20 = Paper("3.20", "SSL via Weight-aware Distillation")


@L15(walks=1)
@rf.kernel
def temperature_kl(z: rf.Row, x: rf.Row, *, teacher: rf.Positive = 4.0, student: rf.Positive = 4.0) -> Any:
    """T_s^2 KL(softmax(z / T_t) || softmax(x / T_s)): distillation, z the teacher's logits."""
    return np.square(student) * kl_div(z / teacher, x / student)


X3_9(walks=1)(temperature_kl)


@L15(walks=1)
@rf.kernel
def soft_label_cross_entropy(x: rf.Row, q: rf.Row) -> Any:
    """-sum q log softmax(x) for label weights q >= 0, of any sum. A weight of 0 hides its logit, even -inf."""
    return rf.logsumexp(x) * np.sum(q) - np.sum(np.where(q > 0, q * x, 0.0))


@L15(walks=1)
@rf.kernel
def partial_label_cross_entropy(x: rf.Row, q: rf.Row, given: rf.Mask) -> Any:
    """-sum q log softmax(x) where q is known at `given` and the mass that is left spreads evenly over the others."""
    rest = 1.0 - np.sum(q, where=given)
    away = np.sum(np.where(given, 0.0, 1.0))
    others = np.where(away > 0, rest * np.sum(x, where=~given) / np.maximum(away, 1.0), 0.0)
    mass = np.sum(q, where=given) + np.where(away > 0, rest, 0.0)
    return rf.logsumexp(x) * mass - np.sum(q * x, where=given) - others


@L15(walks=1)
@rf.kernel
def distillation_backward(x: rf.Row, z: rf.Row, x_lse: rf.Scalar, z_lse: rf.Scalar) -> Any:
    """softmax(x) - softmax(z) from saved logsumexps: the gradient of their KL. A row, one walk."""
    return np.exp(x - x_lse) - np.exp(z - z_lse)


@X3_8(walks=1)
@rf.kernel
def affinity_mimicking(t: rf.Row, s: rf.Row, *, teacher: rf.Positive = 1.0, student: rf.Positive = 1.0) -> Any:
    """-sum softmax(t / T_t) log softmax(s / T_s); along axis 0 it is the text-to-image half."""
    return -np.sum(softmax(t / teacher) * log_softmax(s / student))


@X3_8(walks=2)
@rf.kernel
def affinity_mimicking_backward(t: rf.Row, s: rf.Row, *, teacher: rf.Positive = 1.0, student: rf.Positive = 1.0
) -> Any:  # fmt: skip
    """(softmax(s / T_s) - softmax(t / T_t)) / T_s: the gradient with respect to s. A row."""
    return (softmax(s / student) - softmax(t / teacher)) / student


X3_9(walks=1)(affinity_mimicking)
X3_9(walks=2)(affinity_mimicking_backward)


@X3_20(walks=1)
@rf.kernel
def weighted_soft_cross_entropy(x: rf.Row, z: rf.Row, weight: rf.Row) -> Any:
    """-sum w softmax(z) log softmax(x), w >= 0 one a class (WAD takes them from pointwise mutual information)."""
    return -np.sum(weight * softmax(z) * log_softmax(x))


@X3_20(walks=1)
@rf.kernel
def pointwise_mutual_information(x: rf.Row, y: rf.Index, log_marginal: rf.Row) -> Any:
    """log p_y - log of the marginal of y, p = softmax(x)."""
    return log_softmax(x)[y] - log_marginal[y]


@L16(walks=1)
@rf.kernel
def alpha_divergence(x: rf.Row, z: rf.Row, *, alpha: rf.Static[float] = 2.0) -> Any:
    """(sum p^a q^(1 - a) - 1) / (a (a - 1)), p = softmax(x), q = softmax(z), a not 0 or 1."""
    p, q = log_softmax(x), log_softmax(z)
    return (np.sum(np.exp(alpha * p + (1.0 - alpha) * q)) - 1.0) / (alpha * (alpha - 1.0))


@L16(walks=2)
@rf.kernel
def clipped_alpha_divergence(x: rf.Row, z: rf.Row, *, alpha: rf.Static[float] = 2.0, limit: rf.Positive = 5.0) -> Any:
    """The same with (p / q)^a at most `limit` (confirm). The clip is of probabilities: their normalizers come first."""
    p, q = log_softmax(x), log_softmax(z)
    ratio = np.minimum(np.exp(alpha * (p - q)), limit)
    return (np.sum(np.exp(q) * ratio) - 1.0) / (alpha * (alpha - 1.0))


@L17(walks=2)
@rf.kernel
def jensen_shannon(x: rf.Row, z: rf.Row) -> Any:
    """(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, p = softmax(x), q = softmax(z).

    log(p + q) is no exponential polynomial: the normalizers come first, in a walk of their own.
    """
    p, q = log_softmax(x), log_softmax(z)
    m = np.logaddexp(p, q) - np.log(2.0)
    return 0.5 * np.sum(np.exp(p) * (p - m) + np.exp(q) * (q - m))


@L18(walks=1)
@rf.kernel
def softmax_squared_distance(x: rf.Row, z: rf.Row) -> Any:
    """sum p^2 + sum q^2 - 2 sum p q: |softmax(x) - softmax(z)|^2 by expansion, with an absolute bound."""
    p, q = softmax(x), softmax(z)
    return np.sum(p * p) + np.sum(q * q) - 2.0 * np.sum(p * q)


@L18(walks=2)
@rf.kernel
def softmax_squared_distance_exact(x: rf.Row, z: rf.Row) -> Any:
    """sum (p - q)^2 as it stands: a further walk, and right where p is close to q."""
    return np.sum(np.square(softmax(x) - softmax(z)))


@L19(walks=1)
@rf.kernel
def kl_to_prior(x: rf.Row, log_prior: rf.Row) -> Any:
    """KL(softmax(x) || u) = sum p (x - log u) - logsumexp(x)."""
    p = log_softmax(x)
    return np.sum(np.exp(p) * (p - log_prior))


@rf.kernel
def _sum_and_distance(p: rf.Row, t: rf.Row) -> Any:
    return np.sum(p + t), np.sum(np.abs(p - t))


@L25(walks=1)
@rf.kernel
def jaccard_metric1(p: rf.Row, t: rf.Row) -> Any:
    """1 - (A - D) / (A + D), A = sum (p + t), D = sum |p - t|, for soft labels p and t in [0, 1]."""
    a, d = _sum_and_distance(p, t)
    return 1.0 - (a - d) / (a + d)


@L25(walks=1)
@rf.kernel
def jaccard_metric2(p: rf.Row, t: rf.Row) -> Any:
    """1 - I / (I + D), I = sum p t, D = sum |p - t|."""
    d = np.sum(np.abs(p - t))
    return 1.0 - np.dot(p, t) / (np.dot(p, t) + d)


@L25(walks=1)
@rf.kernel
def dice_metric1(p: rf.Row, t: rf.Row) -> Any:
    """1 - (A - D) / A, A = sum (p + t), D = sum |p - t|."""
    a, d = _sum_and_distance(p, t)
    return 1.0 - (a - d) / a


@L25(walks=1)
@rf.kernel
def dice_metric2(p: rf.Row, t: rf.Row) -> Any:
    """1 - 2 I / (2 I + D), I = sum p t, D = sum |p - t|."""
    d, i = np.sum(np.abs(p - t)), 2.0 * np.dot(p, t)
    return 1.0 - i / (i + d)


@L28(walks=2)
@rf.kernel
def softmax_with_entropy(x: rf.Row) -> Any:
    """(softmax(x), its entropy): a row and a number."""
    return softmax(x), entropy(x)


@L28(walks=1)
@rf.kernel
def entropy_penalty(x: rf.Row, *, theta: float = 1.0) -> Any:
    """|H - theta|, H the entropy of softmax(x)."""
    return np.abs(entropy(x) - theta)


@L29(walks=1)
@rf.kernel
def log_prob_squared_error(x: rf.Row, z: rf.Row) -> Any:
    """sum (log p - log q)^2 = sum d^2 - 2 c sum d + n c^2, d = x - z, c = LSE(x) - LSE(z): absolute bound."""
    c, d = rf.logsumexp(x) - rf.logsumexp(z), x - z
    return np.sum(d * d) - 2.0 * c * np.sum(d) + x.size * (c * c)
