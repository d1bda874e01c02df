"""Norms of activations and weights, forward and backward. Each gives a row unless it says otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf

from ..library import layer_norm, rms_norm
from .entries import Paper

B2 = Paper("B2", "On the Training Instability of Shuffling SGD with Batch Normalization")
B3 = Paper("B3", "Preprint: Norm Loss; Weight Conditioning for Smooth Optimization of Neural Networks")
L11 = Paper("L11", "Hyperspherical embedding; BUT System Description; Adaptive Margin Global Classifier")
X2_15 = Paper("2.15", "Hyperspherical Normalization for Scalable Deep Reinforcement Learning (SimbaV2)")
X2_16 = Paper("2.16", "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Networks")
X2_17 = Paper("2.17", "OpenELM: An Efficient Language Model Family")
X3_6 = Paper("3.6", "DoRA: Weight-Decomposed Low-Rank Adaptation; BoRA; EDoRA; GradNormLoRP")
X3_7 = Paper("3.7", "Logit Attenuating Weight Normalization (LAWN)")
X3_10 = Paper("3.10", "Exploring Weight Balancing on Long-Tailed Recognition Problem")
X4_2 = Paper("4.2", "Layer Normalization")
X4_5 = Paper("4.5", "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization")

B2(walks=2)(layer_norm)
B2(walks=2)(rms_norm)
X2_17(walks=2)(rms_norm)
X4_2(walks=2)(layer_norm)


@B2(walks=1)
@rf.kernel
def mean_and_var(x: rf.Row) -> Any:
    """(mean, variance) of a row; along any axes they serve batch, group and instance norm. Two numbers."""
    return np.mean(x), np.var(x)


@B2(walks=1)
@rf.kernel
def affine(x: rf.Row, mean: rf.Scalar, var: rf.Scalar, weight: rf.Scalar, bias: rf.Scalar, *, eps: rf.NonNegative = 1e-5
) -> Any:  # fmt: skip
    """(x - mean) / sqrt(var + eps) weight + bias with given statistics: batch norm at inference, a channel a row."""
    return (x - mean) * (weight / np.sqrt(var + eps)) + bias


@X4_2(walks=2)
@rf.kernel
def layer_norm_backward(x: rf.Row, g: rf.Row, weight: rf.Row, *, eps: rf.NonNegative = 1e-5) -> Any:
    """r (h - mean h - y mean(h y)), h = g w, y = (x - mean x) r, r = 1 / sqrt(var x + eps): the gradient in x."""
    h, r = g * weight, 1.0 / np.sqrt(np.var(x) + eps)
    centred = x - np.mean(x)
    return r * (h - np.mean(h) - centred * (r * r * np.mean(h * centred)))


@X2_17(walks=2)
@rf.kernel
def rms_norm_backward(x: rf.Row, g: rf.Row, weight: rf.Row, *, eps: rf.NonNegative = 1e-6) -> Any:
    """r (w g - x r^2 mean(w g x)), r = 1 / sqrt(mean x^2 + eps): the gradient in x."""
    h, r = g * weight, 1.0 / np.sqrt(np.mean(np.square(x)) + eps)
    return r * (h - x * (r * r * np.mean(h * x)))


@X2_17(walks=2)
@rf.kernel
def residual_rms_norm(x: rf.Row, skip: rf.Row, weight: rf.Row, *, eps: rf.NonNegative = 1e-6) -> Any:
    """(rms_norm(x + skip) w, x + skip): the addition before the norm, fused. Two rows."""
    s = x + skip
    return s / np.sqrt(np.mean(np.square(s)) + eps) * weight, s


@B3(walks=2)
@rf.kernel
def l2_normalize(x: rf.Row) -> Any:
    """x / |x|_2; NaN for a row of zeros."""
    return x / np.linalg.norm(x)


L11(walks=2)(l2_normalize)
X2_15(walks=2)(l2_normalize)


@B3(walks=1)
@rf.kernel
def l2_norm(x: rf.Row) -> Any:
    """|x|_2, a number."""
    return np.linalg.norm(x)


L11(walks=1)(l2_norm)


@B3(walks=2)
@rf.kernel
def row_equilibrate(w: rf.Row) -> Any:
    """w / |w|_2 where the norm is above 0, else w: the diagonal conditioner of a weight matrix."""
    norm = np.linalg.norm(w)
    return w / np.where(norm > 0, norm, 1.0)


@B3(walks=1)
@rf.kernel
def norm_loss(w: rf.Row) -> Any:
    """(1 - |w|_2)^2 of one row; their sum over the rows is the regularizer. A number."""
    return np.square(1.0 - np.linalg.norm(w))


@X2_15(walks=2)
@rf.kernel
def l2_normalize_with_constant(x: rf.Row, *, constant: rf.Positive = 3.0) -> Any:
    """[x; c] / |[x; c]|_2: the row, and the number that the longer row would end with."""
    norm = np.sqrt(np.sum(np.square(x)) + np.square(constant))
    return x / norm, constant / norm


@X2_15(walks=2)
@rf.kernel
def lerp_normalize(x: rf.Row, f: rf.Row, alpha: rf.Row) -> Any:
    """z / |z|_2 with z = x + alpha (f - x): the residual step on the sphere."""
    z = x + alpha * (f - x)
    return z / np.linalg.norm(z)


@X2_16(walks=2)
@rf.kernel
def weight_norm(v: rf.Row, s: rf.Scalar) -> Any:
    """s v / |v|_2, s one a row."""
    return v * (s / np.linalg.norm(v))


@X2_16(walks=2)
@rf.kernel
def weight_norm_backward(v: rf.Row, dw: rf.Row, s: rf.Scalar) -> Any:
    """(dv, ds) with ds = (dw . v) / |v| and dv = s / |v| dw - s ds / |v|^2 v: both sums in one walk."""
    square = np.sum(np.square(v))
    norm = np.sqrt(square)
    ds = np.dot(dw, v) / norm
    return dw * (s / norm) - v * (s * ds / square), ds


@X3_6(walks=2)
@rf.kernel
def weight_decomposed(w: rf.Row, delta: rf.Row, m: rf.Scalar) -> Any:
    """m V / |V|_2, V = w + delta: a row of DoRA's weight; along axis 0 a column. The norm is a constant backward."""
    v = w + delta
    return v * (m / rf.stop_gradient(np.linalg.norm(v)))


