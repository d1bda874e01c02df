"""Program -> Plan: the candidates, their refusals in words, their prices, and the cheapest.

Pure: the same program, shape, constraint and machine give the same plan. Nothing chosen here changes a bit of the
result: sweeps, recomputing or reloading, and the lowering of an exponential sum differ in exact powers of two only.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PlanError
from ..records import dataclass, replace
from .ir import SELECTIONS, SUMS, THRESHOLDS, Const, Input, Map, Node, Param, Program, Reduce, Ref, Role, Type, operands
from .isas import has_template
from .loops import CHUNK, LANES, VECTORS
from .machine import Machine
from .plan import Group, Lowering, Plan, SweepPlan, label
from .planning.cost import inputs_of, price
from .rewriting.apart import apart

FORMS = {
    "three_pass_recompute": (Lowering.MAX, False),
    "three_pass_reload": (Lowering.MAX, True),
    "online": (Lowering.ONLINE, False),
    "two_pass": (Lowering.EXTEXP, False),
    "speculative": (Lowering.GUESS, True),
}
STRATEGIES = ("auto", *FORMS, "one_pass")
LONGEST = 2**28  # a float32 lane counts 2^24 vectors of 16
TOGETHER = 8  # rows that one vector of doubles has room for (lower/groups.py)
LONG = 8  # blocks of the longest rows that go in groups
CARRIED = SUMS | SELECTIONS | THRESHOLDS | {"max", "min", "argmax", "prod"}


@dataclass(frozen=True, slots=True)
class Candidate:
    name: str
    plan: Plan | None
    reason: str


def make_plan(program: Program, *, dtype: str, isa: str, n: int, rows: int, strategy: str, machine: Machine) -> Plan:
    """The cheapest plan that meets the constraint. Raises PlanError with every refusal when none does."""
    if strategy not in STRATEGIES:
        raise PlanError(f"strategy={strategy!r} is not known; choose one of {', '.join(STRATEGIES)}")
    check(program, dtype, n)
    check_sizes(program, n)
    shape = (dtype, isa, n, rows, machine)
    candidates = [_candidate(program, name, strategy, *shape) for name in FORMS]
    possible = [c.plan for c in candidates if c.plan is not None]
    if not possible:
        reasons = "; ".join(f"{c.name}: {c.reason}" for c in candidates)
        raise PlanError(f"no plan of {program.name} meets strategy={strategy!r} at n={n}: {reasons}")
    best = min(possible, key=lambda p: p.ns)
    rejected = tuple((c.name, _why(c, best)) for c in candidates if c.plan is not best)
    together = _together(program, n, rows, VECTORS * LANES[dtype]) if has_template(f"together/{isa}.c.j2") else 0
    return replace(best, strategy=_met(best, strategy), rejected=rejected, together=together)


def _together(program: Program, n: int, rows: int, block: int) -> int:
    """Rows shorter than two blocks go in groups, and longer ones whose logarithms would wait for each other."""
    maps = [(Ref(i), node.op) for i, node in enumerate(program.nodes) if isinstance(node, Map)]
    waits = any(op.startswith("log") and not program.is_row(ref) for ref, op in maps)
    longest = LONG * block if waits else 2 * block - 1
    return 0 if rows < TOGETHER or n > longest else 1 if n <= block else LONG


def _why(candidate: Candidate, best: Plan) -> str:
    if candidate.plan is None:
        return candidate.reason
    return f"{candidate.plan.ns:.3f} ns an element, against {best.ns:.3f}"


def _met(plan: Plan, strategy: str) -> str:
    if strategy != "auto":
        return strategy
    return "one_pass" if not plan.groups and plan.memory_passes == 1 else plan.strategy


def check(program: Program, dtype: str, n: int) -> None:
    for i, node in enumerate(program.nodes):
        if isinstance(node, Reduce) and node.op == "argmax" and dtype == "f32" and n > LONGEST:
            raise PlanError(f"{program.name}: the position of an extremum is exact for {LONGEST} float32, not for {n}")
        if isinstance(node, Reduce) and node.op not in CARRIED:
            raise PlanError(f"{program.name}: {node.op} (value {program.names[i] or i}) has no carry yet")


def check_sizes(program: Program, n: int) -> None:
    largest = max(program.entries(Ref(i)) for i, _ in enumerate(program.nodes))
    if largest > n:
        raise ValueError(f"{program.name}: k is {largest}, and the rows have {n} elements")


def _candidate(
    program: Program, name: str, strategy: str, dtype: str, isa: str, n: int, rows: int, machine: Machine
) -> Candidate:
    lowering, reload = FORMS[name]
    groups = find_groups(program, lowering)
    if strategy in FORMS and name != strategy:
        return Candidate(name, None, f"strategy={strategy!r} was asked for")
    if not groups and (strategy in ("online", "two_pass", "speculative") or name != "three_pass_recompute"):
        if not (strategy == name == "three_pass_reload"):
            return Candidate(name, None, "the program has no shifted exponential sum")
    if lowering is Lowering.GUESS and not all(validated(program, g) for g in groups):
        return Candidate(name, None, "not every exponential sum has one of weight 1 beside it that tells a bad guess")
    sweeps = schedule(program, groups, reload)
    if name == "three_pass_reload" and groups and not any(s.reloads for s in sweeps):
        if strategy != "three_pass_reload":
            return Candidate(name, None, "no output row can hold the exponentials")
    cost = price(program, sweeps, groups, dtype, isa, n, rows, machine)
    if strategy == "one_pass" and cost.memory_passes != 1:
        return Candidate(name, None, f"the row of {n} elements does not stay in cache: {cost.memory_passes} passes")
    walks = count_walks(schedule(program, find_groups(program, Lowering.ONLINE), False))
    plan = Plan(
        program.name,
        program,
        dtype,
        isa,
        n,
        name,
        walks,
        sweeps,
        groups,
        cost.memory_passes,
        cost.bytes_per_element,
        cost.ns,
        (),
        chunked=n > CHUNK,
        traffic=machine.traffic,
    )
    return Candidate(name, plan, "")


# exponentials that share a shift


def find_groups(program: Program, lowering: Lowering) -> tuple[Group, ...]:
    """One group for each exponent that is summed; a sum that waits for another of its exponent is in a later group."""
    sums: dict[tuple[Ref, int], list[Ref]] = {}
    level = Schedule(program, ()).known
    for i, node in enumerate(program.nodes):
        match node:
            case Reduce("expsum", (_, exponent)):
                sums.setdefault((exponent, level[i]), []).append(Ref(i))
            case Input() | Param() | Const() | Map() | Reduce():
                pass
    return tuple(_group(program, a, refs, lowering) for (a, _), refs in sums.items())


def _group(program: Program, exponent: Ref, refs: list[Ref], lowering: Lowering) -> Group:
    nodes = [program.nodes[r] for r in refs]
    predicates = {n.where for n in nodes if isinstance(n, Reduce)}
    where = predicates.pop() if len(predicates) == 1 else None
    base, factor = exponent, None
    match program.nodes[exponent]:
        case Map("multiply", (b, f)) if program.is_row(b) and not program.is_row(f):
            base, factor = b, f
        case Input() | Param() | Const() | Map() | Reduce():
            pass
    displaced = len(refs) == 1 and _weight_one(program, refs[0]) and _logged(program, refs[0])
    weighted = not all(_weight_one(program, ref) for ref in refs)
    return Group(exponent, base, factor, where, tuple(refs), displaced, weighted, lowering)


def validated(program: Program, group: Group) -> bool:
    """Whether the sums of weight one tell if a guessed shift was near enough for all sums of the group."""
    nodes = {ref: program.nodes[ref] for ref in group.sums}
    plain = {n.where for ref, n in nodes.items() if isinstance(n, Reduce) and _weight_one(program, ref)}
    return all(isinstance(n, Reduce) and n.where in plain for n in nodes.values())


def _weight_one(program: Program, ref: Ref) -> bool:
    return program.nodes[operands(program.nodes[ref])[0]] == Const(1.0)


def _logged(program: Program, ref: Ref) -> bool:
    return Map("log", (ref,)) in program.nodes


# which sweep carries what


class Schedule:
    """The sweep after which each row-constant value is known; a row-shaped value waits for its constants.

    The sums of one group travel together: all wait for the last.
    """

    def __init__(self, program: Program, groups: Sequence[Group]) -> None:
        self.known: list[int] = []
        self.maxima: dict[int, int] = {}
        late: dict[Ref, int] = {}
        while not self.known or late.keys() - self._met(late):
            self._pass(program, groups, late)
            for group in groups:
                late |= dict.fromkeys(group.sums, max(self.known[r] for r in group.sums))

    def _met(self, late: dict[Ref, int]) -> set[Ref]:
        return {ref for ref, sweep in late.items() if self.known[ref] == sweep}

    def _pass(self, program: Program, groups: Sequence[Group], late: dict[Ref, int]) -> None:
        self.known = []
        of = {r: i for i, g in enumerate(groups) for r in g.sums}
        for i, node in enumerate(program.nodes):
            below = max((self.known[a] for a in operands(node)), default=0)
            self.known.append(max(below + self._own(Ref(i), node, groups, of), late.get(Ref(i), 0)))

    def _own(self, ref: Ref, node: Node, groups: Sequence[Group], of: dict[Ref, int]) -> int:
        if not isinstance(node, Reduce) or not _is_carry(node):
            return 0
        if ref in of and groups[of[ref]].lowering is Lowering.MAX:
            group = groups[of[ref]]
            reads = [group.base] + ([group.where] if group.where is not None else [])
            first = 1 + max(self.known[r] for r in reads)
            first = first if group.factor is None else max(first, self.known[group.factor])
            self.maxima[of[ref]] = first
            below = max(self.known[a] for a in operands(node))
            return max(first + 1, below + 1) - below
        return 1


def schedule(program: Program, groups: tuple[Group, ...], reload: bool) -> tuple[SweepPlan, ...]:
    """The sweeps, each as early as its operands are known."""
    s = Schedule(program, groups)
    carried = {Ref(i): s.known[i] for i, n in enumerate(program.nodes) if _is_carry(n)}
    solved = {Ref(i): s.known[i] for i, n in enumerate(program.nodes) if _is_solved(n)}
    # a row may be its output's memory: nothing is written while it is needed
    last = max([*carried.values(), *(k + 1 for k in solved.values())], default=1)
    rows = [(i, o.ref) for i, o in enumerate(program.outputs) if program.is_row(o.ref)]
    written = {i: max(s.known[ref] + 1, last) for i, ref in rows}
    count = max([*carried.values(), *written.values(), *s.maxima.values()], default=0)
    keeps = _keeps(program, groups, carried, written) if reload and not solved else {}
    sweeps: tuple[SweepPlan, ...] = ()
    for k in range(count + 1):
        sweeps += (_sweep_plan(program, groups, k, s, carried, written, keeps),) if k else ()
        sweeps += tuple(_solve_plan(program, ref) for ref, after in solved.items() if after == k)
    return sweeps if not keeps or _harmless(program, groups, sweeps) else schedule(program, groups, reload=False)


def _harmless(program: Program, groups: tuple[Group, ...], sweeps: Sequence[SweepPlan]) -> bool:
    """Whether no row is read after exponentials were kept in an output: the output may be that row's memory."""
    first = next(k for k, sweep in enumerate(sweeps) if sweep.keeps)
    masks = {ref for ref, node in program.inputs if node.role is Role.MASK}
    return all(inputs_of(program, sweep, groups) <= masks for sweep in sweeps[first + 1 :])


