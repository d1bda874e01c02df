"""What a sweep accumulates, one class a carry: identity (before), lift and combine (body), merge (block_end), finish (after).

A new kind of reduction is a new class here and a line in `carry_of`; every backend prints the same statements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..ir import Const, Reduce, Ref
from ..loops import Code, Kind, Var
from ..plan import Lowering
from .context import DROP, LIMIT, Context
from .forms import DisplacedSum, Number, Offset, Plain, Scaled, op
from .rows import Rows

INF = float("inf")


class Carry(Protocol):
    """The life of a carry over one sweep. `phases` is how many walks over a block it takes."""

    phases: int

    def before(self, pre: Code) -> None: ...
    def body(self, rows: Rows, phase: int) -> None: ...
    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...
    def after(self, code: Code) -> None: ...


@dataclass
class Sum:
    """sum x: a balanced tree over a block's vectors, then wide lanes, then a tree over the lanes (3-numerics, 3)."""

    ctx: Context
    ref: Ref
    x: Ref
    where: Ref | None
    phases: int = 1

    def before(self, pre: Code) -> None:
        name = self.ctx.name(self.ref, "sum")
        self.acc = pre.declare(Kind.ACC, name + "_lanes", "acc_zero")
        self.parts = pre.declare(Kind.PARTS, name + "_parts", "parts")

    def body(self, rows: Rows, phase: int) -> None:
        value = rows.vec(self.x)
        rows.code.do("put", self.parts, rows.keep(self.where, value, 0.0))

    def between(self, block: Code, phase: int) -> None: ...

    def block_end(self, block: Code) -> None:
        block.assign(self.acc, "acc_add_tree", self.acc, self.parts)

    def after(self, code: Code) -> None:
        self.ctx.known[self.ref] = fold(code, self.ctx, self.acc, self.ctx.name(self.ref, "sum"))


@dataclass
class Count:
    """How many elements the predicate selects."""

    ctx: Context
    where: Ref
    phases: int = 1

    def before(self, pre: Code) -> None:
        self.acc = pre.declare(Kind.ACC, "selected_lanes", "acc_zero")
        self.parts = pre.declare(Kind.PARTS, "selected_parts", "parts")

    def body(self, rows: Rows, phase: int) -> None:
        mask = rows.selected(self.where)
        assert mask is not None
        rows.code.do("put", self.parts, rows.code.vec("one", "select", mask, 1.0, 0.0))

    def between(self, block: Code, phase: int) -> None: ...

    def block_end(self, block: Code) -> None:
        block.assign(self.acc, "acc_add_tree", self.acc, self.parts)

    def after(self, code: Code) -> None:
        selected = Plain(fold(code, self.ctx, self.acc, "selected").value)
        self.ctx.counts[self.where] = selected
        node = Reduce("count", (), self.where)
        if node in self.ctx.program.nodes:
            self.ctx.known[Ref(self.ctx.program.nodes.index(node))] = selected


@dataclass
class Mean(Sum):
    """mean x = sum x / count."""

    def after(self, code: Code) -> None:
        total = fold(code, self.ctx, self.acc, "total")
        self.ctx.known[self.ref] = quotient(code, self.ctx, total, self.where, self.ctx.name(self.ref, "mean"))


@dataclass
class Dot:
    """sum a b with every product exact in the wide lanes: it neither overflows nor rounds early."""

    ctx: Context
    ref: Ref
    a: Ref
    b: Ref
    where: Ref | None
    phases: int = 1

    def before(self, pre: Code) -> None:
        self.acc = pre.declare(Kind.ACC, self.ctx.name(self.ref, "dot") + "_lanes", "acc_zero")

    def body(self, rows: Rows, phase: int) -> None:
        a = rows.keep(self.where, rows.vec(self.a), 0.0)
        b = a if self.a == self.b else rows.keep(self.where, rows.vec(self.b), 0.0)
        rows.code.assign(self.acc, "acc_fma", self.acc, a, b)

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def after(self, code: Code) -> None:
        self.ctx.known[self.ref] = fold(code, self.ctx, self.acc, self.ctx.name(self.ref, "dot"))


