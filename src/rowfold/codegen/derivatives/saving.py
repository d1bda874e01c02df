"""What a forward pass keeps for its gradients, and the two programs that come of it.

Rows cost traffic, numbers a row cost none. So every reduction of the forward rows is kept as a number a row (of a chain
of row-constants the fewest that the rest follows from), and the gradients start from these, from the rows that the call
was given, or from a row that it gave: whichever has fewer bytes to read, then fewer exponentials to compute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...records import dataclass, replace
from ..ir import Builder, Const, Input, Map, Output, Param, Program, Reduce, Ref, Role, Shape, Type, operands, renumber
from ..planning.cost import EXPENSIVE
from ..rewriting.unscaled import ScaleError, Unscaled
from ..simplify import simplify
from ..vjp import gradient_names, vjp
from .cut import fewest

ROWS = (Role.ROW, Role.MASK, Role.INT_ROW)
BYTES: Mapping[Role, int] = {Role.MASK: 1, Role.INT_ROW: 8}


@dataclass(frozen=True, slots=True)
class Saving:
    """`forward` gives the kernel's results, then the numbers to keep; `backward` the gradients.

    The inputs of `backward` are kept rows of the call (by name), kept results, kept numbers, and gradients.
    """

    forward: Program
    backward: Program
    results: Mapping[str, int]  # an input of `backward` -> the position of the result that it is
    numbers: tuple[str, ...]  # inputs of `backward`: the last outputs of `forward`


def saving(program: Program, ones: frozenset[str] = frozenset()) -> Saving:
    """The cheapest way to keep what the gradients need, for a call in which these settings are 1.

    Raises NotDifferentiableError.
    """
    gradients, forward = vjp(_with_ones(program, ones)), simplify(_with_ones(program, ones))
    incoming = frozenset(gradient_names(program))
    b = Builder(gradients.name)
    try:
        words = Unscaled(b, lambda ref: _fixed(b, incoming)[ref])
        wanted, given = words.add(gradients), words.add(forward)
    except ScaleError:
        b = Builder(gradients.name)
        wanted, given = _added(b, gradients), _added(b, forward)
    graph = _Graph(b, incoming, wanted)
    rows = {ref: i for i, ref in enumerate(given) if b.is_row(ref) and program.outputs[i].dtype is None}
    choices = [graph.split(program, {}), *(graph.split(program, {ref: i}) for ref, i in rows.items())]
    return min((c for c in choices if c is not None), key=_price)


def _with_ones(program: Program, names: frozenset[str]) -> Program:
    """The program where these settings are 1, which multiplies nothing."""
    b, new = Builder(program.name), dict[Ref, Ref]()
    one = Const(1.0)
    for i, node in enumerate(program.nodes):
        match renumber(node, new):
            case Param(name) if name in names:
                new[Ref(i)] = b.add(one)
            case Map("multiply" | "divide", (x, y)) if b.nodes[y] == one:
                new[Ref(i)] = x
            case Map("multiply", (x, y)) if b.nodes[x] == one:
                new[Ref(i)] = y
            case moved:
                new[Ref(i)] = b.add(moved, program.names[i])
    return b.finish(replace(o, ref=new[o.ref]) for o in program.outputs)


def _fixed(b: Builder, incoming: frozenset[str]) -> list[bool]:
    """Which nodes do not hang on an incoming gradient."""
    found: list[bool] = []
    for node in b.nodes:
        own = not (isinstance(node, Input) and node.name in incoming)
        found.append(own and all(found[a] for a in operands(node)))
    return found


def _added(b: Builder, program: Program) -> list[Ref]:
    new: dict[Ref, Ref] = {}
    for i, node in enumerate(program.nodes):
        new[Ref(i)] = b.add(renumber(node, new), program.names[i])
    return [new[o.ref] for o in program.outputs]


def _price(choice: Saving) -> tuple[int, ...]:
    nodes = choice.backward.nodes
    read = sum(BYTES.get(n.role, 4) for n in nodes if isinstance(n, Input) and n.role in ROWS)
    hard = sum(isinstance(n, Map) and n.op in EXPENSIVE for n in nodes)
    return read, hard, len(choice.numbers), len(choice.results)


class _Graph:
    """The gradients as nodes, and what of them is known before any gradient is."""

    def __init__(self, b: Builder, incoming: frozenset[str], wanted: Sequence[Ref]) -> None:
        self.b, self.incoming, self.wanted = b, incoming, wanted
        self._centered()
        self.fixed = _fixed(b, incoming)
        self.carried = self._carried()

    def _centered(self) -> None:
        """sum (x - mean x)(z - mean z) as sum (x - m) z, where m = mean x is known before z is."""
        b, fixed = self.b, _fixed(self.b, self.incoming)
        new: dict[Ref, Ref] = {}
        for i in range(len(b.nodes)):
            node = renumber(b.nodes[i], new)
            match node:
                case Reduce("comoment", (x, z), where) if fixed[x] is not fixed[z]:
                    x, z = (x, z) if fixed[x] else (z, x)
                    far = b.map("subtract", x, b.reduce("mean", x, where=where))
                    new[Ref(i)] = b.reduce("dot", far, z, where=where)
                case _:
                    new[Ref(i)] = b.add(node)
            fixed = _fixed(b, self.incoming) if len(fixed) < len(b.nodes) else fixed
        self.wanted = [new[ref] for ref in self.wanted]

    def _carried(self) -> list[bool]:
        """Which row-constants take a sweep."""
        found: list[bool] = []
        for node in self.b.nodes:
            own = isinstance(node, Reduce) and (node.op != "count" or node.where is not None)
            found.append(own or any(found[a] for a in operands(node)))
        return found

    def split(self, program: Program, results: Mapping[Ref, int]) -> Saving | None:
        """The programs when these results are kept; None where the gradients do not read them, or lose by it."""
        live = self._live(set(results))
        if any(ref not in live or self._amplified(ref, live) for ref in results):
            return None
        numbers = self._numbers(live, set(results))
        names = dict(zip(results, _fresh(program, "result", len(results)), strict=True))
        names |= dict(zip(numbers, _fresh(program, "saved", len(numbers)), strict=True))
        forward = self._forward(program, numbers)
        backward = self._backward(program, names, results)
        kept = {names[ref]: i for ref, i in results.items()}
        return Saving(forward, backward, kept, tuple(names[ref] for ref in numbers))

    def _live(self, stop: set[Ref]) -> set[Ref]:
        """The nodes that the gradients are computed from, down to those where they may stop."""
        seen, stack = set[Ref](), list(self.wanted)
        while stack:
            ref = stack.pop()
            if ref not in seen:
                seen.add(ref)
                stack += () if ref in stop else operands(self.b.nodes[ref])
        return seen

    def _amplified(self, result: Ref, live: set[Ref]) -> bool:
        """Whether an exponential is computed from it: that would multiply its rounding by its size."""
        below = {result}
        for i in range(result + 1, len(self.b.nodes)):
            node = self.b.nodes[i]
            if Ref(i) in live and self.fixed[i] and below.intersection(operands(node)):
                if isinstance(node, Map) and node.op in EXPENSIVE:
                    return True
                below.add(Ref(i))
        return False

    def _numbers(self, live: set[Ref], stop: set[Ref]) -> list[Ref]:
        """The fewest row-constants from which all others that take a sweep over the forward rows follow."""
        inside = {r for r in live if self.carried[r] and self.fixed[r] and not self.b.is_row(r) and r not in stop}
        below = {r: [a for a in operands(self.b.nodes[r]) if a in inside] for r in inside}
        ends = {r for r in inside if self._used_outside(r, live, inside)}
        allowed = {r for r in inside if self._is_number(r)}
        return fewest(inside, below, ends, allowed)

    def _used_outside(self, ref: Ref, live: set[Ref], inside: set[Ref]) -> bool:
        readers = (r for r in live if ref in operands(self.b.nodes[r]))
        return ref in self.wanted or any(r not in inside for r in readers)

    def _is_number(self, ref: Ref) -> bool:
        """A float that may be kept; a sum of exponentials may not, for it overflows."""
        node = self.b.nodes[ref]
        plain = self.b.shapes[ref] is Shape.CONST and self.b.types[ref] is Type.FLOAT
        return plain and not (isinstance(node, Reduce) and node.op == "expsum")

    def _forward(self, program: Program, numbers: Sequence[Ref]) -> Program:
        b = Builder(program.name)
        outputs = [Output(ref, o.dtype) for ref, o in zip(_added(b, program), program.outputs, strict=True)]
        new: dict[Ref, Ref] = {}
        for ref in sorted(self._below(numbers)):
            new[ref] = b.add(renumber(self.b.nodes[ref], new))
        return b.finish([*outputs, *(Output(new[ref], "float64") for ref in numbers)])

    def _below(self, refs: Sequence[Ref]) -> set[Ref]:
        seen, stack = set[Ref](), list(refs)
        while stack:
            ref = stack.pop()
            if ref not in seen:
                seen.add(ref)
                stack += operands(self.b.nodes[ref])
        return seen

    def _backward(self, program: Program, names: Mapping[Ref, str], results: Mapping[Ref, int]) -> Program:
        live = self._live(set(names))
        b = Builder(self.b.name)
        leaves = list(self._leaves(program, live, names, results))
        new = {ref: b.add(node, node.name) for ref, node in leaves}
        for ref in sorted(live):
            if ref not in new:
                new[ref] = b.add(renumber(self.b.nodes[ref], new), self.b.names[ref])
        return b.finish(Output(new[ref]) for ref in self.wanted)

    def _leaves(
        self, program: Program, live: set[Ref], names: Mapping[Ref, str], results: Mapping[Ref, int]
    ) -> Iterator[tuple[Ref, Input]]:
        """The inputs: the row whose shape is that of all first, and what marks rows to be ignored always."""
        for ref in results:
            yield ref, Input(names[ref], Role.ROW)
        own = {n.name: (Ref(i), n) for i, n in enumerate(self.b.nodes) if isinstance(n, Input) and n.name}
        first = next(n.name for _, n in program.inputs if n.role in ROWS)
        for name, (ref, node) in own.items():
            if (name == first and not results) or ref in live or node.ignore is not None:
                yield ref, node
        for ref, name in names.items():
            if ref not in results:
                yield ref, Input(name, Role.SCALAR)


def _fresh(program: Program, name: str, count: int) -> list[str]:
    taken = {n.name for _, n in program.inputs} | {n.name for _, n in program.params} | set(gradient_names(program))
    while any(t.startswith(name) for t in taken):
        name += "_"
    return [name] if count == 1 else [f"{name}_{i}" for i in range(count)]
