"""Gates, pooling and blocks: softmax as a mixture's weights. Each gives a row unless it says otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf

from ..library import softmax
from .entries import Paper

G2 = Paper("G2", "Demystifying Softmax Gating; A General Theory for Softmax Gating Multinomial Logistic MoE")
P1 = Paper("P1", "Refining activation downsampling with SoftPool")
P3 = Paper("P3", "Soft-NMS: Improving Object Detection With One Line of Code")
B1 = Paper("B1", "8-bit Optimizers via Block-wise Quantization")
X3_13 = Paper("3.13", "EdgeCape: Edge Weight Prediction For Category-Agnostic Pose Estimation")
X3_21 = Paper("3.21", "When are 1.58 bits enough? A Bottom-up Exploration of BitNet Quantization")
X4_20 = Paper("4.20", "Oscillation-free Quantization for Low-bit Vision Transformers (OFQ)")
X4_21 = Paper("4.21", "Gaussian Weight Sampling for Scalable, Efficient and Stable Pseudo-Quantization Training")


@G2(walks=2)
@rf.kernel
def dense_gate(x: rf.Row, *, temperature: rf.Positive = 1.0) -> Any:
    """softmax(x / T): all experts, and the fewer the lower T (dense-to-sparse)."""
    return softmax(x / temperature)


@G2(walks=2)
@rf.kernel
def activated_gate(x: rf.Row, *, temperature: rf.Positive = 1.0, activation: str = "sigmoid") -> Any:
    """softmax(f(x) / T), f = sigmoid, tanh, relu or gelu (in its tanh form)."""
    gelu = 0.5 * x * (1.0 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    choices = {"sigmoid": rf.sigmoid(x), "tanh": np.tanh(x), "relu": np.maximum(x, 0.0), "gelu": gelu}
    return softmax(choices[activation] / temperature)


@P1(walks=1)
@rf.kernel
def softpool(x: rf.Row) -> Any:
    """sum x e^x / sum e^x, a number for each window."""
    return np.dot(softmax(x), x)


@P3(walks=1)
@rf.kernel
def soft_nms_linear(score: rf.Row, iou: rf.Row, *, threshold: float = 0.3) -> Any:
    """(s (1 - iou) where iou >= threshold, else s; the place of the largest): one round, a row and an integer."""
    s = np.where(iou >= threshold, score * (1.0 - iou), score)
    return s, np.argmax(s)


@P3(walks=1)
@rf.kernel
def soft_nms_gaussian(score: rf.Row, iou: rf.Row, *, sigma: rf.Positive = 0.5) -> Any:
    """(s e^(-iou^2 / sigma), the place of the largest): one round, a row and an integer."""
    s = score * np.exp(-np.square(iou) / sigma)
    return s, np.argmax(s)


@B1(walks=2)
@rf.kernel
def block_quantize(x: rf.Row) -> Any:
    """(rint(127 x / c), c = max |x|): a linear code for one block. A row and a number; zeros stay zeros."""
    c = np.max(np.abs(x))
    return np.rint(x * (127.0 / np.where(c > 0, c, 1.0))), c


@B1(walks=1)
@rf.kernel
def block_dequantize(q: rf.Row, c: rf.Scalar) -> Any:
    """q c / 127."""
    return q * (c / 127.0)


@B1(walks=2)
@rf.kernel
def codebook_quantize(x: rf.Row, code: rf.Table, *, bits: int = 8) -> Any:
    """(q, c = max |x|): the place of the code nearest to x / c, halfway the lower one. A row of integers and a number.

    `code` of any length up to 2^bits, in rising order. Up to 8 bits q is uint8. The interval is halved `bits` times:
    what lies past the codebook's end is NaN, above which nothing lies.
    """
    c = np.max(np.abs(x))
    z = x / np.where(c > 0, c, 1.0)
    q = np.zeros_like(z)
    for half in (2.0**k for k in reversed(range(bits))):
        between = (rf.lookup(q + (half - 1.0), code) + rf.lookup(q + half, code)) / 2.0
        q = np.where(z > between, q + half, q)
    return q.astype(np.uint8 if bits <= 8 else np.int64), c


@B1(walks=1)
@rf.kernel
def codebook_dequantize(q: rf.Row[int], code: rf.Table, c: rf.Scalar) -> Any:
    """code[q] c; NaN where the codebook has no such place."""
    return rf.lookup(q, code) * c


@X3_13(walks=2)
@rf.kernel
def biased_softmax(x: rf.Row, bias: rf.Row, *, scale: rf.Positive = 1.0) -> Any:
    """softmax(scale x + bias): attention with a bias for each pair, one over the root of d as scale."""
    return softmax(scale * x + bias)


@X3_13(walks=2)
@rf.kernel
def edge_weights(w: rf.Row, mask: rf.Mask) -> Any:
    """w / sum w over the edges that the mask keeps, 0 elsewhere."""
    return np.where(mask, w / np.sum(w, where=mask), 0.0)


@X3_21(walks=2)
@rf.kernel
def absmean_ternary(w: rf.Row, *, eps: rf.Positive = 1e-5) -> Any:
    """(clip(rint(w / s), -1, 1), s = max(mean |w|, eps)): weights of 1.58 bits. A row and a number."""
    s = np.maximum(np.mean(np.abs(w)), eps)
    return np.clip(np.rint(w / s), -1.0, 1.0), s


@X3_21(walks=2)
@rf.kernel
def absmax_int8(x: rf.Row, *, eps: rf.Positive = 1e-5) -> Any:
    """(clip(rint(127 x / s), -128, 127), s = max(max |x|, eps)): activations. A row and a number."""
    s = np.maximum(np.max(np.abs(x)), eps)
    return np.clip(np.rint(x * (127.0 / s)), -128.0, 127.0), s


@X3_21(walks=2)
@rf.kernel
def rms_norm_int8(x: rf.Row, weight: rf.Row, *, eps: rf.Positive = 1e-6) -> Any:
    """absmax_int8 of rms_norm(x, weight): the largest |x w| times 1 / rms is that of the result. (row, scale)."""
    scaled = x * weight
    rms = np.sqrt(np.mean(np.square(x)) + eps)
    largest = np.maximum(np.max(np.abs(scaled)), 1e-30)
    return np.rint(scaled * (127.0 / largest)), largest / rms


@X4_20(walks=2)
@rf.kernel
def stats_quantize(w: rf.Row, *, bits: int = 3) -> Any:
    """s (rint(n clip(w / s, -1, 1 - 1e-6) - 0.5) + 0.5) / n, s = 2 mean |w|, n = 2^(bits - 1). s is detached."""
    s = rf.stop_gradient(2.0 * np.mean(np.abs(w)))
    n = 2.0 ** (bits - 1)
    return s * (np.rint(n * np.clip(w / s, -1.0, 1.0 - 1e-6) - 0.5) + 0.5) / n


@X4_21(walks=2)
@rf.kernel
def gaussian_weight_sampling(w: rf.Row, noise: rf.Row, *, bits: int = 8) -> Any:
    """w + rint(noise) max |w| 2^(1 - bits), for one block; noise is a row of normal numbers."""
    return w + np.rint(noise) * (np.max(np.abs(w)) * 2.0 ** (1 - bits))
