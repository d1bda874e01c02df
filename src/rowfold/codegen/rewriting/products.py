"""Products and sums of values: what cancels does so, and a sum over a count is a mean."""

from __future__ import annotations

import math

from ..ir import Const, Input, Map, Param, Reduce, Ref, Type
from .algebra import ONE, Product, is_map, leaves, product, total, write_product, write_sum
from .algebra import Sum as Terms
from .common import factored
from .rewriter import Rewriter


def scaled(r: Rewriter, op: str, x: Ref, y: Ref) -> Ref:
    one, other = (x, y) if op == "multiply" and r.b.nodes[x] == Const(1.0) else (y, x)
    if r.b.nodes[one] == Const(1.0) and r.b.types[other] is Type.FLOAT:
        return other
    plain = r.b.map(op, x, y)
    whole = product(r.b, plain)
    if mean := as_mean(r, whole):
        return mean
    sides = product(r.b, x), product(r.b, y)
    if all(any(map(r.scales, side.powers)) for side in sides):
        return write_product(r.b, whole)
    return quotient(r, op, x, y) or plain


def quotient(r: Rewriter, op: str, x: Ref, y: Ref) -> Ref | None:
    """A row times 1 / c is the row divided by c, where c is known only after a sweep: one plan for both spellings."""
    row, c = (x, y) if r.b.is_row(x) else (y, x)
    if op == "multiply" and r.b.is_row(row) and not r.b.is_row(c) and r.level(c):
        match r.b.nodes[c]:
            case Map("divide", (one, below)) if r.b.nodes[one] == Const(1.0):
                return r.b.map("divide", row, below)
            case Map("reciprocal", (below,)):
                return r.b.map("divide", row, below)
            case Input() | Param() | Const() | Map() | Reduce():
                pass
    return None


def power_of_product(r: Rewriter, op: str, x: Ref) -> Ref:
    plain = r.b.map(op, x)
    whole = product(r.b, plain)
    return write_product(r.b, whole) if any(map(r.scales, whole.powers)) else plain


def absolute(r: Rewriter, x: Ref) -> Ref:
    """|c f| is |c| |f| for a c that is known only after a sweep."""
    whole = product(r.b, x)
    outside = whole.without(r.b.is_row)
    if not r.b.is_row(x) or not any(map(r.level, outside.powers)):
        return r.b.map("absolute", x)
    size = r.b.map("absolute", write_product(r.b, Product(1.0, outside.powers)))
    inside = write_product(r.b, Product(abs(outside.coefficient), whole.only(r.b.is_row).powers))
    return r.b.map("multiply", r.b.map("absolute", inside), size)


def as_mean(r: Rewriter, whole: Product) -> Ref | None:
    """sum / count is a mean, whatever else multiplies it."""
    for atom, power in whole.powers.items():
        match r.b.nodes[atom]:
            case Reduce("sum", (x,), where) if power == 1:
                count = r.b.reduce("count", where=where)
                if whole.powers.get(count) == -1:
                    rest = whole.without(lambda a, s=atom, c=count: a in (s, c))  # type: ignore[misc]
                    mean = Product(1.0, {r.b.reduce("mean", x, where=where): 1})
                    return write_product(r.b, rest.times(mean))
            case Input() | Param() | Const() | Map() | Reduce():
                pass
    return None


def added(r: Rewriter, op: str, x: Ref, y: Ref) -> Ref:
    plain = r.b.map(op, x, y)
    terms = total(r.b, plain)
    shared = factored(r, terms)
    if shared is not None:
        return shared
    written = leaves(r.b, plain)
    if any(r.b.is_row(a) and abs(terms.terms.get(a, 0.0)) != written.count(a) for a in written):
        return plain  # a row minus itself is a row still, and NaN where it is not finite
    return write_sum(r.b, terms) if len(terms.terms) + bool(terms.constant) < len(written) else plain


def times(r: Rewriter, factor: Product, x: Ref) -> Ref:
    whole = factor.times(product(r.b, x))
    return x if factor == ONE else as_mean(r, whole) or write_product(r.b, whole)


def sum_of(r: Rewriter, parts: list[Product]) -> Ref:
    terms = Terms(0.0, {})
    for part in parts:
        if part.powers:
            sign = -1.0 if part.coefficient < 0 else 1.0
            positive = Product(abs(part.coefficient), part.powers)
            terms = terms.plus(Terms(0.0, {write_product(r.b, positive): sign}))
        else:
            terms = terms.plus(Terms(part.coefficient, {}))
    return write_sum(r.b, terms)


def where(r: Rewriter, condition: Ref, x: Ref, y: Ref) -> Ref:
    """Where the other choice is 0, exp(k) of a row-constant k moves outside, so that it can cancel there.

    Only exponentials: a sum of them can be 0, and what the predicate hides must not become 0 / 0. Where the other
    choice is -inf, a positive factor moves outside: the choice is then between numbers as they are, and rounds nothing.
    """
    if r.b.nodes[y] == Const(0.0):
        whole = product(r.b, x)
        outside = whole.only(lambda a: is_map(r.b, a, "exp") and not r.b.is_row(a))
        if outside.powers and sum(whole.only(r.scales).powers.values()):  # e^k / S stays: alone, each leaves the range
            inside = write_product(r.b, whole.times(outside, -1))
            kept = Product(1.0, {r.b.map("where", condition, inside, y): 1})
            return write_product(r.b, kept.times(outside))
    if r.b.nodes[y] == Const(-math.inf) and r.b.is_row(x):
        whole = product(r.b, x)
        outside = Product(abs(whole.coefficient), whole.only(lambda a: _above_0(r, a)).powers)
        if outside != ONE:
            inside = write_product(r.b, whole.times(outside, -1))
            return write_product(r.b, Product(1.0, {r.b.map("where", condition, inside, y): 1}).times(outside))
    return r.b.map("where", condition, x, y)


def _above_0(r: Rewriter, atom: Ref) -> bool:
    """Whether a row-constant cannot be 0: -inf times it is -inf."""
    node = r.b.nodes[atom]
    return node == Reduce("count", ()) or (isinstance(node, Param) and node.positive)
