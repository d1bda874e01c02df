"""Why a plan walks a row again: the reductions that wait for another one, and what keeps the two apart, in words."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir import Map, Program, Reduce, Ref, operands
from ..plan import label

LINEAR = frozenset("add subtract negative multiply divide broadcast".split())  # what sums are taken apart over
LONGEST = 48  # characters of a value's name


def reasons(program: Program) -> list[str]:
    """One sentence for each reduction that has to wait for another."""
    level = levels(program)
    waiting = [Ref(i) for i, n in enumerate(program.nodes) if isinstance(n, Reduce) and level[i] > 1]
    return list(dict.fromkeys(_reason(program, level, ref) for ref in waiting))


def levels(program: Program) -> list[int]:
    """The longest chain of reductions below each value."""
    found: list[int] = []
    for node in program.nodes:
        below = max((found[a] for a in operands(node)), default=0)
        found.append(below + (isinstance(node, Reduce) and node.op != "count"))
    return found


def _reason(program: Program, level: list[int], ref: Ref) -> str:
    node = program.nodes[ref]
    assert isinstance(node, Reduce)
    if node.where is not None and level[node.where]:
        known = ", ".join(_short(program, c) for c in dict.fromkeys(_constants(program, level, node.where)))
        return f"which elements {node.op} takes is decided by {known}"
    barrier = next(_barriers(program, level, ref), None)
    known = ", ".join(_short(program, c) for c in dict.fromkeys(_constants(program, level, ref)))
    if node.op == "expsum" and level[node.args[1]]:
        return f"the exponent {_short(program, node.args[1])} waits for {known}"
    if barrier is None:
        return f"{node.op} of {_short(program, node.args[0])} waits for {known}"
    cause = program.nodes[barrier]
    assert isinstance(cause, Map)
    return f"{_short(program, barrier)} is no exponential polynomial: {cause.op} keeps {known} in the sum"


def _barriers(program: Program, level: list[int], ref: Ref) -> Iterator[Ref]:
    """The nonlinear maps between a reduction and what it waits for, the outermost first."""
    for a in operands(program.nodes[ref]):
        node = program.nodes[a]
        if program.is_row(a) and level[a] and isinstance(node, Map):
            if node.op not in LINEAR and node.op != "exp":
                yield a
            yield from _barriers(program, level, a)


def _constants(program: Program, level: list[int], ref: Ref) -> Iterator[Ref]:
    """The row-constants that a value waits for."""
    for a in operands(program.nodes[ref]):
        if program.is_row(a):
            yield from _constants(program, level, a)
        elif level[a]:
            yield a


def _short(program: Program, ref: Ref) -> str:
    text = label(program, ref)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
