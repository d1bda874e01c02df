"""Tables in the row language: parameters with a length of their own, read at places that are computed."""

from __future__ import annotations

from ...records import replace
from ..ir import Builder, Input, Map, Program, Ref, Role, operands, renumber
from .traced import Traced, Tracer

_ROWS = (Role.ROW, Role.MASK, Role.INT_ROW)
_PARAMETER = "give the table as a parameter `table: rf.Table`; what is computed of it, compute of what was found"


def lookup(t: Tracer, x: object, table: object) -> Traced:
    """A map of the places and of a parameter as a whole."""
    node = t.node(table) if isinstance(table, Traced) else None
    if not isinstance(node, Input) or node.role not in (Role.ROW, Role.TABLE):
        t.fail("a table that is not a parameter of floats", _PARAMETER)
    assert isinstance(table, Traced)
    return t.map("lookup", t.number(x), table)


def with_tables(program: Program) -> Program:
    """The program in which rows that only lookups read are tables, of any length; some row has to tell that of all."""
    read = {n.args[1] for n in program.nodes if isinstance(n, Map) and n.op == "lookup"}
    if not read:
        return program
    used = {r for n in program.nodes for r in (n.args[:1] if isinstance(n, Map) and n.op == "lookup" else operands(n))}
    used |= {o.ref for o in program.outputs}
    if not any(n.role in _ROWS and ref not in read - used for ref, n in program.inputs):
        return program
    b, new = Builder(program.name), dict[Ref, Ref]()
    for i, node in enumerate(program.nodes):
        if isinstance(node, Input) and i in read - used:
            node = replace(node, role=Role.TABLE)
        new[Ref(i)] = b.add(renumber(node, new), program.names[i])
    return b.finish(replace(o, ref=new[o.ref]) for o in program.outputs)


def table_used_otherwise(program: Program) -> str:
    """The name of a table that is used as anything else; "" if there is none."""
    read = [n.args[1] for n in program.nodes if isinstance(n, Map) and n.op == "lookup"]
    uses = [r for n in program.nodes for r in operands(n)] + [o.ref for o in program.outputs]
    found = (n.name for ref, n in program.inputs if n.role is Role.TABLE and uses.count(ref) > read.count(ref))
    return next(found, "")
