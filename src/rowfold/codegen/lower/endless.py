"""Sums of exponentials over a row that holds +inf and no NaN: infinite, where the walk itself finds NaN.

A row is walked once more when its maximum is +inf, and never else. What divides by such a sum is NaN (a softmax of
+inf), so only sums that are used in another way are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...records import dataclass
from ..ir import Const, Map, Reduce, Ref, operands
from ..loops import Code, Kind, Var
from .context import Context
from .forms import Scaled
from .rows import Rows

INF = float("inf")


def open_sums(ctx: Context, index: int) -> tuple[Ref, ...]:
    """The plain sums of a group that do more than divide something."""
    group = ctx.plan.groups[index]
    return () if group.displaced else tuple(ref for ref in group.sums if _plain(ctx, ref) and _used(ctx, ref))


def _plain(ctx: Context, ref: Ref) -> bool:
    return ctx.program.nodes[operands(ctx.program.nodes[ref])[0]] == Const(1.0)


def _used(ctx: Context, ref: Ref) -> bool:
    if any(o.ref == ref for o in ctx.program.outputs):
        return True
    users = (node for node in ctx.program.nodes if ref in operands(node))
    return any(not (isinstance(n, Map) and n.op == "divide" and n.args[0] != ref) for n in users)


@dataclass
class Endless:
    """Whether an element is +inf and none is NaN, among those that each sum runs over."""

    states = ()  # what it finds is in the sums
    ctx: Context
    index: int
    sums: Sequence[Ref]
    phases: int = 1

    def before(self, pre: Code) -> None:
        self.infinite = {ref: pre.declare(Kind.MASK, "infinite_lanes", "mask_none") for ref in self.sums}
        self.nan = {ref: pre.declare(Kind.MASK, "unordered_lanes", "mask_none") for ref in self.sums}

    def body(self, rows: Rows, phase: int) -> None:
        c, base = rows.code, rows.vec(self.ctx.plan.groups[self.index].base)
        for ref in self.sums:
            node = self.ctx.program.nodes[ref]
            assert isinstance(node, Reduce)
            x = rows.keep(node.where, base, 0.0)
            infinite, nan = c.mask("infinite", "eq", x, INF), c.mask("unordered", "ne", x, x)
            c.assign(self.infinite[ref], "mask_or", self.infinite[ref], infinite)
            c.assign(self.nan[ref], "mask_or", self.nan[ref], nan)

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def after(self, code: Code) -> None:
        for ref in self.sums:
            ordered = code.flag("ordered", "not", code.flag("unordered", "any", self.nan[ref]))
            found = code.flag("endless", "and", code.flag("infinite", "any", self.infinite[ref]), ordered)
            total = self.ctx.known[ref]
            assert isinstance(total, Scaled) and isinstance(total.m, Var)
            code.assign(total.m, "choose", found, INF, total.m)
            if total.lo is not None:
                code.assign(total.lo, "choose", found, 0.0, total.lo)
