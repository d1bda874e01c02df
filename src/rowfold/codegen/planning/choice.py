"""Which plans are the cheapest somewhere, and from how many rows and elements on: what a shape would have decided."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ...records import dataclass, replace
from ..ir import Program
from ..machine import Machine
from ..plan import Plan
from ..planner import make_plan

LENGTHS = tuple(4**k for k in range(15))
BATCHES = (1, 16, 256, 4096)


@dataclass(frozen=True, slots=True)
class Choice:
    """The plan (a position in `Choices.plans`) for calls of at least so many rows of at least so many elements."""

    rows: int
    n: int
    plan: int


@dataclass(frozen=True, slots=True)
class Choices:
    """`table` is in order: the first entry that a call reaches holds. The last one takes every call."""

    plans: tuple[Plan, ...]
    table: tuple[Choice, ...]


def one(program: Program, dtype: str, isa: str, n: int, rows: int, strategy: str) -> Choices:
    """The plan of one shape."""
    return Choices((_plan(program, dtype, isa, n, rows, strategy),), (Choice(1, 0, 0),))


def every(program: Program, dtype: str, isa: str, shortest: int, strategy: str) -> Choices:
    """All plans that are the cheapest for some number of rows and elements, by the planner's own prices.

    A loop that takes short rows together for one shape is written so for all: it looks at its rows itself.

    Boundaries along the row are found to the element; of batches, those in BATCHES are looked at.
    """
    plans: dict[Plan, int] = {}

    together: dict[int, int] = {}

    @cache
    def at(n: int, rows: int) -> int:
        plan = _plan(program, dtype, isa, n, rows, strategy)
        index = plans.setdefault(_same(plan), len(plans))
        together[index] = max(together.get(index, 0), plan.together)
        return index

    columns = [(rows, _column(lambda n, rows=rows: at(n, rows), shortest)) for rows in BATCHES]  # type: ignore[misc]
    table = [
        Choice(rows, n, plan)
        for i, (rows, column) in reversed(list(enumerate(columns)))
        if i == 0 or column != columns[i - 1][1]
        for n, plan in reversed(column)
    ]
    return Choices(tuple(replace(p, together=together[i]) for i, p in enumerate(plans)), tuple(table))


def _column(at: Callable[[int], int], shortest: int) -> list[tuple[int, int]]:
    """(from n on, plan) in ascending order."""
    found, low = [(0, at(shortest))], shortest
    for high in LENGTHS:
        if high > low and at(high) != found[-1][1]:
            found.append((_first(at, low, high), at(high)))
        low = max(low, high)
    return found


def _first(at: Callable[[int], int], low: int, high: int) -> int:
    """The least n in (low, high] from which on the plan is that of `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle) == at(high) else (middle, high)
    return high


def _plan(program: Program, dtype: str, isa: str, n: int, rows: int, strategy: str) -> Plan:
    plan = make_plan(program, dtype=dtype, isa=isa, n=n, rows=rows, strategy=strategy, machine=Machine())
    return replace(plan, chunked=True)  # what is emitted takes rows of any length


def _same(plan: Plan) -> Plan:
    """The plan without what does not show in its text."""
    same = replace(plan, n=0, memory_passes=0, bytes_per_element=0.0, ns=0.0, rejected=(), strategy=_loop(plan))
    return replace(same, together=0)


def _loop(plan: Plan) -> str:
    return "one_pass" if not plan.groups else plan.strategy
