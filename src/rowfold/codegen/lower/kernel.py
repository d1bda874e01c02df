"""Plan -> Kernel: the sweeps of a plan written out as loops."""

from __future__ import annotations

from collections.abc import Sequence

from ...records import replace
from ..ir import Input, Map, Output, Param, Program, Reduce, Ref, Role, Type
from ..loops import Code, Kernel, Kind, Names, Phase, Port, Scalars, Step, Sweep, Unless, Until, Var, prune
from ..plan import Lowering, Plan, SweepPlan
from ..rewriting.apart import apart
from ..source import remark
from .carries import Carry, Count, Dot, Extremum, Mean, Position, Product, Sum
from .chunks import in_chunks
from .context import Context
from .endless import Endless, open_sums
from .excess import Excess, NewtonStep
from .expsums import ExpSums, Guess, Maximum
from .forms import Number, Plain
from .hints import learn, look, prepare, remember
from .moments import Moments, families
from .rows import Rows
from .solve import Total, bracket, result
from .topk import TopK

ELEMENTS = {Role.ROW: "T", Role.MASK: "mask", Role.INT_ROW: "int", Role.SCALAR: "double", Role.INDEX: "index",
            Role.TABLE: "T", Role.SEED: "key"}  # fmt: skip
LIVE = Var("live", Kind.MASK)


def lower(plan: Plan) -> Kernel:
    """The loops of a plan for one row."""
    if plan.state is not None:
        from .partial import lower_part  # it is made of what is here

        return lower_part(plan, plan.state)
    names = Names(kernel=plan.name)
    ports, outputs = ports_of(plan, names)
    ctx = Context(
        plan, names, Code(names), ports, Code(names), count=Var("row_length", Kind.NUM), apart=apart(plan.program)
    )
    steps: list[Step] = _gathers(ctx)
    for sweep in plan.sweeps:
        steps += (
            sweep_of(ctx, sweep, outputs) if sweep.solves is None else _solve(ctx, sweep.solves, remark(sweep.note))
        )
    steps += results_of(ctx, outputs)
    every = (*ports.values(), *sorted(outputs, key=lambda p: p.element != "total"))  # the loop adds to what it is given
    return kernel_of(ctx, every, steps)


def kernel_of(ctx: Context, ports: Sequence[Port], steps: Sequence[Step]) -> Kernel:
    """What was lowered, without what nobody reads."""
    every, memory = tuple(dict.fromkeys(ports)), ctx.memory.take()
    kernel = Kernel(ctx.plan.name, ctx.plan.dtype, every, tuple(steps), memory=memory, learn=ctx.learned)
    kernel = prune(replace(kernel, traffic=ctx.plan.traffic))
    return in_chunks(kernel) if ctx.plan.chunked else kernel


def _gathers(ctx: Context) -> list[Step]:
    """Elements at an index that is given are read first: an output may be the same memory as the row."""
    nodes = ctx.program.nodes
    for i, node in enumerate(nodes):
        if isinstance(node, Map) and node.op == "take" and isinstance(nodes[node.args[1]], Input):
            ctx.num(Ref(i))
    return [Scalars(("The elements at the indexes.",), ctx.code.take())] if ctx.code.stmts else []


def ports_of(plan: Plan, names: Names) -> tuple[dict[Ref, Port], list[Port]]:
    """The arrays of the call, in the order of the loop's arguments: inputs, settings, outputs."""
    program = plan.program
    ports = {
        ref: Port(
            names.fresh(i.name), ELEMENTS[i.role], i.role in (Role.ROW, Role.MASK, Role.INT_ROW), narrow=i.narrow,
            table=i.role is Role.TABLE,
        )
        for ref, i in program.inputs
    }  # fmt: skip
    for ref, param in program.params:
        assert isinstance(param, Param)
        ports[ref] = Port(names.fresh(param.name), "double", False, setting=True)
    return ports, [_output(program, o, names) for o in program.outputs]


def _output(program: Program, output: Output, names: Names) -> Port:
    row = program.is_row(output.ref)
    kinds = {Type.FLOAT: "T", Type.BOOL: "mask", Type.INT: "int" if row else "index", Type.DOUBLE: "double"}
    element, entries = kinds[program.stored(output)], program.entries(output.ref)
    if output.total:
        return Port(names.fresh("total"), "total", False, output=True)
    return Port(names.fresh("out"), element, row, output=True, entries=entries, narrow=output.narrow)


