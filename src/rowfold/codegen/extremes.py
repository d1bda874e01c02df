"""What NumPy has no word for, on whole arrays: where an extreme lies, the k largest, thresholds of powers."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray, or the array of another module that has NumPy's names


def constant(row: Array, xp: ModuleType = np) -> Array:
    """The number that all elements of a row are; -inf of an empty one."""
    return xp.max(row, axis=-1, keepdims=True, initial=-np.inf)


def excess(a: Array, target: Array, power: int, chosen: Array, xp: ModuleType = np) -> Array:
    """tau with sum max(a - tau, 0)^power = target, by Newton's iteration from below; NaN where there is none."""
    a = xp.where(chosen, a, -np.inf)
    bad = xp.any(chosen & (xp.isnan(a) | (a == np.inf)), axis=-1, keepdims=True) | ~(target > 0) | ~xp.isfinite(target)
    top = xp.max(a, axis=-1, keepdims=True, initial=-np.inf)
    bad |= top == -np.inf
    d = xp.where(xp.isfinite(a), a, -np.inf) - xp.where(bad, 0.0, top)
    rest = -(xp.sqrt(target) if power == 2 else target)
    for _ in range(a.shape[-1] + 100):
        e = xp.maximum(d - rest, 0)
        first, over = xp.sum(e, axis=-1, keepdims=True), xp.sum(e**power, axis=-1, keepdims=True) - target
        step = over / (2 * first if power == 2 else xp.sum(e > 0, axis=-1, keepdims=True))
        rest, before = xp.where(step > 0, rest + step, rest), rest
        if xp.all((rest == before) | bad):
            break
    return xp.where(bad, np.nan, top + rest)


def largest(a: Array, k: int, chosen: Array, xp: ModuleType = np) -> tuple[Array, Array]:
    """The k largest selected elements and their positions, NaN first, ties by position; -inf at -1 for none."""
    a, chosen = xp.broadcast_arrays(a, chosen)
    nan = xp.isnan(a)
    order = xp.lexsort((xp.where(nan, 0.0, -a), ~nan, ~chosen), axis=-1)[..., :k]
    found = xp.take_along_axis(chosen, order, axis=-1)
    return xp.where(found, xp.take_along_axis(a, order, axis=-1), -np.inf), xp.where(found, order, -1)


def position(xp: ModuleType, op: str, a: Array, chosen: Array) -> Array:
    """The first extreme, NaN before everything; -1 where nothing is selected."""
    worst = -np.inf if op == "argmax" else np.inf
    a, chosen = xp.broadcast_arrays(a, chosen)
    if a.shape[-1] == 0:
        return xp.full((*a.shape[:-1], 1), -1)
    best = getattr(xp, op)(xp.where(chosen, a, worst), axis=-1)[..., None]
    # -inf among the selected must win over an unselected element before it
    first = xp.argmax(chosen & (xp.isnan(a) | (a == worst)), axis=-1)[..., None]
    taken = xp.take_along_axis(chosen, best, axis=-1)
    return xp.where(xp.any(chosen, axis=-1, keepdims=True), xp.where(taken, best, first), -1)
