"""Program -> Program: the gradients of a row function, by reverse mode on its simplified program.

The simplified program has no maximum that only shifts, so that none gets a gradient. What comes out goes through the
simplifier and the planner as any program: there softmax arrives at y (g - sum g y), not by a special case.

A gradient is kept as values under predicates. What a `where` hides is never an operand: an infinity or a NaN behind a
mask stays there. Ties of a maximum or a minimum share the gradient equally; steps (sign, floor, rint, comparisons,
positions of extremes) have none (docs/decisions/0010).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import NotDifferentiableError
from ..records import replace
from .derivatives import rules as vjp_rules
from .derivatives import selection as vjp_selection
from .derivatives.rules import Maths, Send
from .ir import Builder, Input, Map, Output, Program, Reduce, Ref, Role, Shape, Type, operands, renumber
from .simplify import simplify

FLOAT_ROLES = (Role.ROW, Role.SCALAR)
_RULES = {**vjp_rules.RULES, **vjp_selection.RULES}


def vjp(program: Program) -> Program:
    """The gradients of all float inputs, in order. One more input for each float output: the gradient that comes in.

    NotDifferentiableError: no output is a float, or the way to it has an operation without a rule.
    """
    stopped, definitions = _freeze(program)
    forward = simplify(stopped)
    outputs = differentiable(forward)
    reverse = _Reverse(forward, definitions)
    for (output, _), name in zip(outputs, gradient_names(program), strict=True):
        role = Role.ROW if forward.is_row(output) else Role.SCALAR
        reverse.receive(output, reverse.b.add(Input(name, role), name))
    reverse.run()
    wanted = [ref for ref, node in forward.inputs if node.role in FLOAT_ROLES and node.name not in definitions]
    gradients = reverse.b.finish(Output(reverse.gradient(ref)) for ref in wanted)
    return simplify(_thaw(gradients, program, definitions))


def with_gradients(program: Program) -> Program:
    """The program's results and their gradients in one program, which shares what both need."""
    gradients, b = vjp(program), Builder(f"{program.name}_vjp")
    incoming = gradient_names(program)
    inputs = [n for p in (program, gradients) for _, n in p.inputs]
    for node in sorted(inputs, key=lambda n: n.name in incoming):
        b.add(node, node.name)
    return b.finish([*_copied(b, program), *_copied(b, gradients)])


def with_totals(gradients: Program, program: Program, names: frozenset[str]) -> Program:
    """The gradients, those of these parameters summed over the batch. They are the last outputs, in order."""
    own = [node.name for _, node in program.inputs if node.role in FLOAT_ROLES]
    plain = gradients.outputs[: len(gradients.outputs) - len(own)]
    last = zip(gradients.outputs[len(plain) :], own, strict=True)
    return replace(gradients, outputs=(*plain, *(replace(o, total=name in names) for o, name in last)))


def _copied(b: Builder, program: Program) -> list[Output]:
    new: dict[Ref, Ref] = {}
    for i, node in enumerate(program.nodes):
        new[Ref(i)] = b.add(renumber(node, new), program.names[i])
    return [replace(o, ref=new[o.ref]) for o in program.outputs]


def differentiable(program: Program) -> list[tuple[Ref, int]]:
    """The float outputs as (node, position). Raises NotDifferentiableError when there is none."""
    found = [(o.ref, i) for i, o in enumerate(program.outputs) if program.types[o.ref] is Type.FLOAT]
    if not found:
        raise NotDifferentiableError(f"{program.name} gives no floats, and only floats have a gradient")
    if any(program.shapes[ref] not in (Shape.ROW, Shape.CONST) for ref, _ in found):
        raise NotDifferentiableError(f"{program.name} gives a k-vector, and there is no gradient of one yet")
    return found


def gradient_names(program: Program) -> tuple[str, ...]:
    """The names of the incoming gradients, one for each float output."""
    taken = {node.name for _, node in program.inputs} | {node.name for _, node in program.params}
    count = len(differentiable(program))
    names = ["gradient"] if count == 1 else [f"gradient_{i}" for i in range(count)]
    while taken & set(names):
        names = [f"{name}_" for name in names]
    return tuple(names)