def _is_carry(node: Node) -> bool:
    return isinstance(node, Reduce) and node != Reduce("count", ()) and not _is_solved(node)


def _is_solved(node: Node) -> bool:
    """Whether the reduction takes sweeps of its own, between the others."""
    return isinstance(node, Reduce) and node.op == "threshold"


def _solve_plan(program: Program, ref: Ref) -> SweepPlan:
    node = program.nodes[ref]
    assert isinstance(node, Reduce)
    f, tau = (label(program, a) for a in node.args[:2])
    note = f"solve for {program.names[ref] or tau}: bisect it, a walk for each sum of {f}"
    return SweepPlan((), (), (), (), (), note, solves=ref)


def count_walks(sweeps: Sequence[SweepPlan]) -> int:
    """The sweeps that are no steps of a solution; one at least where there is any."""
    return max(sum(s.solves is None for s in sweeps), min(1, len(sweeps)))


def _keeps(
    program: Program, groups: tuple[Group, ...], carried: dict[Ref, int], written: dict[int, int]
) -> dict[int, int]:
    """group -> output whose memory can hold the group's exponentials from their sum until the output is written."""
    kept: dict[int, int] = {}
    pairs = apart(program)
    for g, group in enumerate(groups):
        exp = Map("exp", (group.exponent,))
        first = all(other.exponent != group.exponent for other in groups[:g])
        if group.displaced or not first or exp not in program.nodes or not _alone(groups, group, carried):
            continue
        node = Ref(program.nodes.index(exp))
        if node in pairs:
            continue
        for output, sweep in written.items():
            later = sweep > carried[group.sums[0]] and program.stored(program.outputs[output]) is Type.FLOAT
            later = later and not program.outputs[output].narrow  # which cannot hold what is computed
            if later and output not in kept.values() and _reaches(program, program.outputs[output].ref, node):
                kept[g] = output
                break
    return kept


