"""Selection commutes with increasing maps: they are done k times, not n."""

from __future__ import annotations

from ..ir import Map, Ref
from .algebra import ONE, Product, positive, product, split
from .extrema import INCREASING
from .products import added, sum_of, times
from .rewriter import Rewriter


def topk(r: Rewriter, op: str, x: Ref, k: Ref, where: Ref | None) -> Ref:
    """The largest elements of c g(f) + d are c g(those of f) + d, for c > 0 and an increasing g."""
    node = r.b.nodes[x]
    if isinstance(node, Map) and node.op in INCREASING:
        inner = topk(r, op, node.args[0], k, where)
        return inner if op == "topk_at" else r.map(node.op, (inner,))
    row, const = split(r.b, x)
    if row and const:
        inner = topk(r, op, sum_of(r, row), k, where)
        return inner if op == "topk_at" else added(r, "add", inner, sum_of(r, const))
    whole = product(r.b, x)
    outside, inside = whole.without(r.b.is_row), whole.only(r.b.is_row)
    if list(inside.powers.values()) == [1] and _increases(r, outside):
        inner = topk(r, op, next(iter(inside.powers)), k, where)
        return inner if op == "topk_at" else times(r, outside, inner)
    return r.b.reduce(op, x, k, where=where)


def _increases(r: Rewriter, factor: Product) -> bool:
    return factor != ONE and factor.coefficient > 0 and all(positive(r.b, a) for a in factor.powers)
