"""The words of selection on a batch of rows: the sorted buffer of the largest elements, and k-vectors made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..extremes import largest

Array = NDArray[Any]
Best = tuple[Array, Array]  # values and positions, (batch, k); position -1 where nothing was found yet


FOLDS: dict[str, Callable[..., Array]] = {  # of k-vectors, the entries one after the other
    "small_sum": lambda v: np.cumsum(v, axis=-1)[..., -1],
    "pick": lambda v, index: v[..., int(index)],
    "small_prod": lambda v: np.cumprod(v, axis=-1)[..., -1],
    "small_max": lambda v: np.max(v, axis=-1),
    "small_min": lambda v: np.min(v, axis=-1),
    "cumsum": lambda v: np.cumsum(v, axis=-1),
}


def start(batch: int, k: int, number: type[np.floating[Any]]) -> Best:
    return np.full((batch, k), -np.inf, number), np.full((batch, k), -1)


def bar(best: Best, lanes: int) -> Array:
    """What an element must not be at most: NaN while there is room, +inf once only NaNs are kept."""
    values, places = best
    last = values[:, -1]
    level = np.where(places[:, -1] < 0, np.nan, np.where(np.isnan(last), np.inf, last)).astype(values.dtype)
    return np.broadcast_to(level[:, None], (*level.shape, lanes))


def take(best: Best, parts: Array, eligible: Array | None, first: int, count: int) -> Best:
    """The buffer with a block's elements: those that were there come first, for they stand before in the row."""
    values, places = best
    rows = parts.transpose(1, 0, 2).reshape(len(values), -1)[:, :count]
    new = np.broadcast_to(first + np.arange(count), rows.shape)
    if eligible is not None:
        chosen = eligible.transpose(1, 0, 2).reshape(len(values), -1)[:, :count]
        new = np.where(chosen != 0, new, -1)
    every, at = np.concatenate([values, rows], axis=1), np.concatenate([places, new], axis=1)
    found, order = largest(every, values.shape[1], at >= 0)
    taken = np.take_along_axis(at, np.maximum(order, 0), axis=1)
    return found.astype(values.dtype), np.where(order < 0, -1, taken)
