"""Bisection over the floats themselves: as many steps as a float has bits, whatever the interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_LOWEST = np.iinfo(np.int64).min


def rank(x: Array) -> Array:
    """The number of a float64 in the order of all floats."""
    bits = x.view(np.int64)
    return np.where(bits < 0, _LOWEST - bits, bits)


def unrank(number: Array) -> Array:
    return np.where(number < 0, _LOWEST - number, number).view(np.float64)


def bisect(total: Callable[[Array], Any], target: Any, lo: Any, hi: Any, shape: tuple[int, ...]) -> Array:
    """The largest float in [lo, hi] where total, which does not increase, reaches the target; NaN where none does."""
    most = np.finfo(np.float64).max
    low, high = (np.array(np.broadcast_to(np.clip(e, -most, most), shape), dtype=np.float64) for e in (lo, hi))
    at_low = np.asarray(total(low))
    bottom, top = rank(low), rank(high)
    while np.any(top - 1 > bottom):
        middle = bottom // 2 + top // 2 + (bottom % 2 + top % 2) // 2
        reached = np.asarray(total(unrank(middle)) >= target)
        bottom, top = np.where(reached, middle, bottom), np.where(reached, top, middle)
    found = unrank(bottom)
    bad = ~(at_low >= target) | ~np.isfinite(total(found))
    return np.where(bad, np.nan, found)
