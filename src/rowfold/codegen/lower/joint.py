"""A row and two numbers that it meets one after the other: their sum is rounded once, their distance scaled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..loops import Arg, Code, Var
from .forms import Number, op

if TYPE_CHECKING:
    from .rows import Rows

INF = float("inf")
MOST = {"f32": float.fromhex("0x1.fffffep+127"), "f64": float.fromhex("0x1.fffffffffffffp+1023")}
FAR = {"f32": 2.0**102, "f64": 2.0**969}  # below it a center and any negative element are a finite number apart


def distance(rows: Rows, v: Var, center: Var, a: Number, tail: Number, name: str, over: Number | None) -> Var:
    """(v - center) a - tail, or over what `over` is; the difference is rounded once, of halves if far."""
    half, twice, middle = _halves(rows, center)
    near = rows.code.vec(name, "fma", v, half, middle)
    away = rows.product(near, a, name, over)
    less = -tail if isinstance(tail, float) else rows.pre.num("less", "neg", tail)
    return rows.code.vec(name, "fma", away, rows.set(twice, "twice"), rows.set(less, "less"))


def _halves(rows: Rows, center: Var) -> tuple[Var, Var, Var]:
    """1, 1 and -center; where that may be too far from an element, for their halves: 1/2, 2 and -center / 2."""
    pre = rows.pre
    far = pre.flag("far", "le", FAR[rows.ctx.dtype], pre.num("size", "abs", center))
    half, twice = pre.num("half", "choose", far, 0.5, 1.0), pre.num("twice", "choose", far, 2.0, 1.0)
    middle = pre.num("middle", "neg", pre.num("middle", "mul", center, half))
    return rows.set(half, "half"), twice, rows.set(middle, "middle")


def unrounded_distance(rows: Rows, v: Var, center: Var, a: Number, tail: Number, name: str) -> tuple[Arg, ...]:
    """(v - center) a - tail as the line that "exp_line" is given: with what the difference loses when it is rounded."""
    half, twice, middle = _halves(rows, center)
    c, factor = rows.code, rows.set(op(rows.pre, "factor", "mul", twice, a), "factor")
    near, lost = two_sum(c, name, "add", c.vec("half", "mul", v, half), middle)
    less = -tail if isinstance(tail, float) else rows.pre.num("less", "neg", tail)
    return near, factor, 0.0, rows.set(less, "less"), c.vec("lost", "mul", lost, factor)


def summed(c: Code, name: str, word: str, v: Var, parts: tuple[Var, Var | None], *, joint: bool) -> Var:
    """v plus or minus a number of one part or two, rounded once where it is two numbers."""
    hi, lo = parts
    if lo is None:
        return c.vec(name, word, v, hi)
    return _once_rounded(c, name, word, v, hi, lo) if joint else c.vec(name, word, c.vec(name, word, v, hi), lo)


def _once_rounded(c: Code, name: str, word: str, v: Var, hi: Var, lo: Var) -> Var:
    """v + (hi + lo), or less it: what the first sum loses joins lo."""
    total, lost = two_sum(c, name, word, v, hi)
    return c.vec(name, "add", total, c.vec("rest", word, lost, lo))


def two_sum(c: Code, name: str, word: str, v: Var, hi: Var) -> tuple[Var, Var]:
    """v plus or minus hi, and what that loses: nothing of what is not finite."""
    total = c.vec(name, word, v, hi)
    moved = c.vec("moved", "sub", total, v)
    left = c.vec("left", "sub", v, c.vec("back", "sub", total, moved))
    right = c.vec("right", "sub", hi, moved) if word == "add" else c.vec("right", "add", hi, moved)
    lost = c.vec("lost", word, left, right)
    finite = c.mask("finite", "lt", c.vec("size", "abs", total), INF)
    return total, c.vec("lost", "select", finite, lost, 0.0)


def centered(
    rows: Rows, v: Var, parts: tuple[Number, Number], a: Number, name: str, *, minus: bool
) -> tuple[Var, Number]:
    """(v - b) a as (v - bulk) a - rest: the bulk of a b that dwarfs 1 / a goes before the product may overflow.

    Nothing is left of an infinite bulk. A rest that is finite, but not times a, is left out: beside (v - bulk) a, which
    is infinite then, its sign must not count. One that is not finite is a logarithm's, and what comes of it is due.
    """
    c, (hi, lo), most = rows.ctx.code, parts, MOST[rows.ctx.dtype]
    center = c.num("center", "center", hi, a)
    near = rows.code.vec("near", "sub" if minus else "add", v, rows.set(center, "center"))
    bounded = c.flag("bounded", "le", c.num("size", "abs", center), most)
    rest = op(c, "offset", "add", c.num("offset", "choose", bounded, op(c, "offset", "sub", hi, center), 0.0), lo)
    product = c.num(name + "_offset", "mul", rest, a)
    held = c.flag("held", "le", c.num("size", "abs", product), most)
    kept = c.num(name + "_offset", "choose", held, product, 0.0)
    finite = c.flag("finite", "le", c.num("size", "abs", rest), most)
    return near, c.num(name + "_offset", "choose", finite, kept, product)
