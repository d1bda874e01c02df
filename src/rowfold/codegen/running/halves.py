"""Sums of float64 rows by NumPy that round no more often than those of compiled kernels: three times in doubles.

Halves are added to halves, as in a block's tree (lower.chunks), and what is left of a row is added in long doubles, an
eighth of its elements, whose roundings are two thousand times smaller. NumPy's own pairwise sums round twenty times.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
_LEVELS = 3  # as bounding.bounds.SUM_LEVELS
CLOSE = 1.0001  # a sum of exponentials below this has lost the digits of all but the largest
_LONG = np.longdouble
_SPLIT = 32  # elements that are added faster in two parts than in long doubles
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
        total = self._split(row) if row.shape[-1] >= _SPLIT else np.add.reduce(row, axis=-1, keepdims=True, dtype=_LONG)
        for element in odd:
            total += element
        return total

    def _split(self, row: Array) -> Array:
        """The sum of doubles, nearly exact: of what they are beside four times their size, which no order rounds, and
        of the rest, whose roundings are as small. Where that is not finite, neither is the sum.
        """
        place = self._place((*row.shape, 1))[..., 0]
        beside = 4 * np.add.reduce(np.abs(row, out=place), axis=-1, keepdims=True)
        head = np.subtract(np.add(row, beside, out=place), beside, out=place)
        total = np.add.reduce(head, axis=-1, keepdims=True).astype(_LONG)
        total += np.add.reduce(np.subtract(row, head, out=place), axis=-1, keepdims=True)
        return total

    def _place(self, shape: tuple[int, ...]) -> Array:
        if shape not in self.room:
            self.room[shape] = np.empty(shape)
        return self.room[shape]


def log_parts(total: Array, powers: Array, exponents: Array, squares: Array) -> Array:
    """log(total) of e^exponents in two parts, so that an exponent less both of them keeps its digits.

    Where one term may be most of the sum they are its exponent, and the logarithm of one plus what is beside it.
    """
    total = total.astype(np.float64)
    parts = np.empty((*total.shape[:-1], 2))
    np.log(total, out=parts[:, :1])
    np.multiply(np.exp(-parts[:, :1]), total, out=parts[:, 1:])
    parts[:, 1] -= 1
    near = np.flatnonzero(squares[:, 0] > total[:, 0] * total[:, 0] / 4)
    if near.size:
        others, row = powers[near], (np.arange(near.size), np.argmax(powers[near], axis=-1))
        top = others[row]
        others[row] = 0
        parts[near, 0] = exponents[near, row[1]]
        parts[near, 1] = np.log1p(np.sum(others, axis=-1) / top)
    return parts


def log_of_sum(total: Array, powers: Array) -> Array:
    """log(total) of exponentials whose largest is 1: where nearly nothing is beside it, by log1p of the others."""
    log: Array = np.log(total)
    near = np.flatnonzero(total[..., 0] < CLOSE)
    if near.size:
        others = powers[near]
        others[np.arange(near.size), np.argmax(others, axis=-1)] = 0
        log[near] = np.log1p(np.sum(others, axis=-1, keepdims=True))
    return log


class Elements:
    """The element of every row at its index."""

    def __init__(self, rows: int) -> None:
        self.rows = np.arange(rows)

    def __call__(self, row: Array, index: Array) -> Array:
        return row[self.rows, index[:, 0]][:, None]
