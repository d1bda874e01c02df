"""Parts of rows: the carries of one round that end as fields of a state, and results made of states that were merged.

The same carries as in a whole row, stopped between `collect` and `publish`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir import WHERE, Map, Reduce, Ref
from ..loops import Code, Kernel, Kind, Names, Port, Scalars, Step, Stmt, Var
from ..plan import Plan, StatePart, SweepPlan, Unit
from ..rewriting.apart import apart
from .carries import Carry, Count, Settling, Taken
from .context import Context
from .endless import open_sums
from .expsums import set_shift
from .forms import DisplacedSum, Number, Plain, Scaled
from .kernel import carries_of, kernel_of, ports_of, results_of, sweep_of


def lower_part(plan: Plan, part: StatePart) -> Kernel:
    """The loops of one round over a part of a row, or of the results."""
    names = Names(kernel=plan.name)
    ports, outputs = ports_of(plan, names)
    read = Port(names.fresh("state"), "double", False, entries=part.size)
    first = Port(names.fresh("first"), "index", False)
    ctx = Context(plan, names, Code(names), ports, Code(names), apart=apart(plan.program), first=first.name)
    given = [read] if part.done else []
    steps: list[Step] = [Scalars(("What other parts of the row were found to be.",), _restored(ctx, part, read))]
    if part.last:
        steps += [step for sweep in plan.sweeps for step in sweep_of(ctx, sweep, outputs)]
        steps += results_of(ctx, outputs)
    else:
        outputs = [Port(names.fresh("kept"), "double", False, output=True, entries=part.size)]
        steps += _round(ctx, part, plan.sweeps[0], outputs[0], read)
    return kernel_of(ctx, (*ports.values(), *given, first, *outputs), steps)


# states in


def _restored(ctx: Context, part: StatePart, port: Port) -> tuple[Stmt, ...]:
    if part.done:
        _restore_counts(ctx, ctx.code.num("elements", "field", port.name, 0.0))
    else:
        ctx.count = ctx.length
    for round_ in range(1, part.done + 1):
        _restore(ctx, part, round_, port)
    return ctx.code.take()


def _restore_counts(ctx: Context, elements: Number) -> None:
    """The elements of the whole row, or those that the call's predicate selects."""
    ctx.count = elements  # type: ignore[assignment]
    main = _main(ctx)
    if main is not None:
        ctx.counts[main] = Plain(elements)
        node = Reduce("count", (), main)
        if node in ctx.program.nodes:
            ctx.known[Ref(ctx.program.nodes.index(node))] = Plain(elements)


def _restore(ctx: Context, part: StatePart, round_: int, port: Port) -> None:
    """The results of one round."""
    places = _places(part)
    of = {unit.refs[0]: unit for unit in part.units if unit.round == round_ and unit.group < 0}
    for carry in _settling(ctx, part, round_):
        if carry.ref in of:
            carry.publish(ctx.code, _fields(ctx, of[carry.ref], places, port))
    for unit in part.units:
        if unit.group >= 0 and unit.round == round_:
            _restore_group(ctx, unit, _fields(ctx, unit, places, port))


def _fields(ctx: Context, unit: Unit, places: dict[str, int], port: Port) -> list[Number]:
    at = places[unit.name]
    if unit.kind == "topk":
        size = unit.shape[1]
        return [
            ctx.code.declare(Kind.SMALL, name, "field", port.name, float(at + k * size), size=size)
            for k, name in enumerate(("values", "places"))
        ]
    count = unit.size - unit.name.count("moments")  # of moments the last is for merging alone
    return [ctx.code.num(unit.kind, "field", port.name, float(at + k)) for k in range(count)]


def _restore_group(ctx: Context, unit: Unit, numbers: list[Number]) -> None:
    n, shift, _, _, *rest = numbers
    ctx.scale_of(unit.group)
    if unit.kind == "lse":
        set_shift(ctx.code, ctx, unit.group, shift, n, rest[0])
        maximum = ctx.shifts[unit.group].maximum
        assert maximum is not None
        held = ctx.code.declare(Kind.NUM, "rest", "copy", rest[1])
        ctx.known[unit.refs[0]] = DisplacedSum(held, maximum, unit.group)
        return
    set_shift(ctx.code, ctx, unit.group, shift, n, None)
    width, endless = 2 if ctx.dtype == "f64" else 1, open_sums(ctx, unit.group)
    for k, ref in enumerate(unit.refs):
        parts = [ctx.code.declare(Kind.NUM, "sum", "copy", v) for v in rest[k * width : (k + 1) * width]]
        ctx.known[ref] = Scaled(parts[0], {unit.group: 1}, parts[1] if width == 2 else None, open=ref in endless)


