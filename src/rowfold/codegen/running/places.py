"""Where a recording reads its inputs and writes its results: where they lie if that can be, else in own arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .steps import NO_SHORT, Reads, Slot, Step, placed, reads
from .tail import row as _row
from .tail import tail

Array = Any


class Places:
    """The calls of a recording, and the slots of what they read and write.

    `read` are arrays that are looked into after a replay. `own` says which results are of the kernel's own type, where
    that is float32; a kernel in float64 has None.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        results: Sequence[Array],
        read: Sequence[Array],
        inputs: Mapping[int, Array],
        own: Sequence[bool] | None,
        width: int,
    ) -> None:
        whole = [_whole(r) for r in results]
        known = reads(steps, (*whole, *read), inputs)
        rows = {k: a for k, a in inputs.items() if _row(a, width)}
        rounded = [r for r, o in zip(whole, own or (), strict=False) if o]
        others = {id(a) for a in read} | {id(r) for r, o in zip(whole, own or (), strict=False) if not o}
        short = NO_SHORT if own is None else tail(known, rounded, rows.keys(), others, width)
        self.twins = {k: Slot(a) for k, a in rows.items() if _read_short(k, known, short.narrow)}
        self.direct = {k: Slot(a) for k, a in rows.items() if own is None and k not in known.pinned}
        self.held = {id(a) for s in known.live if id(s.made) not in short.narrow for a in s.args} | known.pinned
        made = {id(s.made): s for s in known.live}
        looked = {id(a) for a in read} | {id(r) for k, r in enumerate(whole) if any(r is q for q in whole[:k])}
        self.outputs: list[Slot | None] = []
        written: dict[int, Slot] = {}
        for r in whole:
            step = made.get(id(r))
            slot = None
            if step is not None and step.elementwise and _row(r, width) and id(r) not in looked:
                if id(r) in short.rounded:
                    slot = Slot(np.empty(r.shape, short.dtype))
                elif own is None:
                    slot = Slot(r)
            if slot is not None and id(r) not in written:
                written[id(r)] = slot
            self.outputs.append(slot and written[id(r)])
        self.calls = placed(known, {**self.direct, **written}, short, self.twins)
        self.results = [r if s is None else s.own for r, s in zip(results, self.outputs, strict=True)]


def _whole(result: Array) -> Array:
    """The array that a result is all of."""
    base: Array = result if result.base is None else result.base
    same = (base.shape, base.dtype, base.strides) == (result.shape, result.dtype, result.strides)
    return base if same else result


def _read_short(k: int, known: Reads, narrow: frozenset[int]) -> bool:
    return any(id(a) == k for s in known.live if id(s.made) in narrow for a in s.args)
