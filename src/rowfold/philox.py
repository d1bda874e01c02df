"""Counter-based random numbers: Philox-4x32-10 (Salmon and others, Parallel random numbers: as easy as 1, 2, 3).

A number is a pure function of a 64-bit key and its position in the row, so every sweep, strategy and instruction set
meets the same noise. Four consecutive positions share one block of the generator.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

ROUNDS: Final = 10
MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
WEYL: Final = (0x9E3779B9, 0xBB67AE85)
_LOW: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)


def philox(counter: Any, key: Any) -> Array:
    """The block of four 32-bit words (last axis, uint64) of 64-bit counters under 64-bit keys, which broadcast."""
    counter, key = np.broadcast_arrays(np.asarray(counter, np.uint64), np.asarray(key, np.uint64))
    words = [counter & _LOW, counter >> _HALF, np.zeros_like(counter), np.zeros_like(counter)]
    keys = [key & _LOW, key >> _HALF]
    for _ in range(ROUNDS):
        first, second = (np.uint64(m) * w for m, w in zip(MULTIPLIERS, words[::2], strict=True))
        words = [second >> _HALF ^ words[1] ^ keys[0], second & _LOW, first >> _HALF ^ words[3] ^ keys[1], first & _LOW]
        keys = [(k + np.uint64(w)) & _LOW for k, w in zip(keys, WEYL, strict=True)]
    return np.stack(words, axis=-1)


def uniform(position: Any, key: Any) -> Array:
    """The number in (0, 1) at a position: (23 bits + 1/2) 2^-23, exact in float32 and never 0 or 1. In float64."""
    place, key = np.broadcast_arrays(np.asarray(position).astype(np.uint64), np.asarray(key, np.uint64))
    block = philox(place >> np.uint64(2), key)
    word = np.take_along_axis(block, (place & np.uint64(3)).astype(np.intp)[..., None], axis=-1)[..., 0]
    bits: Array = (word >> np.uint64(9)).astype(np.float64)
    return (bits + 0.5) * 2.0**-23


def row_keys(seed: int, shape: tuple[int, ...]) -> Array:
    """One key a row: philox(seed, flat row number). Raises ValueError for a seed outside [0, 2^64)."""
    if not 0 <= seed < 2**64:
        raise ValueError(f"a seed lies in [0, 2^64); {seed} does not")
    rows = int(np.prod(shape, dtype=np.int64))
    block = philox(np.arange(rows, dtype=np.uint64), np.uint64(seed))
    keys: Array = block[..., 0] | block[..., 1] << _HALF
    return keys.reshape(shape)


def keys_of(seed: Any, batch: tuple[int, ...]) -> Array:
    """The keys of a batch: an integer makes one a row, an array of integers holds them.

    Raises TypeError for what is no integer, ValueError for a negative one.
    """
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        return row_keys(int(seed), batch)
    array = np.asarray(seed)
    if array.dtype.kind not in "iu":
        raise TypeError(f"a seed is an integer or an array of integers, not of {array.dtype}")
    if array.dtype.kind == "i" and array.size and int(array.min()) < 0:
        raise ValueError(f"a seed lies in [0, 2^64); {array.min()} does not")
    return array if array.dtype == np.uint64 else array.astype(np.uint64)
