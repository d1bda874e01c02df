"""Exponents that were split for a sum, put together again where nothing cancelled."""

from __future__ import annotations

from ...records import replace
from ..ir import Builder, Const, Map, Program, Reduce, Ref, operands, renumber

_CARRIERS = frozenset("multiply divide negative reciprocal square where broadcast take".split())


def joined(program: Program) -> Program:
    """e^a e^c is e^(a + c) for a row a and a number c that no sweep finds, where no other exponential meets it.

    Under the shift of a sum of e^a the small ones are nothing beside the largest, and e^c could not bring them back.
    """
    apart = [Ref(i) for i, node in enumerate(program.nodes) if isinstance(node, Map) and _split(program, node)]
    wanted = {ref for ref in apart if _alone(program, ref)}
    if not wanted:
        return program
    b, new = Builder(program.name), dict[Ref, Ref]()
    for i, node in enumerate(program.nodes):
        found = renumber(node, new)
        if i in wanted and isinstance(found, Map):
            a, c = (operands(b.nodes[e])[0] for e in found.args)
            found = Map("exp", (b.map("add" if found.op == "multiply" else "subtract", a, c),))
        new[Ref(i)] = b.add(found, program.names[i])
    return b.finish(replace(o, ref=new[o.ref]) for o in program.outputs)


def _split(program: Program, node: Map) -> bool:
    if node.op not in ("multiply", "divide"):
        return False
    match [program.nodes[a] for a in node.args]:
        case [Map("exp", (a,)), Map("exp", (c,))] if program.is_row(a) and not program.is_row(c):
            return not isinstance(program.nodes[c], Const) and not _found_by_a_sweep(program, c)
    return False


def _found_by_a_sweep(program: Program, ref: Ref) -> bool:
    node = program.nodes[ref]
    return isinstance(node, Reduce) or any(_found_by_a_sweep(program, a) for a in operands(node))


def _alone(program: Program, ref: Ref) -> bool:
    """Whether the product goes into results without meeting another exponential or a sum."""
    carried = {ref}
    for i, node in enumerate(program.nodes):
        args = operands(node)
        if not carried.intersection(args):
            continue
        if isinstance(node, Reduce) or any(_scales(program, a) for a in args if a not in carried):
            return False
        if isinstance(node, Map) and node.op in _CARRIERS:
            carried.add(Ref(i))
    return True


def _scales(program: Program, ref: Ref) -> bool:
    match program.nodes[ref]:
        case Map("exp") | Reduce("expsum"):
            return True
        case Map(op, args) if op in _CARRIERS:
            return any(_scales(program, a) for a in args)
    return False