@dataclass
class Moments:
    """mean x and sum (x - mean)^2 from sums of x - pivot and its square, the pivot being the row's first element.

    The pivot's own distance from the mean is part of the variance, so the subtraction at the end cannot lose it.
    """

    ctx: Context
    mean: Ref | None
    m2: Ref
    x: Ref
    where: Ref | None
    phases: int = 1

    def before(self, pre: Code) -> None:
        outer, self.ctx.code = self.ctx.code, pre
        first = self.ctx.element(self.x, 0.0)
        if self.where is not None:
            counts = pre.flag("counts", "ne", self.ctx.element(self.where, 0.0), 0.0)
            first = pre.num("first", "choose", counts, first, 0.0)
        self.ctx.code = outer
        self.pivot = pre.num("pivot", "single", first)
        self.pivot_v = pre.vec("pivot_v", "set", self.pivot)
        self.sum = pre.declare(Kind.ACC, "moment_1_lanes", "acc_zero")
        self.squares = pre.declare(Kind.ACC, "moment_2_lanes", "acc_zero")

    def body(self, rows: Rows, phase: int) -> None:
        x = rows.vec(self.x)
        mask = rows.selected(self.where)
        x = x if mask is None else rows.code.vec(x.name, "select", mask, x, self.pivot_v)
        rows.code.assign(self.sum, "acc_add_from", self.sum, x, self.pivot_v)
        rows.code.assign(self.squares, "acc_fma_from", self.squares, x, self.pivot_v)

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def after(self, code: Code) -> None:
        s, q = fold(code, self.ctx, self.sum, "moment_1"), fold(code, self.ctx, self.squares, "moment_2")
        off = quotient(code, self.ctx, s, self.where, "off")
        lo = off.lo if isinstance(off, Offset) else off.lo if isinstance(off, Plain) and off.lo is not None else 0.0
        hi = off.hi if isinstance(off, Offset) else off.value
        if self.mean is not None:
            name = self.ctx.name(self.mean, "mean")
            if self.ctx.dtype == "f64":
                mean, rest = code.call(Kind.NUM, (name, name + "_lo"), "two_sum", self.pivot, hi)
                self.ctx.known[self.mean] = Offset(mean, op(code, name + "_lo", "add", rest, lo))
            else:
                self.ctx.known[self.mean] = Plain(op(code, name, "add", self.pivot, hi))
        s_lo, q_lo = s.lo or 0.0, q.lo or 0.0
        m2 = code.num(self.ctx.name(self.m2, "m2"), "second_moment", q.value, q_lo, s.value, s_lo, hi, lo)
        self.ctx.known[self.m2] = Plain(m2)


@dataclass
class Extremum:
    """max x or min x; a NaN that counts makes the result NaN."""

    ctx: Context
    ref: Ref
    x: Ref
    where: Ref | None
    op: str
    phases: int = 1

    def before(self, pre: Code) -> None:
        self.identity = -INF if self.op == "max" else INF
        self.m = pre.declare(Kind.VEC, self.ctx.name(self.ref, self.op) + "_lanes", "set", self.identity)
        self.nan = pre.declare(Kind.MASK, "unordered_lanes", "mask_none")

    def body(self, rows: Rows, phase: int) -> None:
        x = rows.keep(self.where, rows.vec(self.x), self.identity)
        rows.code.assign(self.m, self.op, x, self.m)
        rows.code.assign(self.nan, "mask_or", self.nan, rows.code.mask("unordered", "ne", x, x))

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def after(self, code: Code) -> None:
        m = code.num(self.ctx.name(self.ref, self.op), "fold_" + self.op, self.m)
        found = code.num("found", "nan_if", code.flag("unordered", "any", self.nan), m)
        self.ctx.known[self.ref] = Plain(found, exact=True)


@dataclass
class Product:
    """prod x, lane by lane."""

    ctx: Context
    ref: Ref
    x: Ref
    where: Ref | None
    phases: int = 1

    def before(self, pre: Code) -> None:
        self.p = pre.declare(Kind.VEC, self.ctx.name(self.ref, "prod") + "_lanes", "set", 1.0)

    def body(self, rows: Rows, phase: int) -> None:
        rows.code.assign(self.p, "mul", self.p, rows.keep(self.where, rows.vec(self.x), 1.0))

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def after(self, code: Code) -> None:
        self.ctx.known[self.ref] = Plain(code.num(self.ctx.name(self.ref, "prod"), "fold_mul", self.p))


@dataclass
class Maximum:
    """The maximum of a group's base: it only places the shift, so a NaN may be passed over (the sum will meet it)."""

    ctx: Context
    index: int
    phases: int = 1

    def before(self, pre: Code) -> None:
        self.m = pre.declare(Kind.VEC, "max_lanes", "set", -INF)

    def body(self, rows: Rows, phase: int) -> None:
        group = self.ctx.plan.groups[self.index]
        rows.code.assign(self.m, "max", rows.keep(group.where, rows.vec(group.base), -INF), self.m)

    def between(self, block: Code, phase: int) -> None: ...
    def block_end(self, block: Code) -> None: ...

    def after(self, code: Code) -> None:
        place(code, self.ctx, self.index, code.num("max", "fold_max", self.m))