def _alone(groups: tuple[Group, ...], group: Group, carried: dict[Ref, int]) -> bool:
    """Whether a guess may write over the row: nothing else in its sweep would be lost if the guess is far off."""
    guessed = {r for g in groups if g.lowering is Lowering.GUESS for r in g.sums}
    sweep = carried[group.sums[0]]
    return group.lowering is not Lowering.GUESS or all(k != sweep or r in guessed for r, k in carried.items())


def _reaches(program: Program, root: Ref, target: Ref) -> bool:
    stack, seen = [root], set[Ref]()
    while stack:
        ref = stack.pop()
        if ref == target:
            return True
        if ref not in seen and program.is_row(ref):
            seen.add(ref)
            stack += operands(program.nodes[ref])
    return False


def _sweep_plan(
    program: Program,
    groups: tuple[Group, ...],
    k: int,
    s: Schedule,
    carried: dict[Ref, int],
    written: dict[int, int],
    keeps: dict[int, int],
) -> SweepPlan:
    carries = tuple(r for r, sweep in carried.items() if sweep == k)
    maxima = tuple(g for g, sweep in s.maxima.items() if sweep == k)
    writes = tuple(o for o, sweep in written.items() if sweep == k)
    summed = {g for g, group in enumerate(groups) if group.sums[0] in carries}
    kept = tuple((g, o) for g, o in keeps.items() if g in summed)
    back = tuple((g, o) for g, o in keeps.items() if written[o] == k)
    return SweepPlan(carries, maxima, writes, kept, back, _note(program, groups, carries, maxima, writes, kept, back))


