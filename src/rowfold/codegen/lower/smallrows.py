"""Folds of k-vectors, whose numbers have entries, and choices between row-constant numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir import Ref
from ..loops import Var
from .forms import DisplacedSum, NumForm, Plain, Scaled, far_sum

if TYPE_CHECKING:
    from .context import Context


def small_fold(ctx: Context, name: str, operation: str, args: tuple[Ref, ...]) -> NumForm:
    """A k-vector folded. A sum of exponentials is taken under the largest of them."""
    form = ctx.num(args[0])
    if operation == "small_sum" and isinstance(form, Scaled) and any(log.size for log in form.logs):
        log, _ = far_sum(ctx.code, [log for log in form.logs if log.size], ctx.dtype)  # the others, every entry has
        top = ctx.code.num("top", "finite_or_0", ctx.code.num("top", "small_max", log))
        near = ctx.code.num("below", "sub", log, top)
        if isinstance(form.binade, Var):  # one for each entry
            whole, binade = ctx.unscale(Scaled(form.m, logs=(near,), binade=form.binade), "terms"), 0.0
        else:
            whole, binade = ctx.unscale(Scaled(form.m, logs=(near,)), "terms"), form.binade
        logs = (top, *(log for log in form.logs if not log.size))
        return Scaled(ctx.code.num(name, operation, whole), form.powers, None, logs, binade)
    values = [ctx.collapse(form, name), *(ctx.value(a) for a in args[1:])]
    exact = isinstance(form, Plain) and form.exact and operation in ("small_max", "small_min", "pick")
    return Plain(ctx.code.num(name, operation, *values), exact)


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