def carries_of(ctx: Context, sweep: SweepPlan) -> list[Carry]:
    made: list[Carry] = [Count(ctx, where) for where in _counted(ctx, sweep)]
    made += [Maximum(ctx, g) for g in sweep.maxima]
    moments = families(ctx, sweep)
    made += moments
    grouped: set[int] = set()
    taken = {ref for m in moments for ref in (*m.wanted, *m.means)}
    for ref in sweep.carries:
        node = ctx.program.nodes[ref]
        assert isinstance(node, Reduce)
        carry = None if ref in taken else _carry(ctx, ref, node, sweep, grouped)
        if carry is not None:
            made.append(carry)
    return made


def _carry(ctx: Context, ref: Ref, node: Reduce, sweep: SweepPlan, grouped: set[int]) -> Carry | None:
    match node:
        case Reduce("expsum"):
            index = next(i for i, g in enumerate(ctx.plan.groups) if ref in g.sums)
            if index in grouped:
                return None
            grouped.add(index)
            return ExpSums(ctx, index, ctx.plan.groups[index].lowering)
        case Reduce("sum", (x,), where):
            return Sum(ctx, ref, x, where)
        case Reduce("count"):
            return None
        case Reduce(("topk" | "topk_at"), (x, k), where):
            twin = _find(ctx, sweep, Reduce("topk", (x, k), where))
            return TopK(ctx, x, k, where) if twin in (None, ref) else None
        case Reduce("excess", (z, target, power), where):
            return Excess(ctx, ref, z, target, power, where)
        case Reduce("dot", (a, b), where):
            return Dot(ctx, ref, a, b, where)
        case Reduce("mean", (x,), where):
            return Mean(ctx, ref, x, where)
        case Reduce("max" | "min" as op, (x,), where):
            return Extremum(ctx, ref, x, where, op)
        case Reduce("argmax", (x,), where):
            return Position(ctx, ref, x, where)
        case Reduce("prod", (x,), where):
            return Product(ctx, ref, x, where)
        case Reduce(op):
            raise AssertionError(f"the planner let through a reduction that has no carry: {op}")


def _counted(ctx: Context, sweep: SweepPlan) -> list[Ref]:
    """The predicates whose elements this sweep has to count: for a count asked for, and for means under them."""
    nodes = [ctx.program.nodes[r] for r in sweep.carries]
    wanted = [n.where for n in nodes if isinstance(n, Reduce) and n.op in ("count", "mean", "m2", "comoment")]
    return [w for w in dict.fromkeys(wanted) if w is not None and w not in ctx.counts]


def _find(ctx: Context, sweep: SweepPlan, node: Reduce) -> Ref | None:
    return next((r for r in sweep.carries if ctx.program.nodes[r] == node), None)


def sweep_of(ctx: Context, sweep: SweepPlan, outputs: Sequence[Port], more: Sequence[Carry] = ()) -> list[Step]:
    carries = [*more, *carries_of(ctx, sweep)]
    for carry in carries:
        if isinstance(carry, ExpSums):
            carry.keep_in = next((outputs[o].name for g, o in sweep.keeps if g == carry.index), None)
    guesses = [carry for carry in carries if isinstance(carry, ExpSums) and carry.lowering is Lowering.GUESS]
    steps: list[Step] = [step for carry in carries if isinstance(carry, Moments) for step in carry.seek()]
    doubts = peek = None
    if guesses:
        steps += prepare(ctx, guesses)
        doubts = remember(ctx, guesses)
        steps += look(ctx, guesses, doubts, peek := _peek(ctx, guesses))
    near = _near(ctx, steps, guesses)
    main = walk(ctx, carries, sweep, outputs)
    guessed = len(guesses) == len(carries) and not sweep.writes  # else a far row is walked for what else it gives
    steps.append(replace(main, only=near) if guessed else main)
    steps += [_fallback(ctx, c, sweep, outputs) for c in carries if isinstance(c, ExpSums) and c.safe is not None]
    if doubts is not None and peek is not None and ctx.first is None:  # the state of a part does not hang on other rows
        ctx.learned = learn(ctx, guesses, doubts, peek.peek or ())
    for carry in carries:
        if isinstance(carry, ExpSums) and carry.lowering is Lowering.MAX:
            steps += _endless(ctx, carry.index)
        if isinstance(carry, Excess):
            steps += [_newton(ctx, carry), carry.finish()]
    return steps


