"""The carry of a threshold: tau with sum max(z - tau, 0)^p = target, p = 1 or 2, from the few elements that matter.

An element is above tau only if it is above the maximum minus target^(1/p), and that bound rises as the row is read: the
candidates are compacted into a pool of fixed size on the way. Where the pool is too small for them the row is read
again, once for each step of Newton's iteration (docs/decisions).
"""

from __future__ import annotations

from ...records import dataclass
from ..ir import Const, Ref
from ..loops import Code, Kind, Scalars, Step
from .context import Context
from .forms import Offset
from .rows import Rows

INF = float("inf")


@dataclass
class Excess:
    """The candidates of one walk. `after` solves for tau unless they spilled; `finish` publishes it."""

    states = ()  # a threshold depends on its whole row at once
    ctx: Context
    ref: Ref
    z: Ref
    target: Ref
    power: Ref
    where: Ref | None
    phases: int = 1

    def before(self, pre: Code) -> None:
        power = self.ctx.program.nodes[self.power]
        assert isinstance(power, Const)
        outer, self.ctx.code = self.ctx.code, pre
        target = self.ctx.value(self.target)
        self.ctx.code = outer
        self.pool = pre.declare(Kind.POOL, "pool", "pool", target, float(power.value))
        self.parts = pre.declare(Kind.PARTS, "candidates", "parts")

    def between(self, block: Code, phase: int) -> None:
        if phase == 0:
            self.bar = block.vec("bar", "pool_bar", self.pool)
            self.above = block.declare(Kind.MASK, "above", "mask_none")

    def body(self, rows: Rows, phase: int) -> None:
        code = rows.code
        z = rows.keep(self.where, rows.vec(self.z), -INF)
        hit = code.mask("beyond", "mask_not", code.mask("not_above", "le", z, self.bar))
        code.assign(self.above, "mask_or", self.above, hit)
        code.do("put", self.parts, z)

    def block_end(self, block: Code) -> None:
        block.do("pool_take", self.pool, self.parts, self.above)

    def after(self, code: Code) -> None:
        code.do("pool_solve", self.pool)
        self.solved = code.declare(Kind.FLAG, "solved", "pool_solved", self.pool)

    def finish(self) -> Step:
        """tau, once it is known: here or after the walks of `NewtonStep`."""
        code = Code(self.ctx.names)
        name = self.ctx.name(self.ref, "tau")
        high, low = code.num(name, "pool_high", self.pool), code.num(name + "_lo", "pool_low", self.pool)
        self.ctx.known[self.ref] = Offset(high, low, exact=True)
        return Scalars(("The threshold.",), code.take())


@dataclass
class NewtonStep:
    """One more walk over a row whose candidates spilled: the sums over what is above tau, and a better tau."""

    states = ()
    carry: Excess
    phases: int = 1

    def before(self, pre: Code) -> None:
        self.parts = pre.declare(Kind.PARTS, "excesses", "parts")

    def between(self, block: Code, phase: int) -> None: ...

    def body(self, rows: Rows, phase: int) -> None:
        rows.code.do("put", self.parts, rows.keep(self.carry.where, rows.vec(self.carry.z), -INF))

    def block_end(self, block: Code) -> None:
        block.do("pool_add", self.carry.pool, self.parts)

    def after(self, code: Code) -> None:
        code.do("pool_step", self.carry.pool)
        code.assign(self.carry.solved, "pool_solved", self.carry.pool)
