"""Extrema and comparisons: what is row-constant comes out, and what is monotone commutes."""

from __future__ import annotations

from ..ir import Map, Ref
from .algebra import ONE, Product, positive, product, split, total, write_product, write_sum
from .algebra import Sum as Terms
from .products import added, sum_of, times
from .rewriter import Rewriter

INCREASING = frozenset("exp exp2 expm1 tanh sigmoid softplus arctan".split())  # strictly, and for every number
OPPOSITE = {"max": "min", "min": "max"}
NOTHING = {"max": float("-inf"), "min": float("inf")}


def extremum(r: Rewriter, op: str, x: Ref, where: Ref | None) -> Ref:
    """max(c f + d) is c max f + d where c or d would cost a sweep, and max g(f) is g(max f) for an increasing g."""
    found = _extremum(r, op, x, where)
    if where is None or found == r.b.reduce(op, x, where=where):
        return found
    some = r.b.map("greater", r.b.reduce("count", where=where), r.b.const(0.0))  # no element gives the identity
    return r.b.map("where", some, found, r.b.const(NOTHING[op]))


def _extremum(r: Rewriter, op: str, x: Ref, where: Ref | None) -> Ref:
    row, const = split(r.b, x)
    if row and any(r.level(a) for c in const for a in c.powers):
        return added(r, "add", _extremum(r, op, sum_of(r, row), where), sum_of(r, const))
    whole = product(r.b, x)
    outside = whole.without(r.b.is_row)
    if r.b.is_row(x) and any(map(r.level, outside.powers)):
        inside = Product(outside.coefficient, whole.only(r.b.is_row).powers)
        return _scaled(r, op, write_product(r.b, inside), Product(1.0, outside.powers), where)
    match r.b.nodes[x]:
        case Map(g, (f,)) if g in INCREASING:
            return r.map(g, (_extremum(r, op, f, where),))
        case Map("absolute", (f,)) if op == "max":
            return _farthest(r, f, where) or r.b.reduce(op, x, where=where)
    return r.b.reduce(op, x, where=where)


def _scaled(r: Rewriter, op: str, f: Ref, c: Product, where: Ref | None) -> Ref:
    """The extremum of c f; a c of unknown sign decides between the two extrema of f."""
    if all(positive(r.b, a) for a in c.powers):
        return times(r, c, _extremum(r, op, f, where))
    up, down = (times(r, c, _extremum(r, o, f, where)) for o in (op, OPPOSITE[op]))
    return r.map("where", (r.b.map("greater_equal", write_product(r.b, c), r.b.const(0.0)), up, down))


def _farthest(r: Rewriter, f: Ref, where: Ref | None) -> Ref | None:
    """max |f - c| is the larger of max f - c and c - min f, for a c that is known only after a sweep."""
    row, const = split(r.b, f)
    if not row or not any(r.level(a) for c in const for a in c.powers):
        return None
    above, below = (_extremum(r, op, f, where) for op in ("max", "min"))
    return r.b.map("maximum", above, r.map("negative", (below,)))


def position(r: Rewriter, x: Ref, where: Ref | None) -> Ref:
    """argmax of c g(f) + d is argmax f, for c > 0 and an increasing g."""
    row, _ = split(r.b, x)
    whole = product(r.b, sum_of(r, row))
    c = whole.only(lambda a: not r.b.is_row(a) and positive(r.b, a))
    sign = -1.0 if whole.coefficient < 0 else 1.0
    f = Product(sign, whole.times(c, -1).powers)
    if sign > 0 and list(f.powers.values()) == [1]:
        match r.b.nodes[next(iter(f.powers))]:
            case Map(g, (inner,)) if g in INCREASING:
                return position(r, inner, where)
    return r.b.reduce("argmax", write_product(r.b, f), where=where)


def compared(r: Rewriter, op: str, x: Ref, y: Ref) -> Ref:
    """A comparison without what both sides share, where that is known only after a sweep: p < p[y] is x < x[y]."""
    if max(r.level(x), r.level(y)):
        left, right = _unshifted(r, x, y)
        left, right = _unscaled(r, left, right)
        if (left, right) != (x, y):
            return compared(r, op, left, right)
    match r.b.nodes[x], r.b.nodes[y]:
        case Map("exp", (a,)), Map("exp", (b,)):
            return compared(r, op, a, b)
    return r.b.map(op, x, y)


def same(r: Rewriter, op: str, x: Ref, y: Ref) -> Ref:
    """Equality without the positive factors that both sides share: the largest stays equal to the maximum."""
    left, right = _unscaled(r, x, y, known=True)
    return r.b.map(op, left, right)


def _unshifted(r: Rewriter, x: Ref, y: Ref) -> tuple[Ref, Ref]:
    left, right = total(r.b, x), total(r.b, y)
    shared = {a: c for a, c in left.terms.items() if r.level(a) and not r.b.is_row(a) and right.terms.get(a) == c}
    if not shared:
        return x, y
    return write_sum(r.b, left.plus(Terms(0.0, shared), -1.0)), write_sum(r.b, right.plus(Terms(0.0, shared), -1.0))


def _unscaled(r: Rewriter, x: Ref, y: Ref, *, known: bool = False) -> tuple[Ref, Ref]:
    left, right = product(r.b, x), product(r.b, y)
    shared = {
        a: p
        for a, p in left.powers.items()
        if (known or r.level(a)) and not r.b.is_row(a) and right.powers.get(a) == p and positive(r.b, a)
    }
    if not shared:
        return x, y
    c = ONE.times(Product(1.0, shared))
    return write_product(r.b, left.times(c, -1)), write_product(r.b, right.times(c, -1))
