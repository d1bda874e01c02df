"""The carry of the k largest elements: a block is looked at again only if it holds a value above the k-th so far."""

from __future__ import annotations

from ...records import dataclass
from ..ir import Const, Reduce, Ref
from ..loops import Code, Kind
from .context import Context
from .forms import Plain
from .rows import Rows


@dataclass
class TopK:
    """The k largest elements that a predicate selects, in order, with their positions.

    A block's vectors are compared with the k-th value as they pass; only where one of them is above it, or unordered,
    are the block's elements put into the sorted buffer, one by one.
    """

    ctx: Context
    x: Ref
    k: Ref
    where: Ref | None
    phases: int = 1

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

    def after(self, code: Code) -> None:
        nodes = self.ctx.program.nodes
        for op, word in (("topk", "best_values"), ("topk_at", "best_places")):
            node = Reduce(op, (self.x, self.k), self.where)
            if node in nodes:
                ref = Ref(nodes.index(node))
                name = self.ctx.name(ref, word.removeprefix("best_"))
                self.ctx.known[ref] = Plain(code.let(Kind.SMALL, name, word, self.best), exact=True)
