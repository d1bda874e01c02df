"""Bisection over the floats themselves: as many steps as a float has bits, whatever the interval.

Kernels bisect what float64 has; those that compute in float32 pass over its last 16 bits, which their sums cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
_TOP = np.uint64(1 << 63)
COARSE = {"f32": 16, "f64": 0}  # bits of a double that a kernel's bisection leaves out


def bisect(total: Callable[[Array], Any], target: Any, lo: Any, hi: Any, shape: tuple[int, ...]) -> Array:
    """The largest float in [lo, hi] where total, which does not increase, reaches the target; NaN where none does."""
    most = np.finfo(np.float64).max
    low, high = (np.array(np.broadcast_to(np.clip(e, -most, most), shape), dtype=np.float64) for e in (lo, hi))
    low = np.where(low <= high, low, np.nan)
    at_low, at_high = (np.asarray(total(end)) for end in (low, high))
    bottom, top = np.where(at_high >= target, high, low), high
    while np.any((middle := halfway(bottom, top, 0)) > bottom):
        reached = np.asarray(total(middle) >= target)
        bottom, top = np.where(reached, middle, bottom), np.where(reached, top, middle)
    bad = ~(at_low >= target) | ~np.isfinite(total(bottom))
    return np.where(bad, np.nan, bottom)


def halfway(a: Array, b: Array, coarse: int) -> Array:
    """The middle one of the numbers from a to b; a where there is none between. As num_halfway in common.c.j2."""
    (low, high), shift, one = (_order(v) >> np.uint64(coarse) for v in (a, b)), np.uint64(coarse), np.uint64(1)
    middle = (low >> one) + (high >> one) + (low & high & one)
    whole = middle << shift
    bits = np.where(whole >> np.uint64(63) != 0, whole ^ _TOP, ~whole)
    return np.where(middle == low, a, bits.view(np.float64))


def _order(a: Array) -> Array:
    bits = np.ascontiguousarray(a, np.float64).view(np.uint64)
    return np.where(bits >> np.uint64(63) != 0, ~bits, bits | _TOP)
