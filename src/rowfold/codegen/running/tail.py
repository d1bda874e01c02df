"""The end of a float32 recording: what results alone are made of is rounded as compiled kernels round it.

A row meets its own numbers in doubles and is rounded once. What rows do with each other after that (weights, a bias)
is done in float32, in half of the time; nothing that a reduction or a decision reads is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from .steps import Reads, Short, Step

Array = Any
_BETWEEN_ROWS = frozenset({"add", "subtract", "multiply", "divide"})


def tail(known: Reads, results: Sequence[Array], inputs: Collection[int], others: Iterable[int], width: int) -> Short:
    """What may be float32. `others` looks into arrays that are not results."""
    readers: dict[int, list[Step]] = defaultdict(list)
    for s in known.live:
        for a in s.args:
            readers[id(a)].append(s)
    wanted = {id(r) for r in results}
    kept = known.pinned - wanted | set(others)
    rows = [s for s in known.live if row(s.made, width) and s.elementwise and id(s.made) not in kept]
    rounded = {id(s.made) for s in rows}
    narrow = {id(s.made) for s in rows if s.f.__name__ in _BETWEEN_ROWS and all(row(a, width) for a in s.args)}
    while True:
        known_short = rounded | set(inputs)
        few = {id(s.made) for s in rows if id(s.made) in narrow and known_short.issuperset(map(id, s.args))}
        less = {m for m in rounded if all(id(s.made) in few for s in readers[m])}
        if (few & less, less) == (narrow, rounded):
            return Short(np.float32, frozenset(rounded), frozenset(narrow))
        narrow, rounded = few & less, less


def row(a: Array, width: int) -> bool:
    """Whether an array has elements of a row, in doubles."""
    return bool(width > 1 and a.ndim == 2 and a.shape[-1] == width and a.dtype == np.float64)
