"""What is computed: the operators of the benchmark, their inputs, and what float64 says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any  # of any of the dtypes
MOST_CHECKED = 1 << 22  # elements whose results are compared with float64
TEMPERATURE, EPS = 2.0, 1e-5
DIGITS = {"float64": (52, -1022), "float32": (23, -126), "float16": (10, -14), "bfloat16": (7, -126)}
CANCELLING = (
    "layer_norm", "layer_norm_backward", "softmax_backward", "cross_entropy_gradient", "sparsemax", "entmax15",
)  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """One operator on one input. What an operator does not take it leaves alone."""

    operator: str
    shape: tuple[int, int]
    dtype: Any
    x: Array
    z: Array  # a second row: the other logits, the gradient of the result
    target: Array
    mask: Array
    weight: Array
    bias: Array

    @property
    def k(self) -> int:
        """The k of softmax_topk: softmax_topk5 or softmax_topk50."""
        return int(self.operator.removeprefix("softmax_topk"))

    @property
    def saved(self) -> Array:
        """The softmax of x, which softmax's backward has kept."""
        return softmax(self.x.astype(np.float64)).astype(self.dtype)

    def exact(self) -> Array:
        """The result in float64, for the first rows: those that `checked` tells."""
        rows = self.checked
        return OPERATORS[self.operator](*(a.astype(np.float64) for a in (self.x[:rows], self.z[:rows])), self)

    def error(self, got: Array, exact: Array) -> float:
        """The largest distance from the exact result, in units of the last place of the dtype.

        At the result itself; where sums cancel, at the largest result of its row.
        """
        digits, least = DIGITS[np.dtype(self.dtype).name]
        size = np.abs(exact)
        if self.operator in CANCELLING:
            size = np.broadcast_to(size.max(-1, keepdims=True), exact.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            exponent = np.maximum(np.floor(np.log2(size)), least)
            return float(np.max(np.abs(got.astype(np.float64) - exact) / 2.0 ** (exponent - digits)))

    @property
    def checked(self) -> int:
        """How many rows are compared."""
        return max(1, min(self.shape[0], MOST_CHECKED // self.shape[1]))


def make(operator: str, shape: tuple[int, int], dtype: Any, seed: int = 0) -> Problem:
    """Logits of spread 3, as trained models have them; the same for every peer and every run."""
    random, (rows, n) = np.random.default_rng(seed), shape
    x = (3 * random.standard_normal(shape, np.float32)).astype(dtype)
    z = random.standard_normal(shape, np.float32).astype(dtype) if operator in SECOND else x[:1]
    mask = random.random(shape, np.float32) < 0.75 if operator == "masked_softmax" else np.ones((1, n), bool)
    weight, bias = (random.standard_normal(n, np.float32).astype(dtype) for _ in range(2))
    return Problem(operator, shape, dtype, x, z, random.integers(0, n, rows), mask, weight, bias)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def logsumexp(x: Array) -> Array:
    m = x.max(-1, keepdims=True)
    return (m + np.log(np.exp(x - m).sum(-1, keepdims=True)))[:, 0]


def log_softmax(x: Array) -> Array:
    return x - logsumexp(x)[:, None]


def entropy(x: Array) -> Array:
    logs = log_softmax(x)
    return -(np.exp(logs) * logs).sum(-1)


def kl_div(x: Array, z: Array) -> Array:
    p, q = log_softmax(x), log_softmax(z)
    return (np.exp(p) * (p - q)).sum(-1)


def normalized(x: Array) -> Array:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPS)


def layer_norm_backward(x: Array, g: Array, p: Problem) -> Array:
    """The gradient of the row; those of weight and bias are sums over the batch and are timed, not compared."""
    h, gw = normalized(x), g * p.weight.astype(np.float64)
    rest = gw - gw.mean(-1, keepdims=True) - h * (gw * h).mean(-1, keepdims=True)
    return rest / np.sqrt(x.var(-1, keepdims=True) + EPS)


def cross_entropy_gradient(x: Array, g: Array, p: Problem) -> Array:
    """softmax - one-hot: the gradient of each row's loss; the loss itself is computed beside it."""
    result = softmax(x)
    result[np.arange(len(x)), p.target[: len(x)]] -= 1
    return result


def threshold(x: Array, power: float) -> Array:
    """sparsemax (power 1) and 1.5-entmax (power 2, on half the row): bisection for sum max(x - tau, 0)^power = 1."""
    low, high = x.max(-1, keepdims=True) - 1, x.max(-1, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        enough = (np.maximum(x - middle, 0) ** power).sum(-1, keepdims=True) >= 1
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    return np.maximum(x - low, 0) ** power


OPERATORS: dict[str, Callable[[Array, Array, Problem], Array]] = {
    "softmax": lambda x, z, p: softmax(x),
    "log_softmax": lambda x, z, p: log_softmax(x),
    "logsumexp": lambda x, z, p: logsumexp(x),
    "cross_entropy": lambda x, z, p: -np.take_along_axis(log_softmax(x), p.target[: len(x), None], -1)[:, 0],
    "entropy": lambda x, z, p: entropy(x),
    "kl_div": lambda x, z, p: kl_div(x, z),
    "softmax_topk5": lambda x, z, p: -np.sort(-softmax(x), -1)[:, :5],
    "softmax_topk50": lambda x, z, p: -np.sort(-softmax(x), -1)[:, :50],
    "masked_softmax": lambda x, z, p: softmax(np.where(p.mask[: len(x)], x, -np.inf)),
    "temperature_softmax": lambda x, z, p: softmax(x / TEMPERATURE),
    "layer_norm": lambda x, z, p: normalized(x) * p.weight.astype(np.float64) + p.bias.astype(np.float64),
    "rms_norm": lambda x, z, p: x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * p.weight.astype(np.float64),
    "sparsemax": lambda x, z, p: threshold(x, 1),
    "entmax15": lambda x, z, p: threshold(x / 2, 2),
    "softmax_backward": lambda x, g, p: softmax(x) * (g - (g * softmax(x)).sum(-1, keepdims=True)),
    "layer_norm_backward": layer_norm_backward,
    "cross_entropy_gradient": cross_entropy_gradient,
}
SECOND = ("kl_div", "softmax_backward", "layer_norm_backward")
