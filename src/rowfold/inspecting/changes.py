"""What would change a plan: the lengths at which another strategy is taken, the other dtype, other instruction sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..codegen.machine import THROUGHPUT, Machine
from ..codegen.plan import Plan
from ..codegen.planner import make_plan
from ..errors import PlanError

LENGTHS = tuple(2**k for k in range(4, 27, 2))
_NAMES = {"f32": "float32", "f64": "float64"}


def changes(plan: Plan, rows: int, machine: Machine) -> list[str]:
    """One line for each way in which the plan chosen freely becomes another one; one line in all where none does."""
    lines = [line for line in (_lengths(plan, rows, machine), *_others(plan, rows, machine)) if line]
    return lines or ["no other length, dtype or instruction set changes the strategy"]


def _lengths(plan: Plan, rows: int, machine: Machine) -> str:
    """The strategies along the row's length, each with the length from which it is taken; as many elements in all."""
    elements = rows * plan.n
    named = [(n, _strategy(replace(plan, n=n), max(elements // n, 1), machine)) for n in LENGTHS]
    runs = [(n, name) for i, (n, name) in enumerate(named) if name and (i == 0 or name != named[i - 1][1])]
    if len({name for _, name in runs}) < 2:
        return ""
    return "length: " + ", ".join(f"{name} from {n}" for n, name in runs)


def _others(plan: Plan, rows: int, machine: Machine) -> Iterator[str]:
    here = _strategy(plan, rows, machine)
    other = next(name for name in _NAMES if name != plan.dtype)
    there = _strategy(replace(plan, dtype=other), rows, machine)
    if there != here:
        yield f"dtype: {there or 'no plan'} in {_NAMES[other]}"
    found = {isa: _strategy(replace(plan, isa=isa), rows, machine) for isa in THROUGHPUT if isa != plan.isa}
    different = [f"{name or 'no plan'} on {isa}" for isa, name in found.items() if name != here]
    if different:
        yield f"instruction set: {', '.join(different)}"


def _strategy(plan: Plan, rows: int, machine: Machine) -> str:
    """The strategy that is cheapest for a plan's shape, dtype and instruction set; empty where nothing can be done."""
    shape = {"dtype": plan.dtype, "isa": plan.isa, "n": plan.n, "rows": rows, "machine": machine}
    try:
        return make_plan(plan.program, strategy="auto", **shape).strategy  # type: ignore[arg-type]
    except (PlanError, ValueError):
        return ""
