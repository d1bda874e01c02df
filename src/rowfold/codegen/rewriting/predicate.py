"""Programs under a predicate: `where=` of a call, and rows that an Index marks to be ignored."""

from __future__ import annotations

from ...records import replace
from ..ir import WHERE, Builder, Const, Input, Map, Output, Param, Program, Reduce, Ref, Role, Type, operands, renumber


def under_where(program: Program, masked: float) -> Program:
    """Every reduction runs over the selected elements; row outputs get `masked` elsewhere (1-product, Calling)."""
    b, new = Builder(program.name), dict[Ref, Ref]()
    chosen = b.add(Input(WHERE, Role.MASK))
    for i, node in enumerate(program.nodes):
        moved = renumber(node, new)
        match moved:
            case Reduce(op, args, None):
                moved = Reduce(op, args, chosen)
            case Reduce(op, args, inner):
                assert inner is not None
                moved = Reduce(op, args, b.map("logical_and", inner, chosen))
            case Input() | Param() | Const() | Map():
                pass
        new[Ref(i)] = b.add(moved, program.names[i])
    fill = b.const(masked)
    outputs = [_output(b, replace(o, ref=new[o.ref]), chosen, fill) for o in program.outputs]
    return _where_last(b.finish(outputs))


def _output(b: Builder, output: Output, chosen: Ref, fill: Ref) -> Output:
    ref = output.ref
    if b.is_row(ref):
        return replace(output, ref=b.map("where", chosen, ref, fill))
    if b.entries(ref) and b.types[ref] is not Type.INT:
        found = b.map("greater_equal", _places(b, ref), b.const(0.0))
        return replace(output, ref=b.map("where", found, ref, fill))
    return output


def _places(b: Builder, ref: Ref) -> Ref:
    """The positions of a k-vector's entries: -1 where fewer were selected."""
    while not isinstance(node := b.nodes[ref], Reduce):
        ref = next(a for a in operands(node) if b.entries(a))
    return b.reduce("topk_at", *node.args, where=node.where)


def _where_last(program: Program) -> Program:
    """The predicate after the row function's own parameters, as the loop takes it."""
    order = sorted(range(len(program.nodes)), key=lambda i: _rank(program, i))
    new = {Ref(old): Ref(i) for i, old in enumerate(order)}
    return Program(
        program.name,
        tuple(renumber(program.nodes[i], new) for i in order),
        tuple(program.shapes[i] for i in order),
        tuple(program.types[i] for i in order),
        tuple(program.names[i] for i in order),
        tuple(replace(o, ref=new[o.ref]) for o in program.outputs),
    )


def _rank(program: Program, i: int) -> tuple[int, int]:
    node = program.nodes[i]
    if isinstance(node, Input) and node.name:
        return (1 if node.name == WHERE else 0, i)
    return (2, i)


def with_ignored(program: Program) -> Program:
    """Rows whose Index holds its `ignore` value give 0."""
    marks = [(ref, node.ignore) for ref, node in program.inputs if node.ignore is not None]
    if not marks:
        return program
    b, new = Builder(program.name), dict[Ref, Ref]()
    for i, node in enumerate(program.nodes):
        new[Ref(i)] = b.add(renumber(node, new), program.names[i])
    zero = b.const(0.0)
    outputs = []
    for o in program.outputs:
        ref = new[o.ref]
        for mark, value in marks:
            assert value is not None
            skip = b.map("equal", new[mark], b.const(float(value)))
            if not program.is_row(o.ref):
                ref = b.map("where", skip, zero, ref)
            else:
                ref = b.map("where", b.map("broadcast", ref, b.map("where", skip, zero, b.const(1.0))), ref, zero)
        outputs.append(replace(o, ref=ref))
    return b.finish(outputs)