def _peek(ctx: Context, guesses: Sequence[ExpSums]) -> Sweep:
    """A look at the row's first vector; at the whole row, where the exponentials are going to be written over it."""
    note = "the row's first elements, to guess a power of two near its maximum"
    sweep = walk(ctx, [Guess(ctx, g.index) for g in guesses], SweepPlan((), (), (), (), (), note), ())
    kept = [g.keep_in for g in guesses if g.keep_in is not None]
    rows = [p.name for p in ctx.ports.values() if p.row]
    return replace(sweep, peek=tuple((row, out) for row in rows for out in kept), rotate=())


def _near(ctx: Context, steps: list[Step], guesses: Sequence[ExpSums]) -> Var | None:
    """The flag without which the sums need not be tried: they would be taken again in any case."""
    code = Code(ctx.names)
    near = None
    for guess in guesses:
        flag = ctx.shifts[guess.index].near
        assert flag is not None
        near = flag if near is None else code.flag("near_zero", "and", near, flag)
    steps += [Scalars((), code.take())] if code.stmts else []
    for guess in guesses:
        guess.near = near
    return near


def _fallback(ctx: Context, carry: ExpSums, sweep: SweepPlan, outputs: Sequence[Port]) -> Step:
    """The row whose exponents leave the exact range is summed again, under its maximum."""
    assert carry.safe is not None
    empty = SweepPlan((), (), (), (), (), "the maximum of a row that reaches beyond 2^16")
    first = walk(ctx, [Maximum(ctx, carry.index)], empty, ())
    again = ExpSums(ctx, carry.index, Lowering.MAX)
    again.keep_in = carry.keep_in
    keeps = tuple((g, o) for g, o in sweep.keeps if g == carry.index)
    second = walk(ctx, [again], SweepPlan((), (), (), keeps, (), "its sums, shifted by that maximum"), outputs)
    comment = ("A row that reaches beyond 2^16, or is not finite: its exponents are shifted by the maximum itself.",)
    return Unless(comment, carry.safe, (first, second, *_endless(ctx, carry.index)))


def _endless(ctx: Context, index: int) -> list[Step]:
    """The row whose maximum is +inf: is its sum, or is it NaN?"""
    sums, finite = open_sums(ctx, index), ctx.shifts[index].finite
    if not sums:
        return []
    assert finite is not None
    look = SweepPlan((), (), (), (), (), "whether it holds NaN beside +inf")
    return [
        Unless(
            ("A row with +inf: its sum is infinite, or NaN.",),
            finite,
            (walk(ctx, [Endless(ctx, index, sums)], look, ()),),
        )
    ]


def _newton(ctx: Context, carry: Excess) -> Step:
    """The row whose candidates did not fit is walked over again, until its threshold settles."""
    again = SweepPlan((), (), (), (), (), "the sums over what is above the threshold so far")
    comment = ("A row with more candidates than the pool holds: Newton's iteration over the row itself.",)
    return Until(comment, carry.solved, (walk(ctx, [NewtonStep(carry)], again, ()),))


def _solve(ctx: Context, ref: Ref, note: str) -> list[Step]:
    """A threshold by bisection. What is computed in a walk for one tau is forgotten after it."""
    node = ctx.program.nodes[ref]
    assert isinstance(node, Reduce)
    code = ctx.code = Code(ctx.names)
    state = bracket(ctx, node)
    ends = Scalars(("The interval that a threshold is looked for in.",), code.take())
    known, reciprocals = dict(ctx.known), dict(ctx.reciprocals)
    ctx.known[node.args[1]] = Plain(state.tau)
    again = walk(ctx, [Total(ctx, ref, node.args[0], node.where, state=state)], SweepPlan((), (), (), (), (), note), ())
    ctx.known, ctx.reciprocals = known, reciprocals
    ctx.code = Code(ctx.names)
    return [ends, Until(("Until no number is left between.",), state.done, (again,)), result(ctx, ref, state)]


