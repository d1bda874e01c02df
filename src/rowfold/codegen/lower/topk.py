"""The carry of the k largest elements: a block is looked at again only if it holds a value above the k-th so far."""

from __future__ import annotations

from collections.abc import Sequence

from ...records import dataclass
from ..ir import Const, Reduce, Ref
from ..loops import Code, Kind
from . import merging
from .carries import Settling
from .context import Context
from .forms import Number, Plain
from .rows import Rows


@dataclass
class TopK(Settling):
    """The k largest elements that a predicate selects, in order, with their positions.

    A block's vectors are compared with the k-th value as they pass; only where one of them is above it, or unordered,
    are the block's elements put into the sorted buffer, one by one.
    """

    states = (merging.Best,)
    ctx: Context
    x: Ref
    k: Ref
    where: Ref | None
    phases: int = 1

    @property
    def ref(self) -> Ref:  # type: ignore[override]
        return self._node("topk") or self._node("topk_at")  # type: ignore[return-value]

    def before(self, pre: Code) -> None:
        size = self.ctx.program.nodes[self.k]
        assert isinstance(size, Const)
        self.best = pre.declare(Kind.BEST, "best", "best", float(size.value), size=int(size.value))
        self.parts = pre.declare(Kind.PARTS, "candidates", "parts")
        self.chosen = None if self.where is None else pre.declare(Kind.PARTS, "eligible", "parts")

    def between(self, block: Code, phase: int) -> None:
        if phase == 0:
            self.bar = block.vec("bar", "best_bar", self.best)
            self.above = block.declare(Kind.MASK, "above", "mask_none")

    def body(self, rows: Rows, phase: int) -> None:
        code, x = rows.code, rows.vec(self.x)
        hit = code.mask("beyond", "mask_not", code.mask("not_above", "le", x, self.bar))
        mask = rows.selected(self.where)
        if mask is not None:
            hit = code.mask("beyond", "mask_and", hit, mask)
        code.assign(self.above, "mask_or", self.above, hit)
        code.do("put", self.parts, x)
        if self.chosen is not None:
            assert mask is not None
            code.do("put", self.chosen, code.vec("eligible_i", "select", mask, 1.0, 0.0))

    def block_end(self, block: Code) -> None:
        if self.chosen is None:
            block.do("best_take", self.best, self.parts, self.above)
        else:
            block.do("best_take_where", self.best, self.parts, self.chosen, self.above)

    def collect(self, code: Code) -> tuple[Number, ...]:
        values = code.let(Kind.SMALL, self._name("topk", "values"), "best_values", self.best)
        places = code.let(Kind.SMALL, self._name("topk_at", "places"), "best_places", self.best)
        return values, self.ctx.in_whole_row(places)

    def publish(self, code: Code, state: Sequence[Number]) -> None:
        for op, value in zip(("topk", "topk_at"), state, strict=True):
            ref = self._node(op)
            if ref is not None:
                self.ctx.known[ref] = Plain(value, exact=True)

    def _node(self, op: str) -> Ref | None:
        node, nodes = Reduce(op, (self.x, self.k), self.where), self.ctx.program.nodes
        return Ref(nodes.index(node)) if node in nodes else None

    def _name(self, op: str, default: str) -> str:
        ref = self._node(op)
        return default if ref is None else self.ctx.name(ref, default)
