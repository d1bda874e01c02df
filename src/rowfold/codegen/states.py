"""What a part of a row leaves behind: the states of its carries, as the fields of one structured array.

A state is a vector of doubles. Its first field, named after the kernel, holds the number of elements and the last round
that was done; then come the row-constant arguments; then one field for each unit, in the order of the rounds. A unit is
a reduction, or several that share what they carry. `lower/merging.py` merges states by the names of their fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ..errors import PlanError
from ..records import dataclass
from .ir import WHERE, Const, Input, Map, Param, Program, Reduce, Ref, Role, operands
from .lower.moments import MOMENTS, Family, factors, family, means_beside, parts
from .plan import Group, Lowering, Plan, StatePart, SweepPlan, Unit
from .planner import check, find_groups, validated

HEAD = 2  # doubles before everything else: elements, round
_CONSTANT = (Role.SCALAR, Role.INDEX, Role.SEED)
_MERGED = {"sum": "sum", "mean": "sum", "dot": "sum", "prod": "prod", "max": "max", "min": "min"}


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a program's states in one dtype. `kept` are the row-constant arguments, by name."""

    name: str
    dtype: str
    kept: tuple[str, ...]
    units: tuple[Unit, ...]
    groups: tuple[Group, ...]
    carries: tuple[tuple[Ref, ...], ...]  # the reductions of each round

    @property
    def rounds(self) -> int:
        return len(self.carries)

    @property
    def fields(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Names and shapes, all of doubles."""
        kept = [(f"given_{name}", ()) for name in self.kept]
        return ((self.name, (HEAD,)), *kept, *((u.name, u.shape) for u in self.units))


def layout_of(program: Program, dtype: str) -> Layout:
    """The states of a program. PlanError for a reduction that no state of fixed size can hold."""
    check(program, dtype, 0)
    if any(isinstance(n, Map) and n.op == "lookup" for n in program.nodes):
        raise PlanError(f"{program.name}: rf.lookup reads anywhere in its table, and has no state to merge")
    groups = find_groups(program, Lowering.GUESS)
    if not all(validated(program, g) for g in groups):
        groups = find_groups(program, Lowering.ONLINE)
    levels = _levels(program, groups)
    units = _placed(program, dtype, groups, levels)
    kept = [n.name for _, n in program.inputs if n.role in _CONSTANT] + [p.name for _, p in program.params]
    carries = _carries(program, levels)
    text = repr([(u.name, u.round, [_text(program, r) for r in u.refs]) for u in units])
    plain = "".join(c if c.isalnum() and c.isascii() else "_" for c in program.name)
    name = f"{plain}_{dtype}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return Layout(name, dtype, tuple(kept), units, groups, carries)


def state_plan(program: Program, layout: Layout, isa: str, done: int) -> Plan:
    """The plan of one more round over a part of a row, or, where all are done, of the results."""
    last = done == layout.rounds
    rows = tuple(i for i, o in enumerate(program.outputs) if program.is_row(o.ref))
    if last:
        sweeps = (SweepPlan((), (), rows, (), (), "write the results from the merged state"),) if rows else ()
    else:
        sweeps = (SweepPlan(layout.carries[done], (), (), (), (), f"round {done + 1} over a part of a row"),)
    size = HEAD + len(layout.kept) + sum(u.size for u in layout.units)
    part = StatePart(layout.units, layout.carries, HEAD + len(layout.kept), size, done, last)
    strategy = "finish" if last else f"partial_{done + 1}"
    return Plan(
        program.name, program, layout.dtype, isa, 0, strategy, layout.rounds, sweeps, layout.groups, len(sweeps),
        0.0, 0.0, (), part, chunked=True,
    )  # fmt: skip


def main_predicate(program: Program) -> Ref | None:
    """The predicate of a call with `where=`: what it selects is the row."""
    return next((ref for ref, node in program.inputs if node.name == WHERE), None)


def _levels(program: Program, groups: tuple[Group, ...]) -> list[int]:
    """The round after which each value is known. The sums of one group travel together."""
    late: dict[Ref, int] = {}
    while True:
        levels: list[int] = []
        for i, node in enumerate(program.nodes):
            below = max((levels[a] for a in operands(node)), default=0)
            own = isinstance(node, Reduce) or (isinstance(node, Map) and node.op == "take")
            levels.append(max(below + own, late.get(Ref(i), 0)))
        wanted = {r: max(levels[s] for s in g.sums) for g in groups for r in g.sums}
        if wanted == late:
            return levels
        late = wanted


def _carries(program: Program, levels: list[int]) -> tuple[tuple[Ref, ...], ...]:
    """The reductions of each round. The length of the row is no carry: it is known of every part."""
    main = main_predicate(program)
    lengths = (Reduce("count", ()), Reduce("count", (), main))
    found = [Ref(i) for i, n in enumerate(program.nodes) if isinstance(n, Reduce) and n not in lengths]
    return tuple(tuple(r for r in found if levels[r] == k) for k in range(1, max([*levels, 1]) + 1))


def _placed(program: Program, dtype: str, groups: tuple[Group, ...], levels: list[int]) -> tuple[Unit, ...]:
    found = sorted(_units(program, dtype, groups, levels), key=lambda u: u.round)
    return tuple(
        Unit(u.kind, u.round, u.refs, u.shape, f"round{u.round}_{k}_{u.name}", u.group) for k, u in enumerate(found)
    )


def _units(program: Program, dtype: str, groups: tuple[Group, ...], levels: list[int]) -> Iterator[Unit]:
    wide = 2 if dtype == "f64" else 1
    for g, group in enumerate(groups):
        kind, size = ("lse", 6) if group.displaced else ("exp", 4 + wide * len(group.sums))
        yield Unit(kind, levels[group.sums[0]], group.sums, (size,), kind, g)
    yield from _moment_units(program, levels, wide)
    taken = _family_means(program, levels) if means_beside(dtype) else ()
    for i, node in enumerate(program.nodes):
        ref, level = Ref(i), levels[i]
        match node:
            case Reduce(("topk" | "topk_at") as op, (x, k), where):
                twin = Reduce("topk", (x, k), where)
                if op == "topk" or twin not in program.nodes:
                    size = program.entries(ref)
                    yield Unit("topk", level, (ref,), (2, size), "topk")
            case Reduce("argmax"):
                yield Unit("argmax", level, (ref,), (2,), "argmax")
            case Reduce(op) if op in _MERGED and ref not in taken:
                yield Unit(_MERGED[op], level, (ref,), (wide if _MERGED[op] == "sum" else 1,), _MERGED[op])
            case Reduce("excess" | "threshold"):
                raise PlanError(
                    f"{program.name}: a threshold depends on its whole row at once, and a part of it leaves no state "
                    "to merge; give whole rows (with Dask: one chunk along the row)"
                )
            case Map("take"):
                yield Unit("take", level, (ref,), (2,), "take")
            case Reduce() | Input() | Param() | Const() | Map():
                pass
    yield from _counts(program, levels)


def _moment_units(program: Program, levels: list[int], wide: int) -> Iterator[Unit]:
    families: dict[tuple[Family, int], list[tuple[Ref, Reduce]]] = {}
    for i, node in enumerate(program.nodes):
        if isinstance(node, Reduce) and node.op in MOMENTS:
            families.setdefault((family(node), levels[i]), []).append((Ref(i), node))
    for ((_, weight), level), found in families.items():
        products = sorted({p for _, n in found for p in parts(factors(n))}, key=lambda p: (len(p), p))
        rows = [p[0] for p in products if len(p) == 1]
        letters = ["".join("abcd"[rows.index(x)] for x in p) for p in products]
        kind = "moments" if weight is None else "wmoments"
        size = len(rows) + wide * (len(products) + (weight is not None)) + 1
        yield Unit(kind, level, tuple(r for r, _ in found), (size,), "_".join([kind, *letters]))


def _family_means(program: Program, levels: list[int]) -> set[Ref]:
    """The means that come with moments of their rows."""
    nodes = [(levels[i], n) for i, n in enumerate(program.nodes) if isinstance(n, Reduce) and n.op in MOMENTS]
    beside = {(level, n.where, x) for level, n in nodes if n.op != "wcomoment" for x in factors(n)}
    means = ((Ref(i), n) for i, n in enumerate(program.nodes) if isinstance(n, Reduce) and n.op == "mean")
    return {ref for ref, n in means if (levels[ref], n.where, n.args[0]) in beside}


def _counts(program: Program, levels: list[int]) -> Iterator[Unit]:
    """The elements under each predicate but the call's own, in the first round that needs them."""
    main, first = main_predicate(program), dict[Ref, int]()
    for i, node in enumerate(program.nodes):
        if isinstance(node, Reduce) and node.op in ("count", "mean", "m2", "comoment"):
            if node.where is not None and node.where != main:
                first[node.where] = min(levels[i], first.get(node.where, levels[i]))
    for where, level in first.items():
        yield Unit("count", level, (where,), (1,), "count")


def _text(program: Program, ref: Ref) -> str:
    """A value in words that do not depend on the numbers of nodes, nor on whether the call has a predicate."""
    main = main_predicate(program)

    def under(where: Ref | None) -> str:
        if where is None or where == main:
            return ""
        node = program.nodes[where]
        if isinstance(node, Map) and node.op == "logical_and" and main in node.args:
            return "|" + "".join(show(a) for a in node.args if a != main)
        return "|" + show(where)

    def show(at: Ref) -> str:
        match program.nodes[at]:
            case Input(name, role):
                return f"{name}:{role.value}"
            case Param(name):
                return name
            case Const(value):
                return repr(value)
            case Map(op, args):
                return f"{op}({','.join(map(show, args))})"
            case Reduce(op, args, where):
                return f"{op}({','.join(map(show, args))}{under(where)})"

    return show(ref)
