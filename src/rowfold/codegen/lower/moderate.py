"""Sums of exponentials near one: their powers of two have to leave before the mantissas of a product leave range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...records import replace
from ..loops import Var
from .forms import Plain, Scaled, op, scaled

if TYPE_CHECKING:
    from .context import Context

# So many sums can be multiplied within the range of doubles: in float64 one without its bias is at most 2^(300 - 72)
# (TOP in expsums.py), and in float32 one of 2^101 may have weights of 2^128. Of other numbers that is not known.
FACTORS = 4


def moderate(ctx: Context, forms: list[Plain | Scaled]) -> list[Plain | Scaled]:
    """The factors of a product, or of a quotient, as numbers whose mantissas can be multiplied."""
    many = sum(_factors(ctx, form) for form in forms) > FACTORS
    return [_near_one(ctx, form) if many else _without_bias(ctx, form) for form in forms]


def unit_of(ctx: Context, form: Scaled, group: int, *, late: bool) -> tuple[float, float]:
    """What the mantissa has of a group's unit, and the powers of two that, if `late`, or many, its exponent has."""
    power, bias = form.powers[group], ctx.bias(group)
    octaves = bias if late or sum(map(abs, form.powers.values())) > FACTORS else 0.0
    return (ctx.unit(group) * 2.0**-octaves) ** power, octaves * power


def _factors(ctx: Context, form: Plain | Scaled) -> int:
    match form:
        case Scaled(m, powers):
            return (sum(map(abs, powers.values())) or FACTORS) if isinstance(m, Var) else 0
        case Plain(value):
            return FACTORS if ctx.dtype == "f64" and isinstance(value, Var) else 0


def _near_one(ctx: Context, form: Plain | Scaled) -> Plain | Scaled:
    """The same number with a mantissa from 1 to 2."""
    form = scaled(form) if ctx.dtype == "f64" else form
    if not isinstance(form, Scaled) or not isinstance(form.m, Var):
        return form
    c, name = ctx.code, form.m.name
    size = c.num("binade", "exponent", form.m)
    down = c.num("down", "neg", size)
    lo = None if form.lo is None else c.num(form.lo.name, "scale", form.lo, down)
    return replace(form, m=c.num(name, "scale", form.m, down), lo=lo, binade=op(c, "binade", "add", form.binade, size))


def _without_bias(ctx: Context, form: Plain | Scaled) -> Plain | Scaled:
    """The same number, its mantissa without the power of two that keeps exponentials large; only float64 needs that."""
    if ctx.dtype != "f64" or not isinstance(form, Scaled) or not isinstance(form.m, Var):
        return form
    octaves = sum(ctx.bias(group) * power for group, power in form.powers.items())
    if not octaves or form.binade != 0.0:
        return form
    c, less = ctx.code, 2.0**-octaves
    lo = None if form.lo is None else c.num(form.lo.name, "mul", form.lo, less)
    m = c.num(form.m.name, "mul", form.m, less)
    return replace(form, m=m, lo=lo, binade=op(c, "binade", "add", form.binade, octaves))
