"""Sums over a batch as values: what a row adds to the wide lanes of its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .loops import LANES, Port
from .ssa import Builder, Type, Value


def accumulate(b: Builder, add: Callable[..., Any], port: Port, at: Value, vector: Value) -> None:
    """Adds a vector: to a double for each lane, or for float64 to two vectors, a sum and what it lost."""
    double = vector.type.element == "f64"
    lanes = LANES[vector.type.element]
    of = Type("f64", lanes)
    places = [at * 2, at * 2 + lanes] if double else [at]
    before = [b.total(port, place, of) for place in places]
    after = add(tuple(before) if double else before[0], vector)
    for place, value in zip(places, after if double else (after,), strict=True):
        b.keep_total(port, place, value)
