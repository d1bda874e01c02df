"""The derivative of each operation: what it sends to its operands of the gradient that it received."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from ...records import dataclass
from ..ir import PREDICATES, Builder, Const, Input, Map, Reduce, Ref, Role

FLAT: Final = PREDICATES | set("sign rint floor stop_gradient argmax argmin topk_at count any all uniform".split())


class Maths:
    """Arithmetic on the nodes of a builder, without x + 0 and 1 * x."""

    def __init__(self, b: Builder) -> None:
        self.b = b

    def is_number(self, ref: Ref, number: float) -> bool:
        return self.b.nodes[ref] == Const(number)

    def add(self, x: Ref, y: Ref) -> Ref:
        if self.is_number(x, 0.0):
            return y
        return x if self.is_number(y, 0.0) else self.b.map("add", x, y)

    def by(self, x: Ref, factor: float) -> Ref:
        return self.times(x, self.b.const(factor))

    def times(self, x: Ref, y: Ref) -> Ref:
        if self.is_number(x, 1.0):
            return y
        return x if self.is_number(y, 1.0) else self.b.map("multiply", min(x, y), max(x, y))

    def over(self, x: Ref, y: Ref) -> Ref:
        return self.b.map("divide", x, y)

    def negative(self, x: Ref) -> Ref:
        return self.b.map("negative", x)

    def chosen(self, under: Ref | None, value: Ref) -> Ref:
        """The value where the predicate holds, 0 elsewhere."""
        return value if under is None else self.b.map("where", under, value, self.b.const(0.0))

    def both(self, under: Ref | None, also: Ref) -> Ref:
        """Both predicates."""
        return also if under is None else self.b.map("logical_and", under, also)

    def total(self, value: Ref, under: Ref | None) -> Ref:
        """The sum over a row's elements of a value that each of them has."""
        if self.b.is_row(value):
            return self.b.reduce("sum", value, where=under)
        return self.times(self.b.reduce("count", where=under), value)


