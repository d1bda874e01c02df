"""What real_logits.py compares with: float64, float32 NumPy, and the same functions of SciPy and torch."""

import contextlib
import importlib

import numpy as np


def exact(x, target, mask):
    """The five results in float64. The largest element is left out of the sum, so that log1p sees the rest."""
    x = np.where(True if mask is None else mask, x, -np.inf).astype(np.float64)
    top = x.argmax(axis=-1)[..., None]
    shifted = x - np.take_along_axis(x, top, axis=-1)
    rest = np.exp(shifted)
    np.put_along_axis(rest, top, 0.0, axis=-1)
    log_rest = np.log1p(rest.sum(axis=-1, keepdims=True))
    log_p = shifted - log_rest
    p = np.exp(log_p)
    return {
        "softmax": p,
        "log_softmax": log_p,
        "logsumexp": (np.take_along_axis(x, top, axis=-1) + log_rest)[..., 0],
        "entropy": -np.sum(p * np.where(p > 0, log_p, 0.0), axis=-1),
        "cross_entropy": -np.take_along_axis(log_p, target[..., None], axis=-1)[..., 0],
    }


def plain(name, x, target):
    """The same in float32, as most people write it."""
    m = x.max(axis=-1, keepdims=True)
    e = np.exp(x - m)
    s = e.sum(axis=-1, keepdims=True)
    match name:
        case "softmax":
            return e / s
        case "log_softmax":
            return x - m - np.log(s)
        case "logsumexp":
            return m + np.log(s)
        case "entropy":
            return np.log(s) - np.sum((x - m) * e, axis=-1, keepdims=True) / s
    return m + np.log(s) - np.take_along_axis(x, target[..., None], axis=-1)


def peers(name, x):
    """The same function in SciPy and torch, where they are installed and have it."""
    with contextlib.suppress(ImportError):
        special = importlib.import_module("scipy.special")
        if hasattr(special, name):
            yield "SciPy", lambda: getattr(special, name)(x, axis=-1)
    with contextlib.suppress(ImportError):
        torch = importlib.import_module("torch")
        torch.set_num_threads(1)
        if hasattr(torch, name):
            yield "torch", lambda: getattr(torch, name)(torch.from_numpy(x), dim=-1)