def _note(
    program: Program,
    groups: tuple[Group, ...],
    carries: tuple[Ref, ...],
    maxima: tuple[int, ...],
    writes: tuple[int, ...],
    keeps: tuple[tuple[int, int], ...],
    reloads: tuple[tuple[int, int], ...],
) -> str:
    """What the sweep does, in words."""
    parts = [f"the maximum of {label(program, groups[g].base)}" for g in maxima]
    for ref in carries:
        node = program.nodes[ref]
        assert isinstance(node, Reduce)
        parts.append(_carry_words(program, groups, ref, node))
    parts += ["keep the exponentials in the output" for _ in keeps]
    parts += [f"write {label(program, program.outputs[o].ref)}" for o in writes]
    if reloads:
        parts.append("from the exponentials kept there")
    return ", ".join(parts)


def _carry_words(program: Program, groups: tuple[Group, ...], ref: Ref, node: Reduce) -> str:
    what = ", ".join(label(program, a) for a in node.args if program.nodes[a] != Const(1.0))
    tail = "" if node.where is None else f" where {label(program, node.where)}"
    if node.op != "expsum":
        return f"{node.op}({what}){tail}"
    group = next(g for g in groups if ref in g.sums)
    how = {
        Lowering.MAX: "shifted by its maximum",
        Lowering.ONLINE: "under a running maximum",
        Lowering.GUESS: "under a guessed power of two",
        Lowering.EXTEXP: "as (mantissa, exponent) pairs",
    }
    rest = " without its largest term" if group.displaced else ""
    return f"the exponential sum of {what}{tail} {how[group.lowering]}{rest}"
