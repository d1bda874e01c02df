"""Logarithms of sums, in two parts: what is subtracted from one can subtract the large part first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..loops import Kind
from .displaced import ratio as ratio_of
from .forms import DisplacedSum, Number, NumForm, Offset, Scaled, far_sum, op
from .moderate import unit_of

if TYPE_CHECKING:
    from .context import Context

LN2 = math.log(2.0)
LN2_HI, LN2_LO = float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33")  # k LN2_HI is exact
FOUR_THIRDS = 4.0 / 3.0
INF = math.inf


def log_of_scaled(ctx: Context, form: Scaled, name: str) -> NumForm:
    """log(m 2^n) = n ln 2 + log m, kept apart, with m brought near one: the shift that was chosen does not show."""
    c = ctx.code
    n: Number = form.binade
    units, late = 1.0, 0.0
    fars: list[Number] = [*form.logs]
    for group, power in form.powers.items():
        exponent, far = ctx.shift(group, power)
        n, fars = op(c, "power", "add", n, exponent), [*fars, *far]
        unit, octaves = unit_of(ctx, form, group, late=False)
        units, late = units * unit, late + octaves
    m, n = op(c, "unit", "div", form.m, units), op(c, "n", "sub", n, late)
    if form.powers or form.binade != 0.0:
        k = c.num("binade", "exponent", c.num("binade", "mul", m, FOUR_THIRDS))
        m, n = c.num("near_one", "scale", m, c.num("down", "neg", k)), c.num("power", "add", n, k)
    (lo,) = c.call(Kind.NUM, (name + "_lo",), "log", m)
    hi = n if n == 0.0 else c.num(name + "_hi", "mul", n, LN2)
    hi = op(c, name + "_hi", "add", hi, far_sum(c, fars, ctx.dtype)[0])
    if not form.open:
        return Offset(hi, lo)
    endless = c.flag("endless", "eq", form.m, INF)
    hi = c.num(name + "_hi", "choose", endless, INF, hi)
    hi = c.num(name + "_hi", "choose", c.flag("nothing", "eq", form.m, 0.0), -INF, hi)  # less -inf it is NaN
    return Offset(hi, c.num(name + "_lo", "choose", endless, -INF, lo), pure=True)


def log_of_displaced(ctx: Context, form: DisplacedSum, name: str) -> NumForm:
    """log(e^m + rest) = m + log1p(rest / e^m), kept apart."""
    s = ctx.shifts[form.group]
    c = ctx.code
    ratio, ratio_lo = ratio_of(ctx, form)
    log1p, args = ("log1p", (ratio,)) if ratio_lo == 0.0 else ("log1p_sum", (ratio, ratio_lo))
    (small,) = c.call(Kind.NUM, (name + "_small",), log1p, *args)
    tail: Number = c.num(name + "_tail", "log_rest", small, form.rest, form.maximum)
    hi, lo = op(c, name + "_hi", "mul", form.maximum, s.factor), tail
    if hi is not form.maximum:
        lo = c.num(name + "_lo", "add", lo, c.num("lost", "mul_rest", form.maximum, s.factor, hi))
    exact = hi is form.maximum and ctx.dtype == "f32"
    if ctx.dtype == "f64":
        hi, lo = _log_in_parts(ctx, form, name, (ratio, ratio_lo), hi, lo)
    return Offset(hi, lo, exact, True, form.maximum, s.factor, tail)


def _log_in_parts(
    ctx: Context, form: DisplacedSum, name: str, ratio: tuple[Number, Number], hi: Number, lo: Number
) -> tuple[Number, Number]:
    """log1p of a large ratio as k ln2 + log of the rest: added to a maximum of the other sign it may cancel."""
    c = ctx.code
    whole, rounded = c.call(Kind.NUM, ("whole", "whole_lo"), "two_sum", 1.0, ratio[0])
    lost = op(c, "whole_lo", "add", rounded, ratio[1])
    k = c.num("binade", "binade", whole)
    (log,) = c.call(Kind.NUM, ("log_unit",), "log", c.num("unit", "scale", whole, op(c, "binade", "sub", 0.0, k)))
    near = c.num("correction", "finite_or_0", c.num("correction", "div", lost, whole))
    near = c.num("correction", "add", near, c.num("correction", "mul", k, LN2_LO))
    close = c.num(name + "_lo", "add", log, near)
    split = c.flag("split", "gt", k, 0.0)
    lo = c.num(name + "_lo", "choose", split, c.num(name + "_lo", "log_rest", close, form.rest, form.maximum), lo)
    total, rest = c.call(Kind.NUM, (name + "_hi", name + "_rest"), "two_sum", hi, c.num("binades", "mul", k, LN2_HI))
    return total, c.num(name + "_lo", "add", lo, rest)
