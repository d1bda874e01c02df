"""What an exponential is given: the rounding of a large exponent would be many ULP of it.

A row that meets row-constants on its way to the exponent is carried as a number and what that number lost.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..ir import Const, Map, Program, Ref
from ..loops import Arg, Kind, Var
from .forms import Affine, Number, NumForm, Offset, Plain, RowForm, plus
from .joint import two_sum, unrounded_distance

if TYPE_CHECKING:
    from .rows import Rows

INF = math.inf
SCALES, SUMS = ("multiply", "divide"), ("add", "subtract", "from")  # "from": a row is subtracted from a number


def unrounded_exponential(rows: Rows, exponent: Ref, name: str) -> Var:
    """exp(exponent) with what the exponent loses when it is rounded."""
    word, args = unrounded_arguments(rows, exponent, name)
    return rows.code.call(Kind.VEC, (name,), word, *args)[0]


def unrounded_arguments(rows: Rows, exponent: Ref, name: str) -> tuple[str, tuple[Arg, ...]]:
    """The function that takes the exponential, and what it is given."""
    steps = _steps(rows, exponent)
    if _rounds(rows, steps):
        total, lost = _walked(rows, steps, name)
        return "exp_sum", (total, 0.0, lost)
    return _in_one_line(rows, rows.number_form(exponent), name)


def _in_one_line(rows: Rows, form: RowForm, name: str) -> tuple[str, tuple[Arg, ...]]:
    match form:
        case Affine(v, a, Offset(center=Var() as center, factor=factor, tail=tail), True, None) if (
            rows.ctx.dtype == "f64" and a == factor and a != 1.0
        ):
            return "exp_line", unrounded_distance(rows, v, center, a, tail, name)
        case Affine(v, a, b, minus, None) if (b is not None or not _power_of_two(a)) and not _centered(a, b):
            b = b or Plain(0.0)
            hi, rest = rows.parts(plus(rows.ctx.code, name + "_offset", Plain(0.0), b, "sub") if minus else b)
            lo = 0.0 if rest is None else rest
            if isinstance(a, float) and abs(a) == 1.0:
                return "exp_sum", (rows.product(v, a, name), hi, lo)
            factor = rows.set(a, "factor")
            factor_lo = 0.0 if rows.ctx.dtype == "f64" else rows.low(a)
            return "exp_line", (v, factor, factor_lo, hi, lo)
        case _:
            return "exp", (rows.materialize(form, name),)


def _power_of_two(a: Number) -> bool:
    return isinstance(a, float) and abs(math.frexp(a)[0]) == 0.5


def _centered(a: Number, b: NumForm | None) -> bool:
    """Whether v a + b is (v - center) a - tail, which cannot overflow where the difference does not."""
    return isinstance(b, Offset) and b.center is not None and not (isinstance(a, float) and abs(a) == 1.0)


# rows that meet one row-constant after another


def _steps(rows: Rows, exponent: Ref) -> list[tuple[str, Ref]]:
    """From a row on: ("", row), then each row-constant that it meets, and how."""
    match rows.ctx.program.nodes[exponent]:
        case Map("negative", (x,)) if _is_row(rows, x):
            return [*_steps(rows, x), ("negative", x)]
        case Map(("add" | "multiply") as word, (x, c)) if _is_row(rows, x) != _is_row(rows, c):
            return [*_steps(rows, x), (word, c)] if _is_row(rows, x) else [*_steps(rows, c), (word, x)]
        case Map(("subtract" | "divide") as word, (x, c)) if _is_row(rows, x) and not _is_row(rows, c):
            return [*_steps(rows, x), (word, c)]
        case Map("subtract", (c, x)) if _is_row(rows, x) and not _is_row(rows, c):
            return [*_steps(rows, x), ("from", c)]
    return [("", exponent)]


def _is_row(rows: Rows, ref: Ref) -> bool:
    return rows.ctx.program.is_row(ref)


def _rounds(rows: Rows, steps: list[tuple[str, Ref]]) -> bool:
    """Whether a line of two-term constants is not enough: in float32 those are doubles, but differences are rounded."""
    words = [word for word, _ in steps]
    scales = [i for i, word in enumerate(words) if word in SCALES]
    sums = [i for i, word in enumerate(words) if word in SUMS]
    logs = [form for i in sums if isinstance(form := rows.ctx.num(steps[i][1]), Offset)]
    if logs:  # times a number that is known now, a row less a logarithm of its own may subtract the maximum first
        alone = len(sums) == 1 and words[sums[0]] == "subtract" and logs[0].center is not None
        after = [rows.ctx.program.nodes[c] for _, c in steps[sums[0] + 1 :]]
        return not alone or not after or not all(isinstance(node, Const) for node in after)
    if scales and sums and min(sums) < max(scales):
        return True
    if rows.ctx.dtype == "f32" or not scales:
        return False
    return len(scales) > 1 or "divide" in words or _is_rounded(rows.ctx.program, steps[scales[0]][1])


def _is_rounded(program: Program, factor: Ref) -> bool:
    return isinstance(node := program.nodes[factor], Map) and node.op in ("multiply", "divide")


def _walked(rows: Rows, steps: list[tuple[str, Ref]], name: str) -> tuple[Var, Var | float]:
    total: Var = rows.vec(steps[0][1])
    lost: Var | float = 0.0
    for word, constant in steps[1:]:
        total, lost = _step(rows, total, lost, word, constant, name)
    return total, lost


def _step(rows: Rows, total: Var, lost: Var | float, word: str, constant: Ref, name: str) -> tuple[Var, Var | float]:
    c = rows.code
    match word:
        case "multiply":
            return _times(rows, total, lost, rows.ctx.value(constant), rows.ctx.factor_lo(constant), name)
        case "divide" if rows.ctx.dtype == "f32":
            return _times(rows, total, lost, rows.ctx.reciprocal(rows.ctx.value(constant)), 0.0, name)
        case "divide":
            return _over(rows, total, lost, constant, name)
        case "negative" | "from":
            total, lost = c.vec(name, "neg", total), lost if isinstance(lost, float) else c.vec("lost", "neg", lost)
    if word == "negative":
        return total, lost
    way = "sub" if word == "subtract" else "add"
    for part in rows.parts(rows.ctx.num(constant)):  # the second one of a logarithm need not be small
        if part is not None:
            total, error = two_sum(c, name, way, total, part)
            if isinstance(lost, Var):  # where the total is nearly 0, it is what was lost before
                error = c.vec("lost", "add", lost, error)
                total, error = two_sum(c, name, "add", total, error)
            lost = error
    return total, lost


def _times(
    rows: Rows, total: Var, lost: Var | float, factor: Number, rest: Number, name: str
) -> tuple[Var, Var | float]:
    c, hi = rows.code, rows.set(factor, "factor")
    lo = rows.low(factor) if rows.ctx.dtype == "f32" else rows.set(rest, "factor_lo")
    product = c.vec(name, "mul", total, hi)
    error = c.vec("lost", "fma", total, lo, c.vec("lost", "fma", total, hi, c.vec("less", "neg", product)))
    error = _finite(rows, error, error, 0.0)
    return product, error if isinstance(lost, float) else _joined(
        rows, product, c.vec("lost", "fma", lost, hi, error), lost
    )


def _over(rows: Rows, total: Var, lost: Var | float, divisor: Ref, name: str) -> tuple[Var, Var | float]:
    c, by = rows.code, rows.set(rows.ctx.value(divisor), "divisor")
    quotient = c.vec(name, "div", total, by)
    less = c.vec("less", "neg", quotient)
    error = c.vec("lost", "fma", less, by, total)
    rest = rows.ctx.factor_lo(divisor)
    error = error if rest == 0.0 else c.vec("lost", "fma", less, rows.set(rest, "divisor_lo"), error)
    error = _finite(rows, error, error, 0.0)
    error = error if isinstance(lost, float) else c.vec("lost", "add", lost, error)
    return quotient, _joined(rows, quotient, c.vec("lost", "div", error, by), lost)


def _joined(rows: Rows, total: Var, error: Var, lost: Var | float) -> Var:
    """What is lost of a finite number, or 0; a NaN in what was lost before is what is due, and stays."""
    return _finite(rows, total, error, 0.0 if isinstance(lost, float) else rows.code.vec("due", "mul", lost, 0.0))


def _finite(rows: Rows, number: Var, value: Var, otherwise: Var | float) -> Var:
    c = rows.code
    return c.vec("lost", "select", c.mask("finite", "lt", c.vec("size", "abs", number), INF), value, otherwise)
