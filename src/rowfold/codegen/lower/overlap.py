"""What a row need not wait for: settings are worked out once a batch, and its last sweep runs beneath the next row.

Both move statements and change none, so no bit depends on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...records import dataclass, replace
from ..loops import Kernel, Kind, Port, Scalars, Step, Stmt, Sweep, Unless, Until, Var, assigned, looks_up, whole_row

HOISTED = frozenset({Kind.NUM, Kind.FLAG, Kind.VEC})  # what is worth keeping over a whole batch
HELD = HOISTED | {Kind.MASK}
GIVEN = frozenset({"row_length", "live"})  # variables that no statement makes


SIZES = {"f32": 4, "f64": 8}


@dataclass(frozen=True, slots=True)
class Last:
    """The last sweep of a row, which the next row's `host` sweep takes along, block by block."""

    host: Sweep
    sweep: Sweep
    held: tuple[Var, ...]  # what it needs of its row
    ports: tuple[Port, ...]  # the arrays that it walks


@dataclass(frozen=True, slots=True)
class Batch:
    """A kernel as a loop over rows: what is constant over them, what each does, and what it leaves to the next."""

    once: tuple[Stmt, ...]
    steps: tuple[Step, ...]
    last: Last | None
    whole: tuple[Step, ...] = ()  # the steps with that last sweep


def batch_of(kernel: Kernel) -> Batch:
    """The same kernel for all rows of a batch."""
    ports = {p.name: p for p in kernel.ports}
    once, steps = _hoist(kernel, ports)
    return replace(_overlap(once, steps, ports), whole=steps)


def _hoist(kernel: Kernel, ports: dict[str, Port]) -> tuple[tuple[Stmt, ...], tuple[Step, ...]]:
    """The statements that settings alone decide, and the steps without them."""
    changing = assigned(whole_row(kernel)) | {v.name for s in kernel.memory for v in s.results}
    known, once = {"row_length"}, list[Stmt]()

    def constant(s: Stmt) -> bool:
        if s.assign or any(v.kind not in HOISTED or v.name in changing for v in s.results) or not s.results:
            return False
        if s.word == "scalar":
            return ports[str(s.args[0])].setting
        names = [a.name for a in s.args if isinstance(a, Var)]
        return bool(names) and known.issuperset(names) and not any(isinstance(a, str) for a in s.args)

    def rest(stmts: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        kept = []
        for s in stmts:
            if constant(s):
                once.append(s)
                known.update(v.name for v in s.results)
            else:
                kept.append(s)
        return tuple(kept)

    def outside(step: Step) -> Step:
        match step:
            case Scalars(comment, body):
                return Scalars(comment, rest(body))
            case Sweep():
                return replace(step, before=rest(step.before), after=rest(step.after))
            case Unless(comment, safe, inner):
                return Unless(comment, safe, tuple(outside(s) for s in inner))
            case Until(comment, done, inner):
                return Until(comment, done, tuple(outside(s) for s in inner))
        return step

    moved = tuple(outside(step) for step in kernel.steps)
    return tuple(once), tuple(s for s in moved if not isinstance(s, Scalars) or s.body)


def _overlap(once: tuple[Stmt, ...], steps: tuple[Step, ...], ports: dict[str, Port]) -> Batch:
    """The last sweep taken out of the row, if it only writes and an earlier sweep can take it along."""
    whole = [k for k, step in enumerate(steps) if isinstance(step, Sweep) and step.peek is None]
    if len(whole) < 2:
        return Batch(once, steps, None)
    last, host = steps[whole[-1]], steps[whole[-2]]
    assert isinstance(last, Sweep) and isinstance(host, Sweep)
    behind = steps[whole[-1] + 1 :]
    held = _needs(last)
    if not _only_writes(last) or any(v.kind not in HELD for v in held) or not _independent(behind, last):
        return Batch(once, steps, None)
    walked = dict.fromkeys((*last.reads, *last.writes, *_named(last, ports)))
    before = (Scalars((), last.before),) if last.before else ()
    moved = Last(host, replace(last, before=()), held, tuple(ports[name] for name in walked))
    return Batch(once, (*steps[: whole[-1]], *before, *behind), moved)


def _only_writes(sweep: Sweep) -> bool:
    alone = sweep.after or sweep.only is not None or any(s.assign for s in _walk(sweep)) or looks_up((sweep,))
    return bool(sweep.writes) and not alone


def _walk(sweep: Sweep) -> list[Stmt]:
    """The statements of each block."""
    made = [s for head, phase in sweep.phases for s in (*head, *phase.body, *phase.tail)]
    return made + list(sweep.block_end)


def _needs(sweep: Sweep) -> tuple[Var, ...]:
    walk = _walk(sweep)
    made = {v.name for s in walk for v in s.results} | GIVEN
    return tuple(dict.fromkeys(a for s in walk for a in s.args if isinstance(a, Var) and a.name not in made))


def _named(sweep: Sweep, ports: dict[str, Port]) -> list[str]:
    return [a for s in _walk(sweep) for a in s.args if isinstance(a, str) and a in ports]


def _independent(steps: Iterable[Step], last: Sweep) -> bool:
    """Whether the steps behind a sweep can as well run before it: results of the row, from what was known by then."""
    made = {v.name for s in _walk(last) for v in s.results}
    return all(
        isinstance(step, Scalars)
        and not any(isinstance(a, Var) and a.name in made for s in step.body for a in s.args)
        and not any(isinstance(a, str) and a in last.writes for s in step.body for a in s.args)
        for step in steps
    )


def streams(sweep: Sweep, ports: Mapping[str, Port]) -> list[Port]:
    """What a sweep walks in the kernel's own format."""
    walked = (ports[name] for name in dict.fromkeys((*sweep.reads, *sweep.writes)))
    return [p for p in walked if p.element == "T"]


def ahead_of(last: Last, kernel: Kernel) -> tuple[int, int, int]:
    """For which rows it pays to fetch ahead: the shortest, the longest, and more than so many elements together."""
    size, traffic = SIZES[kernel.dtype], kernel.traffic
    count = len(streams(last.host, {p.name: p for p in kernel.ports}))
    return traffic.near_row // size, traffic.long_row // size, traffic.cached // (max(count, 1) * size)
