"""Boolean rows as lane masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir import Const, Input, Map, Param, Program, Reduce, Ref, Role
from ..loops import Kind, Var
from .context import is_bool
from .forms import COMPARE

if TYPE_CHECKING:
    from .rows import Rows

INF = float("inf")


def _beside_positions(program: Program, *refs: Ref) -> Ref | None:
    """The number of two values of which the other one is the places of the row."""
    placed = [isinstance(node := program.nodes[ref], Input) and node.role is Role.POSITIONS for ref in refs]
    number = refs[placed.index(False)] if any(placed) and not all(placed) else None
    return None if number is None or program.is_row(number) else number


def mask_of(rows: Rows, ref: Ref) -> Var:
    """The mask of a boolean row, or of a number: whether it is not zero."""
    program, c = rows.ctx.program, rows.code
    if not program.is_row(ref):
        flag = rows.ctx.flag(ref) if is_bool(program, ref) else None
        number = rows.ctx.code.num("chosen", "from_flag", flag) if flag else rows.ctx.value(ref)
        return rows.pre.mask("chosen", "ne", rows.set(number, "chosen"), 0.0)
    match program.nodes[ref]:
        case Input(_, Role.MASK):
            return rows.load(rows.ctx.ports[ref].name, "load_mask", Kind.MASK)
        case Map("equal" | "not_equal" as operation, (a, b)) if (place := _beside_positions(program, a, b)) is not None:
            there = c.mask(rows.ctx.name(ref, "mask"), "at_position", rows.ctx.value(place), *rows.first)
            return there if operation == "equal" else c.mask("mask", "mask_not", there)
        case Map(operation, (a, b)) if operation in COMPARE:
            return c.mask(rows.ctx.name(ref, "mask"), COMPARE[operation], rows.vec(a), rows.argument(b))
        case Map("isnan", (a,)):
            return c.mask("unordered", "ne", rows.vec(a), rows.vec(a))
        case Map("isfinite", (a,)):
            return c.mask("finite", "lt", c.vec("size", "abs", rows.vec(a)), INF)
        case Map("logical_not", (a,)):
            return c.mask("mask", "mask_not", rows.mask(a))
        case Map(("logical_and" | "logical_or" | "logical_xor") as operation, (a, b)):
            return c.mask("mask", operation.replace("logical", "mask"), rows.mask(a), rows.mask(b))
        case Map("where", (condition, a, b)) if is_bool(program, ref):
            chosen = c.mask("mask", "mask_and", rows.mask(condition), rows.mask(a))
            rest = c.mask("mask", "mask_and", c.mask("mask", "mask_not", rows.mask(condition)), rows.mask(b))
            return c.mask("mask", "mask_or", chosen, rest)
        case Map("broadcast", (_, b)) if is_bool(program, ref):
            return rows.mask(b)
        case Input() | Param() | Const() | Map() | Reduce():
            return c.mask("mask", "ne", rows.vec(ref), 0.0)
