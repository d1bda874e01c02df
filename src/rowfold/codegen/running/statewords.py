"""The words in which states merge (lower/merging.py) on NumPy arrays. A k-vector lies along the first axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..lower.mergewords import HELPERS
from .numpywords import NumpyWords

Step = Callable[..., tuple[Sequence[Any], Sequence[Any]]]


class StateWords(NumpyWords):
    """Doubles, one for each state of a batch."""

    def __init__(self) -> None:
        super().__init__("f64")

    def call(self, function: str, *args: Any) -> Any:
        return HELPERS[function].body(self, *args)

    def pick(self, vectors: Sequence[Any], at: Any) -> list[Any]:
        """The entry at a place, of each vector."""
        if vectors[0].ndim == 1:
            return [v[int(at)] for v in vectors]
        apart = vectors[0][0].size
        places = np.asarray(at).astype(np.intp) * apart + np.arange(apart).reshape(vectors[0].shape[1:])
        return [v.take(places) for v in vectors]

    def each(self, entries: int, start: Sequence[Any], step: Step) -> list[Any]:
        """k-vectors, entry by entry; what one step leaves the next begins with."""
        made, state = [], start
        for _ in range(entries):
            state, entry = step(*state)
            made.append(entry)
        return [np.stack(column) for column in zip(*made, strict=True)]


STATE_WORDS = StateWords()
