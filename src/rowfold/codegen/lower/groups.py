"""Short rows side by side: the loop over the rows of a group is distributed over the steps of a row.

What a row computes once waits for one result after the other. Eight rows take such a step together, on vectors with
one row a lane, between loops that walk the rows one by one. Each row still sees the same operations in the same
order, so no bit depends on it. A group is tried where nothing rare happens: what stands in an `Unless` is left to the
rows alone, after a test that sends the whole group there.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...records import dataclass, field, replace
from ..loops import Arg, Kernel, Kind, Port, Scalars, Step, Stmt, Sweep, Unless, Var, assigned, looks_up, whole_row

MOST_PARTS = 6  # blocks of a row that stay while its group does, 8 KiB each: a call may take 64 KiB of the stack
ROWS = 8  # as many as the widest vector has doubles
NUMBERS = frozenset({Kind.NUM, Kind.FLAG})
VECTORS = frozenset({Kind.VEC, Kind.MASK, Kind.ACC, Kind.WIDE, Kind.PARTS})
SPREAD = frozenset({"set", "set_lo"})
ELEMENTS = frozenset({"T", "mask", "int", "double", "index"})
FOLDED = frozenset({"fold", "fold_max", "fold_min"})


@dataclass(frozen=True, slots=True)
class Alike:
    """Statements whose results all rows share."""

    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """Statements on numbers, one a row; a `fold` reads what each row left, a `set` is left to each."""

    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Each:
    """What the rows do one by one: statements and walks, with what they take from before and give to later steps."""

    parts: tuple[Stmt | Sweep, ...]
    takes: tuple[Var, ...]
    gives: tuple[Var, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """Where the group goes on only if the flag is true: that of every row, or the one that all share."""

    flag: Var
    alike: bool


@dataclass(frozen=True, slots=True)
class Learn:
    """What the last row of the group leaves to the next ones."""

    body: tuple[Stmt, ...]
    takes: tuple[Var, ...]


Part = Alike | Together | Each | Check | Learn


@dataclass(frozen=True, slots=True)
class Group:
    """The steps of eight rows. `apart`: arrays that must not be one memory, since a row may have to be done again."""

    parts: tuple[Part, ...]
    apart: tuple[tuple[str, str], ...]


def group_of(kernel: Kernel, steps: Sequence[Step], *, one_block: bool = True) -> Group | None:
    """The steps of a row, for a group of them; None where rows do something that only one at a time can."""
    if looks_up(kernel.steps) or any(p.entries or p.element not in ELEMENTS for p in kernel.ports):
        return None
    items = _flat(steps, one_block)
    if items is None:
        return None
    made = _Distribution(kernel)
    for item in kept_in_parts(items) if one_block else items:
        made.take(item)
    made.flush()
    made.learn(kernel.learn)
    parts = _linked(_live(made.parts))
    if sum(v.kind is Kind.PARTS for p in parts if isinstance(p, Each) for v in p.gives) > MOST_PARTS:
        return None
    return Group(parts, _hazards(parts, kernel.ports))


@dataclass(frozen=True, slots=True)
class Break:
    """Here the rows go on in another loop: what follows waits for nothing there."""


BREAK = Break()
Item = Stmt | Sweep | Check | Break


def _flat(steps: Sequence[Step], one_block: bool) -> list[Item] | None:
    """The steps without what is rare, in one list."""
    items: list[Item] = []
    for step in steps:
        match step:
            case Scalars(_, body):
                items += body
            case Sweep():
                items += step.before
                items += [Check(step.only, False)] if step.only is not None else []
                walk = replace(step, before=(), chunk_end=(), after=(), only=None)  # no chunk ends in a short row
                items += [replace(walk, block_end=()) if one_block else walk]
                items += [BREAK, *step.block_end] if step.block_end and one_block else []
                items += step.after
            case Unless(_, safe, _):
                items.append(Check(safe, False))
            case _:
                return None
    known = VECTORS | NUMBERS
    return items if all(v.kind in known for i in items for v in _made(i)) else None


def kept_in_parts(items: list[Item]) -> list[Item]:
    """A row that is written only to be read by its next sweep stays where its block is summed, if it is there too."""
    for k, first in enumerate(items):
        behind = [i for i in items[k + 1 :] if isinstance(i, Sweep)]
        if isinstance(first, Sweep) and len(first.writes) == 1 and behind and first.writes[0] in behind[0].reads:
            port, parts = first.writes[0], _summed_too(first, first.writes[0])
            if parts is None or any(port in b.reads for b in behind[1:]):
                continue
            found = items.index(behind[0])
            items = [*items[:k], _without(first, port), *items[k + 1 : found], _from(behind[0], port, parts),
                     *items[found + 1 :]]  # fmt: skip
    return items


def _summed_too(sweep: Sweep, port: str) -> Var | None:
    """The block's parts that hold what a port is given."""
    *others, (_, phase) = sweep.phases
    stored = [s.args[1] for s in phase.body if s.word == "store" and s.args[0] == port]
    puts = [s.args[0] for s in phase.body if s.word == "put" and [s.args[1]] == stored]
    parts = puts[0] if puts else None
    early = any(port in s.args or parts in s.args for head, p in others for s in (*head, *p.body, *p.tail))
    return parts if isinstance(parts, Var) and not early else None


