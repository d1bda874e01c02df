"""The element at an index."""

from __future__ import annotations

import math

from ..ir import WHERE, Const, Input, Map, Param, Reduce, Ref, Role
from .rewriter import Rewriter


def take(r: Rewriter, x: Ref, y: Ref) -> Ref:
    """The gather moves to the inputs, f(x)[y] = f(x[y]): one load. What a predicate hides is -inf."""
    if not r.b.is_row(x):
        return x
    match r.b.nodes[x]:
        case Map("broadcast", (_, c)):
            return c
        case Map(op, args):
            return r.map(op, tuple(take(r, a, y) for a in args))
        case Input(_, Role.POSITIONS):
            return y
        case Input(name):
            taken = r.b.map("take", x, y)
            if r.selected is None or name == WHERE:
                return taken
            return r.b.map("where", r.b.map("take", r.selected, y), taken, r.b.const(-math.inf))
        case Param() | Const() | Reduce():
            return x
