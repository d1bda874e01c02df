"""Memory for sums over a batch: the loop's wide lanes, as it lays them out.

A vector of float32 has a double for each lane; one of float64 has its lanes' sums, then what those lost.
"""

from __future__ import annotations

import numpy as np

from .spec import Array, DType

_VECTOR = 16  # doubles for each vector
_LINE = 64  # bytes: a vector that straddles cache lines costs twice


def made(n: int, computing: DType) -> Array:
    """Zeros for rows of n elements, aligned to cache lines."""
    lanes = 64 // computing.itemsize
    size = -(-n // lanes) * _VECTOR
    raw = np.zeros(size + _LINE // 8)
    start = -raw.ctypes.data % _LINE // 8
    return raw[start : start + size].reshape(-1, _VECTOR // lanes, lanes)


def folded(lanes: Array, n: int) -> Array:
    """The sums as n doubles."""
    whole: Array = lanes.sum(axis=1) if lanes.shape[1] > 1 else lanes
    return whole.reshape(-1)[:n]


def put(memory: Array, sums: Array, computing: DType) -> None:
    """Writes sums that were taken elsewhere."""
    lanes = 64 // computing.itemsize
    first = memory.reshape(-1, _VECTOR // lanes, lanes)[:, 0]
    padded = np.zeros(first.size)
    padded[: sums.size] = sums
    first[...] = padded.reshape(first.shape)
