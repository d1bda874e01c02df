"""The row language as one table, and what to write instead of NumPy's other words."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from rowfold.codegen.language import elementwise, noise, reductions, selection, table, threshold
from rowfold.codegen.language.traced import Handler, Vocabulary

_SORTED = "an order of the row's elements is not in the row language; sort outside the kernel"
_ROLLING = "a running result along the row is not in the row language; compute it outside the kernel"
_SHAPES = "a row has one axis and keeps it; shape the arrays before or after the call"
_JOIN = "keep the rows apart: give them to the kernel as two parameters, or return a tuple"
_NAN = "select the numbers: np.sum(x, where=~np.isnan(x)), or np.where(np.isnan(x), 0.0, x)"
_FLOOR = "use np.floor(a / b); the remainder is a - b * np.floor(a / b)"
_HYPERBOLIC = "write it with np.exp or np.expm1"
_INNER = "use np.dot(a, b), or np.sum(a * b)"

_ADVICE_BY_WORDS: Final = {
    "searchsorted": "halve the interval with rf.lookup and np.where (rowfold.gallery.codebook_quantize)",
    "sort argsort partition argpartition median percentile quantile unique lexsort": _SORTED,
    "cumprod cummax accumulate diff ediff1d gradient convolve correlate roll flip trapezoid": _ROLLING,
    "reshape ravel flatten squeeze expand_dims transpose T swapaxes broadcast_to tile repeat resize": _SHAPES,
    "stack concatenate vstack hstack append column_stack insert delete split array_split": _JOIN,
    "nansum nanmean nanmax nanmin nanvar nanstd nanprod nanargmax nanargmin nan_to_num": _NAN,
    "floor_divide remainder fmod mod divmod modf": _FLOOR,
    "sinh cosh arcsinh arccosh arctanh": _HYPERBOLIC,
    "inner einsum tensordot vecdot outer kron cross": _INNER,
    "round around fix trunc": "use np.rint(x), or np.rint(x * 100) / 100",
    "isinf": "use ~(np.isfinite(x) | np.isnan(x)), or abs(x) == np.inf",
    "isclose allclose array_equal": "compare with a tolerance: np.all(abs(a - b) <= 1e-8)",
    "log10": "use np.log(x) * 0.4342944819032518",
    "cbrt": "use np.sign(x) * abs(x) ** (1 / 3)",
    "tan": "use np.sin(x) / np.cos(x)",
    "arctan2": "use np.arctan(a / b) and choose the quadrant with np.where",
    "hypot": "use np.sqrt(a * a + b * b)",
    "fmax": "use np.where(np.isnan(b), a, np.maximum(a, b))",
    "fmin": "use np.where(np.isnan(b), a, np.minimum(a, b))",
    "logaddexp2": "use np.logaddexp with natural logarithms",
    "heaviside": "use np.where(x > 0, 1.0, 0.0)",
    "signbit copysign": "use x < 0 and np.where",
    "expit": "use rf.sigmoid(x)",
    "select choose piecewise": "nest np.where(condition, a, b)",
    "take": "write x[y] with y annotated rf.Index, or rf.lookup(places, x) for a row of places",
    "nonzero argwhere flatnonzero compress extract": "keep the row: np.where(mask, x, 0.0), or sum with where=mask",
    "item tolist": "keep it a traced value; it has no number while the kernel is traced",
    "dtype": "leave the type to the call; .astype(...) in the return statement sets the result's",
    "ptp": "use np.ptp(x)",
}  # fmt: skip

ADVICE: Final = {word: advice for words, advice in _ADVICE_BY_WORDS.items() for word in words.split()}

_METHODS: Final = "cumsum sum prod max min any all argmax argmin mean var std dot clip".split()
_CUMSUM: Final = reductions.numpy_order("a axis dtype out", selection.cumsum)
_FUNCTIONS: Final[dict[Any, Handler]] = {**elementwise.FUNCTIONS, **reductions.FUNCTIONS, np.cumsum: _CUMSUM}

VOCABULARY: Final = Vocabulary(
    ufuncs={**elementwise.UFUNCS, np.matmul: reductions.matmul},
    reduces=reductions.REDUCES,
    functions=_FUNCTIONS,
    methods={**{name: _FUNCTIONS[getattr(np, name)] for name in _METHODS}, "copy": elementwise.positive},
    row_functions={
        "logsumexp": reductions.ROW_LOGSUMEXP,
        "sigmoid": elementwise.number_map("sigmoid"),
        "softplus": elementwise.number_map("softplus"),
        "rsqrt": elementwise.number_map("rsqrt"),
        "positions": elementwise.positions,
        "stop_gradient": elementwise.stop_gradient,
        "lookup": table.lookup,
        "uniform": noise.uniform,
        "gumbel": noise.gumbel,
        "topk": selection.topk,
        "kth": selection.kth,
        "threshold": threshold.threshold,
    },
    item=elementwise.item,
    small_fold=selection.fold,
    advice=ADVICE,
)
