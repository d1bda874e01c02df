"""The words of the mathematical library on NumPy arrays, each rounded as the hardware rounds it.

This is how plans are interpreted and how the library is measured: no C is involved. Call `run` for one function.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from rowfold.codegen.mathlib import FUNCTIONS
from rowfold.codegen.mathlib.coefficients import SIXTEENTHS
from rowfold.codegen.mathlib.words import Dtype

Array: TypeAlias = np.ndarray[Any, Any]
FORMATS: dict[Dtype, type[np.floating[Any]]] = {"f32": np.float32, "f64": np.float64}
FAR = 300  # binary orders of magnitude between two terms at which the smaller is no more than a sign
SPLITTER = 2.0**27 + 1.0


class NumpyWords:
    """Words on arrays of one number format. Values are arrays (or NumPy scalars) of it, masks are boolean arrays."""

    def __init__(self, dtype: Dtype) -> None:
        self._dtype: Dtype = dtype
        self.format = FORMATS[dtype]

    @property
    def dtype(self) -> Dtype:
        return self._dtype

    @property
    def fused(self) -> bool:
        return True

    def const(self, value: float) -> Any:
        return self.format(value)

    def let(self, name: str, value: Any) -> Any:
        return value

    def call(self, function: str, *args: Any) -> Any:
        return FUNCTIONS[function].body(self, *args)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return fma32(a, b, c) if self._dtype == "f32" else fma64(a, b, c)

    def mad(self, a: Any, b: Any, c: Any) -> Any:
        return a * b + c

    def leading(self, a: Any) -> Any:
        words, cut = (np.uint32, 12) if self._dtype == "f32" else (np.uint64, 27)
        return (np.asarray(a).view(words) >> words(cut) << words(cut)).view(self.format)

    def min(self, a: Any, b: Any) -> Any:
        return np.where(np.less(a, b), a, b)

    def max(self, a: Any, b: Any) -> Any:
        return np.where(np.greater(a, b), a, b)

    def sqrt(self, a: Any) -> Any:
        return np.sqrt(a)

    def rint(self, a: Any) -> Any:
        return np.rint(a)

    def floor(self, a: Any) -> Any:
        return np.floor(a)

    def abs(self, a: Any) -> Any:
        return np.abs(a)

    def copysign(self, magnitude: Any, sign: Any) -> Any:
        return np.copysign(magnitude, sign)

    def scale(self, p: Any, n: Any) -> Any:
        whole = np.clip(np.nan_to_num(n, nan=0.0), -5000, 5000).astype(np.int32)
        return np.ldexp(p, whole)

    def scale_floor(self, p: Any, n: Any) -> Any:
        return self.scale(p, np.floor(n))

    def scale_whole(self, p: Any, n: Any) -> Any:
        return self.scale_floor(p, n)

    def scale_far(self, t: Any, k: Any) -> Any:
        return self.scale_floor(t, k)

    def sixteenth(self, z: Any) -> Any:
        bits = np.asarray(z, self.format).view(np.int32 if self._dtype == "f32" else np.int64)
        return np.asarray(SIXTEENTHS[self._dtype], self.format)[bits & 15]

    def scaled_sixteenth(self, z: Any, shift: Any) -> Any:
        magic = self.format(1.5 * 2.0 ** (19 if self._dtype == "f32" else 48))
        return self.scale_floor(self.sixteenth(z), (z - magic) - shift)

    def exponent(self, x: Any) -> Any:
        return (np.frexp(x)[1] - 1).astype(self.format)

    def mantissa(self, x: Any) -> Any:
        return np.frexp(x)[0] * self.format(2)

    def lt(self, a: Any, b: Any) -> Any:
        return np.less(a, b)

    def le(self, a: Any, b: Any) -> Any:
        return np.less_equal(a, b)

    def gt(self, a: Any, b: Any) -> Any:
        return np.greater(a, b)

    def ge(self, a: Any, b: Any) -> Any:
        return np.greater_equal(a, b)

    def eq(self, a: Any, b: Any) -> Any:
        return np.equal(a, b)

    def ne(self, a: Any, b: Any) -> Any:
        return np.not_equal(a, b)

    def mask_and(self, a: Any, b: Any) -> Any:
        return np.logical_and(a, b)

    def mask_or(self, a: Any, b: Any) -> Any:
        return np.logical_or(a, b)

    def mask_not(self, a: Any) -> Any:
        return np.logical_not(a)

    def select(self, mask: Any, a: Any, b: Any) -> Any:
        return np.where(mask, a, b)


def run(name: str, dtype: Dtype, *args: Any) -> Any:
    """One function of the library on arrays, without a floating-point warning."""
    words = NumpyWords(dtype)
    with np.errstate(all="ignore"):
        return words.call(name, *(np.asarray(a, words.format) for a in args))


def fma32(a: Any, b: Any, c: Any) -> Any:
    """a b + c rounded once to float32: the product is exact in float64, and the sum is rounded to odd there."""
    with np.errstate(all="ignore"):
        product = np.multiply(a, b, dtype=np.float64)
        return add_to_odd(product, np.asarray(c, np.float64)).astype(np.float32)[()]


def fma64(a: Any, b: Any, c: Any) -> Any:
    """a b + c rounded once to float64."""
    arrays = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (a, b, c)))
    flat = [v.reshape(-1) for v in arrays]
    fused = _fma_ordinary if all(_ordinary(v) for v in flat) else _fma_any
    with np.errstate(all="ignore"):
        return fused(*flat).reshape(arrays[0].shape)[()]


def _ordinary(v: Array) -> bool:
    """No product of two such numbers, nor its error, overflows or falls below the normal numbers."""
    size = np.abs(v)
    return bool(np.all((size < 2.0**250) & ((size > 2.0**-250) | (size == 0))))


def _fma_ordinary(a: Array, b: Array, c: Array) -> Array:
    """Boldo and Melquiond: the three exact terms of a b + c are added with one intermediate rounding to odd."""
    high, low = two_product(a, b)
    middle, tail = two_sum(c, low)
    top, rest = two_sum(high, middle)
    fused = top + add_to_odd(tail, rest)
    exact_zero = (a == 0) | (b == 0)
    return np.where(exact_zero, a * b + c, fused)


def _fma_any(a: Array, b: Array, c: Array) -> Array:
    """Scale mantissas so that the larger term is near one, fuse, and scale back; subnormal results go one by one."""
    plain = a * b + c
    finite = np.isfinite(a) & np.isfinite(b)
    regular = finite & np.isfinite(c) & (a != 0) & (b != 0)
    (ma, ea), (mb, eb), (mc, ec) = (np.frexp(np.where(regular, v, 1.0)) for v in (a, b, c))
    product, addend = ea + eb, np.where(mc == 0, -9999, ec)
    top = np.maximum(product, addend)
    ma, mc = np.ldexp(ma, np.maximum(product - top, -FAR)), np.ldexp(mc, np.maximum(addend - top, -FAR))
    fused = _fma_ordinary(ma, mb, mc)
    result = np.where(regular, np.ldexp(fused, top), np.where(finite & ~np.isfinite(c), c, plain))
    for i in zip(*np.nonzero(regular & (fused != 0) & (np.abs(result) < 2.0**-1021)), strict=True):
        result[i] = _fma_exact(float(a[i]), float(b[i]), float(c[i]))
    return result


def _fma_exact(a: float, b: float, c: float) -> float:
    total = Fraction(a) * Fraction(b) + Fraction(c)
    return float(np.copysign(float(total), 1.0 if total > 0 else -1.0))


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b rounded, and the error (Knuth)."""
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """a b rounded, and the error (Dekker, Veltkamp)."""
    product = a * b
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return product, al * bl - (((product - ah * bh) - al * bh) - ah * bl)


def _halves(a: Any) -> tuple[Any, Any]:
    shifted = SPLITTER * a
    high = shifted - (shifted - a)
    return high, a - high


def add_to_odd(a: Any, b: Any) -> Any:
    """a + b in float64, rounded to the neighbour with an odd mantissa unless exact: rounding again is then harmless."""
    total, error = two_sum(np.asarray(a, np.float64), np.asarray(b, np.float64))
    total = np.asarray(total)
    bits = total.view(np.int64)
    away = (error > 0) == (total > 0)
    step = np.where(away, 1, -1)
    inexact = np.isfinite(error) & (error != 0) & np.isfinite(total) & (bits & 1 == 0)
    return np.where(inexact, bits + step, bits).view(np.float64)
