"""Norms over batches, groups and blocks of a tensor, composed of kernels over any axes."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf

from ..library import entropy, layer_norm, softmax
from .entries import Paper
from .gating import block_quantize, codebook_quantize
from .normalization import affine, l2_normalize, mean_and_var

B1 = Paper("B1", "8-bit Optimizers via Block-wise Quantization")
X3_22 = Paper("3.22", "Rethinking Channel Dimensions to Isolate Outliers for Low-bit Weight Quantization (AdaDim)")
X4_5 = Paper("4.5", "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization")
X4_12 = Paper("4.12", "Un-Mixing Test-Time Normalization Statistics: Combatting Label Temporal Correlation")
X4_13 = Paper("4.13", "Training BatchNorm and Only BatchNorm")
X4_14 = Paper("4.14", "Train longer, generalize better: Ghost Batch Normalization")
X4_15 = Paper("4.15", "Overcoming Recency Bias of Normalization Statistics in Continual Learning (AdaB2N)")

X4_15(walks=1)(entropy)


@X4_13(walks=2, parts=(mean_and_var, affine))
def batch_norm(x: Any, weight: Any, bias: Any, *, eps: float = 1e-5) -> Any:
    """(x - mean) / sqrt(var + eps) weight + bias of x (n, c, l) with each channel's statistics over n and l."""
    mean, var = mean_and_var(x, axis=(0, 2))
    return normalize_channels(x, mean, var, weight, bias, eps=eps)


@X4_13(walks=1, parts=(affine,))
def normalize_channels(x: Any, mean: Any, var: Any, weight: Any, bias: Any, *, eps: float = 1e-5) -> Any:
    """The same with given statistics (c,): inference."""
    shape = x.shape[:2]
    return affine(x, *(np.broadcast_to(a, shape) for a in (mean, var, weight, bias)), eps=eps)


@X4_5(walks=3, parts=(affine, layer_norm))
def batch_channel_norm(x: Any, mean: Any, var: Any, weight: Any, bias: Any, *, groups: int, eps: float = 1e-5) -> Any:
    """Batch norm with running statistics, then group norm over the channels: two norms, the one below the other."""
    y = normalize_channels(x, mean, var, weight, bias, eps=eps)
    n, c, length = y.shape
    return layer_norm(y.reshape(n, groups, c // groups * length), eps=eps).reshape(n, c, length)


@X4_14(walks=2, parts=(layer_norm,))
def ghost_batch_norm(x: Any, *, size: int, eps: float = 1e-5) -> Any:
    """Batch norm of x (n, c) over each `size` rows, a divisor of n, apart."""
    n, c = x.shape
    return layer_norm(x.reshape(n // size, size, c), axis=1, eps=eps).reshape(n, c)


@X4_14(walks=1, parts=(mean_and_var,))
def ghost_statistics(x: Any, *, size: int) -> Any:
    """(mean, variance) of the columns of x (n, c) from those of its ghost batches: Chan's merge, exact."""
    mean, var = mean_and_var(x.reshape(-1, size, x.shape[-1]), axis=1)
    between = mean_and_var(mean, axis=0)
    return between[0], np.mean(var, axis=0) + between[1]


@X4_15(walks=2, parts=(mean_and_var, affine))
def recency_batch_norm(x: Any, mean: Any, var: Any, momentum: Any, *, eps: float = 1e-5) -> Any:
    """(y, mean, var): statistics (c,) mixed as m old + (1 - m) new, then x (n, c, l) normalized."""
    new_mean, new_var = mean_and_var(x, axis=(0, 2))
    mean, var = momentum * mean + (1 - momentum) * new_mean, momentum * var + (1 - momentum) * new_var
    one = np.ones_like(mean)
    return normalize_channels(x, mean, var, one, np.zeros_like(one), eps=eps), mean, var


@X4_12(walks=2, parts=(l2_normalize, softmax, mean_and_var, affine))
def unmixed_norm(x: Any, means: Any, variances: Any, *, tau: float = 0.1, eps: float = 1e-5) -> Any:
    """x (b, c, l) normalized by K components' statistics (k, c) unmixed with each instance's own.

    p = softmax over k of cos(mean_b, mean_k) / tau; mean_bk = (1 - p_k) mean_k + p_k mean_b, so the variances; the
    row's statistics are those of the mixture. The update of the components is outside.
    """
    mean, var = mean_and_var(x)
    p = softmax(l2_normalize(mean) @ l2_normalize(means).T, temperature=tau)[..., None]
    mixed = (1 - p) * means + p * mean[:, None]
    within = (1 - p) * variances + p * var[:, None]
    centre = np.mean(mixed, axis=1)
    spread = np.mean(within, axis=1) + np.mean(np.square(mixed), axis=1) - np.square(centre)
    one = np.ones_like(centre)
    return affine(x, centre, spread, one, np.zeros_like(one), eps=eps)


@B1(walks=2, parts=(block_quantize,))
def blockwise_quantize(x: Any, *, block: int = 2048) -> Any:
    """(codes of x's shape, one scale a block) of blocks along the last axis, which they divide."""
    codes, scale = block_quantize(x.reshape(*x.shape[:-1], -1, block))
    return codes.reshape(x.shape), scale


@B1(walks=2, parts=(codebook_quantize,))
def blockwise_codebook_quantize(x: Any, code: Any, *, block: int = 2048, bits: int = 8) -> Any:
    """(places in the codebook, of x's shape; one scale a block) of blocks along the last axis, which they divide."""
    places, scale = codebook_quantize(x.reshape(*x.shape[:-1], -1, block), code, bits=bits)
    return places.reshape(x.shape), scale


@X3_22(walks=2)
@rf.kernel
def minmax_quantize(x: rf.Row, *, bits: int = 4) -> Any:
    """(codes, scale, low): rint((x - low) / scale), scale = (max - low) / (2^bits - 1). A row and two numbers."""
    low = np.min(x)
    scale = (np.max(x) - low) / (2.0**bits - 1.0)
    return np.rint((x - low) / np.where(scale > 0, scale, 1.0)), scale, low


@X3_22(walks=2, parts=(minmax_quantize,))
def input_channel_quantize(w: Any, *, group: int = 128, bits: int = 4) -> Any:
    """(codes, scale, low) with a scale for each input channel (column) of w (out, in) and each `group` of its rows."""
    out, width = w.shape
    codes, scale, low = minmax_quantize(w.reshape(out // group, group, width), axis=1, bits=bits)
    return codes.reshape(out, width), scale, low