class _Reverse:
    """The gradients of every node of a program, from its outputs down; implements `vjp_rules.Send`."""

    def __init__(self, program: Program, definitions: Mapping[str, Ref]) -> None:
        self.b = Builder(f"{program.name}_vjp")
        for node, name in zip(program.nodes, program.names, strict=True):
            self.b.add(node, name)  # equal nodes are one already, so every node keeps its number
        self.program = program
        self.maths = Maths(self.b)
        self.active = _active(program, definitions)
        self.found: dict[Ref, dict[Ref | None, Ref]] = {}

    def run(self) -> None:
        for i in range(len(self.program.nodes) - 1, -1, -1):
            node, ref = self.program.nodes[i], Ref(i)
            if isinstance(node, Map | Reduce):
                for under, value in self.found.pop(ref, {}).items():
                    self._send_down(ref, node, value, under)

    def _send_down(self, ref: Ref, node: Map | Reduce, value: Ref, under: Ref | None) -> None:
        rule = _RULES.get(node.op)
        if rule is None:
            name = self.program.names[ref]
            what = f"{node.op} ({name})" if name else node.op
            raise NotDifferentiableError(f"{self.program.name}: {what} has no derivative; see @k.defvjp")
        rule(Send(self.maths, self, ref, value, under), node)

    def receive(self, ref: Ref, value: Ref, under: Ref | None = None) -> None:
        """Adds to the gradient of a node, if it depends on a float input."""
        if ref in self.active:
            known = self.found.setdefault(ref, {})
            known[under] = value if under not in known else self.maths.add(known[under], value)

    def gradient(self, ref: Ref) -> Ref:
        """The gradient of an input, in its shape."""
        total = self.b.const(0.0)
        for under, value in self.found.get(ref, {}).items():
            total = self.maths.add(total, self.maths.chosen(under, value))
        if self.b.is_row(ref) and not self.b.is_row(total):
            return self.b.map("broadcast", ref, total)
        return total


def _active(program: Program, stopped: Mapping[str, Ref]) -> set[Ref]:
    """The floats that depend on a float input in a way that has a slope."""
    found: set[Ref] = set()
    for i, node in enumerate(program.nodes):
        match node:
            case Input(name, role):
                if role in (*FLOAT_ROLES, Role.TABLE) and name not in stopped:
                    found.add(Ref(i))
            case _ if program.types[i] is not Type.FLOAT or getattr(node, "op", "") in vjp_rules.FLAT:
                pass
            case Reduce(_, args, _):
                found.update([Ref(i)] if found.intersection(args) else [])
            case _:
                found.update([Ref(i)] if found.intersection(operands(node)) else [])
    return found


def _freeze(program: Program) -> tuple[Program, dict[str, Ref]]:
    """What `stop_gradient` holds becomes an input from outside, so that the simplifier sees the rest as it is."""
    b, new, definitions = Builder(program.name), dict[Ref, Ref](), dict[str, Ref]()
    for i, node in enumerate(program.nodes):
        match node:
            case Map("stop_gradient", (x,)) if program.types[x] is Type.FLOAT:
                name = f"stopped {len(definitions)}"  # no parameter has a space in its name
                definitions[name] = x
                new[Ref(i)] = b.add(Input(name, Role.ROW if program.is_row(x) else Role.SCALAR))
            case _:
                new[Ref(i)] = b.add(renumber(node, new), program.names[i])
    if not definitions:
        return program, {}
    return b.finish(replace(o, ref=new[o.ref]) for o in program.outputs), definitions


def _thaw(gradients: Program, program: Program, definitions: Mapping[str, Ref]) -> Program:
    """What was frozen is computed again: the definitions go where their inputs stood."""
    if not definitions:
        return gradients
    b, new = Builder(gradients.name), dict[Ref, Ref]()
    whole = dict[Ref, Ref]()
    for i, node in enumerate(program.nodes):
        whole[Ref(i)] = b.add(renumber(node, whole), program.names[i])
    for i, node in enumerate(gradients.nodes):
        if isinstance(node, Input) and node.name in definitions:
            new[Ref(i)] = whole[definitions[node.name]]
        else:
            new[Ref(i)] = b.add(renumber(node, new), gradients.names[i])
    return b.finish(replace(o, ref=new[o.ref]) for o in gradients.outputs)
