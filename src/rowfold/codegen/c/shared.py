"""Walks that a kernel has twice, for rows as they are and for rare ones: one text for both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...records import dataclass
from ..loops import Kernel, Kind, Step, Stmt, Sweep, Unless, Until, Var
from ..lower.overlap import GIVEN
from ..lower.whole import COUNTED, PLACED

PASSED = frozenset({Kind.VEC, Kind.MASK, Kind.NUM, Kind.FLAG, Kind.PARTS})


@dataclass(frozen=True, slots=True)
class Walk:
    """A static function of what two walks do."""

    comment: str
    result: str
    name: str
    parameters: str
    lines: tuple[str, ...]


def sweeps_of(steps: Sequence[Step], *, rare: bool = False) -> Iterator[tuple[Sweep, bool]]:
    """Every sweep, and whether only a rare row has it."""
    for step in steps:
        if isinstance(step, Sweep):
            yield step, rare
        elif isinstance(step, Unless | Until):
            yield from sweeps_of(step.steps, rare=rare or isinstance(step, Unless))


def folds_of(kernel: Kernel) -> list[Sweep]:
    """The sweeps of rare rows that leave the same number of their elements, if there are two: an extremum."""
    found = [sweep for sweep, rare in sweeps_of(kernel.steps) if rare and _folds(sweep)]
    alike = [sweep for sweep in found if _alike(found[0], sweep)]
    return alike if len(alike) > 1 else []


def _folds(sweep: Sweep) -> bool:
    """Whether it walks the row for one number, and needs nothing but the row."""
    extra = sweep.writes or sweep.block_end or sweep.chunk_end or sweep.only or any(head for head, _ in sweep.phases)
    if extra or len(sweep.phases) != 1 or len(sweep.before) != 1 or not sweep.after:
        return False
    fold, lanes = sweep.after[0], sweep.before[0].results
    needed = {a for s in sweep.phases[0][1].tail for a in s.args if isinstance(a, Var)} - _made(sweep)
    alone = all(v in lanes or v.name in GIVEN - {"row_length"} for v in needed)
    return alone and fold.word.startswith("fold_") and fold.args == lanes and fold.results[0].kind is Kind.NUM


def _made(sweep: Sweep) -> set[Var]:
    return {v for s in sweep.phases[0][1].tail for v in s.results if not s.assign}


def _alike(first: Sweep, second: Sweep) -> bool:
    a, b = first.before[0], second.before[0]
    same = (a.word, a.args, first.reads, first.after[0].word) == (b.word, b.args, second.reads, second.after[0].word)
    return same and shifted_alike(first.phases[0][1].tail, second.phases[0][1].tail) == {b.results[0]: a.results[0]}


def sums_of_rare_rows(kernel: Kernel, sums: set[int]) -> tuple[Sweep, Sweep, dict[Var, Var | None]] | None:
    """A sweep, that of rare rows which does the same with shifted elements, and what stands there for what.

    `sums`: the identities of sweeps with one sum.
    """
    found = [(sweep, rare) for sweep, rare in sweeps_of(kernel.steps) if id(sweep) in sums]
    for first in (sweep for sweep, rare in found if not rare):
        for second in (sweep for sweep, rare in found if rare):
            a, b = first.phases[0][1].tail, second.phases[0][1].tail
            if (first.reads, first.writes) != (second.reads, second.writes) or not _apart(b):
                continue
            if (names := shifted_alike(a, b)) is not None and all(v.name != "row_length" for v in names):
                return first, second, names
    return None


def _apart(body: Sequence[Stmt]) -> bool:
    """Whether a function can do it for a block, wherever that lies, and leaves no more than stores and a sum."""
    placed = {s.word for s in body} & (COUNTED | PLACED - {"put"})
    stored = all(s.word == "put" or s.word.startswith("store") for s in body if not s.results)
    needed = {a.kind for s in body for a in s.args if isinstance(a, Var)}
    return not placed and stored and needed <= PASSED and not any(s.assign for s in body)


def shifted_alike(first: Sequence[Stmt], second: Sequence[Stmt]) -> dict[Var, Var | None] | None:
    """What the second needs from outside -> what stands in its place in the first, None for a shift that is not there.

    None if they are not the same but for such shifts.
    """
    names: dict[Var, Var | None] = {}
    local: dict[Var, Var] = {}
    left = list(first)
    for s in second:
        if left and _match(left[0], s, names, local):
            del left[0]
            continue
        shift = s.args[1] if s.word == "sub" and len(s.args) == 2 else None
        source = s.args[0] if s.args else None
        if not isinstance(shift, Var) or not isinstance(source, Var) or source not in local or names.get(shift):
            return None
        names[shift] = None
        local[s.results[0]] = local[source]
    return None if left else names


def _match(a: Stmt, b: Stmt, names: dict[Var, Var | None], local: dict[Var, Var]) -> bool:
    """Whether two statements are one, under names that it adds."""
    if (a.word, a.call, a.assign) != (b.word, b.call, b.assign) or len(a.args) != len(b.args):
        return False
    if len(a.results) != len(b.results):
        return False
    added: dict[Var, Var | None] = {}
    for x, y in zip(a.args, b.args, strict=True):
        if not isinstance(x, Var) or not isinstance(y, Var):
            if x != y or type(x) is not type(y):
                return False
        elif y in local or x in local.values():
            if local.get(y) != x:
                return False
        elif x.name in GIVEN or y.name in GIVEN:
            if x != y:
                return False
        elif (names | added).get(y, x) != x or x.kind is not y.kind:
            return False
        else:
            added[y] = x
    names.update(added)
    if not b.assign:
        local.update(zip(b.results, a.results, strict=True))
    return all(names.get(v) == u for u, v in zip(a.results, b.results, strict=True)) if b.assign else True