# states out


def _round(ctx: Context, part: StatePart, sweep: SweepPlan, kept: Port, read: Port) -> list[Step]:
    ctx.states = {}
    more, main = list[Carry](), _main(ctx)
    if main is not None and not part.done:
        more.append(Count(ctx, main))
        ctx.counts[main] = Plain(0.0)  # it is being counted
    steps = sweep_of(ctx, sweep, (), more) if sweep.carries or more else []
    code = ctx.code = Code(ctx.names)
    for carry in _taken(ctx, part, part.done + 1):
        carry.after(code)
    elements = ctx.count if part.done else ctx.length if main is None else ctx.states[main][0]
    assert elements is not None
    code.do("keep", kept.name, elements, 0.0)
    code.do("keep", kept.name, float(part.done + 1), 1.0)
    for unit in part.units:
        _keep(ctx, part, unit, kept, read)
    return [*steps, Scalars(("The state of this part.",), code.take())]


def _keep(ctx: Context, part: StatePart, unit: Unit, kept: Port, read: Port) -> None:
    """The unit's numbers; those of earlier rounds as they came, zeros for later rounds."""
    code, at = ctx.code, _places(part)[unit.name]
    if unit.round <= part.done:
        for k in range(unit.size):
            code.do("keep", kept.name, code.num("kept", "field", read.name, float(at + k)), float(at + k))
        return
    numbers: Sequence[Number] = [0.0] * unit.size if unit.round > part.done + 1 else _numbers(ctx, unit)
    for number in numbers:
        code.do("keep", kept.name, number, float(at))
        at += max(number.size, 1) if isinstance(number, Var) else 1


def _numbers(ctx: Context, unit: Unit) -> Sequence[Number]:
    states = ctx.states
    assert states is not None
    if unit.group >= 0:
        return _group_numbers(ctx, unit)
    numbers = states[unit.refs[0]]
    if unit.kind == "moments":
        where = ctx.program.nodes[unit.refs[0]].where  # type: ignore[union-attr]
        count = ctx.count if where is None else states[where][0] if where in states else ctx.counts[where].value
        assert count is not None
        return *numbers, count
    return (*numbers, numbers[-2 if ctx.dtype == "f64" else -1]) if unit.kind == "wmoments" else numbers


def _group_numbers(ctx: Context, unit: Unit) -> Sequence[Number]:
    s = ctx.shifts[unit.group]
    assert s.n is not None and s.shift is not None
    numbers: list[Number] = [s.n, s.shift, s.factor, ctx.unit(unit.group)]
    for ref in unit.refs:
        form = ctx.known[ref]
        match form:
            case DisplacedSum(rest, maximum):
                numbers += [maximum, rest]
            case Scaled(m, _, lo):
                numbers += [m] if lo is None else [m, lo]
            case _:
                raise AssertionError(f"an exponential sum that ended as {form}")
    return numbers


# carries


def _main(ctx: Context) -> Ref | None:
    return next((ref for ref, node in ctx.program.inputs if node.name == WHERE), None)


def _settling(ctx: Context, part: StatePart, round_: int) -> list[Settling]:
    """The carries of a round, but for exponential sums, ready to publish."""
    found = carries_of(ctx, SweepPlan(part.carries[round_ - 1], (), (), (), (), ""))
    return [c for c in found if isinstance(c, Settling)] + _taken(ctx, part, round_)


def _taken(ctx: Context, part: StatePart, round_: int) -> list[Settling]:
    found: list[Settling] = []
    for unit in part.units:
        node = ctx.program.nodes[unit.refs[0]]
        if unit.kind == "take" and unit.round == round_ and isinstance(node, Map):
            found.append(Taken(ctx, unit.refs[0], *node.args))
    return found


def _places(part: StatePart) -> dict[str, int]:
    """Where each unit begins among the doubles of a state."""
    places, at = {}, part.start
    for unit in part.units:
        places[unit.name] = at
        at += unit.size
    return places