def place(code: Code, ctx: Context, index: int, m: Number) -> None:
    """The shift from the maximum: a power of two, and beyond 2^16 the maximum itself before it."""
    s = ctx.scale_of(index)
    shift = code.num("shift", "far_shift", m, code.num("reach", "mul", m, s.scale[0]))
    near = code.num("near", "sub", m, shift)
    n = code.num("shift_exponent", "exponent_of", near, s.scale[0])
    if not ctx.plan.groups[index].displaced:  # a power of two may take the NaN of inf - inf for 0 or inf
        n = code.num("shift_exponent", "nan_if", code.flag("endless", "eq", m, INF), n)
    set_shift(code, ctx, index, shift, n, m)


def set_shift(code: Code, ctx: Context, index: int, shift: Number, n: Number, m: Number | None) -> None:
    """Declares the group's shift, or assigns it again when a fallback takes another."""
    s, group = ctx.scale_of(index), ctx.plan.groups[index]
    low = code.num("low", "low_end", n, s.scale[0], DROP[ctx.dtype])
    pairs = [("shift", shift), ("n", n), ("low", low)]
    if group.displaced:
        pairs.append(("high", code.num("high", "high_end", n, s.scale[0], DROP[ctx.dtype])))
        assert m is not None
        pairs.append(("maximum", m))
    for attribute, value in pairs:
        known = getattr(s, attribute)
        if known is None:
            setattr(s, attribute, code.declare(Kind.NUM, f"{'' if attribute != 'n' else 'shift_'}{attribute}_", "copy", value))
        else:
            code.assign(known, "copy", value)


@dataclass
class Displaced:
    """sum of exp without the largest element, which each lane keeps aside: log1p then sees the rest exactly.

    low = min(largest, x); largest = max(largest, x); rest += exp(low). 3-numerics, section 4.
    """

    ctx: Context
    index: int

    def before(self, pre: Code) -> None:
        self.largest = pre.declare(Kind.VEC, "largest", "set", -INF)

    def displace(self, rows: Rows) -> Var:
        group = self.ctx.plan.groups[self.index]
        x = rows.keep(group.where, rows.vec(group.base), -INF)
        low = rows.code.vec("displaced", "min", self.largest, x)
        rows.code.assign(self.largest, "max", x, self.largest)
        return low

    def leftovers(self, code: Code) -> tuple[Var, Var]:
        """The row's maximum, and the lanes' largest values with one copy of the maximum removed."""
        m = code.num("maximum", "fold_max", self.largest)
        top = code.mask("top", "eq", self.largest, code.vec("maximum_v", "set", m))
        first = code.mask("first_top", "mask_first", top)
        return m, code.vec("others", "select", first, -INF, self.largest)


