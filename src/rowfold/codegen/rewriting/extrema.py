"""Extrema: what is row-constant comes out, and what is monotone commutes."""

from __future__ import annotations

from ..algebra import split
from ..ir import Ref
from .products import added, sum_of
from .rewriter import Rewriter


def extremum(r: Rewriter, op: str, x: Ref, where: Ref | None) -> Ref:
    """max(f + c) is max f + c when c would otherwise cost a sweep."""
    row, const = split(r.b, x)
    if row and any(r.level(a) for c in const for a in c.powers):
        inner = r.b.reduce(op, sum_of(r, row), where=where)
        return added(r, "add", inner, sum_of(r, const))
    return r.b.reduce(op, x, where=where)
