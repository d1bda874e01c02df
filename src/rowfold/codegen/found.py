"""rf.lookup on arrays, for the row function on plain rows, the interpreters and the oracle alike."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray, or the array of another module that has NumPy's names


def found_in(xp: ModuleType, places: Array, table: Array) -> Array:
    """What the table has at each place; NaN where it has none."""
    size = table.shape[-1]
    inside = (places >= 0) & (places < size) & (places == xp.rint(places))
    if size == 0:
        return xp.full(places.shape, np.nan, dtype=table.dtype)
    at = xp.where(inside, places, 0).astype(np.int64)
    batch = np.broadcast_shapes(at.shape[:-1], table.shape[:-1])
    at = xp.broadcast_to(at, (*batch, at.shape[-1]))
    found = xp.take_along_axis(xp.broadcast_to(table, (*batch, size)), at, axis=-1)
    return xp.where(inside, found, xp.asarray(np.nan, dtype=table.dtype))
