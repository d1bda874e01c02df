"""Exponential sums: the shift of a group, and its sums in any lowering."""

from __future__ import annotations

from ...records import dataclass
from ..ir import Const, Reduce, Ref
from ..loops import Code, Kind, Var
from ..plan import Lowering
from . import merging
from .context import BIASED_DROP, DROP, Context
from .endless import open_sums
from .exponentials import guessed, pair, shifted
from .folds import fold
from .forms import DisplacedSum, Number, Plain, Scaled, op
from .rows import Rows

INF = float("inf")
ABOVE = 40.0  # beyond a shift by more than this an element can only be infinite: its exponential stays a number
RUNNING = (Lowering.ONLINE, Lowering.EXTEXP)
# Beyond this power of two a sum is taken again: the low part of its reciprocal, or a product of four, leaves range.
TOP = {"f32": 101.0, "f64": 300.0}
LEAST = 2.0**-126  # a normal number of every dtype
LARGE, ROOM = 2.0**900, 64.0  # the float64 weights whose sum may overflow, and the powers of two that it may grow by


@dataclass
class Maximum:
    """The maximum of a group's base: it only places the shift, so a NaN may be passed over (the sum will meet it)."""

    states = ()  # the shift is with the sums
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


class Guess(Maximum):
    """The maximum of the row's first elements, as a guess of where the shift should be."""

    def after(self, code: Code) -> None:
        s = self.ctx.scale_of(self.index)
        m = code.num("first_max", "fold_max", self.m)
        set_shift(
            code,
            self.ctx,
            self.index,
            code.num("no_shift", "copy", 0.0),
            code.num("guess", "exponent_of", m, s.scale[0]),
            m,
        )


def place(code: Code, ctx: Context, index: int, m: Number) -> None:
    """The shift from the maximum: a power of two, and beyond 2^16 the maximum itself before it."""
    s = ctx.scale_of(index)
    shift = code.num("shift", "far_shift", m, code.num("reach", "mul", m, s.scale[0]))
    near = code.num("near", "sub", m, shift)
    n = code.num("shift_exponent", "exponent_of", near, s.scale[0])
    endless = code.flag("endless", "eq", m, INF)
    if open_sums(ctx, index):  # the sum decides what becomes of the row
        shift, n = (code.num(v.name, "choose", endless, 0.0, v) for v in (shift, n))
        s.finite = code.flag("finite", "not", endless)
    elif not ctx.plan.groups[index].displaced:  # a power of two may take the NaN of inf - inf for 0 or inf
        n = code.num("shift_exponent", "nan_if", endless, n)
    set_shift(code, ctx, index, shift, n, m)


def set_shift(code: Code, ctx: Context, index: int, shift: Number, n: Number, m: Number | None) -> None:
    """Declares the group's shift, or assigns it again when a fallback takes another."""
    s, group = ctx.scale_of(index), ctx.plan.groups[index]
    low = code.num("low", "low_end", n, s.per_octave, BIASED_DROP[ctx.dtype])
    pairs = [("shift", shift), ("n", n), ("low", low)]
    if group.displaced:
        pairs.append(("high", code.num("high", "high_end", n, s.per_octave, ABOVE)))
        assert m is not None
        pairs.append(("maximum", m))
    for attribute, value in pairs:
        known = getattr(s, attribute)
        if known is None:
            setattr(
                s,
                attribute,
                code.declare(Kind.NUM, f"{'' if attribute != 'n' else 'shift_'}{attribute}_", "copy", value),
            )
        elif value is not known:
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
        if self.ctx.plan.chunked:
            self.so_far = pre.declare(Kind.VEC, "largest_so_far", "set", -INF)

    def meet(self, code: Code) -> Var:
        """At the end of a chunk: what the lanes leave to the sum, and the largest elements so far."""
        low = code.vec("displaced", "min", self.so_far, self.largest)
        code.assign(self.so_far, "max", self.largest, self.so_far)
        code.assign(self.largest, "set", -INF)
        return low

    def displace(self, rows: Rows) -> Var:
        group = self.ctx.plan.groups[self.index]
        x = rows.keep(group.where, rows.vec(group.base), -INF)
        low = rows.code.vec("displaced", "min", self.largest, x)
        rows.code.assign(self.largest, "max", x, self.largest)
        return low

    def leftovers(self, code: Code) -> tuple[Var, Var]:
        """The row's maximum, and the lanes' largest values with one copy of the maximum removed."""
        largest = self.so_far if self.ctx.plan.chunked else self.largest
        m = code.num("maximum", "fold_max", largest)
        top = code.mask("top", "eq", largest, code.vec("maximum_v", "set", m))
        first = code.mask("first_top", "mask_first", top)
        return m, code.vec("others", "select", first, -INF, largest)


