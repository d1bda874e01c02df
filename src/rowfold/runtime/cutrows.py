"""One row for several threads, and long rows that let Python look in between: the caller of a cut loop.

The loop (templates/cut.c.j2) walks a row in groups of chunks. A caller without room for the row has it walked to the
end; with room, the loop returns after some groups and goes on when it is called again.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..records import NamedTuple
from . import ufunc as ufuncs
from ._abi import ffi
from .progress import Progress
from .slices import SLICE, Sliced
from .spec import AWAKE, Array

CHUNK = 1 << 13  # as in codegen/loops.py, which a call does not import
GROUP = 256 * CHUNK  # elements that are walked between two looks at the caller
_ROOM = 1 << 17  # bytes for a row between two calls
_SHARE, _ROW, _BYTES, _GROUPS, _WAITING = range(5)  # the words of a caller
_kept: list[Any] = []


class Hands(NamedTuple):
    """Who shares a walk: a function of team.c with its team, or nobody."""

    share: int = 0
    team: int = 0
    threads: int = 1
    asleep: int = 0  # elements from which a sleeping team is worth waking


def caller(hands: Hands) -> Any:
    """What a cut loop is told of its caller: the words of `Cut` in team.c."""
    return (ctypes.c_int64 * 10)(hands.share, 0, 0, 0, 0, hands.team, hands.threads, CHUNK, AWAKE, hands.asleep)


def whole(pointer: int, hands: Hands, loop: Any) -> tuple[Any, int]:
    """The cut loop as a ufunc that walks each row to its end, and its data."""
    words = caller(hands)
    _kept.append(words)
    data = ctypes.addressof(words)
    name, types = f"{loop.__name__}_{hands.threads}", loop.types[0].replace("->", "")
    return ufuncs.make(pointer, name, loop.signature, types, data), data


class Resumed(Sliced):
    """A cut loop called again and again, so that Ctrl-C and a progress bar come in between."""

    def __init__(self, loop: Any, pointer: int, hands: Hands) -> None:
        super().__init__(loop)
        self.pointer, self.hands = pointer, hands

    def run(self, slices: Iterator[list[Array]], elements: int) -> None:
        walks = 1 + any(len(core) and not core[0].isdigit() for core in self.outputs)
        progress = Progress(elements * walks)
        for part in slices:
            if max(a.size for a in part) <= SLICE:
                self.loop(*part)
                progress.add(walks * max(a.size for a in part))
            else:
                self._row(part, progress)
        progress.end()

    def _row(self, part: list[Array], progress: Progress) -> None:
        """One row, some groups of chunks at a time."""
        memory = np.zeros(_ROOM + 64, np.uint8)
        start = memory.__array_interface__["data"][0]
        words = caller(self.hands)
        words[_ROW], words[_BYTES] = start + -start % 64, _ROOM
        call, data = ffi.cast("rowfold_loop", self.pointer), ffi.cast("void *", ctypes.addressof(words))
        arrays = self._apart(part)
        args, dims, steps = self._raw(arrays)
        while True:
            words[_GROUPS] = max(1, SLICE // GROUP)
            call(args, dims, steps, data)
            progress.add(SLICE)
            if not words[_WAITING]:
                return

    def _apart(self, part: list[Array]) -> list[Array]:
        """The operands, but for inputs that lie across an output: those are copied. The very same row may be both."""
        count = len(self.inputs)
        dtypes = [np.dtype(c) for c in self.types[0].replace("->", "")]
        given = [np.asarray(a, t) for a, t in zip(part[:count], dtypes, strict=False)]
        return [a.copy() if any(_across(a, r) for r in part[count:]) else a for a in given] + part[count:]

    def _raw(self, arrays: Sequence[Array]) -> tuple[Any, Any, Any]:
        """The loop's arguments for a batch of one row."""
        cores = (*self.inputs, *self.outputs)
        sizes: dict[str, int] = {}
        for core, array in zip(cores, arrays, strict=True):
            sizes |= zip(core, array.shape[array.ndim - len(core) :], strict=True)
        starts = [ffi.cast("char *", a.__array_interface__["data"][0]) for a in arrays]
        steps = [s for core, a in zip(cores, arrays, strict=True) for s in a.strides[a.ndim - len(core) :]]
        labels = dict.fromkeys(label for core in cores for label in core)
        return (
            ffi.new("char *[]", starts),
            ffi.new("intptr_t[]", [1, *(int(s) if s.isdigit() else sizes[s] for s in labels)]),
            ffi.new("intptr_t[]", [0] * len(arrays) + steps),
        )


def _across(a: Array, r: Array) -> bool:
    places = [(x.__array_interface__["data"][0], x.shape, x.strides) for x in (a, r)]
    return places[0] != places[1] and np.may_share_memory(a, r)


def uneven(rows: int, threads: int) -> bool:
    """Whether so many whole rows would leave a thread idle for long."""
    return rows < threads or math.ceil(rows / threads) * threads > 1.2 * rows
