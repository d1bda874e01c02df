"""Sums of products of distances from a mean: central moments and co-moments, found by what is subtracted."""

from __future__ import annotations

import math
from itertools import combinations

from ..ir import Const, Ref
from .algebra import ONE, Product, product, split, write_product
from .products import added, sum_of
from .rewriter import Rewriter

MOST = 4  # factors

Distance = tuple[Ref, Ref]  # a row f and a row-constant c: f + c, where c is known only after a sweep


def central(r: Rewriter, inside: Product, where: Ref | None) -> Ref | None:
    """Sum w (f1 + c1) (f2 + c2) ... by moments about the means, so that nothing cancels; None where that is not it."""
    distances, rest = _distances(r, inside)
    weighted = bool(rest.powers)
    if not distances or len(distances) > MOST or any(r.scales(a) or r.level(a) for a in rest.powers):
        return None
    weight = write_product(r.b, rest) if weighted else None
    offs = [_off(r, d, weight, where) for d in distances]
    rows = sorted(f for f, _ in distances)
    centered = all(r.b.nodes[off] == Const(0.0) for off in offs)
    if weight is not None and centered and len(rows) > 1:
        return r.b.reduce("wcomoment", weight, *rows, where=where)
    if weight is not None:
        return _covariance(r, distances, weight, where)
    return _moment(r, rows, where) if centered else _moved(r, distances, offs, where)


def _distances(r: Rewriter, inside: Product) -> tuple[list[Distance], Product]:
    """The factors that are distances, and the product of the others."""
    found: list[Distance] = []
    rest = ONE
    for atom, power in inside.powers.items():
        row, const = split(r.b, atom)
        if power > 0 and row and any(r.level(a) for c in const for a in c.powers):
            found += [(sum_of(r, row), sum_of(r, const))] * power
        else:
            rest = rest.times(Product(1.0, {atom: power}))
    return found, rest


def _off(r: Rewriter, distance: Distance, weight: Ref | None, where: Ref | None) -> Ref:
    """The mean of a distance: 0 where the mean itself is subtracted."""
    f, c = distance
    if weight is None:
        mean = r.b.reduce("mean", f, where=where)
    else:
        weighted = r.reduce("sum", (write_product(r.b, product(r.b, weight).times(product(r.b, f))),), where)
        mean = r.map("divide", (weighted, r.reduce("sum", (weight,), where)))
    return added(r, "add", mean, c)


def _moment(r: Rewriter, rows: list[Ref], where: Ref | None) -> Ref | None:
    match rows:
        case [_]:
            return None
        case [f, g] if f == g:
            return r.b.reduce("m2", f, where=where)
    return r.b.reduce("comoment", *rows, where=where)


def _covariance(r: Rewriter, distances: list[Distance], weight: Ref, where: Ref | None) -> Ref | None:
    """Sum w (f - mean f) is the co-moment of w and f."""
    if len(distances) > 1 or r.b.nodes[_off(r, distances[0], None, where)] != Const(0.0):
        return None
    return _moment(r, sorted((weight, distances[0][0])), where)


def _moved(r: Rewriter, distances: list[Distance], offs: list[Ref], where: Ref | None) -> Ref | None:
    """The moments about points that are not the means: every distance is one from the mean, and the rest."""
    count, places = len(distances), range(len(distances))
    if count == 1:
        return None
    total = _times(r, offs, r.b.reduce("count", where=where))
    for size in range(2, count + 1):
        for kept in combinations(places, size):
            moment = _moment(r, sorted(distances[i][0] for i in kept), where)
            assert moment is not None
            total = added(r, "add", total, _times(r, [offs[i] for i in places if i not in kept], moment))
    return total if len(set(offs)) > 1 else _endless(r, offs, total)


def _endless(r: Rewriter, offs: list[Ref], total: Ref) -> Ref:
    """Infinite elements of one sign have no distance from their mean, but an infinite one from any other point."""
    endless = r.b.map("equal", r.b.map("absolute", offs[0]), r.b.const(math.inf))
    return r.b.map("where", endless, _times(r, offs[1:], offs[0]), total)


def _times(r: Rewriter, factors: list[Ref], x: Ref) -> Ref:
    for factor in factors:
        x = r.b.map("multiply", x, factor)
    return x
