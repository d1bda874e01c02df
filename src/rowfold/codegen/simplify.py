"""Program -> Program: the algebra that makes a fused plan possible, found in the maths and never in the spelling.

After it no exponential sum depends on a maximum: sum exp(x - m) is exp(-m) expsum(x), and the exp(-m) cancels wherever
the user meant it to. Variances are `m2`, means are `mean`, products under a sum are `dot`, gathers stand at the inputs.
What is left of a program's depth is what no rewriting could take away: the level of a value is the number of sweeps
before it is known (docs/decisions/0002).
"""

from __future__ import annotations

from ..records import replace
from .ir import WHERE, Builder, Const, Input, Map, Output, Param, Program, Reduce, Ref
from .rewriting.algebra import Sum as Terms
from .rewriting.algebra import in_order, is_map, leaves, product, total, write_sum
from .rewriting.exponents import exp, log, power, root
from .rewriting.extrema import compared, extremum, position, same
from .rewriting.gathers import take
from .rewriting.joined import joined
from .rewriting.products import absolute, added, power_of_product, scaled, where
from .rewriting.rewriter import Rewriter
from .rewriting.selection import topk
from .rewriting.sums import count_true, sum_
from .rewriting.thresholds import threshold


def simplify(program: Program) -> Program:
    """The canonical program. Pure and deterministic; equal maths in different spelling gives equal programs."""
    rewrite = _Rewriter(b := Builder(program.name))
    rewrite.summed = b.summed(rewrite.run(program))  # the first run finds which exponentials are summed ...
    split = b.finish(rewrite.run(program))  # ... and only those are worth splitting in the second
    return in_order(joined(split))


class _Rewriter(Rewriter):
    """Rebuilds a program bottom-up in one builder; each family of rewritings has its module."""

    def run(self, program: Program) -> list[Output]:
        new: list[Ref] = []
        for node, name in zip(program.nodes, program.names, strict=True):
            ref = self.node(node, new)
            if isinstance(node, Input) and node.name == WHERE:
                self.selected = ref
            self.label(ref, name)
            new.append(ref)
        return [replace(o, ref=new[o.ref]) for o in program.outputs]

    def label(self, ref: Ref, name: str) -> None:
        """The user's name goes to the value, and to the one exponential or sum in it that will outlive its factors."""
        if not name:
            return
        whole = product(self.b, ref)
        kept = [a for a in whole.powers if self.scales(a) and (self.b.is_row(a) or not is_map(self.b, a, "exp"))]
        for target in (ref, *(kept if len(kept) == 1 and len(whole.powers) > 1 else ())):
            if not self.b.names[target]:
                self.b.names[target] = name

    def node(self, node: Input | Param | Const | Map | Reduce, new: list[Ref]) -> Ref:
        match node:
            case Input() | Param() | Const():
                return self.b.add(node)
            case Map(op, args):
                return self.map(op, tuple(new[a] for a in args))
            case Reduce(op, args, where):
                return self.reduce(op, tuple(new[a] for a in args), None if where is None else new[where])

    def map(self, op: str, args: tuple[Ref, ...]) -> Ref:
        match op, args:
            case "multiply" | "divide", (x, y):
                return scaled(self, op, x, y)
            case "add" | "subtract", (x, y):
                return added(self, op, x, y)
            case "exp", (x,):
                return exp(self, x)
            case "log", (x,):
                return log(self, x)
            case "power", (x, p):
                return power(self, x, p)
            case "sqrt", _:
                return root(self, op, args, 0.5)
            case "rsqrt", _:
                return root(self, op, args, -0.5)
            case ("less" | "less_equal" | "greater" | "greater_equal"), (x, y):
                return compared(self, op, x, y)
            case ("equal" | "not_equal"), (x, y):
                return same(self, op, x, y)
            case "absolute", (x,):
                return absolute(self, x)
            case "where", (c, x, y):
                return where(self, c, x, y)
            case "take", (x, y):
                return take(self, x, y)
            case "stop_gradient", (x,):
                return x
            case "negative", (x,) if not self.b.is_row(x) and len(leaves(self.b, x)) > 1:
                return write_sum(self.b, Terms(0.0, {}).plus(total(self.b, x), -1.0))
            case (("square" | "reciprocal" | "negative"), (x,)):
                return power_of_product(self, op, x)
            case "broadcast", (_, c):
                return self.b.map("broadcast", *args) if self.b.is_row(args[0]) else c
        return self.b.map(op, *args)

    def reduce(self, op: str, args: tuple[Ref, ...], where: Ref | None) -> Ref:
        match op:
            case "sum":
                return sum_(self, args[0], where)
            case "any":
                return self.b.map("greater", count_true(self, args[0], where), self.b.const(0.0))
            case "all":
                return self.b.map("equal", count_true(self, self.b.map("logical_not", *args), where), self.b.const(0.0))
            case "max" | "min":
                return extremum(self, op, args[0], where)
            case "argmax":
                return position(self, args[0], where)
            case "threshold":
                return threshold(self, args, where)
            case "topk" | "topk_at":
                return topk(self, op, args[0], args[1], where)
            case "argmin":
                return position(self, self.map("negative", args), where)
        return self.b.reduce(op, *args, where=where)
