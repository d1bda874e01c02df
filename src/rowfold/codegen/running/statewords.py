"""The words in which states merge (lower/merging.py) on NumPy arrays. A k-vector lies along the first axis."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..lower.mergewords import HELPERS
from .numpywords import NumpyWords

FEW = 32  # states, from which on an entry of all at once takes less time than those of one after the other
Array = NDArray[Any]
Rank = Callable[..., Sequence[Any]]
Before = Callable[[Any, Sequence[Any], Sequence[Any]], Any]


class StateWords(NumpyWords):
    """Doubles, one for each state of a batch."""

    def __init__(self) -> None:
        super().__init__("f64")

    def call(self, function: str, *args: Any) -> Any:
        return HELPERS[function].body(self, *args)

    def interleave(self, rank: Rank, before: Before, lists: Sequence[Sequence[Array]]) -> Any:
        """The first k of two lists in order, of k-vectors each: always the head that is `before` the other by rank."""
        shape = lists[0][0].shape
        keys = [[key.reshape(shape[0], -1) for key in rank(self, *side)] for side in lists]
        one_by_one = keys[0][0].shape[1] < FEW
        chosen = np.stack([*_each(before, keys)], axis=1) if one_by_one else _together(self, before, keys)
        both = (np.concatenate(pair).reshape(2 * shape[0], -1) for pair in zip(*lists, strict=True))
        return [np.take_along_axis(vector, chosen, axis=0).reshape(shape) for vector in both]


class _Floats:
    """The words that compare, on Python's own numbers."""

    lt, gt, eq = operator.lt, operator.gt, operator.eq
    mask_and, mask_or = operator.and_, operator.or_


def _each(before: Before, keys: Sequence[Sequence[Array]]) -> Iterator[list[int]]:
    """State by state, the entries that are chosen, counted through both lists."""
    entries = len(keys[0][0])
    for of_one in zip(*(key.T.tolist() for side in keys for key in side), strict=True):
        first, second = (list(zip(*side, strict=True)) for side in (of_one[: len(keys[0])], of_one[len(keys[0]) :]))
        i = j = 0
        chosen = []
        for _ in range(entries):
            if before(_Floats, first[i], second[j]):
                chosen.append(i)
                i += 1
            else:
                chosen.append(entries + j)
                j += 1
        yield chosen


def _together(w: StateWords, before: Before, keys: Sequence[Sequence[Array]]) -> Array:
    """The same entry by entry, for all states at once."""
    entries, states = keys[0][0].shape
    i, j = np.arange(states), np.arange(states)  # in the lists as they lie, entry behind entry
    chosen = np.empty((entries, states), np.intp)
    for entry in chosen:
        left = before(w, [key.take(i) for key in keys[0]], [key.take(j) for key in keys[1]])
        entry[...] = np.where(left, i, entries * states + j)
        i += left * states
        j += ~left * states
    made: Array = chosen // states
    return made


STATE_WORDS = StateWords()