class ExpSums:
    """The exponential sums of one group in one sweep, in any lowering; `after` leaves each as a Scaled number."""

    def __init__(self, ctx: Context, index: int, lowering: Lowering) -> None:
        self.ctx, self.index, self.lowering = ctx, index, lowering
        self.group = ctx.plan.groups[index]
        self.displaced = Displaced(ctx, index) if self.group.displaced else None
        self.phases = 2 if lowering is Lowering.ONLINE else 1
        self.keep_in: str | None = None

    # identity

    def before(self, pre: Code) -> None:
        if self.displaced:
            self.displaced.before(pre)
        if self.lowering is not Lowering.MAX:
            outer, self.ctx.code = self.ctx.code, pre
            scale = self.ctx.scale_of(self.index).scale[0]
            self.ctx.code = outer
            self._start_running(pre, scale)
        self.accs: dict[Ref, Var] = {}
        self.parts: dict[Ref, Var] = {}
        for ref in self.group.sums:
            name = self.ctx.name(ref, "sum")
            self.accs[ref] = pre.declare(Kind.ACC, name + "_lanes", "acc_zero")
            if self._plain(ref):
                self.parts[ref] = pre.declare(Kind.PARTS, name + "_parts", "parts")
        if self.lowering is Lowering.EXTEXP:
            self.exponents = pre.declare(Kind.PARTS, "exponent_parts", "parts")

    def _start_running(self, pre: Code, scale: Number) -> None:
        reach = pre.num("reach", "div", LIMIT, scale)
        floor = pre.num("floor", "sub", 0.0, reach)
        self.drop = pre.vec("drop_v", "set", pre.num("drop", "div", DROP[self.ctx.dtype], scale))
        self.scale_v = pre.vec("scale_v", "set", scale)
        if self.lowering is Lowering.ONLINE:
            self.running = pre.declare(Kind.VEC, "running_max", "set", floor)
            self.n = pre.declare(Kind.VEC, "running_exponent", "exponent_v", self.running, self.scale_v)
            self.low = pre.declare(Kind.VEC, "running_low", "sub", self.running, self.drop)
        else:
            self.own = {
                ref: pre.declare(Kind.VEC, "running_exponent", "set", -4.0 * LIMIT) for ref in self.group.sums
            }
            self.low = pre.vec("lowest", "set", pre.num("lowest", "mul", floor, 2.0))

    def _plain(self, ref: Ref) -> bool:
        return self.ctx.program.nodes[self._reduce(ref).args[0]] == Const(1.0)

    def _reduce(self, ref: Ref) -> Reduce:
        node = self.ctx.program.nodes[ref]
        assert isinstance(node, Reduce)
        return node

    # lift and combine

    def body(self, rows: Rows, phase: int) -> None:
        if self.phases == 2 and phase == 0:
            x = rows.keep(self.group.where, rows.vec(self.group.base), -INF)
            rows.code.assign(self.running, "max", x, self.running)
            return
        x = self.displaced.displace(rows) if self.displaced else rows.vec(self.group.base)
        if self.lowering is Lowering.EXTEXP:
            self._extexp(rows, x)
        else:
            self._shifted(rows, x)

    def _shifted(self, rows: Rows, x: Var) -> None:
        if self.lowering is Lowering.ONLINE:
            e = rows.shifted(self.index, x, self.n, self.low)
        else:
            e = rows.shifted(self.index, x)
        if self.keep_in is not None:
            word = "store" if rows.live is None else "store_tail"
            rows.code.do(word, self.keep_in, e, *([] if rows.live is None else [rows.live]))
        for ref in self.group.sums:
            node = self._reduce(ref)
            kept = rows.keep(node.where, e, 0.0)
            if ref in self.parts:
                rows.code.do("put", self.parts[ref], kept)
            else:
                weight = self._weight(rows, node)
                rows.code.assign(self.accs[ref], "acc_fma", self.accs[ref], weight, kept)

    def _weight(self, rows: Rows, node: Reduce) -> Var:
        """The weight, kept finite where the element itself is -inf: nothing times nothing is nothing."""
        weight = rows.keep(node.where, rows.vec(node.args[0]), 0.0)
        base = rows.vec(self.group.base)
        gone = rows.code.mask("gone", "eq", base, -INF)
        return rows.code.vec("weight", "select", gone, 0.0, weight)

    def _extexp(self, rows: Rows, x: Var) -> None:
        c = rows.code
        p, k = rows.split(self.index, c.vec(x.name, "max", self.low, x))
        for ref in self.group.sums:
            node = self._reduce(ref)
            if ref in self.parts:
                c.do("put", self.parts[ref], rows.keep(node.where, p, 0.0))
            else:
                self._extexp_weighted(rows, ref, node, p, k)
        c.do("put", self.exponents, rows.keep(self.group.where, k, -4.0 * LIMIT))

    def _extexp_weighted(self, rows: Rows, ref: Ref, node: Reduce, p: Var, k: Var) -> None:
        c = rows.code
        k = rows.keep(node.where, k, -4.0 * LIMIT)
        old = self.own[ref]
        new = c.vec("new_exponent", "max", k, old)
        c.assign(self.accs[ref], "acc_scale", self.accs[ref], c.vec("step", "sub", old, new))
        e = c.vec("e", "scale", rows.keep(node.where, p, 0.0), c.vec("k", "sub", k, new))
        c.assign(self.accs[ref], "acc_fma", self.accs[ref], self._weight(rows, node), e)
        c.assign(old, "copy", new)

    def between(self, block: Code, phase: int) -> None:
        """After the block's maximum is in: move the carried sums to its power of two. Exact."""
        if self.phases == 1 or phase != 1:
            return
        new = block.vec("new_exponent", "exponent_v", self.running, self.scale_v)
        step = block.vec("step", "sub", self.n, new)
        for acc in self.accs.values():
            block.assign(acc, "acc_scale", acc, step)
        block.assign(self.n, "copy", new)
        block.assign(self.low, "sub", self.running, self.drop)

    def block_end(self, block: Code) -> None:
        if self.lowering is Lowering.EXTEXP:
            for ref, parts in self.parts.items():
                old, top = self.own[ref], block.vec("top_exponent", "parts_max", self.exponents)
                new = block.vec("new_exponent", "max", top, old)
                block.assign(self.accs[ref], "acc_scale", self.accs[ref], block.vec("step", "sub", old, new))
                block.assign(self.accs[ref], "acc_add_pairs", self.accs[ref], parts, self.exponents, new)
                block.assign(old, "copy", new)
            return
        for ref, parts in self.parts.items():
            block.assign(self.accs[ref], "acc_add_tree", self.accs[ref], parts)

    # finish

    def after(self, code: Code) -> None:
        m: Var | None = None
        others: Var | None = None
        if self.displaced:
            m, others = self.displaced.leftovers(code)
        if self.lowering is not Lowering.MAX:
            self._settle(code, m)
        if others is not None:
            self._add_others(code, others)
        for ref in self.group.sums:
            total = fold(code, self.ctx, self.accs[ref], self.ctx.name(ref, "sum"))
            self.publish(ref, total, code, m)

    def _settle(self, code: Code, m: Var | None) -> None:
        """One power of two for all lanes."""
        scale = self.ctx.shifts[self.index].scale[0]
        if self.lowering is Lowering.ONLINE or m is not None:
            top = m or code.num("max", "fold_max", self.running)
            n = code.num("shift_exponent", "exponent_of", top, scale)
        else:
            n = code.num("shift_exponent", "fold_max", self.own[self.group.sums[0]])
        target = code.vec("shift_exponent_v", "set", n)
        for ref, acc in self.accs.items():
            running = self.n if self.lowering is Lowering.ONLINE else self.own[ref]
            code.assign(acc, "acc_scale", acc, code.vec("step", "sub", running, target))
        set_shift(code, self.ctx, self.index, code.num("no_shift", "copy", 0.0), n, m)
        self.safe = code.flag("safe", "lt", code.num("reach", "abs", n), LIMIT - 1.0)

    def _add_others(self, code: Code, others: Var) -> None:
        rows = Rows(self.ctx, code, code, None)
        e = rows.shifted(self.index, others)
        for ref in self.group.sums:
            code.assign(self.accs[ref], "acc_add", self.accs[ref], e)

    def publish(self, ref: Ref, total: Plain, code: Code, m: Var | None) -> None:
        value, lo = total.value, total.lo
        assert isinstance(value, Var)
        if m is None:
            self._publish_scaled(ref, value, lo, code)
            return
        s = self.ctx.shifts[self.index]
        known = self.ctx.known.get(ref)
        rest_name = "rest"
        if isinstance(known, DisplacedSum):
            code.assign(known.rest, "copy", value)
        else:
            rest = code.declare(Kind.NUM, rest_name, "copy", value)
            assert s.maximum is not None
            self.ctx.known[ref] = DisplacedSum(rest, s.maximum, self.index)

    def _publish_scaled(self, ref: Ref, value: Var, lo: Var | None, code: Code) -> None:
        known = self.ctx.known.get(ref)
        if isinstance(known, Scaled):
            assert isinstance(known.m, Var)
            code.assign(known.m, "copy", value)
            if lo is not None and known.lo is not None:
                code.assign(known.lo, "copy", lo)
            return
        kept = code.declare(Kind.NUM, self.ctx.name(ref, "sum"), "copy", value)
        kept_lo = code.declare(Kind.NUM, self.ctx.name(ref, "sum") + "_lo", "copy", lo) if lo is not None else None
        self.ctx.known[ref] = Scaled(kept, {self.index: 1}, kept_lo)


def fold(code: Code, ctx: Context, acc: Var, name: str) -> Plain:
    """The sum over the lanes, with what rounding lost where float64 keeps it."""
    if ctx.dtype == "f64":
        hi, lo = code.call(Kind.NUM, (name, name + "_lo"), "fold2", acc)
        return Plain(hi, lo=lo)
    return Plain(code.num(name, "fold", acc))


def quotient(code: Code, ctx: Context, total: Plain, where: Ref | None, name: str) -> Plain | Offset:
    """total / count, in two parts for float64."""
    count = ctx.count if where is None else ctx.counts[where].value
    assert count is not None
    hi = code.num(name, "div", total.value, count)
    if total.lo is None:
        return Plain(hi)
    return Offset(hi, code.num(name + "_lo", "div_rest2", total.value, total.lo, count, hi))

