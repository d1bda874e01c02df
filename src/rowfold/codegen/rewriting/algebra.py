"""Products and sums seen as such: the normal forms in which `simplify` finds what cancels and what can be pulled out.

A product is a number times integer powers of atoms; a sum is numbers times atoms. Both are read from a builder's nodes
and written back as nodes. Written back in one fixed order, so that x/T, (1/T)*x and x*(1/T) become one node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...records import dataclass, replace
from ..ir import Builder, Const, Input, Map, Param, Program, Reduce, Ref, operands, renumber

MAX_MONOMIALS = 16
MAX_DEPTH = 64  # below it a value counts as an atom: the normal forms of absurdly deep programs stay cheap


@dataclass(frozen=True, slots=True)
class Product:
    """coefficient * prod atom^power, the powers in order of the atoms' numbers and none of them zero."""

    coefficient: float
    powers: Mapping[Ref, int]

    def times(self, other: Product, power: int = 1) -> Product:
        powers = dict(self.powers)
        for atom, count in other.powers.items():
            powers[atom] = powers.get(atom, 0) + power * count
        kept = {a: p for a, p in sorted(powers.items()) if p}
        return Product(self.coefficient * other.coefficient**power, kept)

    def only(self, keep: Callable[[Ref], bool]) -> Product:
        """The part whose atoms satisfy `keep`, without the coefficient."""
        return Product(1.0, {a: p for a, p in self.powers.items() if keep(a)})

    def without(self, drop: Callable[[Ref], bool]) -> Product:
        return Product(self.coefficient, {a: p for a, p in self.powers.items() if not drop(a)})


ONE = Product(1.0, {})


def product(b: Builder, ref: Ref, depth: int = MAX_DEPTH) -> Product:
    """The product that the node at `ref` spells out with multiply, divide, negative, square and reciprocal."""
    match b.nodes[ref]:
        case Map() if not depth:
            return Product(1.0, {ref: 1})
        case Const(value) if not isinstance(value, bool) and value != 0.0 and abs(value) < 1e300:
            return Product(value, {})
        case Map("multiply", (x, y)):
            return product(b, x, depth - 1).times(product(b, y, depth - 1))
        case Map("divide", (x, y)):
            return product(b, x, depth - 1).times(product(b, y, depth - 1), -1)
        case Map("reciprocal", (x,)):
            return ONE.times(product(b, x, depth - 1), -1)
        case Map("square", (x,)):
            return ONE.times(product(b, x, depth - 1), 2)
        case Map("negative", (x,)):
            inner = product(b, x, depth - 1)
            return Product(-inner.coefficient, inner.powers)
        case Input() | Param() | Const() | Map() | Reduce():
            return Product(1.0, {ref: 1})


def write_product(b: Builder, p: Product) -> Ref:
    """The product as nodes: row-shaped atoms over row-constant ones, one multiplication by what is row-constant.

    What divides by a row comes last: a sum of exponentials times that row may leave the range.
    """
    atoms = sorted(p.powers, key=lambda a: (not b.is_row(a), a))
    above = [a for a in atoms for _ in range(p.powers[a])]
    below = [a for a in atoms for _ in range(-p.powers[a])]
    top = _chain(b, above)
    if top is None:
        top = b.const(p.coefficient)
    elif p.coefficient == -1.0:
        top = b.map("negative", top)
    elif p.coefficient != 1.0:
        top = b.map("multiply", top, b.const(p.coefficient))
    for divisor in (_chain(b, [a for a in below if not b.is_row(a)]), _chain(b, [a for a in below if b.is_row(a)])):
        top = top if divisor is None else b.map("divide", top, divisor)
    return top


def _chain(b: Builder, atoms: list[Ref]) -> Ref | None:
    result: Ref | None = None
    for atom in atoms:
        result = atom if result is None else b.map("multiply", result, atom)
    return result


@dataclass(frozen=True, slots=True)
class Sum:
    """constant + sum coefficient * atom."""

    constant: float
    terms: Mapping[Ref, float]

    def plus(self, other: Sum, factor: float = 1.0) -> Sum:
        terms = dict(self.terms)
        for atom, coefficient in other.terms.items():
            terms[atom] = terms.get(atom, 0.0) + factor * coefficient
        return Sum(self.constant + factor * other.constant, {a: c for a, c in terms.items() if c})


NOTHING = Sum(0.0, {})


def total(b: Builder, ref: Ref, depth: int = MAX_DEPTH) -> Sum:
    """The sum that the node at `ref` spells out; a number times an atom is a term, so 2*x - x is x."""
    match b.nodes[ref]:
        case Const(value) if not isinstance(value, bool) and abs(value) < 1e300:
            return Sum(value, {})
        case Map() if not depth:
            return Sum(0.0, {ref: 1.0})
        case Map("add", (x, y)):
            return total(b, x, depth - 1).plus(total(b, y, depth - 1))
        case Map("subtract", (x, y)):
            return total(b, x, depth - 1).plus(total(b, y, depth - 1), -1.0)
        case Map("negative", (x,)):
            return NOTHING.plus(total(b, x, depth - 1), -1.0)
        case Input() | Param() | Const() | Map() | Reduce():
            return Sum(0.0, {ref: 1.0})


def write_sum(b: Builder, s: Sum) -> Ref:
    """The sum as nodes, the row-shaped terms first."""
    result: Ref | None = None
    for atom in sorted(s.terms, key=lambda a: (not b.is_row(a), s.terms[a] < 0, a)):
        result = _add_term(b, result, atom, s.terms[atom])
    if result is None:
        return b.const(s.constant)
    if s.constant:
        op = "add" if s.constant > 0 else "subtract"
        result = b.map(op, result, b.const(abs(s.constant)))
    return result


