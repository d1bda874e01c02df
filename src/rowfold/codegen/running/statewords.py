"""The words in which states merge (lower/merging.py) on NumPy arrays. A k-vector lies along the first axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..lower.mergewords import HELPERS
from .numpywords import NumpyWords


class StateWords(NumpyWords):
    """Doubles, one for each state of a batch."""

    def __init__(self) -> None:
        super().__init__("f64")

    def call(self, function: str, *args: Any) -> Any:
        return HELPERS[function].body(self, *args)

    def places(self, v: Any) -> Any:
        """0, 1, 2, ... for a k-vector."""
        return np.arange(float(len(v))).reshape(-1, *(1,) * (v.ndim - 1))

    def entry(self, v: Any, at: Any) -> Any:
        """The entries at these places; where there is none any entry."""
        apart = v[0].size
        places = at * float(apart) + np.arange(float(apart)).reshape(v.shape[1:])
        return np.take(v, places.astype(np.intp), mode="clip")


STATE_WORDS = StateWords()
