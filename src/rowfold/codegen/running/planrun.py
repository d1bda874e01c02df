"""A run of a plan's loops: the words of selection, which need the rows of a block and what was found so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ...records import dataclass
from ..found import found_in
from ..loops import VECTORS, Arg, Kind, Stmt, Var
from . import planselection as selection
from . import planthreshold as thresholds

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Window:
    """The vectors that a body is about: from element `start`, and from vector `part` of the block."""

    start: int = 0
    part: int = 0
    count: int = 0
    vectors: int = 0  # of the whole block


class SelectionWords(Protocol):
    """What a run knows beside arithmetic: `_word` makes the variable of a statement, `select` does its effect."""

    batch: int
    n: int
    memory: dict[str, Array]
    env: dict[str, Any]
    number: type[np.floating[Any]]
    lanes: int

    def arg(self, arg: Arg, kind: Kind) -> Any: ...

    def _lookup(self, args: Sequence[Arg], window: Window) -> Array:
        """What a table has at the places of a vector, of a k-vector or of a number."""
        place, table = args[0], self.memory[str(args[1])]
        if isinstance(place, Var) and place.kind is not Kind.NUM:
            found: Array = found_in(np, self.arg(place, place.kind), table)
            return found.astype(np.float64) if place.size else found
        places = np.broadcast_to(self.arg(place, Kind.NUM), (self.batch,))
        at: Array = found_in(np, places[:, None], table)[:, 0].astype(np.float64)
        return at

    def select(self, s: Stmt, window: Window) -> None:
        """A statement that puts a block into a buffer or a pool, or moves a threshold."""
        held, *rest = (self.env[a.name] for a in s.args if isinstance(a, Var))
        count = min(self.n - window.start, VECTORS * self.lanes)
        if s.word.startswith("best_"):
            eligible = rest[1] if s.word == "best_take_where" else None
            assert isinstance(s.args[0], Var)
            self.env[s.args[0].name] = selection.take(held, rest[0], eligible, window.start, count)
            return
        rows = rest[0].transpose(1, 0, 2).reshape(self.batch, -1)[:, :count] if rest else None
        thresholds.effect(s.word, held, rows, rest[1] if len(rest) > 1 else None)

    def _best(self, args: Sequence[Arg], window: Window) -> selection.Best:
        return selection.start(self.batch, int(cast(float, args[0])), self.number)

    def _best_bar(self, args: Sequence[Arg], window: Window) -> Array:
        return selection.bar(self.arg(args[0], Kind.BEST), self.lanes)

    def _best_values(self, args: Sequence[Arg], window: Window) -> Array:
        values: Array = self.arg(args[0], Kind.BEST)[0].astype(np.float64)
        return values

    def _best_places(self, args: Sequence[Arg], window: Window) -> Array:
        places: Array = self.arg(args[0], Kind.BEST)[1].astype(np.float64)
        return places

    def _pool(self, args: Sequence[Arg], window: Window) -> Array:
        target = np.broadcast_to(self.arg(args[0], Kind.NUM), (self.batch,))
        return thresholds.start(target, int(cast(float, args[1])), self.number)

    def _pool_bar(self, args: Sequence[Arg], window: Window) -> Array:
        levels = np.array([p.bar() for p in self.arg(args[0], Kind.POOL)], self.number)
        return np.broadcast_to(levels[:, None], (self.batch, self.lanes))

    def _pool_high(self, args: Sequence[Arg], window: Window) -> Array:
        return thresholds.each(self.arg(args[0], Kind.POOL), "high")

    def _pool_low(self, args: Sequence[Arg], window: Window) -> Array:
        return thresholds.each(self.arg(args[0], Kind.POOL), "low")

    def _pool_solved(self, args: Sequence[Arg], window: Window) -> Array:
        return thresholds.each(self.arg(args[0], Kind.POOL), "solved")
