"""Arithmetic on values that carry a bound on what a kernel may be away from them: running error analysis.

A kernel computes rows in its own type (unit roundoff u), row-constants in float64, rounded once when they meet a row,
and sums within 3u of the sum of magnitudes at any length. The exponent of an exponential is shifted, not rounded, so
a row minus a row-constant or times one enters it with no error of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rowfold.codegen.interpret import Plain
from rowfold.codegen.ir import PREDICATES, SMALL_FOLDS, Role

from ...records import dataclass

Array = NDArray[Any]

EXACT = PREDICATES | set("negative absolute sign rint floor minimum maximum where stop_gradient uniform".split())
ONE_ROUNDING = frozenset("add subtract multiply square sqrt".split())
EXACT_TINY = frozenset({"add", "subtract"})  # exact where the result is subnormal
FUNCTION_ERROR = 4.0  # in u: the elementary functions of a kernel are within 2 ULP
DIVISION_ERROR = 2.0  # a row divided by a row-constant is multiplied by its reciprocal
EXP_ERROR = 1.4  # of the value, not of its last place
SUM_LEVELS = 3  # of a block's tree in the kernel's own type; wide lanes add the last level, and the blocks
WHOLE = 2.0**23  # whole numbers up to here are exact in float32, and so are their sums of two
POLES = frozenset("divide reciprocal rsqrt log log2 log1p power".split())


@dataclass(frozen=True, slots=True)
class Bounded:
    """A value, how far a kernel may be from it (`inf`: anything goes), and how far as the argument of an exponential.

    The bound of a boolean is 0 where it is certain and 1 where it is not.
    """

    value: Array
    error: Array
    argument: Array
    const: bool

    @property
    def uncertain(self) -> Array:
        return np.asarray(self.error > 0)


class ElementErrors:
    """The arithmetic of values with bounds but for reductions, for kernels that compute in `dtype`."""

    def __init__(self, dtype: np.dtype[Any], width: int, where: Array | None) -> None:
        self.dtype = dtype
        self.wide = np.float64 if dtype == np.float32 else np.longdouble
        self.plain = Plain(np, self.wide, width, where)
        info = np.finfo(dtype)
        self.unit, self.const_unit = float(info.eps) / 2, 2.0**-53
        vectors = -(-width // (16 if dtype == np.float32 else 8))
        self.sum_error = self.unit * min(SUM_LEVELS, max(0, vectors - 1))
        self.top, self.tiny, self.normal = float(info.max), float(info.smallest_subnormal), float(info.tiny)

    def lift(self, array: Array, role: Role) -> Bounded:
        return self._exact(array, role in (Role.SCALAR, Role.INDEX, Role.SEED))

    def number(self, value: float | bool) -> Bounded:
        return self._exact(self.plain.number(value), True)

    def map(self, op: str, args: Sequence[Bounded]) -> Bounded:
        if op == "lookup":
            return self._found(args[0], args[1])
        const = all(a.const for a in args)
        if not const:
            args = [self.rounded(a) if i == 0 or op != "divide" else self._divisor(a) for i, a in enumerate(args)]
        if op == "where":
            return self._choice(args, const)
        if op in SMALL_FOLDS or op == "cumsum":
            return self._fold(op, args)
        if op == "broadcast":
            return Bounded(args[1].value, args[1].error, args[1].error, const)
        value, error = self._box(op, args)
        if op in PREDICATES:
            return self._flag(value, error, const)
        rounding = np.where(_whole(op, args, value), 0.0, self._rounding(op, args, value, const))
        error = self._settled(op, args, value, error + rounding, const)
        return Bounded(value, error, self._argument(op, args, error), const)

    def _found(self, places: Bounded, table: Bounded) -> Bounded:
        """What a table has at places that are certain; beside them a kernel may find anything."""
        value = np.asarray(self.plain.map("lookup", [places.value, table.value]))
        return self._plain(value, np.where(places.error > 0, np.inf, 0.0), places.const)

    def _fold(self, op: str, args: Sequence[Bounded]) -> Bounded:
        """A fold of a k-vector, in float64: monotone in every entry, and rounded once for each of them."""
        v, rest = args[0], [a.value for a in args[1:]]
        value = np.asarray(self.plain.map(op, [v.value, *rest]))
        error = distance(np.asarray(self.plain.map(op, [v.value + v.error, *rest])), value)
        if op in ("small_sum", "small_prod", "cumsum"):
            size = np.sum(np.where(np.isfinite(v.value), np.abs(v.value), 0.0), axis=-1, keepdims=True)
            error = error + v.value.shape[-1] * self.const_unit * size
            error = np.where(size + error <= self._top(v.const), error, np.inf)
        vague = np.any(np.isinf(v.error) | np.isinf(error), axis=-1, keepdims=True)
        error = np.where(np.isfinite(value), error, 0.0)
        return self._plain(value, np.where(vague, np.inf, error), v.const)

    def take(self, row: Bounded, index: Bounded) -> Bounded:
        shape, at = row.value.shape, index.value.astype(np.int64)

        def pick(a: Array) -> Array:
            return np.asarray(self.plain.take(np.broadcast_to(a, shape), at))

        value, error, argument = pick(row.value), pick(row.error), pick(row.argument)
        outside = ~(error >= 0)  # a target that is masked out is -inf in every part
        return Bounded(value, np.where(outside, 0.0, error), np.where(outside, 0.0, argument), True)

    def split(self, exponent: Bounded) -> Bounded:
        one = np.ones((1,), dtype=self.wide)
        error = np.full((1,), EXP_ERROR * self._unit(exponent.const), dtype=self.wide)
        return Bounded(one, error, error, exponent.const)

    def shift(self, left: Bounded, right: Bounded, sign: int) -> Bounded:
        value = self.plain.shift(left.value, right.value, sign)
        error = left.argument + right.argument + _lost(left.value, sign * right.value, value)
        return Bounded(value, error, error, left.const and right.const)

    def join(self, mantissa: Bounded, log: Bounded) -> Bounded:
        value = self.plain.join(mantissa.value, log.value)
        scale = self.plain.join(np.ones_like(mantissa.value), log.value)
        const = mantissa.const and log.const
        error = self._scaled_error(mantissa, log, value, scale) + 2 * self._tiny(const)
        special = ~np.isfinite(mantissa.value) | ~np.isfinite(log.value)
        error = np.where(np.isfinite(value) | ~special, error, 0.0)
        error = np.where(~special & ~(np.abs(value) + error <= self._top(const)), np.inf, error)
        return self._plain(value, self._undecided([mantissa, log], error), const)

    def peak(self, log: Bounded, where: Bounded | None) -> Bounded:
        return self._exact(self.plain.peak(log.value, None if where is None else where.value | where.uncertain), True)

    def common(self, left: Bounded, right: Bounded) -> Bounded:
        return self.map("maximum", [left, right])

    def term(self, mantissa: Bounded, log: Bounded, peak: Bounded) -> Bounded:
        value = self.plain.term(mantissa.value, log.value, peak.value)
        scale = self.plain.term(np.ones_like(mantissa.value), log.value, peak.value)
        const = mantissa.const and log.const
        # a kernel may clamp far exponents: what it makes of them is below the smallest normal number
        lost = np.abs(mantissa.value) * 4 * self._normal(const)
        lost = np.where(log.value == -np.inf, 0.0, lost + self._granule(mantissa))
        lost = np.where(log.value == peak.value, 0.0, lost)
        error = np.where(np.isfinite(value), self._scaled_error(mantissa, log, value, scale) + lost, 0.0)
        error = np.where((log.value == -np.inf) & np.isnan(mantissa.value), np.inf, error)
        return self._plain(value, self._undecided([mantissa, log], error), const)

    def settle(self, mantissa: Bounded, log: Bounded) -> tuple[Bounded, Bounded]:
        value, exponent = self.plain.settle(mantissa.value, log.value)
        gone = (log.value == -np.inf) & np.isfinite(log.error) & np.isfinite(mantissa.error)
        return (
            self._plain(value, np.where(gone, 0.0, mantissa.error), mantissa.const),
            Bounded(exponent, np.where(gone, 0.0, log.error), np.where(gone, 0.0, log.argument), log.const),
        )

    def void(self, value: Bounded, infinite: Bounded) -> Bounded:
        hit = infinite.value == np.inf
        error = np.where(hit & np.isfinite(infinite.error), 0.0, value.error)
        return Bounded(np.where(hit, np.nan, value.value), error, np.where(hit, 0.0, value.argument), value.const)

    def beside_log(self, value: Bounded, infinite: Bounded, element: bool) -> Bounded:
        """A kernel may subtract the maximum first, and round once more. Beside a number, infinity is as in NumPy."""
        if not element:
            return value
        more = np.where(np.isfinite(value.value), self._unit(value.const) * np.abs(value.value), 0.0)
        return self.void(Bounded(value.value, value.error + more, value.argument, value.const), infinite)

    def rounded(self, a: Bounded, *, returned: bool = False) -> Bounded:
        """The same number as a row meets it, or as it is `returned`: a row-constant is rounded to the kernel's type.

        Beyond that type a row may meet anything, for the kernel may hold the number in parts; returned it is infinite.
        """
        if not a.const or a.value.dtype.kind != "f":
            return a
        exact = np.abs(a.value - a.value.astype(self.dtype))
        slip = np.where(a.error == 0, exact, self.unit * np.abs(a.value) + self.tiny)
        beyond = (np.abs(a.value) > self.top) & (not returned)
        slip = np.where(np.isfinite(a.value), np.where(beyond, np.inf, slip), 0.0)
        return Bounded(a.value, a.error + slip, a.argument, a.const)

    def _divisor(self, a: Bounded) -> Bounded:
        """A number that divides a row: its reciprocal is rounded, which DIVISION_ERROR counts, and not the number."""
        return Bounded(a.value, np.where(np.isinf(self.rounded(a).error), np.inf, a.error), a.argument, a.const)

    def _exact(self, value: Array, const: bool) -> Bounded:
        return self._plain(value, np.zeros((1,), dtype=self.wide), const)

    def _plain(self, value: Array, error: Array, const: bool) -> Bounded:
        return Bounded(value, error, error, const)

    def _unit(self, const: bool) -> float:
        return self.const_unit if const else self.unit

    def _top(self, const: bool) -> float:
        return float(np.finfo(np.float64).max) if const else self.top

    def _normal(self, const: bool) -> float:
        return float(np.finfo(np.float64).tiny) if const else self.normal

    def _granule(self, weight: Bounded) -> float:
        """What a weight loses times an exponential, half a step times 1.42: no type is wider than float64."""
        return self.tiny if self.dtype == np.float64 and not weight.const else 0.0

    def _tiny(self, const: bool) -> float:
        return float(np.finfo(np.float64).smallest_subnormal) if const else self.tiny

    def _rounding(self, op: str, args: Sequence[Bounded], value: Array, const: bool) -> Array:
        if op in EXACT or (op == "multiply" and any(map(_is_one, args))):
            return np.zeros((1,))
        known = {"divide": DIVISION_ERROR, "reciprocal": DIVISION_ERROR, **dict.fromkeys(ONE_ROUNDING, 1.0)}
        size = np.where(np.isfinite(value), np.abs(value), 0.0) * known.get(op, FUNCTION_ERROR) * self._unit(const)
        return np.asarray(size if op in EXACT_TINY else size + self._tiny(const))

    def _box(self, op: str, args: Sequence[Bounded]) -> tuple[Array, Array]:
        """The value, and its largest change over the corners of the box that the errors of the operands span.

        Every operation is monotone in each operand, or convex about the middle, except those with a pole inside.
        """
        value = np.asarray(self.plain.map(op, [a.value for a in args]))
        if op in ("sin", "cos"):
            return value, args[0].error
        error = np.zeros((1,), dtype=self.wide)
        for corner in product(*map(_ends, args)):
            error = np.maximum(error, distance(np.asarray(self.plain.map(op, corner)), value))
        if op in ("divide", "reciprocal", "rsqrt", "power"):
            below = args[0] if op == "power" else args[-1]
            pole = (below.error > 0) & (np.abs(below.value) <= below.error)
            error = np.where(pole & (args[1].value < 0 if op == "power" else True), np.inf, error)
        return value, error

    def _settled(self, op: str, args: Sequence[Bounded], value: Array, error: Array, const: bool) -> Array:
        """The error, infinite where a kernel may have overflowed on the way or met anything else undecided."""
        finite = np.asarray(np.logical_and.reduce(np.broadcast_arrays(*[np.isfinite(a.value) for a in args])))
        pole = ~np.isfinite(value) & (op in POLES) | np.isnan(value)
        spilled = finite & ~pole & ~(np.abs(value) + error <= self._top(const))
        error = np.where(np.isfinite(value) | np.isinf(error), error, 0.0)
        return self._undecided(args, np.where(spilled, np.inf, error))

    def _undecided(self, args: Sequence[Bounded], error: Array) -> Array:
        for a in args:
            error = np.where(np.isinf(a.error) | np.isinf(a.argument), np.inf, error)
        return np.where(np.isnan(error), np.inf, error)

    def _argument(self, op: str, args: Sequence[Bounded], error: Array) -> Array:
        """The error of a value as an exponent: that of the row, where only row-constants were added or multiplied."""
        match op, args:
            case (("add" | "subtract"), [a, b]) if a.const != b.const:
                argument = a.argument + b.argument
            case "multiply", [a, b] if a.const != b.const:
                argument = np.abs(a.value) * b.argument + (np.abs(b.value) + b.argument) * a.argument
            case "divide", [a, b] if b.const and not a.const:
                relative = b.argument / (np.abs(b.value) - b.argument)
                argument = (np.abs(a.value) * relative + a.argument) / (np.abs(b.value) - b.argument)
            case (("negative" | "stop_gradient"), [a]):
                argument = a.argument
            case _:
                return error
        return np.where(np.isfinite(error) & np.isfinite(argument), np.minimum(argument, error), error)

    def _choice(self, args: Sequence[Bounded], const: bool) -> Bounded:
        mask, a, b = args
        flag = mask.value.astype(bool)
        value = np.where(flag, a.value, b.value)
        apart = distance(a.value, b.value) + np.maximum(a.error, b.error)
        error = np.where(mask.uncertain, apart, np.where(flag, a.error, b.error))
        if value.dtype == bool:
            return self._flag(value, error, const)
        return self._plain(value, error, const)  # a choice is rounded before it is an exponent

    def _flag(self, value: Array, error: Array, const: bool) -> Bounded:
        certain = np.where(error > 0, 1.0, 0.0)
        return self._plain(value, certain, const)

    def _scaled_error(self, mantissa: Bounded, log: Bounded, value: Array, scale: Array) -> Array:
        stretch = np.expm1(log.argument)
        inside: Array = mantissa.error * scale * (1 + stretch) + np.abs(value) * stretch
        return np.where(scale == 0, 0.0, inside)


def _lost(a: Array, b: Array, total: Array) -> Array:
    """What a sum lost of its operands, exactly: beside 1e38 there is nothing left of 1, and the oracle must know it."""
    other = total - a
    rest = np.abs((a - (total - other)) + (b - other))
    return np.where(np.isfinite(rest), rest, 0.0)


def _whole(op: str, args: Sequence[Bounded], value: Array) -> Array:
    """Where small whole numbers are added or multiplied: in no order is anything rounded."""
    if op not in ("add", "subtract", "multiply"):
        return np.zeros((1,), bool)
    small = [(a.error == 0) & (np.abs(a.value) <= WHOLE) & (a.value == np.rint(a.value)) for a in args]
    found: Array = np.logical_and.reduce(np.broadcast_arrays(*small, np.abs(value) <= WHOLE))
    return found


def _is_one(a: Bounded) -> bool:
    return bool(np.all((np.abs(a.value) == 1) & (a.error == 0)))


def _ends(a: Bounded) -> tuple[Array, ...]:
    if a.value.dtype == bool:
        return (a.value, a.value ^ a.uncertain)
    if not np.any(a.error):
        return (a.value,)
    open_ = np.isinf(a.error)  # of an infinite value, too, nothing is known then
    return np.where(open_, -np.inf, a.value - a.error), np.where(open_, np.inf, a.value + a.error)


def distance(a: Array, b: Array) -> Array:
    """|a - b|, 0 between equal infinities and two NaNs, infinite where only one of two is special."""
    if a.dtype == bool:
        return np.where(a != b, 1.0, 0.0)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gap = np.abs(a - b)
    return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
