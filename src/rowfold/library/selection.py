"""Selection by probability."""

from __future__ import annotations

from typing import Any

import rowfold as rf

from .softmax import softmax


@rf.kernel
def softmax_topk(x: rf.Row, *, k: int) -> Any:
    """The k largest probabilities of softmax(x) in descending order, and their indices: one read, no row written.

    Shapes: x (..., n), probabilities (..., k), indices (..., k) of int64; 1 <= k <= 256, else ValueError, as for k > n;
    of empty rows k = 0 gives empty results.
    Within 4 ULP. Equal elements come by index. A NaN comes first, then +inf, and every probability is NaN; a row of
    -inf alone gives NaN in order of index; where `where=` selects fewer than k, index -1 and probability 0.
    Source: Online normalizer calculation for softmax (arXiv 1805.02867).
    """
    return rf.topk(softmax(x), k)