def _add_term(b: Builder, result: Ref | None, atom: Ref, coefficient: float) -> Ref:
    size = Product(abs(coefficient), {})
    scaled = atom if abs(coefficient) == 1.0 else write_product(b, product(b, atom).times(size))
    if result is None:
        return scaled if coefficient > 0 else b.map("negative", scaled)
    return b.map("add" if coefficient > 0 else "subtract", result, scaled)


def leaves(b: Builder, ref: Ref, depth: int = MAX_DEPTH) -> list[Ref]:
    """The terms of a sum as written, before any cancels."""
    match b.nodes[ref]:
        case Map() if not depth:
            return [ref]
        case Map("add" | "subtract", (x, y)):
            return leaves(b, x, depth - 1) + leaves(b, y, depth - 1)
        case Map("negative", (x,)):
            return leaves(b, x, depth - 1)
        case Input() | Param() | Const() | Map() | Reduce():
            return [ref]


def split(b: Builder, ref: Ref, depth: int = MAX_DEPTH) -> tuple[list[Product], list[Product]]:
    """A row-shaped value as (row-shaped terms, row-constant terms): (x - m) / T is x/T and -m/T."""
    if not b.is_row(ref):
        return [], [product(b, ref)]
    match b.nodes[ref]:
        case Map() if not depth:
            return [Product(1.0, {ref: 1})], []
        case Map("add" | "subtract" as op, (x, y)):
            sign = Product(1.0 if op == "add" else -1.0, {})
            left, right = split(b, x, depth - 1), split(b, y, depth - 1)
            return left[0] + [sign.times(p) for p in right[0]], left[1] + [sign.times(p) for p in right[1]]
        case Map("multiply" | "divide" | "negative"):
            whole = product(b, ref)
            return _distribute(b, whole)
        case Input() | Param() | Const() | Map() | Reduce():
            return [product(b, ref)], []


def _distribute(b: Builder, whole: Product) -> tuple[list[Product], list[Product]]:
    """A row-constant factor times a sum is a sum of products; any other product is one term."""
    rows = [a for a in whole.powers if b.is_row(a)]
    if len(rows) == 1 and whole.powers[rows[0]] == 1:
        match b.nodes[rows[0]]:
            case Map("add" | "subtract"):
                factor = whole.without(b.is_row)
                row, const = split(b, rows[0])
                return [factor.times(p) for p in row], [factor.times(p) for p in const]
            case Input() | Param() | Const() | Map() | Reduce():
                pass
    return [whole], []


def expand(b: Builder, p: Product, deep: Callable[[Ref], bool]) -> list[Product] | None:
    """The product multiplied out into monomials over every atom that is a sum of terms with something `deep` in them.

    None when there is nothing to multiply out, or too much.
    """
    result, changed = [p.without(b.is_row)], False
    for atom, power in p.powers.items():
        if not b.is_row(atom):
            continue
        row, const = split(b, atom)
        if power > 0 and row and len(row) + len(const) > 1 and any(deep(a) for t in row + const for a in t.powers):
            changed = True
            for _ in range(power):
                result = [m.times(t) for m in result for t in row + const]
        else:
            result = [m.times(Product(1.0, {atom: power})) for m in result]
        if len(result) > MAX_MONOMIALS:
            return None
    return result if changed else None


class Levels:
    """The level of a value: the longest chain of reductions below it."""

    def __init__(self, b: Builder) -> None:
        self._b = b
        self._known: list[int] = []

    def __call__(self, ref: Ref) -> int:
        for i in range(len(self._known), ref + 1):
            node = self._b.nodes[i]
            below = max((self._known[a] for a in operands(node)), default=0)
            self._known.append(below + isinstance(node, Reduce))
        return self._known[ref]


def in_order(program: Program) -> Program:
    """The same program, numbered by the maths alone: inputs, settings, then each value after its operands."""
    b = Builder(program.name)
    new: dict[Ref, Ref] = {}
    stack = [o.ref for o in reversed(program.outputs)]
    stack += [ref for ref, _ in reversed((*program.inputs, *program.params))]
    while stack:
        ref = stack[-1]
        waiting = [a for a in operands(program.nodes[ref]) if a not in new]
        if waiting:
            stack += reversed(waiting)
        else:
            new[stack.pop()] = b.add(renumber(program.nodes[ref], new), program.names[ref])
    return b.finish(replace(o, ref=new[o.ref]) for o in program.outputs)


def is_map(b: Builder, ref: Ref, op: str) -> bool:
    """Whether the node is this elementwise operation."""
    node = b.nodes[ref]
    return isinstance(node, Map) and node.op == op


NONNEGATIVE = frozenset("exp exp2 sigmoid softplus absolute square sqrt rsqrt".split())


def positive(b: Builder, ref: Ref) -> bool:
    """Whether a value is known to be above 0, or at least not below it, wherever it is a number."""
    match b.nodes[ref]:
        case Param() as p:
            return p.positive
        case Const(value):
            return value > 0
        case Reduce("count" | "m2"):
            return True
        case Map(op) if op in NONNEGATIVE:
            return True
        case Reduce("dot", (x, y)) if x == y:
            return True
        case Reduce("sum" | "mean" | "max" | "min" | "dot", args) | Reduce("expsum", (*args, _)):
            return all(positive(b, a) for a in args)
        case Map("multiply" | "divide", _):
            whole = product(b, ref)
            odd = [a for a, power in whole.powers.items() if power % 2]
            return whole.coefficient > 0 and ref not in odd and all(positive(b, a) for a in odd)
        case Map("add" | "minimum" | "reciprocal", args) | Map("where", (_, *args)):
            return all(positive(b, a) for a in args)
        case Map("maximum", args):
            return any(positive(b, a) for a in args)
        case Input() | Map() | Reduce():
            return False
