"""Normalizers that are softmax in disguise, or mean to replace it. Each gives a row unless it says otherwise."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

import rowfold as rf

from ..library import entropy, masked_softmax, softmax, softpick
from .entries import Paper

N2 = Paper("N2", "Softpick: No Attention Sink")
N3 = Paper("N3", "Scalable-Softmax Is Superior for Attention")
N4 = Paper("N4", "Self-Adjust Softmax")
N5 = Paper("N5", "softmax is not enough (for sharp out-of-distribution)")
N6 = Paper("N6", "Grokking at the Edge of Numerical Stability")
N9 = Paper("N9", "Small Temperature is All You Need for Differentiable Architecture Search")
N11 = Paper("N11", "Revisiting Softmax Masking for Stability")
N13 = Paper("N13", "Measuring and Controlling Instruction (In)Stability (arXiv 2402.10962)")
N14 = Paper("N14", "Similarity-Distance-Magnitude Universal Verification")
N16 = Paper("N16", "To Softmax, or not to Softmax")
N17 = Paper("N17", "The Z-loss: a shift and scale invariant classification loss belonging to the Spherical Family")
N18 = Paper("N18", "Softmax Bias Correction for Quantized Generative Models")
N19 = Paper("N19", "Leveraging Label Non-Uniformity for Node Classification")

Share = Annotated[float, rf.Between(0.0, 1.0)]
AtLeast0 = Annotated[rf.Scalar, rf.Between(0.0)]

N2(walks=2)(softpick)
N11(walks=2)(masked_softmax)


@N3(walks=2)
@rf.kernel
def ssmax(x: rf.Row, *, s: rf.Positive = 0.43) -> Any:
    """n^(s x) / sum n^(s x) = softmax(s log(n) x), n the number of selected elements. n = 1 gives 1."""
    z = s * np.log(x.size) * x
    e = np.exp(z - np.max(z))
    return e / np.sum(e)


@N4(walks=2)
@rf.kernel
def sa_softmax(x: rf.Row) -> Any:
    """x softmax(x), the first variant."""
    return x * softmax(x)


@N4(walks=2)
@rf.kernel
def sa_softmax_scaled(x: rf.Row) -> Any:
    """(x - min(min x, 0)) / (max(0, max x) - min(min x, 0)) softmax(x), the second variant; NaN where all x are 0."""
    low, high = np.minimum(np.min(x), 0.0), np.maximum(np.max(x), 0.0)
    return (x - low) / (high - low) * softmax(x)


@rf.kernel
def sharpening(h: rf.Row) -> Any:
    """The inverse temperature of N5 for an entropy: max(poly(h), 1) above 0.5, else 1."""
    poly = np.polyval([-0.037, 0.481, -2.3, 4.917, -1.791], h)
    return np.where(h > 0.5, np.maximum(poly, 1.0), 1.0)


@N5(walks=3)
@rf.kernel
def adaptive_softmax(x: rf.Row) -> Any:
    """softmax(b x), b = max(poly(H), 1) where the entropy H of softmax(x) is above 0.5, else 1. No overlap of rounds:
    b needs the whole row.
    """
    beta = sharpening(entropy(x))
    e = np.exp(beta * (x - np.max(x)))
    return e / np.sum(e)


@rf.kernel
def stable_map(x: rf.Row) -> Any:
    """s(x) of N6: x + 1 from 0 on, 1 / (1 - x) below."""
    return np.where(x >= 0, x + 1.0, 1.0 / (1.0 - x))


@N6(walks=2)
@rf.kernel
def stablemax(x: rf.Row) -> Any:
    """s(x) / sum s(x), s(x) = x + 1 from 0 on and 1 / (1 - x) below. No maximum is needed."""
    s = stable_map(x)
    return s / np.sum(s)


@N6(walks=2)
@rf.kernel
def log_stablemax(x: rf.Row) -> Any:
    """log s(x) - log sum s(x)."""
    s = stable_map(x)
    return np.log(s) - np.log(np.sum(s))


@N6(walks=1)
@rf.kernel
def stablemax_cross_entropy(x: rf.Row, y: rf.Index) -> Any:
    """log sum s(x) - log s(x_y), a number."""
    return np.log(np.sum(stable_map(x))) - np.log(stable_map(x[y]))


@N9(walks=2)
@rf.kernel
def sparse_noisy_softmax(x: rf.Row, noise: rf.Row, *, temperature: rf.Positive = 0.1, floor: Share = 0.01
) -> Any:  # fmt: skip
    """p = softmax((x + noise) / T), 0 where p is below `floor` (confirm: the paper's way to make it sparse)."""
    p = softmax((x + noise) / temperature)
    return np.where(p >= floor, p, 0.0)


@N11(walks=2)
@rf.kernel
def finite_masked_softmax(x: rf.Row, mask: rf.Mask, *, value: float = -1e4) -> Any:
    """softmax of x where the mask keeps it and of `value` elsewhere: a row that is hidden altogether is uniform."""
    return softmax(np.where(mask, x, value))


@N13(walks=2)
@rf.kernel
def split_softmax(x: rf.Row, mask: rf.Mask, *, k: rf.Static[float] = 0.9) -> Any:
    """a = softmax(x), w = sum of a under the mask: a w^k / w under it, a (1 - w^k) / (1 - w) elsewhere."""
    a = softmax(x)
    inside, outside = np.sum(a, where=mask), np.sum(a, where=~mask)
    power = np.power(inside, k)
    return np.where(mask, a * (power / inside), a * ((1.0 - power) / outside))


@N14(walks=2)
@rf.kernel
def sdm(x: rf.Row, q: AtLeast0, d: AtLeast0) -> Any:
    """(2 + q)^(d x) / sum (2 + q)^(d x) = softmax(d log(2 + q) x), q >= 0 and d >= 0 one a row."""
    e = np.exp(np.log(2.0 + q) * d * (x - np.max(x)))
    return e / np.sum(e)


@N14(walks=1)
@rf.kernel
def sdm_loss(x: rf.Row, y: rf.Index, q: AtLeast0, d: AtLeast0) -> Any:
    """-log p_y to the base 2 + q for p = sdm(x, q, d), a number."""
    base = np.log(2.0 + q)
    return rf.logsumexp(base * d * (x - x[y])) / base


@N16(walks=2)
@rf.kernel
def softmax_off_by_one(x: rf.Row) -> Any:
    """e^x / (1 + sum e^x): a row may attend to nothing."""
    m = np.max(x, initial=0.0)
    e = np.exp(x - m)
    return e / (np.sum(e) + np.exp(-m))


@N16(walks=2)
@rf.kernel
def inhibited_softmax(x: rf.Row, c: rf.Scalar) -> Any:
    """e^x / (sum e^x + e^c): an attention sink at height c, one a row."""
    m = np.maximum(np.max(x), c)
    e = np.exp(x - m)
    return e / (np.sum(e) + np.exp(c - m))


@N16(walks=2)
@rf.kernel
def clipped_softmax(x: rf.Row, *, low: float = -0.03, high: float = 1.03) -> Any:
    """clip((high - low) softmax(x) + low, 0, 1): exact zeros and ones from finite logits."""
    return np.clip((high - low) * softmax(x) + low, 0.0, 1.0)


@N17(walks=2)
@rf.kernel
def spherical_softmax(x: rf.Row, *, eps: rf.NonNegative = 1e-8) -> Any:
    """(x^2 + eps) / sum (x^2 + eps)."""
    s = np.square(x) + eps
    return s / np.sum(s)


@N17(walks=2)
@rf.kernel
def taylor_softmax(x: rf.Row) -> Any:
    """(1 + x + x^2 / 2) / sum of the same, which is positive for every x."""
    s = 1.0 + x + np.square(x) / 2.0
    return s / np.sum(s)


@N18(walks=2)
@rf.kernel
def quantized_softmax(x: rf.Row, *, scale: rf.Positive = 1 / 255, zero: float = 0.0) -> Any:
    """clip(rint(softmax(x) / scale + zero), 0, 255), as integers of eight bits would hold it."""
    return np.clip(np.rint(softmax(x) / scale + zero), 0.0, 255.0)


@N18(walks=3)
@rf.kernel
def softmax_bias(x: rf.Row, *, scale: rf.Positive = 1 / 255, zero: float = 0.0) -> Any:
    """(1 - sum of the dequantized softmax) / n, a number: what calibration adds to the zero point."""
    q = np.clip(np.rint(softmax(x) / scale + zero), 0.0, 255.0)
    return (1.0 - np.sum((q - zero) * scale)) / x.size


@N19(walks=2)
@rf.kernel
def distance_to_uniform(x: rf.Row) -> Any:
    """sum |softmax(x) - 1/n|, a number: Wasserstein's distance to uniform under the 0/1 metric, twice."""
    return np.sum(np.abs(softmax(x) - 1.0 / x.size))