class ExpSums:
    """The exponential sums of one group in one sweep, in any lowering; `after` leaves each as a Scaled number."""

    states = (merging.Powers, merging.Displaced)

    def __init__(self, ctx: Context, index: int, lowering: Lowering) -> None:
        self.ctx, self.index, self.lowering = ctx, index, lowering
        self.group = ctx.plan.groups[index]
        self.displaced = Displaced(ctx, index) if self.group.displaced else None
        self.phases = 2 if lowering is Lowering.ONLINE else 1
        self.keep_in: str | None = None
        self.safe: Var | None = None
        self.near: Var | None = None  # whether the guesses of this sweep can be tried

    # identity

    def before(self, pre: Code) -> None:
        if self.displaced:
            self.displaced.before(pre)
        if self.lowering in RUNNING:
            outer, self.ctx.code = self.ctx.code, pre
            scale = self.ctx.scale_of(self.index).scale[0]
            self.ctx.code = outer
            self._start_running(pre, scale)
        self.accs: dict[Ref, Var] = {}
        self.parts: dict[Ref, Var] = {}
        for ref in self.group.sums:
            name = self.ctx.name(ref, "sum")
            self.accs[ref] = pre.declare(Kind.ACC, name + "_lanes", "acc_zero")
            if self._plain(ref) and not self.group.weighted:
                self.parts[ref] = pre.declare(Kind.PARTS, name + "_parts", "parts")
        if self.lowering is Lowering.EXTEXP:
            self.exponents = pre.declare(Kind.PARTS, "exponent_parts", "parts")

    def _start_running(self, pre: Code, scale: Number) -> None:
        reach = pre.num("reach", "div", self.ctx.limit, scale)
        floor = pre.num("floor", "sub", 0.0, reach)
        self.drop = pre.vec("drop_v", "set", pre.num("drop", "div", DROP[self.ctx.dtype], scale))
        self.scale_v = pre.vec("scale_v", "set", scale)
        if self.lowering is Lowering.ONLINE:
            self.running = pre.declare(Kind.VEC, "running_max", "set", floor)
            self.n = pre.declare(Kind.VEC, "running_exponent", "exponent_v", self.running, self.scale_v)
            self.low = pre.declare(Kind.VEC, "running_low", "sub", self.running, self.drop)
        else:
            nothing = -4.0 * self.ctx.limit
            self.own = {ref: pre.declare(Kind.VEC, "running_exponent", "set", nothing) for ref in self.group.sums}
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
        e = self._exponential(rows, x)
        if self.keep_in is not None:
            word = "store" if rows.live is None else "store_tail"
            rows.code.do(word, self.keep_in, e, *([] if rows.live is None else [rows.live]))
        for ref in self.group.sums:
            node = self._reduce(ref)
            kept = rows.keep(node.where, e, 0.0)
            if ref in self.parts:
                rows.code.do("put", self.parts[ref], kept)
            elif self._plain(ref):  # no rounding that its ratio with a weighted sum could show
                rows.code.assign(self.accs[ref], "acc_add", self.accs[ref], kept)
            else:
                weight = self._weight(rows, node)
                rows.code.assign(self.accs[ref], "acc_fma", self.accs[ref], weight, self._met(rows, node, weight, kept))

    def _exponential(self, rows: Rows, x: Var) -> Var:
        """Of an element or what stands for one, under the shift of the walk so far."""
        if self.lowering is Lowering.ONLINE:
            return shifted(rows, self.index, x, self.n, self.low, "exp_running")
        if self.lowering is Lowering.GUESS:
            return guessed(rows, self.index, x)
        return shifted(rows, self.index, x)

    def _weight(self, rows: Rows, node: Reduce) -> Var:
        """The weight, kept finite where the element itself is -inf: nothing times nothing is nothing."""
        weight = rows.keep(node.where, rows.vec(node.args[0]), 0.0)
        base = rows.vec(self.group.base)
        gone = rows.code.mask("gone", "eq", base, -INF)
        return rows.code.vec("weight", "select", gone, 0.0, weight)

    def _met(self, rows: Rows, node: Reduce, weight: Var, e: Var) -> Var:
        """The exponential as an infinite weight meets it: never rounded to 0, which would make a NaN."""
        clamped = self.lowering not in RUNNING and self.ctx.bias(self.index) > 0.0  # under a bias, never to 0
        if node.args[0] == self.group.base or clamped:
            return e
        c = rows.code
        endless = c.mask("endless", "eq", c.vec("size", "abs", weight), INF)
        return c.vec("e", "select", endless, c.vec("e", "max", LEAST, e), e)

    def _extexp(self, rows: Rows, x: Var) -> None:
        c = rows.code
        p, k = pair(rows, self.index, c.vec(x.name, "max", self.low, x))
        for ref in self.group.sums:
            node = self._reduce(ref)
            if ref in self.parts:
                c.do("put", self.parts[ref], rows.keep(node.where, p, 0.0))
            else:
                self._extexp_weighted(rows, ref, node, p, k)
        c.do("put", self.exponents, rows.keep(self.group.where, k, -4.0 * self.ctx.limit))

    def _extexp_weighted(self, rows: Rows, ref: Ref, node: Reduce, p: Var, k: Var) -> None:
        c = rows.code
        k = rows.keep(node.where, k, -4.0 * self.ctx.limit)
        weight, old, above = self._weight(rows, node), self.own[ref], k
        if self.ctx.dtype == "f64":
            large = c.mask("large", "lt", LARGE, c.vec("size", "abs", weight))
            above = c.vec("k", "add", k, c.vec("room", "select", large, ROOM, 0.0))
        new = c.vec("new_exponent", "max", above, old)
        c.assign(self.accs[ref], "acc_scale", self.accs[ref], c.vec("step", "sub", old, new))
        e = c.vec("e", "scale", rows.keep(node.where, p, 0.0), c.vec("k", "sub", k, new))
        c.assign(self.accs[ref], "acc_fma", self.accs[ref], weight, self._met(rows, node, weight, e))
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

    def chunk_end(self, code: Code, pre: Code) -> None:
        """A lane's largest element so far meets that of the chunk; the smaller one joins the sum."""
        if self.displaced is None:
            return
        low = self.displaced.meet(code)
        rows, ref = Rows(self.ctx, code, pre, None), self.group.sums[0]
        if self.lowering is Lowering.EXTEXP:
            self._add_pair(code, ref, *pair(rows, self.index, code.vec(low.name, "max", self.low, low)))
        else:
            code.assign(self.accs[ref], "acc_add", self.accs[ref], self._exponential(rows, low))

    def _add_pair(self, code: Code, ref: Ref, p: Var, k: Var) -> None:
        old, acc = self.own[ref], self.accs[ref]
        new = code.vec("new_exponent", "max", k, old)
        code.assign(acc, "acc_scale", acc, code.vec("step", "sub", old, new))
        code.assign(acc, "acc_add", acc, code.vec("e", "scale", p, code.vec("k", "sub", k, new)))
        code.assign(old, "copy", new)

    # finish

    def after(self, code: Code) -> None:
        m: Var | None = None
        others: Var | None = None
        if self.displaced:
            m, others = self.displaced.leftovers(code)
        if self.lowering in RUNNING:
            self._settle(code, m)
        if others is not None:
            self._add_others(code, others)
        for ref in self.group.sums:
            total = fold(code, self.ctx, self.accs[ref], self.ctx.name(ref, "sum"))
            self.publish(ref, total, code, m)
            if self.lowering is Lowering.GUESS and self._plain(ref):
                self._validate(code, total.value, m)

    def _settle(self, code: Code, m: Var | None) -> None:
        """One power of two for all lanes."""
        scale = self.ctx.shifts[self.index].scale[0]
        if self.lowering is Lowering.ONLINE or m is not None:
            top = m or code.num("max", "fold_max", self.running)
            n = code.num("shift_exponent", "exponent_of", top, scale)
        else:
            n = code.num("shift_exponent", "fold_max", self.own[self.group.sums[0]])
        biased_n = op(code, "shift_exponent", "sub", n, self.ctx.bias(self.index))
        target = code.vec("shift_exponent_v", "set", biased_n)
        for ref, acc in self.accs.items():
            running = self.n if self.lowering is Lowering.ONLINE else self.own[ref]
            code.assign(acc, "acc_scale", acc, code.vec("step", "sub", running, target))
        set_shift(code, self.ctx, self.index, code.num("no_shift", "copy", 0.0), n, m)
        self.safe = code.flag("safe", "lt", code.num("reach", "abs", n), self.ctx.limit - 1.0)

    def _validate(self, code: Code, total: Number, m: Var | None) -> None:
        """Whether the guess left every exponential that matters a normal number. A NaN is not safe."""
        s, bias = self.ctx.shifts[self.index], self.ctx.bias(self.index)
        if m is None:
            safe = code.flag("large", "ge", total, 2.0 ** (bias - 16.0))
            safe = code.flag("safe", "and", safe, code.flag("small", "le", total, 2.0 ** self._top()))
        else:
            assert s.n is not None and s.maximum is not None
            code.assign(s.maximum, "copy", m)
            off = code.num("off", "sub", code.num("n", "exponent_of", m, s.scale[0]), s.n)
            close = code.flag("close", "and", code.flag("close", "ge", off, 0.0), code.flag("close", "lt", off, 28.0))
            safe = code.flag("safe", "and", close, code.flag("finite", "isfinite", total))
        assert self.near is not None
        self.safe = code.flag("safe", "and", self.safe or self.near, safe)

    def _top(self) -> float:
        """The power of two that a sum may reach; a weight near the largest float64 leaves little room."""
        return TOP[self.ctx.dtype] if self.ctx.bias(self.index) else 16.0

    def _add_others(self, code: Code, others: Var) -> None:
        rows = Rows(self.ctx, code, code, None)
        e = shifted(rows, self.index, others)
        for ref in self.group.sums:
            code.assign(self.accs[ref], "acc_add", self.accs[ref], e)

    def publish(self, ref: Ref, total: Plain, code: Code, m: Var | None) -> None:
        value, lo = total.value, total.lo
        assert isinstance(value, Var)
        known = self.ctx.known.get(ref)
        if m is None:
            guessed = (known.m, known.lo) if isinstance(known, Scaled) else None
            kept, kept_lo = self._kept(code, self.ctx.name(ref, "sum"), guessed, value, lo)
            self.ctx.known[ref] = Scaled(kept, {self.index: 1}, kept_lo, open=ref in open_sums(self.ctx, self.index))
            return
        maximum = self.ctx.shifts[self.index].maximum
        assert maximum is not None
        guessed = (known.rest, known.lo) if isinstance(known, DisplacedSum) else None
        kept, kept_lo = self._kept(code, "rest", guessed, value, lo)
        self.ctx.known[ref] = DisplacedSum(kept, maximum, self.index, kept_lo)

    def _kept(
        self, code: Code, name: str, guessed: tuple[Number, Var | None] | None, value: Var, lo: Var | None
    ) -> tuple[Var, Var | None]:
        """Both parts of a sum as variables: new ones, or those of the guess that a fallback puts right."""
        if guessed is None:
            kept = code.declare(Kind.NUM, name, "copy", value)
            return kept, code.declare(Kind.NUM, name + "_lo", "copy", lo) if lo is not None else None
        hi, low = guessed
        assert isinstance(hi, Var)
        code.assign(hi, "copy", value)
        if lo is not None and low is not None:
            code.assign(low, "copy", lo)
        return hi, low
