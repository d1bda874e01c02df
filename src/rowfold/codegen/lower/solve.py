"""A threshold of any f: tau with sum f(x, tau) = target, by bisection, a walk over the row for each sum.

The first two walks take the ends of the interval; every other halves the numbers that are left between them. Each tau
follows from the sums alone, so that every backend and strategy finds the same.
"""

from __future__ import annotations

from ...records import dataclass
from ..ir import Reduce, Ref
from ..loops import Code, Kind, Scalars, Step, Var
from .carries import Sum
from .context import Context
from .forms import Number, Plain

INF = float("inf")
MOST = {"f32": float.fromhex("0x1.fffffep+127"), "f64": float.fromhex("0x1.fffffffffffffp+1023")}


@dataclass
class Bracket:
    """Where the bisection stands: the sum at `bottom` reaches the target, that at `top` does not."""

    target: Number
    high: Number
    tau: Var
    bottom: Var
    top: Var  # infinity until the upper end was tried
    reached: Var  # the sum at the bottom; NaN where none reaches the target
    done: Var


def bracket(ctx: Context, node: Reduce) -> Bracket:
    """The interval's ends, kept among the numbers of the row's type."""
    _, _, target, lo, hi = node.args
    c, most = ctx.code, MOST[ctx.dtype]
    low, high = (c.num(n, "max", -most, c.num(n, "min", most, ctx.value(e))) for n, e in (("low", lo), ("high", hi)))
    low = c.num("low", "choose", c.flag("ordered", "le", low, high), low, float("nan"))
    return Bracket(
        ctx.value(target),
        high,
        c.declare(Kind.NUM, "tau", "copy", low),
        c.declare(Kind.NUM, "bottom", "copy", low),
        c.declare(Kind.NUM, "top", "copy", INF),
        c.declare(Kind.NUM, "reached", "copy", float("nan")),
        c.declare(Kind.FLAG, "solved", "ne", 0.0, 0.0),
    )


@dataclass
class Total(Sum):
    """The sum at one tau, and the next tau."""

    state: Bracket | None = None

    def after(self, code: Code) -> None:
        super().after(code)
        s, total = self.state, self.ctx.value(self.ref)
        assert s is not None
        enough = code.flag("enough", "ge", total, s.target)
        code.assign(s.reached, "choose", enough, total, s.reached)
        code.assign(s.bottom, "choose", enough, s.tau, s.bottom)
        code.assign(s.top, "choose", enough, s.top, s.tau)
        between = code.num("between", "halfway", s.bottom, s.top)
        untried = code.flag("untried", "eq", s.top, INF)
        code.assign(s.tau, "choose", untried, s.high, between)
        code.assign(s.done, "not", code.flag("higher", "gt", s.tau, s.bottom))


def result(ctx: Context, ref: Ref, s: Bracket) -> Step:
    """tau, where its sum is a number."""
    found = ctx.code.flag("found", "isfinite", s.reached)
    name = ctx.name(ref, "threshold")
    ctx.known[ref] = Plain(ctx.code.num(name, "choose", found, s.bottom, float("nan")))
    return Scalars(("The threshold, where its sum is finite.",), ctx.code.take())