@X3_7(walks=3)
@rf.kernel
def lawn_step(w: rf.Row, g: rf.Row, *, rate: float = 0.1) -> Any:
    """w - rate (g - (w . g / |w|^2) w), rescaled to the norm that w had: a step of constant norm."""
    square = np.sum(np.square(w))
    step = w - rate * (g - (np.dot(w, g) / square) * w)
    return step * (np.sqrt(square) / np.linalg.norm(step))


@X3_10(walks=2)
@rf.kernel
def max_norm(w: rf.Row, *, limit: rf.Positive = 1.0) -> Any:
    """w min(1, limit / |w|_2)."""
    return w * np.minimum(1.0, limit / np.linalg.norm(w))


@X3_10(walks=1)
@rf.kernel
def fisher_ratio(mean: rf.Row, within: rf.Row, count: rf.Row) -> Any:
    """Variance of the class means about their weighted mean over the weighted mean of class variances. A number."""
    share = count / np.sum(count)
    centre = np.dot(share, mean)
    return np.sum(share * np.square(mean - centre)) / np.dot(share, within)


@X4_5(walks=2)
@rf.kernel
def weight_standardize(w: rf.Row, *, eps: rf.NonNegative = 1e-5) -> Any:
    """(w - mean w) / sqrt(var w + eps), an output channel a row."""
    return (w - np.mean(w)) / np.sqrt(np.var(w) + eps)


X4_5(walks=2)(layer_norm_backward)
