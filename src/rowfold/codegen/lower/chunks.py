"""Rows in chunks: sums begin anew every CHUNK elements, and what chunks came to is added up in the order of the row.

This is the form of every row longer than one chunk, however many threads walk it: a chunk's sums depend on the chunk
alone. In shorter rows it would change no bit, for nothing is added to a first zero.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...records import replace
from ..loops import (
    Kernel,
    Kind,
    Names,
    Phase,
    Scalars,
    Seek,
    Step,
    Stmt,
    Sweep,
    Unless,
    Until,
    Var,
    statements,
    whole_row,
)


def in_chunks(kernel: Kernel) -> Kernel:
    """The same loops with every wide sum taken chunk by chunk."""
    taken = {v.name for s in statements(whole_row(kernel)) for v in s.results} | {p.name for p in kernel.ports}
    names = Names(taken)
    return replace(kernel, steps=tuple(_step(step, names) for step in kernel.steps))


def _step(step: Step, names: Names) -> Step:
    match step:
        case Sweep():
            return _sweep(step, names)
        case Unless(comment, safe, inner):
            return Unless(comment, safe, tuple(_step(s, names) for s in inner))
        case Until(comment, done, inner):
            return Until(comment, done, tuple(_step(s, names) for s in inner))
        case Scalars() | Seek():
            return step


def _sweep(sweep: Sweep, names: Names) -> Sweep:
    sums = [s.results[0] for s in sweep.before if s.word == "acc_zero"]
    if not sums or sweep.peek is not None:
        return sweep
    so_far = {acc: Var(names.fresh(f"{acc.name}_so_far"), Kind.ACC) for acc in sums}
    joined = {acc: Stmt((acc,), "acc_join", (whole, acc), assign=True) for acc, whole in so_far.items()}
    ends = [(replace(joined[acc], results=(whole,)), Stmt((acc,), "acc_zero", (), assign=True))
            for acc, whole in so_far.items()]  # fmt: skip
    own = _scaled(sweep.chunk_end, so_far)
    return replace(
        sweep,
        before=(*sweep.before, *(Stmt((whole,), "acc_zero", ()) for whole in so_far.values())),
        phases=tuple((_scaled(head, so_far), _phase(p, so_far)) for head, p in sweep.phases),
        block_end=_scaled(sweep.block_end, so_far),
        chunk_end=(*own, *(s for pair in ends for s in pair)),
        after=(*own, *joined.values(), *sweep.after),
    )


def _phase(phase: Phase, so_far: dict[Var, Var]) -> Phase:
    return Phase(_scaled(phase.body, so_far), _scaled(phase.tail, so_far))


def _scaled(stmts: Iterable[Stmt], so_far: dict[Var, Var]) -> tuple[Stmt, ...]:
    """Where a sum moves to another power of two, so does what the chunks before came to."""
    made = []
    for s in stmts:
        made.append(s)
        if s.word == "acc_scale" and s.assign and s.args[0] in so_far:
            whole = so_far[s.results[0]]
            made.append(replace(s, results=(whole,), args=(whole, *s.args[1:])))
    return tuple(made)
