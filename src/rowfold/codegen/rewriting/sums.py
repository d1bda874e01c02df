"""Sums by linearity: what is row-constant comes out, and what is left has a known form."""

from __future__ import annotations

from ..ir import Const, Input, Map, Param, Reduce, Ref
from .algebra import Product, expand, is_map, product, split, total, write_product, write_sum
from .algebra import Sum as Terms
from .exponents import exp_const, exponent, log_of
from .moments import central
from .products import sum_of, times
from .rewriter import Rewriter


def count_true(r: Rewriter, mask: Ref, where: Ref | None) -> Ref:
    one, zero = r.b.const(1.0), r.b.const(0.0)
    return r.b.reduce("sum", r.b.map("where", mask, one, zero), where=where)


def sum_(r: Rewriter, x: Ref, where: Ref | None) -> Ref:
    """A sum by linearity: what is row-constant comes out, a zero-filled `where` becomes the sum's predicate."""
    whole = product(r.b, x)
    outside, inside = whole.without(r.b.is_row), whole.only(r.b.is_row)
    if not inside.powers:
        return r.b.reduce("sum", x, where=where)
    if list(inside.powers.values()) == [1]:
        match r.b.nodes[next(iter(inside.powers))]:
            case Map("where", (c, f, z)) if r.b.is_row(c) and r.b.nodes[z] == Const(0.0):
                both = c if where is None else r.b.map("logical_and", c, where)
                return times(r, outside, sum_(r, f, both))
            case Input() | Param() | Const() | Map() | Reduce():
                pass
    return _unless_empty(r, sum_of_product(r, inside, outside, where), where)


def _unless_empty(r: Rewriter, found: Ref, where: Ref | None) -> Ref:
    """A sum over no element is 0, even if it was divided by another one."""
    if where is None or not any(p < 0 and _may_vanish(r, a) for a, p in product(r.b, found).powers.items()):
        return found
    some = r.b.map("greater", r.b.reduce("count", where=where), r.b.const(0.0))
    return r.b.map("where", some, found, r.b.const(0.0))


def _may_vanish(r: Rewriter, atom: Ref) -> bool:
    """Whether a factor is 0 for a row of nothing: a sum, or a power of one."""
    match r.b.nodes[atom]:
        case Map("exp", (a,)):
            logs = (product(r.b, term).powers for term in total(r.b, a).terms)
            return any(is_map(r.b, factor, "log") for powers in logs for factor in powers)
        case Reduce():
            return True
        case Input() | Param() | Const() | Map():
            return False


def sum_of_product(r: Rewriter, inside: Product, outside: Product, where: Ref | None) -> Ref:
    """Sum of a product of row-shaped atoms, taken apart into terms where that lowers its level."""
    if (moment := central(r, inside, where)) is not None:
        return times(r, outside, moment)
    whole = times(r, outside, monomial(r, inside, where))
    parts = expand(r.b, inside, lambda a: r.level(a) > 0)
    if parts is not None and r.level(split_up := sum_of_parts(r, parts, outside, where)) < r.level(whole):
        return split_up
    parts = terms_with_exp(r, inside)
    return whole if parts is None else sum_of_parts(r, parts, outside, where)


def sum_of_parts(r: Rewriter, parts: list[Product], outside: Product, where: Ref | None) -> Ref:
    terms = Terms(0.0, {})
    for part in parts:
        const, row = outside.times(part.without(r.b.is_row)), part.only(r.b.is_row)
        inner = monomial(r, row, where) if row.powers else r.b.reduce("count", where=where)
        sign = -1.0 if const.coefficient < 0 else 1.0
        piece = Product(abs(const.coefficient), const.powers).times(product(r.b, inner))
        terms = terms.plus(total(r.b, write_product(r.b, piece)), sign)
    return write_sum(r.b, terms)


def terms_with_exp(r: Rewriter, inside: Product) -> list[Product] | None:
    """A single sum of terms, each with its own exponential, is summed term by term."""
    if len(inside.powers) != 1 or next(iter(inside.powers.values())) != 1:
        return None
    row, const = split(r.b, next(iter(inside.powers)))
    unbounded = [p for p in row if any(map(r.scales, p.powers))]
    return row + const if unbounded and len(row) + len(const) > 1 else None


def monomial(r: Rewriter, p: Product, where: Ref | None) -> Ref:
    """Sum of a product that is not taken apart any further."""
    exps = [(a, k) for a, k in p.powers.items() if r.scales(a)]
    if exps:
        return exponential_sum(r, exps, p.without(r.scales), where)
    atoms = [a for a, k in p.powers.items() for _ in range(k)]
    if len(atoms) >= 2 and all(k > 0 for k in p.powers.values()):
        rest = write_product(r.b, p.times(Product(1.0, {atoms[0]: 1}), -1))
        return r.b.reduce("dot", atoms[0], rest, where=where)
    return r.b.reduce("sum", write_product(r.b, p), where=where)


def exponential_sum(r: Rewriter, exps: list[tuple[Ref, int]], weight: Product, where: Ref | None) -> Ref:
    """sum w exp(a1)^k1 exp(a2)^k2 = exp(row-constant part) expsum(w, row part)."""
    exponents: list[Product] = []
    constant: list[Product] = []
    for atom, power in exps:
        row, const = split(r.b, log_of(r, atom))
        exponents += [Product(power * p.coefficient, p.powers) for p in row]
        constant += [Product(power * c.coefficient, c.powers) for c in const]
    base = exponent(r, [p for p in exponents if p.powers])
    if not r.b.is_row(base):
        return r.b.reduce("sum", write_product(r.b, weight), where=where)
    result = r.b.reduce("expsum", write_product(r.b, weight), base, where=where)
    if not constant:
        return result
    outside = product(r.b, exp_const(r, total(r.b, sum_of(r, constant))))
    return write_product(r.b, outside.times(product(r.b, result)))
