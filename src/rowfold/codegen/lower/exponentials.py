"""Exponentials of rows, each under the shift of its group."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ..isas import steps_exponents
from ..loops import Kind, Var
from .forms import Number, op

if TYPE_CHECKING:
    from .rows import Rows


def plain_exponential(rows: Rows, group: int, name: str) -> Var:
    """exp(a) where nothing cancels its shift: with none, so that small ones are not lost beside the largest."""
    p, k = split(rows, group, within(rows, group, rows.vec(rows.ctx.plan.groups[group].base)))
    return rows.code.vec(name, "scale", p, k)


def within(rows: Rows, group: int, x: Var) -> Var:
    """Base value x kept where the reduction of its exponential is exact."""
    c = rows.ctx.code
    reach = op(c, "reach", "div", rows.ctx.limit - 1.0, rows.ctx.shifts[group].scale[0])
    x = rows.code.vec(x.name, "max", rows.set(op(c, "lowest", "sub", 0.0, reach), "lowest"), x)
    return rows.code.vec(x.name, "min", rows.set(reach, "highest"), x)


def exponential(rows: Rows, group: int) -> Var:
    """e of exp(a) = e * 2^n, from memory where an earlier sweep kept it, else computed under the group's shift."""
    if group in rows.kept:
        return rows.load(rows.kept[group], "load", Kind.VEC)
    return shifted(rows, group, rows.vec(rows.ctx.plan.groups[group].base))


def shifted(
    rows: Rows, group: int, x: Var, n: Var | None = None, low: Var | None = None, word: str | None = None
) -> Var:
    """The exponential of base value x under the shift of the group, or under running vectors n and low."""
    s, c = rows.ctx.shifts[group], rows.code
    if n is None:
        assert s.n is not None and s.low is not None and s.shift is not None
        x = c.vec(x.name, "sub", x, rows.set(s.shift, s.shift.name))
        n, low = biased(rows, group), rows.set(s.low, s.low.name)
        if s.high is not None:
            x = c.vec(x.name, "min", rows.set(s.high, s.high.name), x)
    assert low is not None
    plan = rows.ctx.plan  # what a bias leaves is normal, or 0; the lanes of a tile are rows, each with its own shift
    normal = steps_exponents(plan.isa) and plan.form != "tiles" and rows.ctx.bias(group) > 0.0
    word = word or ("exp_normal" if normal else "exp_shifted")
    (e,) = c.call(Kind.VEC, ("e",), word, c.vec(x.name, "max", low, x), *scales(rows, group), n)
    return e


def guessed(rows: Rows, group: int, x: Var) -> Var:
    """The exponential under a guessed shift."""
    low = rows.ctx.shifts[group].low
    assert low is not None
    return shifted(rows, group, x, biased(rows, group), rows.set(low, low.name))


def biased(rows: Rows, group: int) -> Var:
    """The group's shift less its bias, as a vector."""
    n = rows.ctx.shifts[group].n
    assert n is not None
    return rows.set(op(rows.pre, "shift_exponent", "sub", n, rows.ctx.bias(group)), n.name)


def pair(rows: Rows, group: int, x: Var) -> tuple[Var, Var]:
    """(p, k) with the exponential p 2^k of base value x: the bits of `shifted`, before any shift."""
    p, k = fine_pair(rows, group, x)
    return p, rows.code.vec("k", "floor", k)


def fine_pair(rows: Rows, group: int, x: Var) -> tuple[Var, Var]:
    """The same with k in sixteenths: the exponential is p 2^floor(k)."""
    p, k = rows.code.call(Kind.VEC, ("p", "k"), "exp_pair", x, *scales(rows, group))
    return p, k


def split(rows: Rows, group: int, x: Var) -> tuple[Var, Var]:
    """exp(factor x) = p 2^k. Without a factor the reduction's first step is exact."""
    if rows.ctx.plan.groups[group].factor is None:
        p, k = rows.code.call(Kind.VEC, ("p", "k"), "exp_parts", x)
        return p, k
    scale, low = scales(rows, group)
    p, k = rows.code.call(Kind.VEC, ("p", "k"), "exp_split", x, scale, low)
    return p, k


def scales(rows: Rows, group: int) -> tuple[Var, Var]:
    hi, lo = rows.ctx.shifts[group].scale
    if rows.ctx.dtype == "f64":
        return rows.set(hi, "scale"), rows.set(lo, "scale_lo")
    both = rows.ctx.code.num("scale_rest", "lost", hi, lo) if isinstance(hi, Var) else _lost(hi, lo)
    return rows.set(hi, "scale"), rows.set(both, "scale_lo")


def _lost(hi: float, lo: Number) -> float:
    assert isinstance(lo, float)
    single: float = struct.unpack("<f", struct.pack("<f", hi))[0]
    return hi - single + lo
