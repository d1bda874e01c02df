"""What each sweep of a plan reads and writes, by name and in bytes an element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..codegen.machine import Machine
from ..codegen.plan import Plan, SweepPlan
from ..codegen.planning.cost import inputs_of, sweep_reads, sweep_writes

LEVELS = ("L1", "L2", "L3", "memory")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one sweep moves, by name, and its bytes an element as the price counts them."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    read: int
    written: int
    memory: bool  # whether it is a memory pass: the row comes from where the array lies, not from a cache of its own

    def __str__(self) -> str:
        sides = [
            f"{verb} {', '.join(names)} ({size} bytes an element)"
            for verb, names, size in (("reads", self.reads, self.read), ("writes", self.writes, self.written))
            if names
        ]
        return "; ".join(sides) or "reads nothing"


def traffic(plan: Plan) -> list[Traffic]:
    """What each sweep reads and writes. A later sweep goes to memory only when the row does not stay in cache."""
    return [_traffic(plan, s, i == 0 or plan.memory_passes > 1) for i, s in enumerate(plan.sweeps)]


def sources(plan: Plan, moved: Sequence[Traffic], rows: int, machine: Machine) -> list[str]:
    """Where each sweep finds its row: a memory pass where the whole batch lies, another where one row stays."""
    most = max((t.read + t.written for t in moved), default=0)
    row = plan.n * most
    return [LEVELS[machine.level(row * max(rows, 1) if t.memory else row)] for t in moved]


def _traffic(plan: Plan, sweep: SweepPlan, memory: bool) -> Traffic:
    program = plan.program
    reads = [program.names[ref] or f"%{ref}" for ref in sorted(inputs_of(program, sweep, plan.groups))]
    reads += [f"the exponentials in {_output(plan, o)}" for _, o in sweep.reloads]
    writes = [_output(plan, o) for o in sweep.writes]
    writes += [f"the exponentials to {_output(plan, o)}" for _, o in sweep.keeps]
    read, written = sweep_reads(program, sweep, plan.groups, plan.dtype), sweep_writes(program, sweep, plan.dtype)
    return Traffic(tuple(reads), tuple(writes), read, written, memory)


def _output(plan: Plan, position: int) -> str:
    outputs = plan.program.outputs
    number = f" {position + 1}" if len(outputs) > 1 else ""
    return plan.program.names[outputs[position].ref] or f"the result{number}"
