"""Folds of k-vectors, whose numbers have entries, and choices between row-constant numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir import Ref
from ..loops import Var
from .forms import DisplacedSum, Number, NumForm, Plain, Scaled, far_sum

if TYPE_CHECKING:
    from .context import Context


def small_fold(ctx: Context, name: str, operation: str, args: tuple[Ref, ...]) -> NumForm:
    """A k-vector folded. A sum of exponentials is taken under the largest of them."""
    form = ctx.num(args[0])
    if operation == "small_sum" and isinstance(form, Scaled) and any(log.size for log in form.logs):
        return _sum_of_exponentials(ctx, name, form)
    values = [ctx.collapse(form, name), *(ctx.value(a) for a in args[1:])]
    exact = isinstance(form, Plain) and form.exact and operation in ("small_max", "small_min", "pick")
    return Plain(ctx.code.num(name, operation, *values), exact)


def _sum_of_exponentials(ctx: Context, name: str, form: Scaled) -> Scaled:
    """What differs from entry to entry goes into the terms, less its largest; the rest meets their sum."""
    c, binade = ctx.code, form.binade
    logs = tuple(log for log in form.logs if log.size)
    others = tuple(log for log in form.logs if not log.size)
    if isinstance(binade, Var) and binade.size:
        m, n = ctx.mantissa(Scaled(form.m, logs=logs, binade=binade), "terms")
        largest = c.num("top", "small_max", ctx.binade_of(m, n))
        whole: Number = c.num("terms", "scale", m, c.num("below", "sub", n, largest))
        return Scaled(c.num(name, "small_sum", whole), form.powers, None, others, largest)
    log, _ = far_sum(c, logs, ctx.dtype)
    top = c.num("top", "finite_or_0", c.num("top", "small_max", log))
    whole = ctx.unscale(Scaled(form.m, logs=(c.num("below", "sub", log, top),)), "terms")
    return Scaled(c.num(name, "small_sum", whole), form.powers, None, (top, *others), binade)


def chosen(ctx: Context, name: str, condition: Ref, ref: Ref) -> NumForm:
    """The number where the condition holds, else 0. One beyond the range keeps its power of two, and 0 has none."""
    flag, form = ctx.flag(condition), ctx.num(ref)
    if not isinstance(form, Scaled | DisplacedSum):
        return Plain(ctx.code.num(name, "choose", flag, ctx.value(ref), 0.0))
    whole = ctx.multiplicative(form)
    assert isinstance(whole, Scaled)
    m, n = ctx.mantissa(whole, name)
    kept, power = ctx.code.num(name, "choose", flag, m, 0.0), ctx.code.num("power", "choose", flag, n, 0.0)
    return Scaled(kept, binade=power, open=whole.open)
