"""Exponentials and logarithms: row-constant parts of an exponent become factors, those of a log become terms."""

from __future__ import annotations

from ..ir import Const, Input, Map, Param, Reduce, Ref
from .algebra import ONE, Product, is_map, positive, product, split, total, write_product, write_sum
from .algebra import Sum as Terms
from .products import power_of_product, scaled, sum_of
from .rewriter import Rewriter

MULTIPLIED = 64  # the largest power that squares of squares make


def exp(r: Rewriter, x: Ref) -> Ref:
    if not r.b.is_row(x):
        return exp_const(r, total(r.b, x))
    row, const = argument(r, x)
    if const is None or (r.summed is not None and row not in r.summed):
        return r.b.map("exp", x if const is not None else row)
    factor = exp_const(r, total(r.b, const))
    return scaled(r, "multiply", r.b.map("exp", row), factor)


def argument(r: Rewriter, x: Ref) -> tuple[Ref, Ref | None]:
    """An exponent as (row-shaped part, row-constant part or None), both in normal form."""
    row, const = split(r.b, x)
    return exponent(r, row), sum_of(r, const) if const else None


def exponent(r: Rewriter, parts: list[Product]) -> Ref:
    """base * factor with a row-constant factor > 0, so that the shift of base is the shift of all."""
    outside = parts[0].without(r.b.is_row) if parts else ONE
    if any(p.without(r.b.is_row).powers != outside.powers for p in parts):
        return sum_of(r, parts)
    size = abs(outside.coefficient) if len(parts) == 1 else 1.0
    signs = outside.only(lambda a: is_map(r.b, a, "sign"))  # of a factor that an earlier rewriting took apart
    factor = Product(size, outside.times(signs, -1).powers)
    inside = [Product(p.coefficient / size, p.only(r.b.is_row).powers).times(signs) for p in parts]
    base = sum_of(r, inside)
    if factor == ONE:
        return base
    constant = write_product(r.b, factor)
    if not all(positive(r.b, a) for a in factor.powers):
        base = r.b.map("multiply", base, r.b.map("sign", constant))
        constant = r.b.map("absolute", constant)
    return r.b.map("multiply", base, constant)


def exp_const(r: Rewriter, terms: Terms) -> Ref:
    """Exp of a row-constant sum: logarithms in it come out as factors, the rest keeps one sign."""
    result, rest = ONE, dict(terms.terms)
    for atom, coefficient in terms.terms.items():
        match r.b.nodes[atom]:
            case Map("log", (inner,)) if abs(coefficient) == 1.0:
                result = result.times(product(r.b, inner), int(coefficient))
                del rest[atom]
            case Input() | Param() | Const() | Map() | Reduce():
                pass
    if rest or terms.constant:
        power = -1 if rest and next(iter(rest.values())) < 0 else 1
        exponent = write_sum(r.b, Terms(0.0, {}).plus(Terms(terms.constant, rest), power))
        result = result.times(Product(1.0, {r.b.map("exp", exponent): 1}), power)
    return write_product(r.b, result)


def log(r: Rewriter, x: Ref) -> Ref:
    """log of a product with exponentials in it: the exponents come out as terms."""
    whole = product(r.b, x)
    scale = whole.only(r.scales)
    rest = whole.without(r.scales)
    unknown = [a for a in rest.powers if not positive(r.b, a)]
    if not scale.powers or rest.coefficient <= 0 or any(rest.powers[a] % 2 for a in unknown):
        return r.b.map("log", x)
    terms = Terms(0.0, {})
    for atom, power in scale.powers.items():
        terms = terms.plus(total(r.b, log_of(r, atom)), power)
    for atom, power in rest.powers.items():
        size = r.b.map("absolute", atom) if atom in unknown else atom
        terms = terms.plus(Terms(0.0, {r.b.map("log", size): 1.0}), power)
    if rest.coefficient != 1.0:
        terms = terms.plus(Terms(0.0, {r.b.map("log", r.b.const(rest.coefficient)): 1.0}))
    return write_sum(r.b, terms)


def power(r: Rewriter, x: Ref, exponent: Ref) -> Ref:
    """x to a constant: whole powers are products, others halve what an exponential has as its exponent."""
    match r.b.nodes[exponent]:
        case Const(value) if value in (2, 3, 4):
            result = square = power_of_product(r, "square", x)
            for _ in range(int(value) - 2):
                result = scaled(r, "multiply", result, x)
            return square if value == 2 else result
        case Const(1.0):
            return x
        case Const(value) if 4 < abs(value) <= MULTIPLIED and value == int(value) and _signed(r, x):
            whole = _whole_power(r, x, int(abs(value)))
            return whole if value > 0 else power_of_product(r, "reciprocal", whole)
        case Const(0.5):
            return root(r, "sqrt", (x,), 0.5)
        case Const(-0.5):
            return root(r, "rsqrt", (x,), -0.5)
        case Const(-1.0):
            return power_of_product(r, "reciprocal", x)
        case Const(value):
            return root(r, "power", (x, exponent), value)
        case Input() | Param() | Map() | Reduce():
            return r.b.map("power", x, exponent)


def _signed(r: Rewriter, x: Ref) -> bool:
    """Whether something with an exponential in it may be negative: no logarithm of it can be halved."""
    return any(r.scales(a) and not positive(r.b, a) for a in product(r.b, x).powers)


def _whole_power(r: Rewriter, x: Ref, exponent: int) -> Ref:
    """By squares of squares."""
    if exponent == 1:
        return x
    result = power_of_product(r, "square", _whole_power(r, x, exponent // 2))
    return scaled(r, "multiply", result, x) if exponent % 2 else result


def root(r: Rewriter, op: str, args: tuple[Ref, ...], exponent: float) -> Ref:
    """A power of a product with exponentials in it: e^a to the k is e^(k a), and stays in reach of what cancels it."""
    whole = product(r.b, args[0])
    scale = whole.only(lambda a: r.scales(a) and positive(r.b, a))
    if not scale.powers:
        return r.b.map(op, *args)
    terms = Terms(0.0, {})
    for atom, power in scale.powers.items():
        terms = terms.plus(total(r.b, log_of(r, atom)), exponent * power)
    result, rest = exp(r, write_sum(r.b, terms)), whole.times(scale, -1)
    return result if rest == ONE else scaled(r, "multiply", result, r.b.map(op, write_product(r.b, rest), *args[1:]))


def log_of(r: Rewriter, atom: Ref) -> Ref:
    match r.b.nodes[atom]:
        case Map("exp", (exponent,)):
            return exponent
        case Input() | Param() | Const() | Map() | Reduce():
            return r.b.map("log", atom)
