"""The pool of a threshold's candidates on one row, statement by statement as the kernel has it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MOST = 2048
INF = math.inf


def _sum(lanes: Array) -> Any:
    while half := len(lanes) // 2:
        lanes = lanes[:half] + lanes[half:]
    return lanes[0]


class Pool:
    """tau = base + rest is never above the solution; what is not above tau cannot be part of it."""

    def __init__(self, target: float, power: int, number: type[np.floating[Any]]) -> None:
        self.target, self.power, self.number = float(target), power, number
        self.width = math.sqrt(target) if power == 2 and target > 0 else self.target
        self.base = self.rest = -INF
        self.bad = not target > 0 or target == INF
        self.spilled = self.solved = False
        self.values = np.zeros(0, number)
        self.clear()

    def over(self, values: Array) -> Array:
        return (values.astype(np.float64) - self.base) - self.rest

    def bar(self) -> float:
        if self.bad:
            return INF
        level = self.number(self.base + self.rest)
        above = self.over(np.asarray(level)) > 0
        return float(np.nextafter(level, self.number(-INF)) if above else level)

    def clear(self) -> None:
        self.above, self.least = 0.0, INF
        self.first, self.second = np.zeros(8), np.zeros(8)

    def add(self, values: Array) -> None:
        """Sums over what is above tau, in eight lanes, each from first to last."""
        padded = np.full((len(values) // 8 + 1) * 8, -INF, self.number)
        padded[: len(values)] = values
        d = self.over(padded.reshape(-1, 8))
        e = np.where(d > 0, d, 0.0)
        self.first = np.cumsum(np.concatenate([self.first[None], e]), axis=0)[-1]
        self.second = np.cumsum(np.concatenate([self.second[None], e * e]), axis=0)[-1]
        self.above += float(np.count_nonzero(d > 0))
        self.least = min(self.least, float(np.min(np.where(d > 0, d, INF))))

    def step(self) -> None:
        """The solution if what is above tau stays above it, else a step of Newton's."""
        first, second = (_sum(lanes) for lanes in (self.first, self.second))
        over = (second if self.power == 2 else first) - self.target
        root = first * first - self.above * over
        closed = over / (first + np.sqrt(max(root, 0.0))) if self.power == 2 else over / np.float64(self.above)
        fits = bool(closed <= self.least)
        norm = np.sqrt(second)
        nearer = over * norm / (first * (norm + self.width))
        following = self.rest + (closed if fits or self.power == 1 else nearer)
        self.solved = fits or not following > self.rest
        self.rest = float(following) if self.above > 0 else self.rest
        self.clear()

    def raised(self) -> None:
        """A step on the candidates; those that it leaves behind are let go."""
        self.add(self.values)
        self.step()
        self.values = self.values[self.over(self.values) > 0]

    def gather(self, part: Array) -> None:
        """A block in which something is above the bar."""
        self.bad = self.bad or bool(np.any(np.isnan(part) | (part == INF)))
        top = float(np.max(part, initial=-INF))
        if self.bad or top == -INF:
            return
        if self.base == -INF or (top - self.base) - self.width > self.rest:
            self.base, self.rest = top, -self.width
        self.solved = False
        while len(self.values) + len(part) > MOST and not self.solved:
            self.raised()
        self.spilled = self.spilled or len(self.values) + len(part) > MOST
        if not self.spilled:
            self.values = np.concatenate([self.values, part[self.over(part) > 0]])

    def solve(self) -> None:
        self.bad = self.bad or self.base == -INF
        self.solved = self.bad
        self.clear()
        while not self.solved and not self.spilled:
            self.raised()

    @property
    def high(self) -> float:
        """The threshold as a number of the row's type, and what that leaves."""
        return math.nan if self.bad else float(self.number(self.base + self.rest))

    @property
    def low(self) -> float:
        large, small = (self.rest, self.base) if abs(self.base) < abs(self.rest) else (self.base, self.rest)
        return math.nan if self.bad else (large - self.high) + small


def start(target: Array, power: int, number: type[np.floating[Any]]) -> Array:
    """One pool for each row."""
    pools = np.empty(len(target), object)
    pools[:] = [Pool(float(t), power, number) for t in target]
    return pools


def each(pools: Array, what: str) -> Array:
    """A number of every pool."""
    if what == "solved":
        return np.array([p.solved for p in pools], bool)
    return np.array([getattr(p, what) for p in pools])


def effect(word: str, pools: Array, rows: Array | None, above: Array | None) -> None:
    """A statement that changes the pools; `rows` are a block's elements, `above` its mask of lanes."""
    for i, pool in enumerate(pools):
        match word:
            case "pool_take":
                assert rows is not None and above is not None
                if above[i].any():
                    pool.gather(rows[i])
            case "pool_add":
                assert rows is not None
                pool.add(rows[i])
            case "pool_solve":
                pool.solve()
            case "pool_step":
                pool.step()
