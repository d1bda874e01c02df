"""What a careful NumPy user writes, SciPy's functions, and the entmax package."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from problem import EPS, TEMPERATURE, Array, Problem

from .base import Job, Peer, fresh


def numpy_expression(p: Problem) -> Job | None:
    """Whole-array expressions, softmax with every step in place."""
    if p.dtype not in (np.float32, np.float64):
        return None
    if p.operator == "softmax":
        return _softmax(p.x)
    make = _EXPRESSIONS.get(p.operator)
    return fresh(lambda: make(p), np.asarray) if make else None


def _softmax(x: Array) -> Job:
    y = np.empty_like(x)

    def run() -> None:
        np.subtract(x, np.max(x, axis=-1, keepdims=True), out=y)
        np.exp(y, out=y)
        np.divide(y, np.sum(y, axis=-1, keepdims=True), out=y)

    return Job(run, lambda: y)


def _exp(x: Array) -> tuple[Array, Array, Array]:
    m = np.max(x, axis=-1, keepdims=True)
    e = np.exp(x - m)
    return m, e, np.sum(e, axis=-1, keepdims=True)


def _lse(x: Array) -> Array:
    m, _, s = _exp(x)
    return m + np.log(s)


def _normed(x: Array) -> Array:
    d = x - np.mean(x, axis=-1, keepdims=True)
    return d / np.sqrt(np.mean(d * d, axis=-1, keepdims=True) + x.dtype.type(EPS))


def _probabilities(x: Array) -> Array:
    _, e, s = _exp(x)
    return np.divide(e, s, out=e)


def _entropy(x: Array) -> Array:
    """log s - sum e (x - m) / s, with one array beside the exponentials."""
    d = x - np.max(x, axis=-1, keepdims=True)
    e = np.exp(d)
    s = np.sum(e, axis=-1)
    return np.log(s) - np.sum(np.multiply(e, d, out=d), axis=-1) / s


def _kl_div(x: Array, z: Array) -> Array:
    """E_p[x - z] - LSE(x) + LSE(z)."""
    d, c = x - np.max(x, axis=-1, keepdims=True), z - np.max(z, axis=-1, keepdims=True)
    e = np.exp(d)
    s, t = np.sum(e, axis=-1), np.sum(np.exp(c), axis=-1)
    return np.sum(np.multiply(e, np.subtract(d, c, out=d), out=d), axis=-1) / s - np.log(s) + np.log(t)


_EXPRESSIONS: dict[str, Callable[[Problem], Array]] = {
    "log_softmax": lambda p: p.x - _lse(p.x),
    "logsumexp": lambda p: _lse(p.x)[:, 0],
    "entropy": lambda p: _entropy(p.x),
    "kl_div": lambda p: _kl_div(p.x, p.z),
    "cross_entropy": lambda p: _lse(p.x)[:, 0] - p.x[np.arange(len(p.x)), p.target],
    "temperature_softmax": lambda p: _probabilities(p.x / p.x.dtype.type(TEMPERATURE)),
    "masked_softmax": lambda p: _probabilities(np.where(p.mask, p.x, -np.inf)),
    "layer_norm": lambda p: _normed(p.x) * p.weight + p.bias,
    "rms_norm": lambda p: p.x / np.sqrt(np.mean(p.x * p.x, axis=-1, keepdims=True) + p.x.dtype.type(EPS)) * p.weight,
}


def scipy_special(p: Problem) -> Job | None:
    """`scipy.special`, which has no `out=`."""
    from scipy import special

    names = ("softmax", "log_softmax", "logsumexp")
    if p.operator not in names or p.dtype not in (np.float32, np.float64):
        return None
    function = getattr(special, p.operator)
    return fresh(lambda: function(p.x, axis=-1), np.asarray)


def scipy_stats(p: Problem) -> Job | None:
    """`scipy.stats.entropy` of SciPy's softmax, of one distribution or of two."""
    from scipy import special, stats

    if p.operator not in ("entropy", "kl_div") or p.dtype not in (np.float32, np.float64):
        return None
    rows = (p.x,) if p.operator == "entropy" else (p.x, p.z)
    return fresh(lambda: stats.entropy(*(special.softmax(a, axis=-1) for a in rows), axis=-1), np.asarray)


def entmax_package(p: Problem) -> Job | None:
    """The authors' package, by sorting, on one thread."""
    import torch
    from entmax import entmax15, sparsemax

    functions = {"sparsemax": sparsemax, "entmax15": entmax15}
    if p.operator not in functions or p.dtype not in (np.float32, np.float64):
        return None
    torch.set_num_threads(1)
    x, function = torch.from_numpy(p.x), functions[p.operator]

    def run() -> object:
        with torch.inference_mode():
            return function(x, dim=-1)

    return fresh(run, lambda y: y.numpy())


PEERS = (
    Peer("scipy", "scipy", scipy_special),
    Peer("scipy.stats", "scipy", scipy_stats),
    Peer("numpy", "numpy", numpy_expression),
    Peer("entmax", "entmax", entmax_package),
)
