"""Sums over a batch as values: what a row adds to the wide lanes of its place."""

from __future__ import annotations

from typing import Any

from ..loops import Kind, Port
from .values import Type, Value


def accumulate(row: Any, port: Port, vector: Value) -> None:
    """Adds a vector where a row's code is: to a double for each lane, or to two vectors, a sum and what it lost."""
    double, lanes = vector.type.element == "f64", vector.type.lanes
    at, add = row.place.start + row.place.at, row.words[Kind.ACC, "acc_add"]
    of = Type("f64", lanes)
    places = [at * 2, at * 2 + lanes] if double else [at]
    before = [row.b.total(port, place, of) for place in places]
    after = add(tuple(before) if double else before[0], vector)
    for place, value in zip(places, after if double else (after,), strict=True):
        row.b.keep_total(port, place, value)
