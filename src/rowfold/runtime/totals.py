"""Calls whose results are in part summed over the batch: the rows go through the loop in order, one after the other.

The order decides the bits, so the batch is laid out as one axis here, before NumPy could choose an order of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .operands import Operands, raw
from .outputs import Target
from .spec import Array


def wanted(targets: Sequence[Target]) -> bool:
    """Whether one of the results is summed over the batch."""
    return any(t.result.total for t in targets)


def run(loop: Any, read: Sequence[Array], targets: Sequence[Target], call: Operands) -> None:
    """Runs the loop on the rows in their order; sums go into their targets, to be folded. One result is no sum."""
    cores = [bool(core) for core in loop.signature.split("->")[0][1:-1].split("),(")]
    given = [_lined(a, core, call) for a, core in zip(read, cores, strict=False)]
    sums = [t.loop.reshape(-1) for t in targets if t.result.total]
    plain = [t for t in targets if not t.result.total]
    places = [t.loop.reshape((call.rows, call.layout.n) if t.result.row else (call.rows,)) for t in plain]
    loop(*given, *sums, *map(raw, places))
    for target, place in zip(plain, places, strict=True):
        if not np.may_share_memory(place, target.loop):
            np.copyto(target.loop, place.reshape(target.loop.shape))


def _lined(array: Array, row: bool, call: Operands) -> Array:
    """The operand with the batch on one axis of positive step, or on none where every row reads the same."""
    if array.ndim == 1 + row and array.shape[0] == call.rows > 1 and array.strides[0] >= 0:
        return array
    core = array.shape[-1:] if row else ()
    batch = array.shape[: array.ndim - len(core)]
    if all(size == 1 for size in batch):
        return array.reshape(core)
    whole = np.broadcast_to(array, (*call.batch, *core)).reshape((call.rows, *core))
    return whole if whole.strides[0] >= 0 else whole.copy()
