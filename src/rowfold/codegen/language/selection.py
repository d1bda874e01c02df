"""Selection in the row language: the k largest elements of a row, as k-vectors and by position.

A k-vector is a small row of k numbers, the same k for every row. It takes maps, reductions, `v[0]` and `np.cumsum(v)`;
beside a row it stands only after it was reduced.
"""

from __future__ import annotations

import math
from typing import Any, Final

from rowfold.codegen.ir import Reduce, operands
from rowfold.codegen.language.traced import Traced, Tracer
from rowfold.errors import NothingAsked

MOST: Final = 256
_IDENTITIES: Final = {"sum": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf}


def topk(t: Tracer, x: object, k: object) -> tuple[Traced, Traced]:
    """The k largest values in order, and their positions."""
    row, size = _operands(t, x, k)
    return t.reduce("topk", row, size), t.reduce("topk_at", row, size)


def kth(t: Tracer, x: object, k: object) -> Traced:
    """The k-th largest value."""
    row, size = _operands(t, x, k)
    return t.map("pick", t.reduce("topk", row, size), size - 1.0)


def _operands(t: Tracer, x: object, k: Any) -> tuple[Traced, float]:
    row = t.number(x)
    if not t.is_row(row):
        t.fail("the largest elements of a number", "give a row: rf.topk(x, k)")
    if isinstance(k, Traced) or not hasattr(k, "__index__") or isinstance(k, bool):
        t.fail("a k that is not a whole number known now", "annotate the setting `k: int`")
    size = int(k.__index__())
    if size == 0:
        raise NothingAsked(f"k is 0, so nothing would be kept; rf.topk and rf.kth take k from 1 to {MOST}")
    if not 1 <= size <= MOST:
        raise ValueError(f"k is {size}; rf.topk and rf.kth take k from 1 to {MOST}")
    return row, float(size)


def fold(t: Tracer, op: str, v: Traced, where: object = None) -> Traced:
    """A reduction of a k-vector."""
    if op in ("any", "all"):
        hits = t.map("where", v, 1.0, 0.0)
        return t.map("greater", fold(t, "max" if op == "any" else "min", hits, where), 0.0)
    if op not in _IDENTITIES:
        t.fail(f"{op} of a k-vector", "a k-vector is in order: v[0] is its largest, v[-1] its smallest element")
    chosen = v if where is None else t.map("where", where, v, _IDENTITIES[op])
    return t.map(f"small_{op}", chosen)


def places(t: Tracer, v: Traced) -> Traced:
    """The positions of the elements that a k-vector was made from: as many, and never NaN."""
    ref = v.ref
    while not isinstance(node := t.builder.nodes[ref], Reduce):
        ref = next(a for a in operands(node) if t.builder.entries(a))
    return Traced(t, t.builder.reduce("topk_at", *node.args, where=node.where))


def cumsum(t: Tracer, a: object) -> Traced:
    v = t.number(a)
    if not t.entries(v):
        advice = "a running result is for k-vectors: v, i = rf.topk(x, k); np.cumsum(v)"
        t.fail("np.cumsum of a row", advice)
    return t.map("cumsum", v)


def pick(t: Tracer, v: Traced, key: Any) -> Traced:
    """v[i] with a whole number known now; a negative one counts from the end."""
    size = t.entries(v)
    if not hasattr(key, "__index__") or isinstance(key, Traced | bool):
        t.fail("indexing a k-vector with anything but a whole number", "write v[0], v[-1], or a reduction of v")
    index = int(key.__index__())
    if not -size <= index < size:
        raise IndexError(f"index {index} of a k-vector of {size}")
    return t.map("pick", v, float(index % size))
