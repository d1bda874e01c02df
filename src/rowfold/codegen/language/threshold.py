"""Thresholds in the row language: tau with sum f(x, tau) = target, for an f that does not increase with tau."""

from __future__ import annotations

import math
from typing import Any

from rowfold.codegen.ir import Input, Reduce, Ref, Role, operands
from rowfold.codegen.language.traced import Traced, Tracer


def threshold(t: Tracer, f: Any, target: object, x: object, *, lo: object, hi: object) -> Traced:
    """Traces f once, on the row and on a tau that is not known yet; the reduction binds it."""
    row = t.number(x)
    if not t.is_row(row):
        t.fail("a threshold of a number", "give a row: rf.threshold(f, target, x, lo=, hi=)")
    count = sum(isinstance(n, Input) and n.role is Role.UNKNOWN for n in t.builder.nodes)
    tau = t.leaf(Input(f"tau_{count + 1}", Role.UNKNOWN))
    value = t.number(f(row, tau))
    if not t.is_row(value) or not _reaches(t, value.ref, tau.ref):
        advice = "f takes the row and tau: lambda v, tau: np.maximum(v - tau, 0)"
        t.fail("a threshold of what does not depend on it", advice)
    if _reduces(t, value.ref, tau.ref):
        advice = "reduce before rf.threshold and give f the number: each tau would take further walks of its own"
        t.fail("a reduction of what depends on the threshold's tau", advice)
    ends = [t.number(-math.inf if lo is None else lo), t.number(math.inf if hi is None else hi)]
    return t.reduce("threshold", value, tau, t.number(target), *ends)


def _reaches(t: Tracer, root: Ref, leaf: Ref) -> bool:
    seen, stack = {root}, [root]
    while stack:
        for ref in operands(t.builder.nodes[stack.pop()]):
            if ref not in seen:
                seen.add(ref)
                stack.append(ref)
    return leaf in seen


def _reduces(t: Tracer, root: Ref, leaf: Ref) -> bool:
    """Whether a reduction between the two hangs on the leaf."""
    hangs = {leaf}
    for i in range(leaf + 1, root + 1):
        if hangs & set(operands(t.builder.nodes[i])):
            hangs.add(Ref(i))
    return any(isinstance(t.builder.nodes[i], Reduce) and _reaches(t, root, i) for i in hangs - {leaf})
