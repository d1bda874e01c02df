"""A plan: which sweeps walk the row, what each carries and writes, and why not otherwise."""

from __future__ import annotations

import math
from enum import Enum

from ..records import dataclass
from .ir import Const, Map, Program, Reduce, Ref, operands
from .machine import Traffic


class Lowering(Enum):
    """How the sum of exponentials of one base is kept from overflowing."""

    MAX = "max"  # a sweep for the maximum before the sum
    ONLINE = "online"  # a running maximum, taken block by block (1805.02867)
    GUESS = "guess"  # a power of two from the row's first elements; the sum tells whether it was near enough
    EXTEXP = "extexp"  # pairs of mantissa and exponent, no maximum (2001.04438)


@dataclass(frozen=True, slots=True)
class Group:
    """The exponentials of one exponent: they share a shift, and with it a power of two that cancels.

    `exponent` is the node a of exp(a); a = base * factor with a row-constant factor > 0 (None: 1).
    `displaced` sums leave the row's largest element out, so that log1p sees it exactly (3-numerics, section 4).
    """

    exponent: Ref
    base: Ref
    factor: Ref | None
    where: Ref | None
    sums: tuple[Ref, ...]
    displaced: bool
    weighted: bool  # a sum of it has a weight other than one
    lowering: Lowering


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """One walk: the reductions it carries, the groups whose maximum it takes, the outputs it writes."""

    carries: tuple[Ref, ...]
    maxima: tuple[int, ...]  # groups (positions in Plan.groups) whose maximum this sweep takes
    writes: tuple[int, ...]  # outputs, by position
    keeps: tuple[tuple[int, int], ...]  # (group, output): exponentials kept in that output's memory
    reloads: tuple[tuple[int, int], ...]  # (group, output): exponentials read back from it
    note: str
    solves: Ref | None = None  # a threshold: the sweep is walked again for each step of its bisection, and only that

    def __str__(self) -> str:
        return self.note


@dataclass(frozen=True, slots=True)
class Unit:
    """A reduction, or several that share what they carry, as one field of a state (`states.py`)."""

    kind: str
    round: int
    refs: tuple[Ref, ...]
    shape: tuple[int, ...]
    name: str
    group: int = -1  # of exponentials: the position in Plan.groups

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class StatePart:
    """What a plan for a part of a row has to do with states: `done` rounds are read, the next one is written."""

    units: tuple[Unit, ...]
    carries: tuple[tuple[Ref, ...], ...]  # the reductions of each round
    start: int  # the doubles before the first unit
    size: int
    done: int
    last: bool  # the results are written instead


@dataclass(frozen=True, slots=True)
class Plan:
    """The chosen plan. `walks` is the fewest sweeps that fusion allows; `sweeps` are those chosen.

    What a threshold is solved with is a sweep and no walk, as in the catalogue, unless there is nothing else.

    `memory_passes` counts the sweeps that go to memory: those over a row that is still in cache do not.
    `rejected` holds (candidate, reason) for every other candidate; `ns` the predicted nanoseconds an element.
    """

    name: str
    program: Program
    dtype: str
    isa: str
    n: int
    strategy: str
    walks: int
    sweeps: tuple[SweepPlan, ...]
    groups: tuple[Group, ...]
    memory_passes: int
    bytes_per_element: float
    ns: float
    rejected: tuple[tuple[str, str], ...]
    state: StatePart | None = None  # of a plan for a part of a row
    form: str = ""  # of the emitted C, where it is not row by row: "cut" for one row and several threads
    chunked: bool = False  # for rows longer than a chunk: it decides bits, and the row's length decides it
    together: int = 0  # blocks of the longest rows that go through it in groups, which changes no bit
    traffic: Traffic = Traffic()

    @property
    def apart(self) -> bool:
        """Whether outputs must lie apart from inputs: a sweep writes a row whose sum may have to be taken again."""
        uncertain = {r for group in self.groups if group.lowering is not Lowering.MAX for r in group.sums}
        return self._reads_anywhere or any(sweep.writes and uncertain & set(sweep.carries) for sweep in self.sweeps)

    @property
    def _reads_anywhere(self) -> bool:
        """Whether a row is read at places that an output may have overwritten."""
        return any(isinstance(n, Map) and n.op == "lookup" for n in self.program.nodes)

    def __str__(self) -> str:
        return "\n".join(describe(self))


def describe(plan: Plan, *, brief: bool = False) -> list[str]:
    """The plan as lines of text. `brief` leaves out what depends on the row's length: the banner of emitted C."""
    head = f"{plan.name}: {plan.strategy}, {_plural(len(plan.sweeps), 'sweep')} (fewest by fusion: {plan.walks})"
    if not brief:
        head += f", {_plural(plan.memory_passes, 'memory pass')}, {plan.bytes_per_element:g} bytes an element"
    lines = [head] + [f"  sweep {i}: {sweep.note}" for i, sweep in enumerate(plan.sweeps, 1)]
    if plan.together and not brief:
        lines.append("  eight rows at a time")
    if plan.apart:
        why = "read anywhere" if plan._reads_anywhere else "written before its sums are certain"  # noqa: SLF001
        lines.append(f"  outputs must lie apart from inputs: a row is {why}")
    return lines


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def label(program: Program, ref: Ref) -> str:
    """The user's name of a value, or how it is computed."""
    node = program.nodes[ref]
    if program.names[ref]:
        return program.names[ref]
    if isinstance(node, Const):
        return f"{node.value:g}"
    if isinstance(node, Map | Reduce):
        return f"{node.op}({', '.join(label(program, a) for a in operands(node))})"
    return "row"