def _without(sweep: Sweep, port: str) -> Sweep:
    def body(stmts: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        return tuple(s for s in stmts if s.results or port not in s.args)

    phases = tuple((head, replace(p, body=body(p.body), tail=body(p.tail))) for head, p in sweep.phases)
    return replace(sweep, phases=phases, writes=())


def _from(sweep: Sweep, port: str, parts: Var) -> Sweep:
    def body(stmts: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        loads = ("load", "load_tail")
        return tuple(
            replace(s, word="get", args=(parts,)) if s.word in loads and s.args[0] == port else s for s in stmts
        )

    phases = tuple((head, replace(p, body=body(p.body), tail=body(p.tail))) for head, p in sweep.phases)
    return replace(sweep, phases=phases, reads=tuple(r for r in sweep.reads if r != port))


def statements_of(item: Item) -> list[Stmt]:
    match item:
        case Stmt():
            return [item]
        case Check() | Break():
            return []
        case Sweep():
            walk = [s for head, phase in item.phases for s in (*head, *phase.body, *phase.tail)]
            return [*walk, *item.block_end]


def _made(item: Item) -> list[Var]:
    return [v for s in statements_of(item) for v in s.results]


def _read(item: Item) -> list[Var]:
    """What it needs from before."""
    local = {v.name for s in statements_of(item) if not s.assign for v in s.results}
    read = [a for s in statements_of(item) for a in s.args if isinstance(a, Var)]
    read += [v for s in statements_of(item) if s.assign for v in s.results]
    return [v for v in dict.fromkeys(read) if isinstance(item, Stmt) or v.name not in local]


@dataclass(slots=True)
class _Distribution:
    """Takes one item after the other; rows' own items wait until a number that all need comes of them."""

    kernel: Kernel
    parts: list[Part] = field(default_factory=list)
    own: set[str] = field(default_factory=set)  # variables of each row, as numbers or in its own loop
    pending: list[Stmt | Sweep] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)  # what the pending items make
    now: dict[str, Arg] = field(default_factory=dict)  # what an assigned number is at this point
    first: dict[str, Stmt] = field(default_factory=dict)  # first values that nothing has needed yet

    def take(self, item: Item) -> None:
        match item:
            case Check(tested):
                flag = self._renamed(tested)
                assert isinstance(flag, Var)
                self._settle([flag])
                self.parts.append(Check(flag, flag.name not in self.own))
            case Sweep():
                self._wait(self._sweep(item))
            case Break():
                self.flush()
            case Stmt():
                self._stmt(replace(item, args=tuple(self._renamed(a) for a in item.args)))

    def _renamed(self, a: Arg) -> Arg:
        return self.now.get(a.name, a) if isinstance(a, Var) else a

    def _sweep(self, sweep: Sweep) -> Sweep:
        """With the numbers that it reads under their names of now."""
        return sweep if not self.now else _replaced(sweep, self.now)

    def _stmt(self, s: Stmt) -> None:
        kinds = {v.kind for v in s.results}
        if kinds <= NUMBERS and kinds and (s.word == "copy" and not isinstance(s.args[0], str)):
            self.now[s.results[0].name] = s.args[0]
            return
        if kinds & NUMBERS and s.assign:  # from here on another variable
            fresh = Var(f"new_{s.results[0].name}", s.results[0].kind)
            self.now[s.results[0].name] = fresh
            s = replace(s, results=(fresh,), assign=False)
        if self._of_rows(s):
            self._wait(s)
        elif any(a.name in self.own for a in s.args if isinstance(a, Var)):
            self._settle([a for a in s.args if isinstance(a, Var)])
            self.own |= {v.name for v in s.results}
            self._append(Together, s)
        else:
            self._append(Alike, s)

    def _of_rows(self, s: Stmt) -> bool:
        """Whether each row does this for itself."""
        variables = [a for a in s.args if isinstance(a, Var)]
        own = any(a.name in self.own for a in variables)
        if not s.results or any(isinstance(a, str) for a in s.args):
            return not all(v.kind in NUMBERS for v in s.results) or not self._of_settings(s)
        if s.results[0].kind in NUMBERS:
            return own and any(a.kind in VECTORS for a in variables) and s.word not in FOLDED
        if s.word in SPREAD and own and variables[0].kind in NUMBERS:
            return s.results[0].name in self._assigned()  # else a number, which every row has on its vectors
        return own or s.assign or s.word == "parts" or s.results[0].name in self._assigned()

    def _of_settings(self, s: Stmt) -> bool:
        settings = {p.name for p in self.kernel.ports if p.setting}
        return bool(s.results) and all(a in settings for a in s.args if isinstance(a, str))

    def _assigned(self) -> frozenset[str]:
        return assigned(whole_row(self.kernel))

    def _wait(self, item: Stmt | Sweep) -> None:
        made = {v.name for v in _made(item)}
        self.own |= made
        if isinstance(item, Stmt) and _starts(item):
            self.first[item.results[0].name] = item
            return
        needed = [self.first.pop(v.name) for v in _read(item) if v.name in self.first]
        self.pending += [*needed, item]
        self.waiting |= made | {v.name for s in needed for v in s.results}

    def _settle(self, needed: Sequence[Var]) -> None:
        if any(v.name in self.waiting for v in needed):
            self.flush()

    def flush(self) -> None:
        if self.pending:
            self.parts.append(Each(tuple(self.pending), (), ()))
        self.pending, self.waiting = [], set()

    def _append(self, kind: type[Alike | Together], s: Stmt) -> None:
        last = self.parts[-1] if self.parts else None
        if isinstance(last, kind):
            self.parts[-1] = kind((*last.body, s))
        else:
            self.parts.append(kind((s,)))

    def learn(self, body: Sequence[Stmt]) -> None:
        """What the last row leaves; its own numbers are those of the last lane."""
        if body:
            made = {v.name for s in body for v in s.results if not s.assign}
            renamed = tuple(replace(s, args=tuple(self._renamed(a) for a in s.args)) for s in body)
            read = [a for s in renamed for a in s.args if isinstance(a, Var) and a.name not in made]
            self.parts.append(Learn(renamed, tuple(v for v in dict.fromkeys(read) if v.name in self.own)))


def _starts(s: Stmt) -> bool:
    """Whether this is the first value of a variable of the row's loops, whatever row it is."""
    plain = not any(isinstance(a, Var | str) for a in s.args)
    return bool(s.results) and not s.assign and plain and s.results[0].kind in VECTORS


def _replaced(sweep: Sweep, now: dict[str, Arg]) -> Sweep:
    def body(stmts: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        return tuple(
            replace(s, args=tuple(now.get(a.name, a) if isinstance(a, Var) else a for a in s.args)) for s in stmts
        )

    phases = tuple((body(head), replace(p, body=body(p.body), tail=body(p.tail))) for head, p in sweep.phases)
    return replace(sweep, phases=phases, block_end=body(sweep.block_end))


def _reads_of(part: Part) -> list[Var]:
    match part:
        case Alike(body) | Together(body) | Learn(body):
            return [a for s in body for a in s.args if isinstance(a, Var)]
        case Each(parts):
            return [v for p in parts for v in _read(p)]
        case Check(flag):
            return [flag]


def _live(parts: Sequence[Part]) -> list[Part]:
    """Without statements whose results nobody reads: those that rare steps would have read."""
    kept: list[Part] = []
    wanted: set[str] = set()

    def alive(stmts: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        body: list[Stmt] = []
        for s in reversed(stmts):
            if not s.results or s.assign or any(v.name in wanted for v in s.results):
                body.insert(0, s)
                wanted.update(a.name for a in s.args if isinstance(a, Var))
        return tuple(body)

    for part in reversed(parts):
        match part:
            case Alike(body) | Together(body):
                if stmts := alive(body):
                    kept.insert(0, replace(part, body=stmts))
            case Each() | Check() | Learn():
                kept.insert(0, part)
                wanted |= {v.name for v in _reads_of(part)}
    return kept


def _linked(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The loops of the rows with what goes in and out of them."""
    made: list[Part] = []
    before: set[str] = set()  # what numbers of the group or earlier loops made
    for k, part in enumerate(parts):
        if isinstance(part, Each):
            inside = {v.name for p in part.parts for v in _made(p)}
            later = {v.name for p in parts[k + 1 :] for v in _reads_of(p)}
            takes = tuple(v for v in dict.fromkeys(_reads_of(part)) if v.name in before)
            gives = tuple(v for v in dict.fromkeys(v for p in part.parts for v in _made(p)) if v.name in later)
            made.append(Each(part.parts, takes, gives))
            before |= inside
        else:
            made.append(part)
            before |= {v.name for s in part.body for v in s.results} if isinstance(part, Together) else set()
    return tuple(made)


def _hazards(parts: Sequence[Part], ports: Sequence[Port]) -> tuple[tuple[str, str], ...]:
    """Inputs and the outputs that are written before the last test."""
    tests = [k for k, p in enumerate(parts) if isinstance(p, Check) and not p.alike]
    early = [p for p in parts[: tests[-1]] if isinstance(p, Each)] if tests else []
    written = dict.fromkeys(w for part in early for s in part.parts if isinstance(s, Sweep) for w in s.writes)
    rows = [p.name for p in ports if p.row and not p.output]
    return tuple((row, out) for row in rows for out in written)


def overlapping(group: Group, kernel: Kernel) -> tuple[Each, Each] | None:
    """The first walk of a group and its last one, if that can as well run beneath the first of the next group."""
    loops = [k for k, p in enumerate(group.parts) if isinstance(p, Each)]
    if len(loops) < 2:
        return None
    before, behind = group.parts[: loops[0]], group.parts[loops[-1] + 1 :]
    host, last = group.parts[loops[0]], group.parts[loops[-1]]
    assert isinstance(host, Each) and isinstance(last, Each)
    shared = {v.name for p in group.parts if isinstance(p, Alike) for s in p.body for v in s.results}
    shared |= {v.name for s in kernel.memory for v in s.results}  # the next group may have others
    fits = all(isinstance(p, Alike) or (isinstance(p, Check) and p.alike) for p in before)
    fits = fits and all(isinstance(p, Learn) for p in behind) and not last.gives and not host.takes
    fits = fits and all(isinstance(p, Sweep) and p.writes for p in last.parts) and _writes_only_rows(last)
    return (host, last) if fits and not any(v.name in shared for v in _reads_of(last)) else None


def _writes_only_rows(last: Each) -> bool:
    return not any(s.assign for p in last.parts for s in statements_of(p))
