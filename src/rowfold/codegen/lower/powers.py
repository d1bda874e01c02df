"""Exponentials that are kept as p 2^k until everything that multiplies them is in (codegen/rewriting/apart.py).

What meets a row is brought between 1/2 and 1 over a power of two, so that the product neither overflows nor becomes
subnormal where the result does not; all powers of two are applied together, last.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...records import dataclass, replace
from ..ir import Ref
from ..loops import Kind, Var
from .context import LIMIT
from .exponentials import fine_pair, split, within
from .exponents import unrounded_arguments
from .forms import Affine, Factor, Number, Plain, PowerRow, RowForm, Scaled, op, scaled, times

if TYPE_CHECKING:
    from .rows import Rows

INF = math.inf
ROOM = 1.04  # times the largest mantissa, 2.06, and 1/2: below 1
BELOW = {"f32": 20000.0, "f64": 65536.0}  # this far below the largest of its row nothing is left of an exponential


def power_row(rows: Rows, exponent: Ref) -> PowerRow:
    """The exponential itself."""
    group = rows.ctx.group_of(exponent)
    return PowerRow(exponent, Scaled(1.0, {} if group is None else {group: 1}))


def times_row(rows: Rows, form: PowerRow, other: RowForm, name: str) -> PowerRow:
    """Times another row; v + c stays apart, for y v + y c has one rounding less on the part that is large.

    Not where c is a number of the row's type: v + c is then rounded once, and may be exactly 0.
    """
    match other:
        case Affine(v, 1.0, Plain(c, False, None), minus, None):
            factor = Factor(v, c, minus)
        case _:
            factor = Factor(rows.materialize(other, name))
    return replace(form, met=(*form.met, factor))


def masked(form: PowerRow, mask: Var) -> PowerRow:
    """0 outside of the mask, whatever the numbers so far are; those to come still count."""
    form = settled(form)
    return replace(form, met=(*form.met, mask))


def settled(form: PowerRow) -> PowerRow:
    """The number so far as one of its own: in float64 the product with another might leave the range of doubles."""
    if isinstance(form.by.m, float):
        return form
    return replace(form, by=replace(form.by, m=1.0, lo=None), met=(*form.met, Scaled(form.by.m, lo=form.by.lo)))


def reciprocal(rows: Rows, form: PowerRow, name: str) -> PowerRow:
    """1 over an exponential that has met no row yet."""
    return PowerRow(form.exponent, scaled(times(rows.ctx.code, name, Plain(1.0), form.by, "div")), (), not form.below)


def materialize(rows: Rows, form: PowerRow, name: str) -> Var:
    """Everything multiplied out, the power of two last."""
    c, sign = rows.code, -1.0 if form.below else 1.0
    t, k, offset, by = _parts(rows, form, sign)
    steps = _steps(rows, form, by, name)
    k = c.vec("k", "neg", c.vec("k", "floor", k)) if form.below else k
    total = op(rows.ctx.code, "binade", "mul", offset, sign)
    for step in steps:
        total = op(rows.ctx.code, "binade", "add", total, step.n) if isinstance(step, _Number) else total
    k = k if total == 0.0 else c.vec("k", "add", k, rows.set(total, "binade"))
    t = c.vec(name, "div", 1.0, t) if form.below else t
    first = next((step for step in steps if isinstance(step, Factor)), None)
    doublings = 2 if form.below or offset == 0.0 else 1  # the p of a pair under a shift is never below 1
    for step in steps:
        for _ in range(doublings if step is first else 0):
            t, k = _brought_near_one(rows, t, k)
        t = _times(rows, t, step, name)
        k = c.vec("k", "select", step.mask, k, 0.0) if isinstance(step, _Mask) else k
    return _joined(rows, t, k, name)


def _joined(rows: Rows, t: Var, k: Var, name: str) -> Var:
    """t 2^floor(k) for a t and a k of any size."""
    return rows.code.vec(name, "scale_far", t, k)


@dataclass(frozen=True, slots=True)
class _Number:
    """(m + lo) 2^n with m between 1/4 and 1/2."""

    m: Number
    lo: Number | None
    n: Number


@dataclass(frozen=True, slots=True)
class _Mask:
    """Where the result is not 0, and what 0 becomes by the numbers that follow it: NaN, if one is not finite."""

    mask: Var
    outside: Number


def _steps(rows: Rows, form: PowerRow, by: Scaled, name: str) -> list[Factor | _Number | _Mask]:
    """The numbers meet the exponential before any row does: a row's subnormal numbers are then rounded once."""
    numbers = [item for item in (*form.met, by) if isinstance(item, Scaled)]
    numbers.sort(key=lambda item: item.lo is None)  # two parts of a number make NaN of what is infinite already
    steps: list[Factor | _Number | _Mask] = [_number(rows, number, name) for number in numbers]
    for i, item in enumerate(form.met):
        match item:
            case Factor():
                steps.append(item)
            case Var():
                later = [number for number in (*form.met[i:], by) if isinstance(number, Scaled)]
                steps.append(_Mask(item, _hollow(rows, later)))
            case Scaled():
                pass
    return steps


def _hollow(rows: Rows, numbers: list[Scaled]) -> Number:
    total: Number = 0.0
    for number in numbers:
        if isinstance(number.m, Var):
            total = op(rows.ctx.code, "outside", "add", total, rows.ctx.code.num("outside", "mul", number.m, 0.0))
    return total