class Receiver(Protocol):
    """What keeps the gradients of the nodes."""

    def receive(self, ref: Ref, value: Ref, under: Ref | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Send:
    """What one node received: `value` where `under` holds. `out` is the node."""

    maths: Maths
    to: Receiver
    out: Ref
    value: Ref
    under: Ref | None

    @property
    def b(self) -> Builder:
        return self.maths.b

    def __call__(self, x: Ref, value: Ref, also: Ref | None = None) -> None:
        """Sends to an operand, where `also` holds too. What reaches a number from each element of a row is summed."""
        under = self.under if also is None else self.maths.both(self.under, also)
        if self.b.entries(self.out) and not self.b.entries(x) and not self.b.is_row(x):
            value, under = self._over_entries(value, under)
        if self.b.is_row(self.out) and not self.b.is_row(x):
            inside = under if under is not None and self.b.is_row(under) else None
            value = self.maths.total(value, inside)
            under = None if inside is not None else under
        self.to.receive(x, value, under)

    def _over_entries(self, value: Ref, under: Ref | None) -> tuple[Ref, Ref | None]:
        """The sum over the entries of a k-vector."""
        inside = under if under is not None and self.b.entries(under) else None
        value = self.maths.chosen(inside, value)
        size = self.b.entries(self.out)
        whole = self.b.map("small_sum", value) if self.b.entries(value) else self.maths.by(value, float(size))
        return whole, None if inside is not None else under

    def scaled(self, x: Ref, factor: Ref, also: Ref | None = None) -> None:
        self(x, self.maths.times(self.value, factor), also)


# elementwise operations

Rule = Callable[[Send, Any], None]  # (send, the node)
Slope = Callable[[Maths, Ref, Ref], Ref]  # (maths, x, f(x)) -> f'(x)


def _tanh(m: Maths, x: Ref, y: Ref) -> Ref:
    """4 sigmoid(2x) sigmoid(-2x): 1 - y^2 would cancel where y is near 1."""
    twice = m.by(x, 2.0)
    sides = m.times(m.b.map("sigmoid", twice), m.b.map("sigmoid", m.negative(twice)))
    return m.by(sides, 4.0)


def _arcsin(m: Maths, x: Ref, y: Ref) -> Ref:
    one = m.b.const(1.0)
    return m.b.map("rsqrt", m.times(m.b.map("subtract", one, x), m.b.map("add", one, x)))


def _arctan(m: Maths, x: Ref, y: Ref) -> Ref:
    return m.b.map("reciprocal", m.add(m.b.map("square", x), m.b.const(1.0)))


SLOPES: Final[Mapping[str, Slope]] = {
    "square": lambda m, x, y: m.by(x, 2.0),
    "reciprocal": lambda m, x, y: m.negative(m.b.map("square", y)),
    "sqrt": lambda m, x, y: m.over(m.b.const(0.5), y),
    "rsqrt": lambda m, x, y: m.by(m.over(y, x), -0.5),
    "exp": lambda m, x, y: y,
    "exp2": lambda m, x, y: m.by(y, math.log(2.0)),
    "expm1": lambda m, x, y: m.b.map("exp", x),
    "log": lambda m, x, y: m.b.map("reciprocal", x),
    "log2": lambda m, x, y: m.over(m.b.const(1.0 / math.log(2.0)), x),
    "log1p": lambda m, x, y: m.b.map("reciprocal", m.add(x, m.b.const(1.0))),
    "tanh": _tanh,
    "sigmoid": lambda m, x, y: m.times(y, m.b.map("sigmoid", m.negative(x))),
    "softplus": lambda m, x, y: m.b.map("sigmoid", x),
    "sin": lambda m, x, y: m.b.map("cos", x),
    "cos": lambda m, x, y: m.negative(m.b.map("sin", x)),
    "arcsin": _arcsin,
    "arccos": lambda m, x, y: m.negative(_arcsin(m, x, y)),
    "arctan": _arctan,
    "absolute": lambda m, x, y: m.b.map("sign", x),
}


def _unary(slope: Slope) -> Rule:
    return lambda send, node: send.scaled(node.args[0], slope(send.maths, node.args[0], send.out))


def _negative(send: Send, node: Map) -> None:
    send(node.args[0], send.maths.negative(send.value))


def _add(send: Send, node: Map) -> None:
    for x in node.args:
        send(x, send.value)


def _subtract(send: Send, node: Map) -> None:
    x, y = node.args
    send(x, send.value)
    send(y, send.maths.negative(send.value))


def _multiply(send: Send, node: Map) -> None:
    x, y = node.args
    send.scaled(x, y)
    send.scaled(y, x)


def _divide(send: Send, node: Map) -> None:
    x, y = node.args
    m = send.maths
    send(x, m.over(send.value, y))
    send(y, m.negative(m.over(m.times(send.value, send.out), y)))


def _power(send: Send, node: Map) -> None:
    x, p = node.args
    exponent = send.b.nodes[p]
    assert isinstance(exponent, Const)  # as the row language has it
    slope = send.b.map("power", x, send.b.const(exponent.value - 1.0))
    send.scaled(x, send.maths.by(slope, float(exponent.value)))


def _larger(op: str) -> Rule:
    """Maximum or minimum: to the one that wins; a tie halves."""

    def rule(send: Send, node: Map) -> None:
        x, y = node.args
        b = send.b
        share = b.map("where", b.map("equal", x, y), b.const(0.5), b.const(1.0))
        send.scaled(x, share, b.map(op, x, y))
        send.scaled(y, share, b.map(op, y, x))

    return rule


def _where(send: Send, node: Map) -> None:
    condition, x, y = node.args
    send(x, send.value, condition)
    send(y, send.value, send.b.map("logical_not", condition))


def _take(send: Send, node: Map) -> None:
    row, index = node.args
    position = send.b.add(Input("", Role.POSITIONS))
    send(row, send.value, send.b.map("equal", position, index))


def _broadcast(send: Send, node: Map) -> None:
    send(node.args[1], send.value)


_MAPS: Final[Mapping[str, Rule]] = {
    **{op: _unary(slope) for op, slope in SLOPES.items()},
    "negative": _negative,
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    "maximum": _larger("greater_equal"),
    "minimum": _larger("less_equal"),
    "where": _where,
    "take": _take,
    "broadcast": _broadcast,
}


# reductions: the gradient goes to every element that was reduced


def _sum(send: Send, node: Reduce) -> None:
    send(node.args[0], send.value, node.where)


def _dot(send: Send, node: Reduce) -> None:
    x, y = node.args
    send.scaled(x, y, node.where)
    send.scaled(y, x, node.where)


def _mean(send: Send, node: Reduce) -> None:
    send(node.args[0], send.maths.over(send.value, send.b.reduce("count", where=node.where)), node.where)


def _m2(send: Send, node: Reduce) -> None:
    (x,) = node.args
    distance = send.b.map("subtract", x, send.b.reduce("mean", x, where=node.where))
    send(x, send.maths.times(distance, send.maths.by(send.value, 2.0)), node.where)


def _comoment(send: Send, node: Reduce) -> None:
    """sum w (x - mean x) (z - mean z) ...: each mean moves with its row, and all of them with the weights."""
    m, b, where = send.maths, send.b, node.where
    weight, rows = (node.args[0], node.args[1:]) if node.op == "wcomoment" else (b.const(1.0), node.args)
    mass = m.total(weight, where) if b.is_row(weight) else b.reduce("count", where=where)

    def mean(x: Ref) -> Ref:
        return m.over(b.reduce("sum", m.times(weight, x), where=where), mass)

    distances = [b.map("subtract", x, mean(x)) for x in rows]
    means = [mean(_product(m, distances[:j] + distances[j + 1 :])) for j in range(len(rows))]
    if len(rows) == 2:  # the mean of a distance from the mean
        means = [b.const(0.0)] * 2
    slope = _product(m, distances)
    for j, x in enumerate(rows):
        others = _product(m, distances[:j] + distances[j + 1 :])
        send.scaled(x, m.times(weight, b.map("subtract", others, means[j])), where)
        slope = b.map("subtract", slope, m.times(distances[j], means[j]))
    send.scaled(weight, slope, where)


def _product(m: Maths, factors: list[Ref]) -> Ref:
    result = factors[0]
    for factor in factors[1:]:
        result = m.times(result, factor)
    return result


def _expsum(send: Send, node: Reduce) -> None:
    """sum w e^a. An element at a = -inf counts nothing, whatever its weights are: it gets nothing."""
    weight, exponent = node.args
    e = send.b.map("exp", exponent)
    alive = send.maths.both(node.where, _above_minus_inf(send, exponent)) if _weighted(send, exponent) else node.where
    term = send.maths.times(send.value, e)
    send(weight, term, alive)
    send(exponent, send.maths.times(term, weight), alive)


def _weighted(send: Send, exponent: Ref) -> bool:
    """Whether any sum of these exponentials has a weight; all of one exponent then have one predicate."""
    sums = (n for n in send.b.nodes if isinstance(n, Reduce) and n.op == "expsum" and n.args[1] == exponent)
    return any(not send.maths.is_number(n.args[0], 1.0) for n in sums)


def _above_minus_inf(send: Send, x: Ref) -> Ref:
    return send.b.map("greater", x, send.b.const(-math.inf))


def _extremum(send: Send, node: Reduce) -> None:
    """Max or min: the elements that reach it share the gradient."""
    (x,) = node.args
    b = send.b
    best = b.map("equal", x, send.out)
    best = best if node.where is None else b.map("logical_and", node.where, best)
    send(x, send.maths.over(send.value, b.reduce("count", where=best)), best)


def _prod(send: Send, node: Reduce) -> None:
    """The product of the others: with one 0 in the row only that element has a slope, with two none has."""
    (x,) = node.args
    b, m = send.b, send.maths
    zero = b.map("equal", x, b.const(0.0))
    other = b.map("not_equal", x, b.const(0.0))
    inside = [m.both(node.where, part) for part in (zero, other)]
    zeros, rest = b.reduce("count", where=inside[0]), b.reduce("prod", x, where=inside[1])
    none, one = b.map("equal", zeros, b.const(0.0)), b.map("equal", zeros, b.const(1.0))
    send(x, m.chosen(none, m.over(m.times(send.value, rest), x)), inside[1])
    send(x, m.chosen(one, m.times(send.value, rest)), inside[0])


RULES: Final[Mapping[str, Rule]] = {
    **_MAPS,
    "sum": _sum,
    "dot": _dot,
    "mean": _mean,
    "m2": _m2,
    "comoment": _comoment,
    "wcomoment": _comoment,
    "expsum": _expsum,
    "max": _extremum,
    "min": _extremum,
    "prod": _prod,
}
