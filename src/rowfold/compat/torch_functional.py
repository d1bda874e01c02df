"""`torch.nn.functional`'s softmax, softmin, log_softmax, gumbel_softmax, cross_entropy, kl_div, layer_norm, rms_norm.

    from rowfold.compat import torch_functional as F

The same signatures and defaults, on CPU tensors of float32, float64, bfloat16 and float16, with gradients, through the
operators of `rowfold.interop.torch`. What torch refuses is refused here (TypeError, ValueError or IndexError); the
deprecated `size_average` and `reduce` are understood.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import torch

import rowfold as rf
from rowfold import library
from rowfold.interop import torch as ops

__all__ = ["cross_entropy", "gumbel_softmax", "kl_div", "layer_norm", "log_softmax", "rms_norm", "softmax", "softmin"]

IGNORED = -100


@rf.kernel(name="cross_entropy_of_weighted_classes")
def _weighted_loss(
    logits: rf.Row, target: Annotated[rf.Index, rf.Ignore(IGNORED)], weight: rf.Row, *, smoothing: rf.Static[float]
) -> Any:
    """-w[y] log p[y], mixed with the weighted mean over all classes."""
    p = library.log_softmax(logits)
    loss = -p[target] * weight[target]
    return (1.0 - smoothing) * loss - smoothing * np.mean(p * weight) if smoothing else loss


@rf.kernel(name="cross_entropy_of_probabilities")
def _soft_loss(logits: rf.Row, target: rf.Row, weight: rf.Row | None = None, *, smoothing: rf.Static[float]) -> Any:
    """-sum q w log p, the probabilities q mixed with uniform ones."""
    p = library.log_softmax(logits)
    q = (1.0 - smoothing) * target + smoothing / logits.size if smoothing else target
    return -np.sum((q if weight is None else q * weight) * p)


@rf.kernel(name="kl_div_of_logs")
def _divergence(input: rf.Row, target: rf.Row, *, log_target: bool) -> Any:  # noqa: A002 - torch's name
    """t (log t - x), where t is 0: 0."""
    if log_target:
        return np.exp(target) * (target - input)
    return np.where(target == 0.0, 0.0, target * (np.log(target) - input))


@rf.kernel(name="layer_norm_of_any_eps")
def _layer_norm(x: rf.Row, weight: rf.Row | None = None, bias: rf.Row | None = None, *, eps: float) -> Any:
    """The library's, for a negative eps too, which torch takes."""
    y = (x - np.mean(x)) / np.sqrt(np.var(x) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


@rf.kernel(name="rms_norm_of_any_eps")
def _rms_norm(x: rf.Row, weight: rf.Row | None = None, *, eps: float) -> Any:
    """The same of rms_norm."""
    y = x / np.sqrt(np.mean(np.square(x)) + eps)
    return y if weight is None else y * weight


_weighted_op, _soft_op, _divergence_op = ops.wrap(_weighted_loss), ops.wrap(_soft_loss), ops.wrap(_divergence)
_layer_op, _rms_op = ops.wrap(_layer_norm), ops.wrap(_rms_norm)


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:  # noqa: A002
    """e^x / sum e^x along `dim`: as torch.nn.functional.softmax. Within 4 ULP in float32 and float64."""
    return _along(ops.softmax, input, dim, "softmax", _stacklevel, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:  # noqa: A002
    """x - log sum e^x along `dim`: as torch.nn.functional.log_softmax. Within 3 ULP, the confident class included."""
    return _along(ops.log_softmax, input, dim, "log_softmax", _stacklevel, dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:  # noqa: A002
    """e^-x / sum e^-x along `dim`: as torch.nn.functional.softmin."""
    return _along(ops.softmin, input, dim, "softmin", _stacklevel, dtype)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """softmax((logits + Gumbel noise) / tau): as torch's, with the noise that torch draws after the same seed.

    `hard` gives the one-hot of the largest, with the gradient of the soft one.
    """
    noise = -torch.empty_like(logits, memory_format=torch.legacy_contiguous_format).exponential_().log()
    soft = ops.softmax(logits + noise, dim=dim, temperature=float(tau))
    if not hard:
        return soft
    one_hot = torch.zeros_like(logits).scatter_(dim, soft.max(dim, keepdim=True)[1], 1.0)
    return one_hot - soft.detach() + soft


def layer_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5  # noqa: A002
) -> Any:  # fmt: skip
    """(x - mean x) / sqrt(var x + eps) * weight + bias over the last axes: as torch.nn.functional.layer_norm."""
    rows, *shared = _last_axes("layer_norm", input, normalized_shape, weight, bias)
    norm = ops.layer_norm if eps >= 0 else _layer_op
    return norm(rows, *shared, eps=float(eps)).reshape(input.shape)


def rms_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None  # noqa: A002
) -> Any:  # fmt: skip
    """x / sqrt(mean x^2 + eps) * weight over the last axes: as torch's; `eps` None is the dtype's epsilon."""
    rows, *shared = _last_axes("rms_norm", input, normalized_shape, weight)
    small = torch.finfo(input.dtype).eps if eps is None else eps
    norm = ops.rms_norm if small >= 0 else _rms_op
    return norm(rows, *shared, eps=float(small)).reshape(input.shape)


def cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = IGNORED,  # noqa: A002
    reduce: bool | None = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """-log softmax(input)[target], classes on axis 1 (0 of one row): as torch.nn.functional.cross_entropy.

    `target` holds classes (integers) or probabilities (floats of input's shape). Within 3 ULP at any logit gap.
    """
    reduction = _reduction(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}; expected a number between 0 and 1")
    dim = 0 if input.ndim == 1 else 1
    if target.dtype.is_floating_point:
        return _of_probabilities(input, target, weight, reduction, label_smoothing, dim)
    named = target if ignore_index == IGNORED else torch.where(target == IGNORED, -1, target)  # -1: out of bounds
    classes = torch.where(target == ignore_index, IGNORED, named)
    if weight is None:
        loss = ops.cross_entropy(input, classes, dim=dim, label_smoothing=float(label_smoothing))
    else:
        loss = _weighted_op(input, classes, weight, dim=dim, smoothing=float(label_smoothing))
    if reduction != "mean":
        return loss if reduction == "none" else loss.sum()
    kept = classes != IGNORED
    return loss.sum() / (kept.sum() if weight is None else torch.where(kept, weight[classes.clamp(min=0)], 0.0).sum())


def _of_probabilities(logits: Any, target: Any, weight: Any, reduction: str, smoothing: float, dim: int) -> Any:
    if target.shape != logits.shape:
        raise ValueError(f"cross_entropy: probabilities of shape {tuple(target.shape)} for {tuple(logits.shape)}")
    loss = _soft_op(logits, target, *([] if weight is None else [weight]), dim=dim, smoothing=float(smoothing))
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.sum() / max(loss.numel(), 1)


def kl_div(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",  # noqa: A002
    log_target: bool = False,
) -> Any:  # fmt: skip
    """target (log target - input), elementwise and then reduced: as torch.nn.functional.kl_div."""
    reduction = _reduction(size_average, reduce, reduction, "batchmean")
    x, t = torch.broadcast_tensors(input, target)
    point = _divergence_op(x.reshape(1, -1), t.reshape(1, -1), log_target=log_target).reshape(x.shape)
    match reduction:
        case "none":
            return point
        case "batchmean" if input.ndim:
            return point.sum() / input.shape[0]
        case "mean":
            return point.mean()
    return point.sum()


def _along(op: Callable[..., Any], tensor: Any, dim: int | None, name: str, level: int, dtype: Any) -> Any:
    if dim is None:
        warnings.warn(f"Implicit dimension choice for {name} has been deprecated: pass dim", stacklevel=level)
        dim = 0 if tensor.ndim in (0, 1, 3) else 1
    tensor = tensor if dtype is None else tensor.to(dtype)
    if not tensor.dtype.is_floating_point:
        raise TypeError(f"{name}: the tensor is {tensor.dtype}; pass dtype=torch.float32, or tensor.float()")
    return op(tensor.reshape(1), dim=dim).reshape(()) if tensor.ndim == 0 else op(tensor, dim=dim)


def _last_axes(name: str, tensor: Any, shape: Sequence[int], *shared: Any) -> list[Any]:
    """The tensor with its last axes as one, and what is shared by all rows."""
    shape = tuple(shape)
    if not shape or tuple(tensor.shape[tensor.ndim - len(shape) :]) != shape:
        raise ValueError(f"{name}: normalized_shape is {shape}; the tensor has the shape {tuple(tensor.shape)}")
    for other in shared:
        if other is not None and tuple(other.shape) != shape:
            raise ValueError(f"{name}: weight and bias have to have the shape {shape}, not {tuple(other.shape)}")
    rows = tensor.reshape(*tensor.shape[: tensor.ndim - len(shape)], math.prod(shape))
    return [rows, *(None if other is None else other.reshape(-1) for other in shared)]


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str, *more: str) -> str:
    if size_average is not None or reduce is not None:
        mean = size_average is None or size_average
        return "none" if reduce is False else "mean" if mean else "sum"
    if reduction not in ("none", "mean", "sum", *more):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction
