"""Row-constant arithmetic: NumForms and how each operation acts on them.

A row-constant value is a double, and comes in three forms so that nothing overflows and nothing cancels:
`Plain` v; `Offset` hi + lo, left unadded so that a later difference cancels exactly (a log of a sum is its maximum plus
a small rest); `Scaled` m * 2^(powers of the groups' shifts), never multiplied out while a ratio can cancel it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence

from ...records import dataclass, field, replace
from ..ir import Ref
from ..loops import Code, Kind, Var

Number = Var | float
INF = math.inf


@dataclass(frozen=True, slots=True)
class Plain:
    """A double. `exact`: it is a number of the computing dtype, or a count. `lo`: what its rounding lost, if kept."""

    value: Number
    exact: bool = False
    lo: Var | None = None


@dataclass(frozen=True, slots=True)
class Offset:
    """hi + lo; `exact` when hi is a number of the computing dtype.

    The log of a displaced sum is factor * center + tail: what is subtracted from it can subtract the center first.
    `pure`: with a logarithm in it, whose lo undoes an infinite hi for elements; by itself an infinite hi decides.
    """

    hi: Number
    lo: Number
    exact: bool = False
    pure: bool = False
    center: Var | None = None
    factor: Number = 1.0
    tail: Number = 0.0
    joint: bool = False  # two numbers that a row meets one after the other


@dataclass(frozen=True, slots=True)
class Scaled:
    """m (+ m_lo) times e^log for each of the logs, 2^binade, and each group's shift to its power.

    Logs are added last: what a large one takes from a small one may be all that is left when another cancels it.

    `open`: m is infinite where a sum of exponentials is; what divides by that is NaN.
    """

    m: Number
    powers: Mapping[int, int] = field(default_factory=dict)
    lo: Var | None = None
    logs: tuple[Var, ...] = ()
    binade: Number = 0.0
    open: bool = False

    @property
    def plain(self) -> bool:
        """Whether there is nothing left to multiply m with."""
        return not self.powers and not self.logs and self.binade == 0.0


@dataclass(frozen=True, slots=True)
class Flag:
    value: Var


@dataclass(frozen=True, slots=True)
class DisplacedSum:
    """An exponential sum whose largest term stands apart: e^(factor maximum) + rest, both over the group's shift.

    `lo` is what rounding the rest to float64 has lost.
    """

    rest: Var
    maximum: Var
    group: int
    lo: Var | None = None


NumForm = DisplacedSum | Plain | Offset | Scaled | Flag


@dataclass(frozen=True, slots=True)
class Affine:
    """A row v a + b, or v a - b. `over` is 1 / a where a division is what was written and float64 rounds it once."""

    v: Var
    a: Number = 1.0
    b: NumForm | None = None
    minus: bool = False
    over: Number | None = None


@dataclass(frozen=True, slots=True)
class ScaledRow:
    """A row e times a scaled number."""

    e: Var
    by: Scaled


@dataclass(frozen=True, slots=True)
class Factor:
    """A row that multiplies: v, or v + c and v - c, taken apart."""

    v: Var
    c: Number | None = None
    minus: bool = False


@dataclass(frozen=True, slots=True)
class PowerRow:
    """An exponential, or what divides by it, times a scaled number: nothing of it is multiplied out yet.

    What else it meets, in order: rows, row-constants, and masks outside of which it is 0.
    """

    exponent: Ref
    by: Scaled
    met: tuple[Factor | Scaled | Var, ...] = ()
    below: bool = False


RowForm = Affine | ScaledRow | PowerRow

NUM_OPS = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "div"}
COMPARE = {"less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge", "equal": "eq", "not_equal": "ne"}
CALLS = frozenset(
    "exp exp2 expm1 log log2 log1p rsqrt tanh sigmoid softplus sin cos arcsin arccos arctan power".split()
)


def is_one(n: Number) -> bool:
    return isinstance(n, float) and n == 1.0


def op(c: Code, name: str, word: str, a: Number, b: Number) -> Number:
    """a word b, with the identities that keep emitted code free of x + 0 and 1 * x."""
    match word, a, b:
        case (("add" | "sub"), _, 0.0):
            return a
        case "add", 0.0, _:
            return b
        case "sub", 0.0, Var():
            return c.num(name, "neg", b)
        case (("mul" | "div"), _, 1.0):
            return a
        case "mul", 1.0, _:
            return b
        case ("add" | "sub" | "mul"), float(), float():
            return a + b if word == "add" else a - b if word == "sub" else a * b
    return c.num(name, word, a, b)


def plus(c: Code, name: str, a: NumForm, b: NumForm, word: str, *, element: bool = False) -> NumForm:
    """Sum or difference; parts that are kept apart stay apart. An `element` of a row less an infinite log is NaN."""
    left, right = offset(a), offset(b)
    if left is None or right is None:
        raise TypeError("a scaled number has to be collapsed before it is added")
    if isinstance(a, Plain) and isinstance(b, Plain) and a.lo is None and b.lo is None:
        return Plain(op(c, name, word, a.value, b.value))
    hi = op(c, name, word, left[0], right[0]) if left[0] != right[0] or word == "add" else 0.0
    lo = op(c, name + "_lo", word, left[1], right[1])
    pure = not element and any(isinstance(f, Offset) and f.pure for f in (a, b))  # inf - inf is a NaN in hi already
    return Plain(lo) if hi == 0.0 and isinstance(hi, float) else Offset(hi, lo, pure=pure)


def both(c: Code, name: str, a: NumForm, b: NumForm, word: str) -> NumForm:
    """Two terms of a row as one, without loss: the row may cancel the first, and the second is then all there is."""
    match a, b:
        case Plain(Var() as x, _, None), Plain(y, _, None):
            y = op(c, name, "sub", 0.0, y) if word == "sub" else y
            hi, lo = c.call(Kind.NUM, (name, name + "_lo"), "two_sum", x, y)
            return Offset(hi, lo, joint=True)
        case _:
            return plus(c, name, a, b, word)


def offset(a: NumForm) -> tuple[Number, Number] | None:
    match a:
        case Plain(v, _, lo):
            return v, 0.0 if lo is None else lo
        case Offset(hi, lo):
            return hi, lo
        case Scaled() | Flag() | DisplacedSum():
            return None


def times(c: Code, name: str, a: NumForm, b: NumForm, word: str) -> NumForm:
    """Product or quotient of numbers of which at least one is Scaled; the shifts' powers add or cancel."""
    left, right = scaled(a), scaled(b)
    if word == "div" and right.open:
        right = replace(right, m=c.num("sum", "nan_if", c.flag("endless", "eq", right.m, INF), right.m), open=False)
    for log in right.logs if word == "div" else ():  # what divides by an infinite exponential is NaN too
        left = replace(left, m=c.num("over", "nan_if", c.flag("endless", "eq", log, INF), left.m))
    sign = 1 if word == "mul" else -1
    powers = dict(left.powers)
    for group, power in right.powers.items():
        powers[group] = powers.get(group, 0) + sign * power
    powers = {g: p for g, p in powers.items() if p}
    combine = "add" if word == "mul" else "sub"
    logs = (*left.logs, *(log if word == "mul" else c.num(name + "_log", "neg", log) for log in right.logs))
    binade = op(c, name + "_binade", combine, left.binade, right.binade)
    lo: Var | None = None
    if word == "div" and is_one(left.m) and right.lo is not None:
        hi, lo = c.call(Kind.NUM, (name, name + "_lo"), "reciprocal2", right.m, right.lo)
        return Scaled(hi, powers, lo, logs, binade, left.open)
    m = op(c, name, word, left.m, right.m)
    total = Scaled(m, powers, left.lo if is_one(right.m) else lo, logs, binade, left.open or right.open)
    return Plain(m) if total.plain else total


def far_sum(c: Code, terms: Sequence[Number], dtype: str) -> tuple[Number, Number]:
    """The sum of the numbers, and what it loses by rounding: large ones may cancel, or a power of two cancels them.

    A float32 kernel's numbers are doubles: the sum of two loses nothing that its results show.
    """
    terms = [term for term in terms if term != 0.0] or [0.0]
    if dtype == "f32" and len(terms) == 2:
        return op(c, "far", "add", *terms), 0.0
    high = terms[0]
    rest: Number = 0.0
    for term in terms[1:]:
        high, lost = c.call(Kind.NUM, ("far", "far_lo"), "two_sum", high, term)
        rest = op(c, "far_lo", "add", rest, lost)
    if rest != 0.0:
        high, rest = c.call(Kind.NUM, ("far", "far_lo"), "two_sum", high, rest)
    return high, rest


def scaled(a: NumForm) -> Scaled:
    match a:
        case Scaled():
            return a
        case Plain(v, _, lo):
            return Scaled(v, {}, lo)
        case Offset() | Flag() | DisplacedSum():
            raise TypeError("an offset, a flag or a displaced sum has to be collapsed before it is multiplied")


def leading(value: float) -> float:
    """The number cut to a float32: the rest has its sign."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    cut: float = struct.unpack("<d", struct.pack("<Q", bits & ~0x1FFFFFFF))[0]
    return cut


def fits(value: float, dtype: str) -> bool:
    """Whether a number is one of the computing dtype."""
    if dtype == "f64" or math.isnan(value):
        return True
    try:
        return bool(struct.unpack("<f", struct.pack("<f", value))[0] == value)
    except OverflowError:
        return False


def two_parts(a: float) -> tuple[float, float]:
    """A factor known now as the words `leading` and `trailing` have it: infinity times either is the infinity due."""
    most = leading(a)
    return most, math.copysign(max(abs(a - most), abs(a) * 2.0**-48), a)
