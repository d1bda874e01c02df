"""What a block of all its vectors may do that others do not: sums in registers, stores on whole lines."""

from __future__ import annotations

from collections.abc import Mapping

from ..loops import Kernel, Kind, Port, Stmt, Sweep, Var, statements, whole_row
from .overlap import Last

COUNTED = frozenset({"positions", "at_position"})  # of an element, wherever its vector begins
PLACED = frozenset({"vector_number", "uniform", "row_length", "put", "accumulate"})  # not for any vector


def converted(port: Port) -> bool:
    """Whether a row of it is more than an array of the computing type, even where it is contiguous."""
    return port.element != "T" or bool(port.narrow)


def sums_of(sweep: Sweep) -> Mapping[Var, Stmt]:
    """The parts of a block that are summed by a tree, with the statements that do so.

    None where sums in wide lanes are carried from vector to vector beside them.
    """
    body = sweep.phases[-1][1].body
    weighted = any(s.assign and s.results[0].kind is Kind.ACC for s in body)  # wide lanes cost more than memory does
    if weighted or any(s.word != "acc_add_tree" for s in sweep.block_end):
        return {}
    found = {a: s for s in sweep.block_end for a in s.args[1:] if isinstance(a, Var)}
    return found if {s.args[0] for s in body if s.word == "put"} == set(found) else {}


def loaded_first(body: tuple[Stmt, ...]) -> list[Stmt]:
    """The load that goes before all stores of eight vectors, if there is one.

    A load waits for an earlier store whose address agrees with its own in the last twelve bits: where one array is
    read, eight vectors of it are loaded before any result is stored.
    """
    loads = [s for s in body if s.word == "load"]
    return loads if len(loads) == 1 and any(s.word == "store" for s in body) else []


def shifted(last: Last) -> str | None:
    """The array whose lines the vectors of a last sweep may follow: no value depends on where its vector begins."""
    walk = [s for head, phase in last.sweep.phases for s in (*head, *phase.body)]
    if len(last.sweep.phases) > 1 or last.sweep.block_end or any(converted(p) for p in last.ports if p.row):
        return None
    words = {s.word for s in walk} | {a.name for s in walk for a in s.args if isinstance(a, Var)}
    return None if words & PLACED else last.sweep.writes[0]


def constants(last: Last, kernel: Kernel) -> list[str]:
    """The row-constants that the last sweep works with."""
    made = {s.results[0]: s.args[0] for s in statements(whole_row(kernel)) if s.word == "set"}
    found = (made.get(v) for v in last.held)
    return list(dict.fromkeys(a.name for a in found if isinstance(a, Var) and a.kind is Kind.NUM))