def walk(ctx: Context, carries: Sequence[Carry], sweep: SweepPlan, outputs: Sequence[Port]) -> Sweep:
    """One walk over the row, with everything that is constant over it before and every finish after."""
    before = ctx.code = Code(ctx.names)
    for carry in carries:
        carry.before(before)
    reads: list[str] = []
    writes = [outputs[o].name for o in sweep.writes if outputs[o].row] + [outputs[o].name for _, o in sweep.keeps]
    count = max([c.phases for c in carries], default=1)
    phases = []
    for phase in range(count):
        head = Code(ctx.names)
        for carry in carries:
            carry.between(head, phase)
        phases.append((head.take(), _phase(ctx, carries, sweep, outputs, before, (phase, count), reads)))
    end = Code(ctx.names)
    for carry in carries:
        carry.block_end(end)
    chunk = Code(ctx.names)
    for carry in carries:
        if isinstance(carry, ExpSums) and ctx.plan.chunked:
            carry.chunk_end(chunk, before)
    after = ctx.code = Code(ctx.names)
    for carry in sorted(carries, key=lambda c: isinstance(c, Maximum)):  # a shift may need what the others found
        carry.after(after)
    return Sweep(
        (remark(sweep.note),),
        before.take(),
        tuple(phases),
        end.take(),
        after.take(),
        tuple(reads),
        tuple(dict.fromkeys(writes)),
        chunk_end=chunk.take(),
        rotate=tuple(c.m.name for c in carries if isinstance(c, Maximum)) if _only_maxima(carries, sweep) else (),
    )


def _only_maxima(carries: Sequence[Carry], sweep: SweepPlan) -> bool:
    """Whether the sweep waits for nothing but a maximum, whose latency is then all that it costs."""
    return not sweep.writes and all(isinstance(c, Maximum) for c in carries)


def _phase(
    ctx: Context,
    carries: Sequence[Carry],
    sweep: SweepPlan,
    outputs: Sequence[Port],
    before: Code,
    phase: tuple[int, int],
    reads: list[str],
) -> Phase:
    """The body for a whole vector, and once more for the masked tail under the same names."""
    bodies = []
    outer = set(ctx.names.taken)
    for live in (None, LIVE):
        code = Code(ctx.names)
        rows = Rows(ctx, code, before, live)
        rows.kept = {g: outputs[o].name for g, o in sweep.reloads}
        for carry in carries:
            if carry.phases == phase[1] or phase[0] == phase[1] - 1:
                carry.body(rows, phase[0] if carry.phases == phase[1] else 0)
        if phase[0] == phase[1] - 1:
            _stores(ctx, rows, sweep, outputs)
        reads += [r for r in rows.reads if r not in reads]
        bodies.append(code.take())
        local = {v.name for s in bodies[-1] for v in s.results if not s.assign}
        ctx.names.taken -= local - outer
    ctx.names.taken |= {v.name for b in bodies for s in b for v in s.results}
    return Phase(bodies[0], bodies[1])


def _stores(ctx: Context, rows: Rows, sweep: SweepPlan, outputs: Sequence[Port]) -> None:
    for index in sweep.writes:
        ref, port = ctx.program.outputs[index].ref, outputs[index]
        if port.element == "total":
            rows.code.do("accumulate", port.name, rows.keep(None, rows.vec(ref), 0.0))
            continue
        value = rows.mask(ref) if port.element == "mask" else rows.vec(ref)
        word = {"T": "store", "mask": "store_mask", "int": "store_int"}[port.element]
        if rows.live is None:
            rows.code.do(word, port.name, value)
        else:
            rows.code.do(word + "_tail", port.name, value, rows.live)


def results_of(ctx: Context, outputs: Sequence[Port]) -> list[Step]:
    """The row-constant results, each rounded once."""
    code = ctx.code = Code(ctx.names)
    for output, port in zip(ctx.program.outputs, outputs, strict=True):
        if not ctx.program.is_row(output.ref):
            code.do("result", port.name, _result(ctx, output.ref, port))
    return [Scalars(("The results.",), code.take())] if code.stmts else []


def _result(ctx: Context, ref: Ref, port: Port) -> Number:
    return ctx.code.num("truth", "from_flag", ctx.flag(ref)) if port.element == "mask" else ctx.value(ref)
