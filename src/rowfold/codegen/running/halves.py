"""Sums of float64 rows by NumPy that round no more often than those of compiled kernels: three times in doubles.

Halves are added to halves, as in a block's tree (lower.chunks), and what is left of a row is added in long doubles, an
eighth of its elements, whose roundings are two thousand times smaller. NumPy's own pairwise sums round twenty times.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
_LEVELS = 3  # as bounding.bounds.SUM_LEVELS
_VECTOR = 8  # so many elements are lanes of compiled kernels, and are added in more than doubles


class Summed:
    """The sum of every row, as a long double. `room` has the arrays that all sums of a recording share."""

    def __init__(self, room: dict[tuple[int, ...], Array], width: int) -> None:
        self.room, self.levels = room, min(_LEVELS, max(0, -(-width // _VECTOR) - 1))

    def __call__(self, row: Array) -> Array:
        odd = []
        for _ in range(self.levels):
            half = row.shape[-1] // 2
            if row.shape[-1] % 2:
                odd.append(np.array(row[..., -1:]))
            row = np.add(row[..., :half], row[..., half : 2 * half], out=self._place((*row.shape[:-1], half)))
        total = np.add.reduce(row, axis=-1, keepdims=True, dtype=np.longdouble)
        for element in odd:
            total += element
        return total

    def _place(self, shape: tuple[int, ...]) -> Array:
        if shape not in self.room:
            self.room[shape] = np.empty(shape)
        return self.room[shape]
