"""The price of a plan: a small roofline, the larger of arithmetic and traffic for each sweep."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...records import dataclass
from ..dtypes import FORMATS
from ..ir import Map, Program, Reduce, Ref, Role, Type, operands
from ..machine import THROUGHPUT, Machine, Throughput
from ..plan import Group, Lowering, Plan, SweepPlan

SIZES = {"f32": 4, "f64": 8}
LANES = {"f32": 16, "f64": 8}
STEPS = {"f32": 40, "f64": 60}  # walks that a bisection takes from a moderate interval
EXPENSIVE = frozenset(
    "exp exp2 expm1 log log2 log1p tanh sigmoid softplus sin cos arcsin arccos arctan power uniform lookup".split()
)


@dataclass(frozen=True, slots=True)
class Price:
    ns: float  # an element
    memory_passes: int
    bytes_per_element: float


def price(
    program: Program,
    sweeps: Sequence[SweepPlan],
    groups: Sequence[Group],
    dtype: str,
    isa: str,
    n: int,
    rows: int,
    machine: Machine,
) -> Price:
    """Nanoseconds, memory passes and bytes to and from memory, an element."""
    row_inputs = {ref for ref, _ in program.inputs if program.is_row(ref)}
    row_outputs = [i for i, o in enumerate(program.outputs) if program.is_row(o.ref)]
    element = read_bytes(program, row_inputs, dtype) + written_bytes(program, row_outputs, dtype)
    resident, source = machine.level(element * n), machine.level(element * n * rows)
    t = THROUGHPUT[isa]
    total, passes, traffic = 0.0, 0, 0.0
    for i, sweep in enumerate(sweeps):
        level = source if i == 0 else resident
        reads = sweep_reads(program, sweep, groups, dtype)
        writes = sweep_writes(program, sweep, dtype)
        last = i + 1 == len(sweeps)
        again = SIZES[dtype] * sum(o in sweep.writes for _, o in sweep.reloads)
        streamed = last and not sweep.reloads and element * n > machine.traffic.stream
        memory = reads * machine.read[level] + _written(writes, again, source if last else resident, streamed, machine)
        work = _work(program, sweep, groups, t) * machine.tick / LANES[dtype]
        steps = 1 if sweep.solves is None else STEPS[dtype]
        total += max(work, memory) * steps
        if i == 0 or resident >= 2:
            often = steps if resident >= 2 else 1
            passes += often
            traffic += (reads + writes) * often
    if resident < 2:
        traffic = float(element)
    return Price(total, passes, traffic)


def _written(size: float, again: float, level: int, streamed: bool, machine: Machine) -> float:
    """Nanoseconds to write so many bytes, some of which (`again`) the sweep has just read."""
    if streamed:
        return size * machine.stream
    return size * machine.write[level] - again * machine.read[level]


def arithmetic(plan: Plan, machine: Machine) -> float:
    """Nanoseconds an element that the sweeps of a plan compute, were memory free."""
    cycles = (_work(plan.program, sweep, plan.groups, THROUGHPUT[plan.isa]) for sweep in plan.sweeps)
    return sum(cycles) * machine.tick / LANES[plan.dtype]


def read_bytes(program: Program, refs: Collection[Ref], dtype: str) -> int:
    """The bytes an element of these row inputs: a mask is stored in one, an integer in eight."""
    sizes = {Role.MASK: 1, Role.INT_ROW: 8}
    read = [node for ref, node in program.inputs if ref in refs]
    return sum(size(node.narrow, sizes.get(node.role, SIZES[dtype])) for node in read)


def written_bytes(program: Program, outputs: Collection[int], dtype: str) -> int:
    """The bytes an element of these results."""
    sizes = {Type.BOOL: 1, Type.INT: 8, Type.DOUBLE: 8, Type.FLOAT: SIZES[dtype]}
    written = [program.outputs[o] for o in outputs]
    return sum(size(output.narrow, sizes[program.stored(output)]) for output in written)


def size(narrow: str, whole: int) -> int:
    """The bytes of an element in memory."""
    return FORMATS[narrow].bits // 8 if narrow else whole


def sweep_reads(program: Program, sweep: SweepPlan, groups: Sequence[Group], dtype: str) -> int:
    """The bytes an element that a sweep reads; what it reloads is of the computing dtype."""
    return read_bytes(program, inputs_of(program, sweep, groups), dtype) + SIZES[dtype] * len(sweep.reloads)


def sweep_writes(program: Program, sweep: SweepPlan, dtype: str) -> int:
    """The bytes an element that a sweep writes."""
    return written_bytes(program, sweep.writes, dtype) + SIZES[dtype] * len(sweep.keeps)


def inputs_of(program: Program, sweep: SweepPlan, groups: Sequence[Group]) -> set[Ref]:
    """The row inputs that a sweep has to read: everything below its carries and writes that is not reloaded."""
    reloaded = {groups[g].exponent for g, _ in sweep.reloads}
    found: set[Ref] = set()
    stack = [*sweep.carries, *(groups[g].base for g in sweep.maxima), *(program.outputs[o].ref for o in sweep.writes)]
    stack += [] if sweep.solves is None else [sweep.solves]
    seen: set[Ref] = set()
    first = set(stack)
    inputs = {ref for ref, _ in program.inputs if program.is_row(ref)}
    while stack:
        ref = stack.pop()
        node = program.nodes[ref]
        if ref in seen or (isinstance(node, Reduce) and ref not in first):
            continue
        seen.add(ref)
        if isinstance(node, Map) and node.op == "exp" and node.args[0] in reloaded:
            continue
        if ref in inputs:
            found.add(ref)
        stack += operands(node)
    return found


def _work(program: Program, sweep: SweepPlan, groups: Sequence[Group], t: Throughput) -> float:
    """Cycles a vector: exponentials are what costs, everything else is counted as a few simple operations."""
    cycles = t.simple * (2 + len(sweep.maxima) + 3 * len(sweep.carries) + 2 * len(sweep.writes))
    summed = {g for g, group in enumerate(groups) if any(r in sweep.carries for r in group.sums)}
    for g in summed:
        match groups[g].lowering:
            case Lowering.MAX | Lowering.GUESS:
                cycles += t.exp
            case Lowering.ONLINE:
                cycles += t.exp + 2 * t.simple
            case Lowering.EXTEXP:
                cycles += t.extexp
    kept = {groups[g].exponent for g, _ in sweep.reloads}
    for output in sweep.writes:
        cycles += _maps(program, program.outputs[output].ref, kept, t)
    for ref in (*sweep.carries, *(() if sweep.solves is None else (sweep.solves,))):
        node = program.nodes[ref]
        for arg in operands(node):
            cycles += _maps(program, arg, set(), t)
    return cycles


def _maps(program: Program, root: Ref, kept: set[Ref], t: Throughput) -> float:
    cycles, stack, seen = 0.0, [root], set[Ref]()
    while stack:
        ref = stack.pop()
        node = program.nodes[ref]
        if ref in seen or not program.is_row(ref) or not isinstance(node, Map):
            continue
        seen.add(ref)
        if node.op == "exp" and node.args[0] in kept:
            continue
        cycles += t.exp if node.op in EXPENSIVE else t.simple
        stack += node.args
    return cycles