def _parts(rows: Rows, form: PowerRow, sign: float) -> tuple[Var, Var, Number, Scaled]:
    """(p, k, offset, by): the exponential is p 2^(k + offset), and by what remains to be multiplied with."""
    group = rows.ctx.group_of(form.exponent)
    if group is None:
        return *_unrounded(rows, form.exponent), 0.0, form.by
    x, by = rows.vec(rows.ctx.plan.groups[group].base), form.by
    if by.powers.get(group, 0) == sign and not by.logs and by.binade == 0.0:  # nothing cancels the shift
        p, k = split(rows, group, within(rows, group, x))
        p = rows.code.vec("p", "select", rows.code.mask("endless", "eq", x, INF), INF, _unless_gone(rows, x, p))
        return p, k, 0.0, replace(by, powers={g: n for g, n in by.powers.items() if g != group})
    p, k = _shifted(rows, group, x)
    n = rows.ctx.shifts[group].n
    assert n is not None
    return p, k, op(rows.ctx.code, "binade", "sub", rows.ctx.bias(group), n), by


def _shifted(rows: Rows, group: int, x: Var) -> tuple[Var, Var]:
    """The pair of an exponential under its group's shift, whose power of two is left to be subtracted."""
    s, c = rows.ctx.shifts[group], rows.code
    assert s.n is not None and s.shift is not None
    near = c.vec("x", "sub", x, rows.set(s.shift, s.shift.name))
    low = rows.ctx.code.num("lowest", "low_end", s.n, s.per_octave, BELOW[rows.ctx.dtype])
    near = c.vec("x", "max", rows.set(low, "lowest"), near)
    highest = op(rows.ctx.code, "highest", "div", 2.0 * LIMIT, s.scale[0]) if s.high is None else s.high
    near = c.vec("x", "min", rows.set(highest, "highest"), near)  # a NaN times 2^inf would be infinite
    p, k = fine_pair(rows, group, near)
    return _unless_gone(rows, x, p), k


def _unless_gone(rows: Rows, x: Var, p: Var) -> Var:
    """Exactly 0 for an exponent of -inf."""
    return rows.code.vec("p", "select", rows.code.mask("gone", "eq", x, -INF), 0.0, p)


def _unrounded(rows: Rows, exponent: Ref) -> tuple[Var, Var]:
    """exp(v a + b) as a pair, with what v a + b loses when it is rounded."""
    word, args = unrounded_arguments(rows, exponent, "t")
    if word == "exp":
        word, args = "exp_sum", (*args, 0.0, 0.0)
    p, k = rows.code.call(Kind.VEC, ("p", "k"), word + "_pair", *args)
    return p, k


def _number(rows: Rows, by: Scaled, name: str) -> _Number:
    c = rows.ctx.code
    m, n, lo = (by.m, 0.0, by.lo) if by.plain else (*rows.ctx.mantissa(by, name), None)
    if isinstance(m, float):
        exponent = math.frexp(m * ROOM)[1] + 1.0 if math.isfinite(m) else 0.0
        return _Number(m * 2.0**-exponent, None, op(c, "binade", "add", n, exponent))
    size = c.num("binade", "add", c.num("binade", "exponent", c.num("room", "mul", m, ROOM)), 2.0)
    down = c.num("down", "neg", size)
    lo = None if lo is None else c.num(name + "_lo", "scale", lo, down)
    return _Number(c.num(name, "scale", m, down), lo, op(c, "binade", "add", n, size))


def _brought_near_one(rows: Rows, t: Var, k: Var) -> tuple[Var, Var]:
    """The same number with t between 1/2 and 1: its product with a subnormal number is then rounded once."""
    c = rows.code
    low = c.mask("low", "lt", c.vec("size", "abs", t), 0.5)
    less = c.vec("k", "sub", k, 1.0)
    return c.vec("t", "select", low, c.vec("twice", "add", t, t), t), c.vec("k", "select", low, less, k)


def _times(rows: Rows, t: Var, step: Factor | _Number | _Mask, name: str) -> Var:
    c = rows.code
    match step:
        case Factor(v, constant, minus):
            if constant is None:
                return c.vec(name, "mul", t, v)
            signed = op(rows.ctx.code, "against", "sub", 0.0, constant) if minus else constant
            finite = c.vec(name, "fma", t, v, rows.product(t, signed, "far"))
            whole = c.vec("whole", "mul", t, c.vec("sum", "add", v, rows.set(signed, "constant")))
            endless = c.mask("endless", "eq", c.vec("size", "abs", t), INF)  # an infinite t has one sign, that of v + c
            return c.vec(name, "select", endless, whole, finite)
        case _Number(m, lo):
            return _product(rows, t, m, lo, name)
        case _Mask(mask, outside):
            return c.vec(name, "select", mask, t, outside if outside == 0.0 else rows.set(outside, "outside"))


def _product(rows: Rows, t: Var, m: Number, lo: Number | None, name: str) -> Var:
    """t (m + lo), only the result rounded."""
    c = rows.code
    if not isinstance(m, Var):
        return c.vec(name, "mul", t, m)
    if rows.ctx.dtype == "f64" and lo is None:
        return c.vec(name, "mul", t, rows.set(m, m.name))
    hi, rest = rows.halves(m) if rows.ctx.dtype == "f32" else (rows.set(m, m.name), rows.set(lo or 0.0, "lo"))
    return c.vec(name, "fma", t, hi, c.vec("small", "mul", t, rest))
