"""Numbers of the form mantissa * e^log, so that exponentials, their sums and the ratios of these never overflow.

The rules are written once, over any arithmetic: plain arrays in `interpret`, values with error bounds in `oracle`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from rowfold.codegen.ir import Role

from ...records import dataclass

V = TypeVar("V")


class Arithmetic(Protocol[V]):
    """What a walk over a program needs to know of its numbers."""

    def lift(self, array: Any, role: Role) -> V:
        """An input, its rows along the last axis; that of a row-constant has length 1."""
        ...

    def number(self, value: float | bool) -> V:
        """A number known when tracing, or a setting."""
        ...

    def map(self, op: str, args: Sequence[V]) -> V:
        """An elementwise operation of `ir.MAPS`, without `take`."""
        ...

    def reduce(self, op: str, args: Sequence[V], where: V | None) -> V:
        """A reduction of `ir.REDUCTIONS`, without `expsum`."""
        ...

    def take(self, row: V, index: V) -> V:
        """The element of each row at its index."""
        ...

    def solve(self, total: Callable[[Any], V], target: V, lo: V, hi: V, shape: tuple[int, ...]) -> V:
        """The largest float in [lo, hi] where the total, a sum of f at an array of floats, reaches the target."""
        ...

    def split(self, exponent: V) -> V:
        """The mantissa of e^exponent: one, with the error of an exponential."""
        ...

    def shift(self, left: V, right: V, sign: int) -> V:
        """left + sign * right, as a kernel shifts an exponent: nothing is rounded."""
        ...

    def join(self, mantissa: V, log: V) -> V:
        """mantissa * e^log, as a plain number."""
        ...

    def peak(self, log: V, where: V | None) -> V:
        """The largest exponent of each row: +inf counts, -inf and NaN do not; 0 where nothing is left."""
        ...

    def common(self, left: V, right: V) -> V:
        """The exponent at which numbers with these logs are added, near the larger one."""
        ...

    def term(self, mantissa: V, log: V, peak: V) -> V:
        """mantissa * e^(log - peak). Exactly 0 at log = -inf; where the peak is +inf only its own elements count."""
        ...

    def settle(self, mantissa: V, log: V) -> tuple[V, V]:
        """The same number, one of e^-inf as 0 e^0: divided by nothing it is NaN."""
        ...

    def void(self, value: V, infinite: V) -> V:
        """The value, NaN in rows where `infinite` is +inf."""
        ...

    def beside_log(self, value: V, infinite: V, element: bool) -> V:
        """A sum with the log of an exponential sum in it: NaN where that is +inf and the other part is an element."""
        ...


@dataclass(frozen=True, slots=True)
class Scaled(Generic[V]):
    """mantissa * e^log. `row` says that it has one value an element."""

    mantissa: V
    log: V
    row: bool


@dataclass(frozen=True, slots=True)
class LogSum(Generic[V]):
    """The log of a sum of exponentials, with row-constants added: +inf is its value, but an element minus it is NaN.

    So says the table of special values (numerics, section 5), for log_softmax as for the cross-entropy of a target.
    """

    value: V
    infinite: V


Value: TypeAlias = V | Scaled[V] | LogSum[V]


class ScaledRules(Generic[V]):
    """The operations on plain and scaled numbers together."""

    def __init__(self, plain: Arithmetic[V]) -> None:
        self.plain = plain

    def collapse(self, value: Value[V]) -> V:
        """The plain number."""
        match value:
            case Scaled(mantissa, log):
                return self.plain.join(mantissa, log)
            case LogSum(number, _):
                return number
            case number:
                return number

    def map(self, op: str, args: Sequence[Value[V]], row: bool, elements: Sequence[bool] = ()) -> Value[V]:
        """An elementwise operation. `row` says that its result is row-shaped, `elements` which operands are elements
        of a row: row-shaped, or taken at an index.
        """
        match op, args:
            case "exp", [a]:
                exponent = self.collapse(a)
                return Scaled(self.plain.split(exponent), exponent, row)
            case "small_sum", [Scaled(mantissa, log)]:
                peak = self.plain.map("small_max", [log])
                return Scaled(self.plain.map("small_sum", [self.plain.term(mantissa, log, peak)]), peak, False)
            case _, [Scaled() as a]:
                return self._unary(op, a)
            case "multiply" | "divide", [a, b] if _scalable(a, b):
                return self._product(op, a, b, row)
            case "add" | "subtract", [a, b] if not row and _any_scaled(args):
                return self._total(op, a, b)
            case "power", [Scaled(mantissa, log, rows), exponent] if not isinstance(exponent, Scaled):
                p = self.collapse(exponent)
                return Scaled(self.plain.map(op, [mantissa, p]), self.plain.map("multiply", [log, p]), rows)
            case "where", [mask, a, b] if _any_scaled([a, b]):
                return self._choice(self.collapse(mask), a, b, row)
            case (("add" | "subtract"), [a, b]):
                return self._sum(op, a, b, any(elements))
            case "negative", [LogSum(value, infinite)]:
                return LogSum(self.plain.map(op, [value]), infinite)
        return self.plain.map(op, [self.collapse(a) for a in args])

    def reduce(self, op: str, args: Sequence[Value[V]], where: V | None) -> Value[V]:
        """A reduction. Sums of scaled numbers are scaled."""
        match op, args:
            case "expsum", [weight, exponent]:
                e = self.collapse(exponent)
                return self._expsum(self._weighted(weight, Scaled(self.plain.split(e), e, True)), where)
            case "sum", [Scaled() as a]:
                return self._expsum(a, where)
            case "mean", [Scaled() as a]:
                return self.map("divide", [self._expsum(a, where), self.plain.reduce("count", [], where)], False)
            case "dot", [a, b] if _any_scaled(args) and _scalable(a, b):
                return self.reduce("sum", [self._product("multiply", a, b, True)], where)
        return self.plain.reduce(op, [self.collapse(a) for a in args], where)

    def take(self, row: Value[V], index: V) -> Value[V]:
        """The element of each row at its index."""
        match row:
            case Scaled(mantissa, log):
                return Scaled(self.plain.take(mantissa, index), self.plain.take(log, index), False)
            case _:
                return self.plain.take(self.collapse(row), index)

    def _weighted(self, weight: Value[V], power: Scaled[V]) -> Scaled[V]:
        return Scaled(self.plain.map("multiply", [self.collapse(weight), power.mantissa]), power.log, True)

    def _expsum(self, a: Scaled[V], where: V | None) -> Scaled[V]:
        peak = self.plain.peak(a.log, where)
        terms = self.plain.term(a.mantissa, a.log, peak)
        return Scaled(self.plain.reduce("sum", [terms], where), peak, False)

    def _unary(self, op: str, a: Scaled[V]) -> Value[V]:
        plain = self.plain
        match op:
            case "log":
                value = plain.map("add", [plain.map("log", [a.mantissa]), a.log])
                return value if a.row else LogSum(value, value)
            case "log2":
                return plain.map("multiply", [self.collapse(self._unary("log", a)), plain.number(1.4426950408889634)])
            case "negative" | "absolute" | "stop_gradient":
                return Scaled(plain.map(op, [a.mantissa]), a.log, a.row)
            case "square":
                return Scaled(plain.map(op, [a.mantissa]), plain.shift(a.log, a.log, 1), a.row)
            case "sqrt":
                return Scaled(plain.map(op, [a.mantissa]), plain.map("multiply", [a.log, plain.number(0.5)]), a.row)
            case "reciprocal":
                return self._product("divide", plain.number(1.0), a, a.row)
        return plain.map(op, [self.collapse(a)])

    def _product(self, op: str, a: Value[V], b: Value[V], row: bool) -> Scaled[V]:
        (ma, la), (mb, lb) = self._parts(a), self._parts(b)
        if op == "divide" and not row:
            ma, la = self.plain.settle(ma, la)
        mantissa = self.plain.map(op, [ma, mb])
        if op == "divide" and not (isinstance(b, Scaled) and b.row):
            mantissa = self.plain.void(mantissa, lb)
        return Scaled(mantissa, self.plain.shift(la, lb, 1 if op == "multiply" else -1), row)

    def _total(self, op: str, a: Value[V], b: Value[V]) -> Scaled[V]:
        """A sum of row-constants, at a scale of both."""
        (ma, la), (mb, lb) = self._parts(a), self._parts(b)
        scale = self.plain.common(la, lb)
        terms = [self.plain.term(ma, la, scale), self.plain.term(mb, lb, scale)]
        return Scaled(self.plain.map(op, terms), scale, False)

    def _choice(self, mask: V, a: Value[V], b: Value[V], row: bool) -> Scaled[V]:
        (ma, la), (mb, lb) = self._parts(a), self._parts(b)
        return Scaled(self.plain.map("where", [mask, ma, mb]), self.plain.map("where", [mask, la, lb]), row)

    def _sum(self, op: str, a: Value[V], b: Value[V], element: bool) -> Value[V]:
        value = self.plain.map(op, [self.collapse(a), self.collapse(b)])
        logs = [part.infinite for part in (a, b) if isinstance(part, LogSum)]
        for infinite in logs:
            value = self.plain.beside_log(value, infinite, element)
        if element or not logs:
            return value
        return LogSum(value, logs[0] if len(logs) == 1 else self.plain.map("maximum", logs))

    def _parts(self, a: Value[V]) -> tuple[V, V]:
        match a:
            case Scaled(mantissa, log):
                return mantissa, log
            case _:
                return self.collapse(a), self.plain.number(0.0)


def _any_scaled(args: Sequence[object]) -> bool:
    return any(isinstance(a, Scaled) for a in args)


def _scalable(a: object, b: object) -> bool:
    """A kernel holds each row-shaped exponential as a plain float, so two of them are not combined by their logs."""
    rows = [x.row for x in (a, b) if isinstance(x, Scaled)]
    return bool(rows) and rows != [True, True]
