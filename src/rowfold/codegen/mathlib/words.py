"""The vocabulary in which the mathematical functions are written, and what a function of the library is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

from ...records import dataclass

Dtype: TypeAlias = Literal["f32", "f64"]
Value: TypeAlias = Any  # a name in C, a value of LLVM, an array: whatever the words work on; it has + - * / and unary -
Mask: TypeAlias = Any


class Words(Protocol):
    """The operations of one instruction set on one number format. Each rounds once unless it says that it is exact."""

    @property
    def dtype(self) -> Dtype: ...
    @property
    def fused(self) -> bool:
        """Whether `fma` is one instruction; it is exact in any case. Without it `mad` and `leading` are there too."""
        ...

    def const(self, value: float) -> Value: ...
    def let(self, name: str, value: Value) -> Value:
        """The same value, under a name that the emitted code shows."""
        ...

    def call(self, function: str, *args: Value) -> Any:
        """Another function of the library: its value, or the tuple of its values."""
        ...

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        ...

    def mad(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded twice."""
        ...

    def leading(self, a: Value) -> Value:
        """The leading half of the bits: the product of two such numbers, or of one and a rest, is exact."""
        ...

    def min(self, a: Value, b: Value) -> Value:
        """The smaller; b when either is NaN."""
        ...

    def max(self, a: Value, b: Value) -> Value:
        """The larger; b when either is NaN."""
        ...

    def sqrt(self, a: Value) -> Value: ...
    def rint(self, a: Value) -> Value: ...
    def floor(self, a: Value) -> Value: ...
    def abs(self, a: Value) -> Value: ...
    def copysign(self, magnitude: Value, sign: Value) -> Value: ...
    def scale(self, p: Value, n: Value) -> Value:
        """p 2^n for an integer-valued n of any size: rounded once below the normal numbers, else exact, 0 or inf."""
        ...

    def scale_floor(self, p: Value, n: Value) -> Value:
        """p 2^floor(n), p in [1, 2), n in sixteenths; any number below 2^-126 where it is, any above 2^127 likewise."""
        ...

    def scale_whole(self, p: Value, n: Value) -> Value:
        """p 2^floor(n), rounded once below the normal numbers."""
        ...

    def sixteenth(self, z: Value) -> Value:
        """Entry j of SIXTEENTHS, about 1.03 * 2^(j/16), j being the low four bits of the number z."""
        ...

    def scaled_sixteenth(self, z: Value, shift: Value) -> Value:
        """That entry times 2^floor(z - FINE_MAGIC - shift); any number below 2^-126 where it is, 0 from 2^-128 on.

        The shift is the same in all lanes: a table may be made for it.
        """
        ...

    def exponent(self, x: Value) -> Value:
        """floor(log2 abs(x)), right for subnormals too; unspecified for 0, inf and NaN."""
        ...

    def mantissa(self, x: Value) -> Value:
        """x / 2^exponent(x), in [1, 2) for a positive finite x; unspecified for 0, inf and NaN."""
        ...

    def lt(self, a: Value, b: Value) -> Mask: ...
    def le(self, a: Value, b: Value) -> Mask: ...
    def gt(self, a: Value, b: Value) -> Mask: ...
    def ge(self, a: Value, b: Value) -> Mask: ...
    def eq(self, a: Value, b: Value) -> Mask: ...
    def ne(self, a: Value, b: Value) -> Mask: ...
    def mask_and(self, a: Mask, b: Mask) -> Mask: ...
    def mask_or(self, a: Mask, b: Mask) -> Mask: ...
    def mask_not(self, a: Mask) -> Mask: ...
    def select(self, mask: Mask, a: Value, b: Value) -> Value:
        """a where the mask is true, else b."""
        ...


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the library. `error` is the largest that was measured, in ULP, rounded up.

    Float32 was measured on every number of the domain (exp, softplus) or every 5th to 13th (power: every 371st),
    float64 on millions of numbers against 80-bit ones (power: a hundred thousand for each of 13 exponents).
    `doc`, `domain` and `source` become the comment in emitted code.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    body: Callable[..., Any]
    error: Mapping[Dtype, float]
    doc: str
    domain: str
    source: str


def function(
    name: str,
    *,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    error: Mapping[Dtype, float],
    domain: str,
    source: str,
) -> Callable[[Callable[..., Any]], Function]:
    """Make a `Function` of a body that takes the words and then the inputs."""

    def made(body: Callable[..., Any]) -> Function:
        return Function(name, inputs, outputs, body, error, " ".join((body.__doc__ or "").split()), domain, source)

    return made


def horner(w: Words, x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial with these coefficients, lowest degree first."""
    total = w.const(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = near_fma(w, total, x, w.const(c))
    return total


def near_fma(w: Words, a: Value, b: Value, c: Value) -> Value:
    """a * b + c where a second rounding does no harm."""
    return w.fma(a, b, c) if w.fused else w.mad(a, b, c)


def two_sum(w: Words, a: Value, b: Value) -> tuple[Value, Value]:
    """a + b as a rounded sum and its error (Knuth)."""
    total = w.let("total", a + b)
    back = w.let("back", total - a)
    return total, w.let("error", (a - (total - back)) + (b - back))


def fast_two_sum(w: Words, a: Value, b: Value) -> tuple[Value, Value]:
    """The same in three operations, for abs(a) >= abs(b) or a = 0 (Dekker)."""
    total = w.let("total", a + b)
    return total, w.let("error", (a - total) + b)
