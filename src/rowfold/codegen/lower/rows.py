"""Row-shaped arithmetic: from program nodes to words on vectors, keeping what must not be rounded early unrounded.

`Affine` v*a + b holds row-constant factors and terms back until they can be applied with two-term constants;
`ScaledRow` e * m * 2^(shifts) is an exponential whose power of two still has a chance to cancel.
"""

from __future__ import annotations

import math

from ...records import replace
from ..ir import Const, Input, Map, Param, Reduce, Ref, Role
from ..loops import Code, Kind, Var
from . import powers
from .context import Context, is_bool
from .exponentials import exponential, plain_exponential
from .exponents import unrounded_exponential
from .forms import (
    CALLS,
    Affine,
    Number,
    NumForm,
    Offset,
    Plain,
    PowerRow,
    RowForm,
    Scaled,
    ScaledRow,
    both,
    fits,
    is_one,
    offset,
    op,
    plus,
    times,
    two_parts,
)
from .joint import centered, distance, summed
from .masks import mask_of


class Rows:
    """Lowers row-shaped values inside one body. `pre` receives what is constant over the sweep."""

    def __init__(self, ctx: Context, code: Code, pre: Code, live: Var | None) -> None:
        self.ctx = ctx
        self.code = code
        self.pre = pre
        self.live = live
        self.reads: list[str] = []
        self.kept: dict[int, str] = {}  # group -> port that holds its exponentials
        self._forms: dict[Ref, RowForm] = {}
        self._masks: dict[Ref, Var] = {}
        self._whole: dict[Var, int] = {}  # the exponentials themselves, none of them infinite, and their groups

    @property
    def first(self) -> tuple[str, ...]:
        """The port that tells where a part of a row begins, if this is one."""
        return () if self.ctx.first is None else (self.ctx.first,)

    # values

    def vec(self, ref: Ref) -> Var:
        """The value as one vector of the computing dtype."""
        if not self.ctx.program.is_row(ref):
            return self.set(self.ctx.value(ref), self.ctx.name(ref, "constant"))
        if is_bool(self.ctx.program, ref):
            return self.code.vec("number", "select", self.mask(ref), 1.0, 0.0)
        return self.materialize(self.form(ref), self.ctx.name(ref, "t"))

    def mask(self, ref: Ref) -> Var:
        """A boolean row, or a number tested against zero."""
        if ref not in self._masks:
            self._masks[ref] = mask_of(self, ref)
        return self._masks[ref]

    def selected(self, where: Ref | None) -> Var | None:
        """The lanes that count: those of the row, and of the predicate if there is one."""
        if where is None:
            return self.live
        mask = self.mask(where)
        return mask if self.live is None else self.code.mask("counts", "mask_and", self.live, mask)

    def keep(self, where: Ref | None, value: Var, identity: float) -> Var:
        """The value where lanes count, the carry's identity elsewhere."""
        mask = self.selected(where)
        return value if mask is None else self.code.vec(value.name, "select", mask, value, identity)

    def set(self, number: Number, name: str) -> Var:
        return self.pre.vec(name + "_v", "set", number)

    # materialization

    def materialize(self, form: RowForm, name: str) -> Var:
        match form:
            case ScaledRow():
                return self._materialize_scaled(form, name)
            case PowerRow():
                return powers.materialize(self, form, name)
            case Affine(v, a, None, over=over):
                return self.product(v, a, name, over)
            case Affine(v, a, Offset(center=Var() as center, factor=factor, tail=tail), True, over) if a == factor:
                return distance(self, v, center, a, tail, name, over)
            case Affine(v, a, b, minus, over):
                assert b is not None
                if over is not None:
                    return self._sum(self.product(v, a, name, over), b, "sub" if minus else "add", name)
                if isinstance(a, float) and abs(a) == 1.0:
                    return self._sum(self.product(v, a, name), b, "sub" if minus else "add", name)
                return self._affine(v, a, b, minus, name)

    def _materialize_scaled(self, form: ScaledRow, name: str) -> Var:
        e, m, lo = form.e, form.by.m, form.by.lo
        if not form.by.plain:
            if self._whole.get(e) is not None and form.by == Scaled(1.0, {self._whole[e]: 1}):
                return plain_exponential(self, self._whole[e], name)
            m, n = self.ctx.mantissa(form.by, name)
            return self.code.vec(name, "scale", self.product(e, m, name), self.set(n, _named(n)))
        if lo is None:
            return self.product(e, m, name)
        small = self.code.vec("small", "mul", e, self.set(lo, _named(lo)))
        assert isinstance(m, Var)
        return self.code.vec(name, "fma", e, self.set(m, m.name), small)

    def product(self, v: Var, a: Number, name: str, over: Number | None = None) -> Var:
        """v * a; a double factor of a float32 row enters as hi + lo, so that only the result is rounded."""
        if isinstance(a, float):
            return v if a == 1.0 else self.code.vec(name, "neg", v) if a == -1.0 else self.code.vec(name, "mul", v, a)
        if over is not None:
            return self.code.vec(name, "div", v, self.set(over, _named(over)))
        if self.ctx.dtype == "f64":
            return self.code.vec(name, "mul", v, self.set(a, _named(a)))
        v, hi, lo = self._two_factors(v, a)
        return self.code.vec(name, "fma", v, hi, self.code.vec("small", "mul", v, lo))

    def _two_factors(self, v: Var, a: Number) -> tuple[Var, Var, Var]:
        """v * a as v * (hi + lo). A factor near the ends of float32 gives a power of two to v first."""
        if not isinstance(a, Var):
            return v, self.set(two_parts(a)[0], "factor"), self.set(two_parts(a)[1], "factor_lo")
        if v in self._whole:
            return v, self.set(a, _named(a)), self.low(a)
        stretch = self.pre.num("stretch", "stretch", a)
        v = self.code.vec("stretched", "mul", v, self.set(stretch, "stretch"))
        return v, *self.halves(self.pre.num(a.name, "div", a, stretch))

    def halves(self, a: Var) -> tuple[Var, Var]:
        """A double as two floats, the second of the sign of the first and not 0: infinity times it is due."""
        hi = self.pre.num(a.name + "_hi", "leading", a)
        lo = self.pre.num(a.name + "_lo", "trailing", a, hi)
        return self.set(hi, hi.name), self.set(lo, lo.name)

    def low(self, a: Number) -> Var:
        return self.pre.vec(_named(a) + "_lo", "set_lo", a)

    def _sum(self, v: Var, b: NumForm, word: str, name: str) -> Var:
        return summed(self.code, name, word, v, self.parts(b), joint=isinstance(b, Offset) and b.joint)

    def parts(self, b: NumForm) -> tuple[Var, Var | None]:
        """A row-constant term as one or two vectors whose sum is more precise than either."""
        match b:
            case Plain(v, exact, None):
                if exact or self.ctx.dtype == "f64":
                    return self.set(v, _named(v)), None
                return self.set(v, _named(v)), self.low(v)
            case Plain(v, _, lo):
                assert lo is not None
                return self.set(v, _named(v)), self.set(lo, lo.name)
            case Offset(hi, lo, exact):
                if not exact and self.ctx.dtype == "f32":
                    lo = self.ctx.code.num("rest", "lost", hi, lo)
                return self.set(hi, _named(hi)), self.set(lo, _named(lo))
            case _:
                number = self.ctx.collapse(b, "value")
                return self.parts(Plain(number))

    def _affine(self, v: Var, a: Number, b: NumForm, minus: bool, name: str) -> Var:
        """v * a + b with both parts of b: an infinite b is two infinities, and they make the NaN that is due."""
        hi, lo = self.parts(plus(self.ctx.code, name + "_offset", Plain(0.0), b, "sub") if minus else b)
        if self.ctx.dtype == "f64" or (isinstance(a, float) and fits(a, "f32")):
            large = self.code.vec("large", "fma", v, self.set(a, _named(a)), hi)
            return large if lo is None else self.code.vec(name, "add", large, lo)
        v, factor, rest = self._two_factors(v, a)
        large = self.code.vec("large", "fma", v, factor, hi)
        small = self.code.vec("small", "mul", v, rest) if lo is None else self.code.vec("small", "fma", v, rest, lo)
        return self.code.vec(name, "add", large, small)

    # forms

    def form(self, ref: Ref) -> RowForm:
        if ref not in self._forms:
            self._forms[ref] = self._form(ref)
        return self._forms[ref]

    def _form(self, ref: Ref) -> RowForm:
        program = self.ctx.program
        match program.nodes[ref]:
            case Input(_, Role.POSITIONS):
                return Affine(self.code.vec("position", "positions", *self.first))
            case Input():
                return Affine(self.load(self.ctx.ports[ref].name, "load", Kind.VEC))
            case Map("exp", (a,)) if ref in self.ctx.apart:
                return powers.power_row(self, a)
            case Map("exp", (a,)) if (group := self.ctx.group_of(a)) is not None:
                e = exponential(self, group)
                self._whole[e] = group
                return ScaledRow(e, Scaled(1.0, {group: 1}))
            case Map("broadcast", (_, c)):
                return Affine(self.vec(c))
            case Map("lookup", (places, table)):
                held = self.ctx.ports[table].name
                return Affine(self.code.vec(self.ctx.name(ref, "found"), "lookup", self.vec(places), held))
            case Map("uniform", (_, key)):
                return Affine(self.code.vec(self.ctx.name(ref, "u"), "uniform", *self.first, self.ctx.ports[key].name))
            case Map(operation, args):
                return self._map(ref, operation, args)
            case Const() | Param() | Reduce():
                return Affine(self.vec(ref))

    def load(self, name: str, word: str, kind: Kind) -> Var:
        if name not in self.reads:
            self.reads.append(name)
        if self.live is None:
            return self.code.let(kind, name + "_i", word, name)
        return self.code.let(kind, name + "_i", word + "_tail", name, self.live)

    def _map(self, ref: Ref, operation: str, args: tuple[Ref, ...]) -> RowForm:
        name = self.ctx.name(ref, "t")
        row = [self.ctx.program.is_row(a) for a in args]
        if operation in ("add", "subtract") and not all(row):
            return self._plus_constant(name, operation, args, row)
        if operation in ("multiply", "divide") and (not all(row)) and not (operation == "divide" and not row[0]):
            return self._times_constant(name, operation, args, row)
        if operation == "negative":
            return self._scale_form(self.number_form(args[0]), Plain(-1.0, exact=True), "mul", name)
        if operation == "multiply" and any(isinstance(self.number_form(a), ScaledRow | PowerRow) for a in args):
            return self._times_scaled(name, args)
        below = self.number_form(args[-1]) if operation in ("divide", "reciprocal") else None
        if isinstance(below, PowerRow) and not below.met:
            over = powers.reciprocal(self, below, name)
            return over if operation == "reciprocal" else powers.times_row(self, over, self.number_form(args[0]), name)
        if operation == "where":
            return self._where(name, args)
        if operation == "exp":
            return Affine(unrounded_exponential(self, args[0], name))
        return Affine(self._word(name, operation, args))

    def number_form(self, ref: Ref) -> RowForm:
        return Affine(self.vec(ref)) if is_bool(self.ctx.program, ref) else self.form(ref)

    def _plus_constant(self, name: str, operation: str, args: tuple[Ref, ...], row: list[bool]) -> RowForm:
        """row + c, row - c, c + row, c - row."""
        if not row[0] and operation == "subtract":
            negated = self._scale_form(self.number_form(args[1]), Plain(-1.0, exact=True), "mul", name)
            return self._add_form(negated, self.ctx.num(args[0]), False, name)
        which = 0 if row[0] else 1
        return self._add_form(
            self.number_form(args[which]), self.ctx.num(args[1 - which]), operation == "subtract", name
        )

    def _add_form(self, form: RowForm, number: NumForm, minus: bool, name: str) -> RowForm:
        if offset(number) is None:
            number = Plain(self.ctx.collapse(number, "value"))
        match form:
            case Affine(v, a, None, over=over):
                return Affine(v, a, number, minus, over)
            case Affine(v, a, b, was_minus) if b is not None and offset(b) is not None:
                word = "add" if minus == was_minus else "sub"
                return Affine(v, a, both(self.ctx.code, name, b, number, word), was_minus)
            case Affine() | ScaledRow() | PowerRow():
                return Affine(self.materialize(form, name), 1.0, number, minus)

    def _times_constant(self, name: str, operation: str, args: tuple[Ref, ...], row: list[bool]) -> RowForm:
        which = 0 if row[0] else 1
        word = "div" if operation == "divide" else "mul"
        return self._scale_form(self.number_form(args[which]), self.ctx.num(args[1 - which]), word, name)

    def _scale_form(self, form: RowForm, number: NumForm, word: str, name: str) -> RowForm:
        c = self.ctx.code
        number = self.ctx.multiplicative(number)
        if isinstance(form, PowerRow) and self.ctx.dtype == "f64":
            form = powers.settled(form)
        match form:
            case ScaledRow(by=by) | PowerRow(by=by):
                if word == "div":
                    number = times(c, "r", Plain(1.0), number, "div")
                one = isinstance(by.m, float) and by.m == 1.0
                total = times(c, name, replace(by, lo=None) if one else by, number, "mul")
                if isinstance(total, Scaled):
                    return replace(form, by=total)
                assert isinstance(total, Plain)
                keep = number.lo if isinstance(number, Scaled) and one else None
                return replace(form, by=Scaled(total.value, lo=keep))
            case Affine():
                return self._scale_affine(form, number, word, name)

    def _scale_affine(self, form: Affine, number: Plain | Scaled, word: str, name: str) -> RowForm:
        c = self.ctx.code
        if isinstance(number, Scaled):
            total = times(c, name, Plain(1.0), number, word)
            v = self.materialize(form, name)
            if isinstance(total, Scaled):
                return ScaledRow(v, total)
            assert isinstance(total, Plain)
            return Affine(v, total.value)
        exact_unit = isinstance(number.value, float) and abs(number.value) == 1.0
        known = isinstance(number.value, float) and math.isfinite(number.value)
        if self.ctx.dtype == "f64" and word == "mul" and known and not exact_unit:
            match form.b:
                case Offset(center=Var(), factor=1.0) as log if is_one(form.a) and form.minus:
                    hi, lo, tail = (op(c, "less", "mul", p, number.value) for p in (log.hi, log.lo, log.tail))
                    log = replace(log, hi=hi, lo=lo, factor=number.value, tail=tail)
                    return Affine(form.v, number.value, log, minus=True)
        exact = isinstance(form.b, Plain) and form.b.exact and isinstance(form.a, float) and abs(form.a) == 1.0
        if (self.ctx.dtype == "f64" or exact) and not exact_unit:  # an exact difference loses nothing to the next step
            v = self.materialize(form, name)
            if word == "mul":
                return Affine(v, number.value)
            over = number.value if self.ctx.dtype == "f64" else None  # float32 has the reciprocal in two parts
            return Affine(v, self.ctx.reciprocal(number.value), over=over)
        if word == "div" and not exact_unit:
            number, word = Plain(self.ctx.reciprocal(number.value)), "mul"
        a = op(c, name, "mul" if exact_unit else word, form.a, number.value)
        if form.b is None:
            return Affine(form.v, a)
        if exact_unit and isinstance(number.value, float) and number.value == -1.0:
            return Affine(form.v, a, form.b, not form.minus)
        parts = offset(form.b) if is_one(form.a) else None
        if parts is not None:
            near, rest = centered(self, form.v, parts, a, name, minus=form.minus)
            return Affine(near, a, Plain(rest), form.minus)
        if isinstance(number.value, Var) or (isinstance(form.b, Offset) and form.b.pure):
            return Affine(self.materialize(form, name), number.value)  # an infinite factor, or logarithm, meets the sum
        b = self.ctx.collapse(form.b, name + "_offset")
        return Affine(form.v, a, Plain(op(c, name + "_offset", word, b, number.value)), form.minus)

    def _times_scaled(self, name: str, args: tuple[Ref, ...]) -> RowForm:
        """An exponential times an ordinary row keeps its power of two; of two exponentials one is multiplied out."""
        forms = [self.number_form(a) for a in args]
        which = next((i for kind in (PowerRow, ScaledRow) for i, f in enumerate(forms) if isinstance(f, kind)), 0)
        match forms[which]:
            case PowerRow() as power:
                return powers.times_row(self, power, forms[1 - which], name)
            case ScaledRow() as scaled:
                other = self.materialize(forms[1 - which], name)
                return replace(scaled, e=self.code.vec(name, "mul", scaled.e, other))
            case Affine():
                raise AssertionError("neither is an exponential")

    def _where(self, name: str, args: tuple[Ref, ...]) -> RowForm:
        condition, x, y = args
        mask = self.mask(condition)
        if self.ctx.program.nodes[y] == Const(0.0) and self.ctx.program.is_row(x):
            form = self.number_form(x)
            if isinstance(form, ScaledRow) and isinstance(form.by.m, float):
                return replace(form, e=self.code.vec(name, "select", mask, form.e, 0.0))
            if isinstance(form, PowerRow):
                return powers.masked(form, mask)
        return Affine(self.code.vec(name, "select", mask, self.argument(x), self.argument(y)))

    def argument(self, ref: Ref) -> Var | float:
        """An operand of a word: a vector, or a number known now."""
        match self.ctx.program.nodes[ref]:
            case Const(value):
                return float(value)
            case Input() | Param() | Map() | Reduce():
                return self.vec(ref)

    def _word(self, name: str, operation: str, args: tuple[Ref, ...]) -> Var:
        c = self.code
        values = [self.argument(a) for a in args]
        match operation:
            case "minimum" | "maximum":
                return self._extremum(name, operation[:3], values[0], values[1])
            case "square":
                return c.vec(name, "mul", values[0], values[0])
            case "reciprocal":
                return c.vec(name, "div", 1.0, values[0])
            case "sign":
                negative = c.vec(name, "select", c.mask("below", "lt", values[0], 0.0), -1.0, values[0])
                return c.vec(name, "select", c.mask("above", "gt", values[0], 0.0), 1.0, negative)
        words = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "absolute": "abs"}
        if operation in CALLS:
            return c.call(Kind.VEC, (name,), operation, *values)[0]
        return c.vec(name, words.get(operation, operation), *values)

    def _extremum(self, name: str, word: str, a: Var | float, b: Var | float) -> Var:
        """NumPy's minimum and maximum: a NaN on either side wins. The word itself lets the second operand's pass."""
        if isinstance(b, float):
            a, b = b, a
        result = self.code.vec(name, word, a, b)
        if isinstance(a, float):
            return result
        return self.code.vec(name, "select", self.code.mask("unordered", "ne", a, a), a, result)


def _named(number: Number) -> str:
    return number.name if isinstance(number, Var) else "constant"
