"""Thresholds of powers of an excess, which have a closed form on the elements above them."""

from __future__ import annotations

import math

from ..ir import Const, Map, Ref, operands
from .algebra import Sum as Terms
from .algebra import product, split, total, write_sum
from .products import added, sum_of
from .rewriter import Rewriter


def threshold(r: Rewriter, args: tuple[Ref, ...], where: Ref | None) -> Ref:
    """sum max(z - tau, 0)^p = target with p of 1 or 2 is solved exactly; its bounds then only clip it."""
    f, tau, target, lo, hi = args
    found = _excess(r, f, tau)
    if found is None:
        return r.b.reduce("threshold", *args, where=where)
    z, power = found
    row, const = split(r.b, z)
    result = r.b.reduce("excess", sum_of(r, row), target, r.b.const(power), where=where)
    result = added(r, "add", result, sum_of(r, const)) if const else result  # what moves the row moves tau
    if r.b.nodes[lo] != Const(-math.inf):
        result = r.b.map("maximum", result, lo)
    return result if r.b.nodes[hi] == Const(math.inf) else r.b.map("minimum", result, hi)


def _excess(r: Rewriter, f: Ref, tau: Ref) -> tuple[Ref, float] | None:
    """(z, p) of max(z - tau, 0)^p."""
    whole = product(r.b, f)
    if whole.coefficient != 1.0 or list(whole.powers.values()) not in ([1], [2]):
        return None
    ((atom, power),) = whole.powers.items()
    match r.b.nodes[atom]:
        case Map("maximum", (a, b)) if r.b.nodes[b] == Const(0.0) or r.b.nodes[a] == Const(0.0):
            inner = a if r.b.nodes[b] == Const(0.0) else b
            terms = total(r.b, inner)
            z = write_sum(r.b, terms.plus(Terms(0.0, {tau: 1.0})))
            if terms.terms.get(tau) == -1.0 and r.b.is_row(z) and not _reaches(r, z, tau):
                return z, float(power)
    return None


def _reaches(r: Rewriter, root: Ref, leaf: Ref) -> bool:
    seen, stack = {root}, [root]
    while stack:
        new = set(operands(r.b.nodes[stack.pop()])) - seen
        seen |= new
        stack += new
    return leaf in seen
