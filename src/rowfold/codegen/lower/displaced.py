"""Exponential sums whose largest term stands apart: the two of them as one number, and as a ratio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..loops import Kind, Var
from .forms import DisplacedSum, Number, Scaled

if TYPE_CHECKING:
    from .context import Context

INF = math.inf


def whole(ctx: Context, form: DisplacedSum) -> Scaled:
    """The sum with its largest term in it."""
    c, (term, _) = ctx.code, _largest(ctx, form, exact=False)
    total = c.num("sum", "add", term, form.rest)
    ordered = c.flag("ordered", "eq", form.rest, form.rest)
    endless = c.flag("endless", "and", c.flag("endless", "eq", form.maximum, INF), ordered)
    return Scaled(c.num("sum", "choose", endless, INF, total), {form.group: 1}, open=True)


def ratio(ctx: Context, form: DisplacedSum) -> tuple[Var, Number]:
    """rest / largest, and in float64 what that lacks: rounding both and their quotient takes up to 2 ULP of it."""
    c, (term, term_lo) = ctx.code, _largest(ctx, form, exact=ctx.dtype == "f64")
    r = c.num("ratio", "div", form.rest, term)
    if term_lo == 0.0:
        return r, 0.0
    less = c.num("less", "neg", r)
    left = c.num("left", "fma", less, term, form.rest)
    left = left if form.lo is None else c.num("left", "add", left, form.lo)
    left = c.num("left", "fma", less, term_lo, left)
    return r, c.num("ratio_lo", "finite_or_0", c.num("ratio_lo", "div", left, term))


def _largest(ctx: Context, form: DisplacedSum, *, exact: bool) -> tuple[Var, Number]:
    """The largest term over the group's shift, in double precision, and if `exact` what that rounding loses."""
    c, s, unit = ctx.code, ctx.shifts[form.group], ctx.unit(form.group)
    assert s.n is not None and s.shift is not None
    near = c.num("near", "finite_or_0", c.num("near", "sub", form.maximum, s.shift))
    word, names = ("exp_split_pair", ("p", "p_lo", "k")) if exact else ("exp_split", ("p", "k"))
    q, *q_lo, k = c.call(Kind.NUM, names, word, near, s.scale[0], s.scale[1])
    p = c.num("p", "mul", q, unit)
    k = c.num("k", "sub", k, s.n)
    term = c.num("largest_term", "scale", p, k)
    term = c.num("largest_term", "choose", c.flag("none", "eq", form.maximum, -INF), 0.0, term)
    if not q_lo:
        return term, 0.0
    p_lo = c.num("p_lo", "fma", q_lo[0], unit, c.num("p_lo", "mul_rest", q, unit, p))
    return term, c.num("largest_term_lo", "scale", p_lo, k)
