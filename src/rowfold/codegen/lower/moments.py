"""Central moments and co-moments up to the fourth, weighted or not, in one walk.

Every row is taken from a pivot, its first element that counts, and the products of these distances are summed in wide
lanes. The means are known at the end: the sums are moved from the pivots to them. A pivot's own distance from the mean
is among those that are summed, so moving cannot lose what matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from ..ir import Program, Reduce, Ref, operands
from ..loops import Code, Kind, Scalars, Seek, Step, Var
from ..plan import SweepPlan
from . import merging
from .carries import Settling
from .context import Context
from .folds import folded, quotient, total_of
from .forms import Number, Offset, Plain, op
from .rows import Rows

MOMENTS = frozenset({"m2", "comoment", "wcomoment"})
Family = tuple[Ref | None, Ref | None]  # the predicate and the weight that moments have in common
Factors = tuple[Ref, ...]  # the rows of a product, in order of their numbers


def family(node: Reduce) -> Family:
    return node.where, node.args[0] if node.op == "wcomoment" else None


def factors(node: Reduce) -> Factors:
    rows = node.args * 2 if node.op == "m2" else node.args[1:] if node.op == "wcomoment" else node.args
    return tuple(sorted(rows))


def parts(product: Factors) -> set[Factors]:
    """Every product of some of the factors."""
    return {c for k in range(1, len(product) + 1) for c in combinations(product, k)}


def means_beside(dtype: str) -> bool:
    """Whether moments give the means of their rows, too."""
    return dtype == "f32"


class Moments(Settling):
    """The moments of one family that a sweep carries, and in float32 the plain means of their rows.

    In float64 distances are rounded, which a sum of the row is not.
    """

    phases = 1
    states = (merging.Distances,)

    def __init__(self, ctx: Context, sweep: SweepPlan, shared: Family) -> None:
        self.ctx = ctx
        self.where, self.weight = shared
        self.wanted = {r: factors(n) for r, n in _moments(ctx, sweep.carries) if family(n) == shared}
        self.products = sorted(set().union(*map(parts, self.wanted.values())), key=lambda p: (len(p), p))
        self.means = {r: n.args[0] for r, n in _means(ctx, sweep.carries) if n.where == self.where}
        taken = self.weight is None and means_beside(ctx.dtype)
        self.means = {r: x for r, x in self.means.items() if taken and (x,) in self.products}
        self.rows = [p[0] for p in self.products if len(p) == 1]

    def before(self, pre: Code) -> None:
        self.pivots = {x: self._pivot(pre, x) for x in self.rows}
        self.pivot_vs = {x: pre.vec("pivot_v", "set", pivot) for x, pivot in self.pivots.items()}
        self.sums = {p: pre.declare(Kind.ACC, f"moment_{len(p)}_lanes", "acc_zero") for p in self.products}
        self.total = None if self.weight is None else pre.declare(Kind.ACC, "weight_lanes", "acc_zero")

    def seek(self) -> list[Step]:
        """Where a predicate chooses, the pivots are the first elements that count."""
        if self.where is None:
            return []
        self.at = Var(self.ctx.names.fresh("place"), Kind.NUM)
        outer, self.ctx.code = self.ctx.code, Code(self.ctx.names)
        for ref in constants(self.ctx.program, self.where):
            self.ctx.num(ref)
        before, self.ctx.code = self.ctx.code.take(), Code(self.ctx.names)
        counts = self.ctx.code.flag("counts", "ne", self.ctx.element(self.where, self.at), 0.0)
        seek = Seek(("The first element that counts.",), self.at, self.ctx.code.take(), counts)
        self.ctx.code = outer
        return [Scalars(("What decides which elements count.",), before), seek] if before else [seek]

    def _pivot(self, pre: Code, x: Ref) -> Var:
        outer, self.ctx.code = self.ctx.code, pre
        first = self.ctx.element(x, 0.0 if self.where is None else self.at)
        self.ctx.code = outer
        return pre.num("pivot", "single", first)

    def body(self, rows: Rows, phase: int) -> None:
        c, mask = rows.code, rows.selected(self.where)
        distances: dict[Ref, Var] = {}
        for x, pivot in self.pivot_vs.items():
            value = rows.vec(x)
            value = value if mask is None else c.vec(value.name, "select", mask, value, pivot)
            distances[x] = c.let(Kind.WIDE, "distance", "distance", value, pivot)
        made: dict[Factors, Var] = {}
        if self.weight is not None and self.total is not None:
            made[()] = c.let(Kind.WIDE, "weight", "widen", rows.keep(self.where, rows.vec(self.weight), 0.0))
            c.assign(self.total, "acc_add_wide", self.total, made[()])
        for p in self.products:
            self._add(c, p, made, distances)

    def _add(self, c: Code, p: Factors, made: dict[Factors, Var], distances: dict[Ref, Var]) -> None:
        """One more product of distances: the one before it times its last factor."""
        acc, last = self.sums[p], distances[p[-1]]
        if p[:-1] in made:
            c.assign(acc, "acc_fma_wide", acc, made[p[:-1]], last)
            made[p] = c.let(Kind.WIDE, f"product_{len(p)}", "wide_mul", made[p[:-1]], last)
        else:
            c.assign(acc, "acc_add_wide", acc, last)
            made[p] = last

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    @property
    def ref(self) -> Ref:  # type: ignore[override]
        return next(iter(self.wanted))

    def collect(self, code: Code) -> tuple[Number, ...]:
        """The pivots, the sum of every product of distances, the sum of the weights if there are any."""
        sums = (folded(code, self.ctx, acc, f"moment_{len(p)}") for p, acc in self.sums.items())
        total = () if self.total is None else folded(code, self.ctx, self.total, "weight")
        return *self.pivots.values(), *(n for numbers in sums for n in numbers), *total

    def publish(self, code: Code, state: Sequence[Number]) -> None:
        rows, width = self.rows, 2 if self.ctx.dtype == "f64" else 1
        pivots = dict(zip(rows, state, strict=False))
        parts = [total_of(state[k : k + width]) for k in range(len(rows), len(state), width)]
        sums = dict(zip(self.products, parts, strict=False))
        total = None if self.weight is None else parts[-1]
        offs = {x: self._off(code, sums[x,], total) for x in rows}
        for ref, x in self.means.items():
            self.ctx.known[ref] = Plain(op(code, self.ctx.name(ref, "mean"), "add", pivots[x], offs[x][0]))
        for ref, product in self.wanted.items():
            name = self.ctx.name(ref, f"m{len(product)}")
            value = self._second if len(product) == 2 else self._higher
            self.ctx.known[ref] = Plain(value(code, name, product, sums, offs, total))

    def _off(self, code: Code, s: Plain, total: Plain | None) -> tuple[Number, Number]:
        """How far a mean is from its pivot, in two parts."""
        if total is not None:
            hi = code.num("off", "div", s.value, total.value)
            return hi, code.num("off_lo", "div_rest", s.value, total.value, hi)
        off = quotient(code, self.ctx, s, self.where, "off")
        return (off.hi, off.lo) if isinstance(off, Offset) else (off.value, off.lo or 0.0)

    def _second(
        self, code: Code, name: str, product: Factors, sums: dict[Factors, Plain],
        offs: dict[Ref, tuple[Number, Number]], _: Plain | None,
    ) -> Number:  # fmt: skip
        """sum d1 d2 - off2 sum d1."""
        q, s, off = sums[product], sums[product[0],], offs[product[1]]
        found = code.num(name, "second_moment", q.value, q.lo or 0.0, s.value, s.lo or 0.0, *off)
        square = product[0] == product[1] and self.weight is None
        return code.num(name, "at_least_0", found) if square else found

    def _higher(
        self, code: Code, name: str, product: Factors, sums: dict[Factors, Plain],
        offs: dict[Ref, tuple[Number, Number]], total: Plain | None,
    ) -> Number:  # fmt: skip
        """The product of (d - off), multiplied out."""
        result: Number = sums[product].value
        for inside, outside in _splits(product):
            count = self.ctx.count if self.where is None else self.ctx.counts[self.where].value
            term = sums[inside].value if inside else count if total is None else total.value
            assert term is not None
            for x in outside:
                term = op(code, "moved", "mul", term, offs[x][0])
            result = op(code, name, "sub" if len(outside) % 2 else "add", result, term)
        return result


def _splits(product: Factors) -> Iterator[tuple[Factors, Factors]]:
    """Every way to leave some factors out, the fewest first."""
    places = range(len(product))
    for k in range(len(product) - 1, -1, -1):
        for kept in combinations(places, k):
            yield tuple(product[i] for i in kept), tuple(product[i] for i in places if i not in kept)


def _moments(ctx: Context, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Reduce]]:
    for ref in refs:
        node = ctx.program.nodes[ref]
        if isinstance(node, Reduce) and node.op in MOMENTS:
            yield ref, node


def _means(ctx: Context, refs: Sequence[Ref]) -> Iterator[tuple[Ref, Reduce]]:
    for ref in refs:
        node = ctx.program.nodes[ref]
        if isinstance(node, Reduce) and node.op == "mean":
            yield ref, node


def constants(program: Program, row: Ref) -> Iterator[Ref]:
    """The row-constants below a row-shaped value."""
    for ref in operands(program.nodes[row]):
        if program.is_row(ref):
            yield from constants(program, ref)
        else:
            yield ref


def families(ctx: Context, sweep: SweepPlan) -> list[Moments]:
    """One carry for each family of moments in the sweep."""
    shared = dict.fromkeys(family(node) for _, node in _moments(ctx, sweep.carries))
    return [Moments(ctx, sweep, f) for f in shared]
