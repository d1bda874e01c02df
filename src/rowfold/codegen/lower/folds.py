"""From lanes to numbers: the last step of every sum."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir import Ref
from ..loops import Code, Kind, Var
from .context import Context
from .forms import Number, Offset, Plain


def fold(code: Code, ctx: Context, acc: Var, name: str) -> Plain:
    """The sum over the lanes, with what rounding lost where float64 keeps it."""
    if ctx.dtype == "f64":
        hi, lo = code.call(Kind.NUM, (name, name + "_lo"), "fold2", acc)
        return Plain(hi, lo=lo)
    return Plain(code.num(name, "fold", acc))


def folded(code: Code, ctx: Context, acc: Var, name: str) -> tuple[Number, ...]:
    """The same as the numbers of a state: one, or two in float64."""
    total = fold(code, ctx, acc, name)
    return (total.value,) if total.lo is None else (total.value, total.lo)


def total_of(state: Sequence[Number]) -> Plain:
    """The sum that `folded` gave."""
    low = state[1] if len(state) > 1 else None
    assert low is None or isinstance(low, Var)
    return Plain(state[0], lo=low)


def quotient(code: Code, ctx: Context, total: Plain, where: Ref | None, name: str) -> Plain | Offset:
    """total / count, in two parts for float64."""
    count = ctx.count if where is None else ctx.counts[where].value
    assert count is not None
    hi = code.num(name, "div", total.value, count)
    if total.lo is None:
        return Plain(hi)
    return Offset(hi, code.num(name + "_lo", "div_rest2", total.value, total.lo, count, hi))
