"""Program -> Program: the algebra that makes a fused plan possible, found in the maths and never in the spelling.

After it no exponential sum depends on a maximum: sum exp(x - m) is exp(-m) expsum(x), and the exp(-m) cancels wherever
the user meant it to. Variances are `m2`, means are `mean`, products under a sum are `dot`, gathers stand at the inputs.
What is left of a program's depth is what no rewriting could take away: the level of a value is the number of sweeps
before it is known (docs/decisions/0002).
"""

from __future__ import annotations

import math

from .algebra import (
    ONE,
    Levels,
    Product,
    expand,
    in_order,
    is_map,
    leaves,
    positive,
    product,
    split,
    total,
    write_product,
    write_sum,
)
from .algebra import Sum as Terms
from .ir import WHERE, Builder, Const, Input, Map, Output, Param, Program, Reduce, Ref, Role


def simplify(program: Program) -> Program:
    """The canonical program. Pure and deterministic; equal maths in different spelling gives equal programs."""
    rewrite = _Rewriter(b := Builder(program.name))
    rewrite.run(program)  # the first run finds which exponentials are summed ...
    rewrite.summed = frozenset(rewrite.bases)
    return in_order(b.finish(rewrite.run(program)))  # ... and only those are worth splitting in the second


class _Rewriter:
    """Rebuilds a program bottom-up in one builder; each method makes one operation and simplifies it on the way."""

    def __init__(self, b: Builder) -> None:
        self.b = b
        self.level = Levels(b)
        self.bases: set[Ref] = set()
        self.summed: frozenset[Ref] | None = None
        self.selected: Ref | None = None

    def run(self, program: Program) -> list[Output]:
        new: list[Ref] = []
        for node, name in zip(program.nodes, program.names, strict=True):
            ref = self.node(node, new)
            if isinstance(node, Input) and node.name == WHERE:
                self.selected = ref
            self.label(ref, name)
            new.append(ref)
        return [Output(new[o.ref], o.dtype) for o in program.outputs]

    def label(self, ref: Ref, name: str) -> None:
        """The user's name goes to the value, and to the one exponential or sum in it that will outlive its factors."""
        if not name:
            return
        whole = product(self.b, ref)
        kept = [a for a in whole.powers if self.scale_atom(a) and (self.b.is_row(a) or not is_map(self.b, a, "exp"))]
        for target in (ref, *(kept if len(kept) == 1 and len(whole.powers) > 1 else ())):
            if not self.b.names[target]:
                self.b.names[target] = name

    def node(self, node: Input | Param | Const | Map | Reduce, new: list[Ref]) -> Ref:
        match node:
            case Input() | Param() | Const():
                return self.b.add(node)
            case Map(op, args):
                return self.map(op, tuple(new[a] for a in args))
            case Reduce(op, args, where):
                return self.reduce(op, tuple(new[a] for a in args), None if where is None else new[where])

    # elementwise operations

    def map(self, op: str, args: tuple[Ref, ...]) -> Ref:
        match op, args:
            case "multiply" | "divide", (x, y):
                return self.scaled(op, x, y)
            case "add" | "subtract", (x, y):
                return self.added(op, x, y)
            case "exp", (x,):
                return self.exp(x)
            case "log", (x,):
                return self.log(x)
            case "power", (x, p):
                return self.power(x, p)
            case "where", (c, x, y):
                return self.where(c, x, y)
            case "take", (x, y):
                return self.take(x, y)
            case "stop_gradient", (x,):
                return x
            case "negative", (x,) if not self.b.is_row(x) and leaves(self.b, x) > 1:
                return write_sum(self.b, Terms(0.0, {}).plus(total(self.b, x), -1.0))
            case ("square" | "reciprocal" | "negative"), (x,):
                return self.power_of_product(op, x)
            case "broadcast", (_, c):
                return self.b.map("broadcast", *args) if self.b.is_row(args[0]) else c
        return self.b.map(op, *args)

    def scaled(self, op: str, x: Ref, y: Ref) -> Ref:
        plain = self.b.map(op, x, y)
        whole = product(self.b, plain)
        if mean := self.as_mean(whole):
            return mean
        sides = product(self.b, x), product(self.b, y)
        if all(any(map(self.scale_atom, side.powers)) for side in sides):
            return write_product(self.b, whole)
        return plain

    def power_of_product(self, op: str, x: Ref) -> Ref:
        plain = self.b.map(op, x)
        whole = product(self.b, plain)
        return write_product(self.b, whole) if any(map(self.scale_atom, whole.powers)) else plain

    def scale_atom(self, ref: Ref) -> bool:
        """Exponentials and their sums: the factors whose range is unbounded, and which therefore have to cancel."""
        match self.b.nodes[ref]:
            case Map("exp") | Reduce("expsum"):
                return True
            case Input() | Param() | Const() | Map() | Reduce():
                return False

    def as_mean(self, whole: Product) -> Ref | None:
        """sum / count is a mean, whatever else multiplies it."""
        for atom, power in whole.powers.items():
            match self.b.nodes[atom]:
                case Reduce("sum", (x,), where) if power == 1:
                    count = self.b.reduce("count", where=where)
                    if whole.powers.get(count) == -1:
                        rest = whole.without(lambda a, s=atom, c=count: a in (s, c))  # type: ignore[misc]
                        mean = Product(1.0, {self.b.reduce("mean", x, where=where): 1})
                        return write_product(self.b, rest.times(mean))
                case Input() | Param() | Const() | Map() | Reduce():
                    pass
        return None

    def added(self, op: str, x: Ref, y: Ref) -> Ref:
        plain = self.b.map(op, x, y)
        terms = total(self.b, plain)
        cancelled = len(terms.terms) + bool(terms.constant) < leaves(self.b, plain)
        return write_sum(self.b, terms) if cancelled else plain

    def exp(self, x: Ref) -> Ref:
        if not self.b.is_row(x):
            return self.exp_const(total(self.b, x))
        row, const = self.argument(x)
        if const is None or (self.summed is not None and row not in self.summed):
            return self.b.map("exp", x if const is not None else row)
        factor = self.exp_const(total(self.b, const))
        return self.scaled("multiply", self.b.map("exp", row), factor)

    def argument(self, x: Ref) -> tuple[Ref, Ref | None]:
        """An exponent as (row-shaped part, row-constant part or None), both in normal form."""
        row, const = split(self.b, x)
        return self.exponent(row), self.sum_of(const) if const else None

    def exponent(self, parts: list[Product]) -> Ref:
        """base * factor with a row-constant factor > 0, so that the shift of base is the shift of all."""
        outside = parts[0].without(self.b.is_row) if parts else ONE
        if any(p.without(self.b.is_row).powers != outside.powers for p in parts):
            return self.sum_of(parts)
        size = abs(outside.coefficient) if len(parts) == 1 else 1.0
        signs = outside.only(lambda a: is_map(self.b, a, "sign"))  # of a factor that an earlier rewriting took apart
        factor = Product(size, outside.times(signs, -1).powers)
        inside = [Product(p.coefficient / size, p.only(self.b.is_row).powers).times(signs) for p in parts]
        base = self.sum_of(inside)
        if factor == ONE:
            return base
        constant = write_product(self.b, factor)
        if not all(positive(self.b, a) for a in factor.powers):
            base = self.b.map("multiply", base, self.b.map("sign", constant))
            constant = self.b.map("absolute", constant)
        return self.b.map("multiply", base, constant)

    def sum_of(self, parts: list[Product]) -> Ref:
        terms = Terms(0.0, {})
        for part in parts:
            if part.powers:
                sign = -1.0 if part.coefficient < 0 else 1.0
                positive = Product(abs(part.coefficient), part.powers)
                terms = terms.plus(Terms(0.0, {write_product(self.b, positive): sign}))
            else:
                terms = terms.plus(Terms(part.coefficient, {}))
        return write_sum(self.b, terms)

    def exp_const(self, terms: Terms) -> Ref:
        """Exp of a row-constant sum: logarithms in it come out as factors, the rest keeps one sign."""
        result, rest = ONE, dict(terms.terms)
        for atom, coefficient in terms.terms.items():
            match self.b.nodes[atom]:
                case Map("log", (inner,)) if abs(coefficient) == 1.0:
                    result = result.times(product(self.b, inner), int(coefficient))
                    del rest[atom]
                case Input() | Param() | Const() | Map() | Reduce():
                    pass
        if rest or terms.constant:
            power = -1 if rest and next(iter(rest.values())) < 0 else 1
            exponent = write_sum(self.b, Terms(0.0, {}).plus(Terms(terms.constant, rest), power))
            result = result.times(Product(1.0, {self.b.map("exp", exponent): 1}), power)
        return write_product(self.b, result)

    def log(self, x: Ref) -> Ref:
        """log of a product with exponentials in it: the exponents come out as terms."""
        whole = product(self.b, x)
        scale = whole.only(self.scale_atom)
        rest = whole.without(self.scale_atom)
        if (
            not scale.powers
            or (rest.powers and not all(positive(self.b, a) for a in rest.powers))
            or rest.coefficient <= 0
        ):
            return self.b.map("log", x)
        terms = Terms(0.0, {})
        for atom, power in scale.powers.items():
            terms = terms.plus(total(self.b, self.log_of(atom)), power)
        for atom, power in rest.powers.items():
            terms = terms.plus(Terms(0.0, {self.b.map("log", atom): 1.0}), power)
        if rest.coefficient != 1.0:
            terms = terms.plus(Terms(0.0, {self.b.map("log", self.b.const(rest.coefficient)): 1.0}))
        return write_sum(self.b, terms)

    def log_of(self, atom: Ref) -> Ref:
        match self.b.nodes[atom]:
            case Map("exp", (exponent,)):
                return exponent
            case Input() | Param() | Const() | Map() | Reduce():
                return self.b.map("log", atom)

    def power(self, x: Ref, exponent: Ref) -> Ref:
        match self.b.nodes[exponent]:
            case Const(value) if value in (2, 3, 4):
                result = square = self.power_of_product("square", x)
                for _ in range(int(value) - 2):
                    result = self.scaled("multiply", result, x)
                return square if value == 2 else result
            case Const(1.0):
                return x
            case Const(0.5):
                return self.b.map("sqrt", x)
            case Const(-0.5):
                return self.b.map("rsqrt", x)
            case Const(-1.0):
                return self.power_of_product("reciprocal", x)
            case Input() | Param() | Const() | Map() | Reduce():
                return self.b.map("power", x, exponent)

    def where(self, condition: Ref, x: Ref, y: Ref) -> Ref:
        """Where the other choice is 0, exp(k) of a row-constant k moves outside, so that it can cancel there.

        Only exponentials: a sum of them can be 0, and what the predicate hides must not become 0 / 0.
        """
        if self.b.nodes[y] == Const(0.0):
            whole = product(self.b, x)
            outside = whole.only(lambda a: is_map(self.b, a, "exp") and not self.b.is_row(a))
            if outside.powers:
                inside = write_product(self.b, whole.times(outside, -1))
                kept = Product(1.0, {self.b.map("where", condition, inside, y): 1})
                return write_product(self.b, kept.times(outside))
        return self.b.map("where", condition, x, y)

    def take(self, x: Ref, y: Ref) -> Ref:
        """The gather moves to the inputs, f(x)[y] = f(x[y]): one load. What a predicate hides is -inf."""
        if not self.b.is_row(x):
            return x
        match self.b.nodes[x]:
            case Map("broadcast", (_, c)):
                return c
            case Map(op, args):
                return self.map(op, tuple(self.take(a, y) for a in args))
            case Input(_, Role.POSITIONS):
                return y
            case Input(name):
                taken = self.b.map("take", x, y)
                if self.selected is None or name == WHERE:
                    return taken
                return self.b.map("where", self.b.map("take", self.selected, y), taken, self.b.const(-math.inf))
            case Param() | Const() | Reduce():
                return x

    # reductions

    def reduce(self, op: str, args: tuple[Ref, ...], where: Ref | None) -> Ref:
        match op:
            case "sum":
                return self.sum(args[0], where)
            case "any":
                return self.b.map("greater", self.count_true(args[0], where), self.b.const(0.0))
            case "all":
                return self.b.map("equal", self.count_true(self.b.map("logical_not", *args), where), self.b.const(0.0))
            case "max" | "min":
                return self.extremum(op, args[0], where)
        return self.b.reduce(op, *args, where=where)

    def count_true(self, mask: Ref, where: Ref | None) -> Ref:
        one, zero = self.b.const(1.0), self.b.const(0.0)
        return self.b.reduce("sum", self.b.map("where", mask, one, zero), where=where)

    def extremum(self, op: str, x: Ref, where: Ref | None) -> Ref:
        """max(f + c) is max f + c when c would otherwise cost a sweep."""
        row, const = split(self.b, x)
        if row and any(self.level(a) for c in const for a in c.powers):
            inner = self.b.reduce(op, self.sum_of(row), where=where)
            return self.added("add", inner, self.sum_of(const))
        return self.b.reduce(op, x, where=where)

    def sum(self, x: Ref, where: Ref | None) -> Ref:
        """A sum by linearity: what is row-constant comes out, a zero-filled `where` becomes the sum's predicate."""
        whole = product(self.b, x)
        outside, inside = whole.without(self.b.is_row), whole.only(self.b.is_row)
        if not inside.powers:
            return self.b.reduce("sum", x, where=where)
        if list(inside.powers.values()) == [1]:
            match self.b.nodes[next(iter(inside.powers))]:
                case Map("where", (c, f, z)) if self.b.is_row(c) and self.b.nodes[z] == Const(0.0):
                    both = c if where is None else self.b.map("logical_and", c, where)
                    return self.times(outside, self.sum(f, both))
                case Input() | Param() | Const() | Map() | Reduce():
                    pass
        return self.sum_of_product(inside, outside, where)

    def times(self, factor: Product, x: Ref) -> Ref:
        whole = factor.times(product(self.b, x))
        return x if factor == ONE else self.as_mean(whole) or write_product(self.b, whole)

    def sum_of_product(self, inside: Product, outside: Product, where: Ref | None) -> Ref:
        """Sum of a product of row-shaped atoms, taken apart into terms where that lowers its level."""
        if square := self.central(inside, where):
            return self.times(outside, square)
        parts = expand(self.b, inside, lambda a: self.level(a) > 0)
        if parts is None:
            parts = self.terms_with_exp(inside)
        if parts is None:
            return self.times(outside, self.monomial(inside, where))
        terms = Terms(0.0, {})
        for part in parts:
            const, row = outside.times(part.without(self.b.is_row)), part.only(self.b.is_row)
            inner = self.monomial(row, where) if row.powers else self.b.reduce("count", where=where)
            sign = -1.0 if const.coefficient < 0 else 1.0
            piece = Product(abs(const.coefficient), const.powers).times(product(self.b, inner))
            terms = terms.plus(total(self.b, write_product(self.b, piece)), sign)
        return write_sum(self.b, terms)

    def terms_with_exp(self, inside: Product) -> list[Product] | None:
        """A single sum of terms, each with its own exponential, is summed term by term."""
        if len(inside.powers) != 1 or next(iter(inside.powers.values())) != 1:
            return None
        row, const = split(self.b, next(iter(inside.powers)))
        unbounded = [p for p in row if any(map(self.scale_atom, p.powers))]
        return row + const if unbounded and len(row) + len(const) > 1 else None

    def central(self, inside: Product, where: Ref | None) -> Ref | None:
        """Sum (f - c)^2 is m2(f) + n (mean f - c)^2 for a c that is known only after a sweep; nothing cancels."""
        if len(inside.powers) != 1 or next(iter(inside.powers.values())) != 2:
            return None
        row, const = split(self.b, next(iter(inside.powers)))
        if not row or not any(self.level(a) for c in const for a in c.powers):
            return None
        f = self.sum_of(row)
        m2, mean = self.b.reduce("m2", f, where=where), self.b.reduce("mean", f, where=where)
        rest = self.added("add", mean, self.sum_of(const))
        if self.b.nodes[rest] == Const(0.0):
            return m2
        off = self.b.map("multiply", self.b.reduce("count", where=where), self.b.map("square", rest))
        return self.b.map("add", m2, off)

    def monomial(self, p: Product, where: Ref | None) -> Ref:
        """Sum of a product that is not taken apart any further."""
        exps = [(a, k) for a, k in p.powers.items() if self.scale_atom(a)]
        if exps:
            return self.exponential_sum(exps, p.without(self.scale_atom), where)
        atoms = [a for a, k in p.powers.items() for _ in range(k)]
        if len(atoms) >= 2 and all(k > 0 for k in p.powers.values()):
            rest = write_product(self.b, p.times(Product(1.0, {atoms[0]: 1}), -1))
            return self.b.reduce("dot", atoms[0], rest, where=where)
        return self.b.reduce("sum", write_product(self.b, p), where=where)

    def exponential_sum(self, exps: list[tuple[Ref, int]], weight: Product, where: Ref | None) -> Ref:
        """sum w exp(a1)^k1 exp(a2)^k2 = exp(row-constant part) expsum(w, row part)."""
        exponent: list[Product] = []
        constant: list[Product] = []
        for atom, power in exps:
            row, const = split(self.b, self.log_of(atom))
            exponent += [Product(power * r.coefficient, r.powers) for r in row]
            constant += [Product(power * c.coefficient, c.powers) for c in const]
        base = self.exponent([p for p in exponent if p.powers])
        if not self.b.is_row(base):
            return self.b.reduce("sum", write_product(self.b, weight), where=where)
        self.bases.add(base)
        result = self.b.reduce("expsum", write_product(self.b, weight), base, where=where)
        if not constant:
            return result
        outside = product(self.b, self.exp_const(total(self.b, self.sum_of(constant))))
        return write_product(self.b, outside.times(product(self.b, result)))
