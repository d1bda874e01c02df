"""Plain reductions of a row, under NumPy's names."""

from __future__ import annotations

from typing import Any

import numpy as np

import rowfold as rf


@rf.kernel
def max(x: rf.Row) -> Any:  # noqa: A001
    """The largest element, one number a row; NaN if there is one, -inf of an empty row."""
    return np.max(x)


@rf.kernel
def sum(x: rf.Row) -> Any:  # noqa: A001
    """The sum, one number a row. Its error does not grow with n: at most 3u of the sum of magnitudes."""
    return np.sum(x)


@rf.kernel
def mean(x: rf.Row) -> Any:
    """The mean, one number a row; NaN of an empty row. Error as sum."""
    return np.mean(x)


@rf.kernel
def var(x: rf.Row, *, ddof: int = 0) -> Any:
    """The variance, sum (x - mean)^2 / (n - ddof), one number a row; right for rows far from zero."""
    return np.var(x, ddof=ddof)
