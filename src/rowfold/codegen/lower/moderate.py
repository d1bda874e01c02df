"""Sums of exponentials near one: in float64 their bias has to leave before they meet numbers of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...records import replace
from ..loops import Var
from .forms import Plain, Scaled, op

if TYPE_CHECKING:
    from .context import Context


def moderate(ctx: Context, form: Plain | Scaled) -> Plain | Scaled:
    """The same number, its mantissa without the power of two that keeps exponentials large; only float64 needs that."""
    if ctx.dtype != "f64" or not isinstance(form, Scaled) or not isinstance(form.m, Var):
        return form
    octaves = sum(ctx.bias(group) * power for group, power in form.powers.items())
    c, less = ctx.code, 2.0**-octaves
    if not form.powers and isinstance(form.log, Var):  # a number of any size beside an exponential
        k = c.num("binade", "exponent", form.m)
        down = c.num("down", "neg", k)
        lo = None if form.lo is None else c.num(form.lo.name, "scale", form.lo, down)
        m = c.num(form.m.name, "scale", form.m, down)
        return replace(form, m=m, lo=lo, binade=op(c, "binade", "add", form.binade, k))
    if not octaves or form.binade:
        return form
    lo = None if form.lo is None else c.num(form.lo.name, "mul", form.lo, less)
    m = c.num(form.m.name, "mul", form.m, less)
    return replace(form, m=m, lo=lo, binade=op(c, "binade", "add", form.binade, octaves))
