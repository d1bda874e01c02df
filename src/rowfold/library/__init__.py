"""The ready-made kernels, each written in the row language in a few lines."""

from .losses import cross_entropy, kl_div
from .normalization import layer_norm, rms_norm
from .selection import softmax_topk
from .softmax import entropy, log_softmax, logsumexp, masked_softmax, softmax, softmin, softpick
from .sparse import entmax, entmax15, sparsemax
from .statistics import max, mean, sum, var  # noqa: A004 - NumPy's names, for rows

__all__ = [
    "cross_entropy", "entmax", "entmax15", "entropy", "kl_div", "layer_norm", "log_softmax", "logsumexp",
    "masked_softmax", "max", "mean", "rms_norm", "softmax", "softmax_topk", "softmin", "softpick", "sparsemax", "sum",
    "var",
]  # fmt: skip
