"""Errors in units in the last place, and exact values to measure them against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]


def ulp(value: ArrayLike, dtype: DTypeLike) -> Array:
    """The spacing of `dtype` at `value`, never below that of its subnormal numbers."""
    kind: Any = np.dtype(dtype)
    info = np.finfo(kind)
    size = np.abs(np.asarray(value, dtype=np.longdouble))
    _, exponent = np.frexp(np.maximum(size, np.longdouble(info.tiny)))
    bounded = np.minimum(exponent - 1, int(info.maxexp) - 1)
    return np.asarray(np.ldexp(np.longdouble(1), bounded - int(info.nmant)))


def ulp_error(got: ArrayLike, exact: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """|got - exact| in ULP of the exact value: 0 for equal specials, inf for wrong ones.

    `dtype` is that of `got` unless given. An exact value beyond the largest number may be met by infinity.
    """
    result = np.asarray(got)
    kind: Any = np.dtype(result.dtype if dtype is None else dtype)
    have, want = result.astype(np.longdouble), np.asarray(exact, dtype=np.longdouble)
    with np.errstate(all="ignore"):
        top = np.longdouble(np.finfo(kind).max)
        spilled = np.isfinite(want) & (np.abs(want) > top) & (have == np.copysign(np.longdouble(np.inf), want))
        same = (have == want) | (np.isnan(have) & np.isnan(want)) | spilled
        error = np.abs(have - want) / ulp(np.where(np.isfinite(want), want, 1), kind)
        return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error)).astype(np.float64)


def exact_softmax(x: ArrayLike) -> Array:
    """softmax along the last axis in long double, good to a thousandth of a float64 ULP."""
    with np.errstate(all="ignore"):
        high, low, top = _shifted(x)
        terms = _power(high, low)
        total = 1 + _rest(terms, top)
        return np.where(_bad(x), np.nan, terms / total)


def exact_log_softmax(x: ArrayLike) -> Array:
    """log_softmax along the last axis in long double: of the largest element too, whose distance to 0 may be tiny."""
    with np.errstate(all="ignore"):
        high, low, top = _shifted(x)
        return np.where(_bad(x), np.nan, (high - np.log1p(_rest(_power(high, low), top))) + low)


def exact_logsumexp(x: ArrayLike) -> Array:
    """logsumexp along the last axis, which is dropped, in long double."""
    rows = np.asarray(x, dtype=np.longdouble)
    with np.errstate(all="ignore"):
        if rows.shape[-1] == 0:
            return np.full(rows.shape[:-1], -np.inf, dtype=np.longdouble)
        high, low, top = _shifted(x)
        largest = np.max(rows, axis=-1, keepdims=True)
        value = largest + np.log1p(_rest(_power(high, low), top))
        return np.asarray(np.where(np.isinf(largest), largest, value)[..., 0])


def exact_layer_norm(x: ArrayLike, eps: float = 1e-5) -> Array:
    """(x - mean x) / sqrt(var x + eps) along the last axis in long double: for float32, of any finite row."""
    rows = np.asarray(x, dtype=np.longdouble)
    near = rows - rows.mean(axis=-1, keepdims=True)
    near = near - near.mean(axis=-1, keepdims=True)
    return np.asarray(near / np.sqrt(np.mean(near**2, axis=-1, keepdims=True) + np.longdouble(eps)))


def exact_rms_norm(x: ArrayLike, eps: float = 1e-6) -> Array:
    """x / sqrt(mean x^2 + eps) along the last axis in long double: for float32, of any finite row."""
    rows = np.asarray(x, dtype=np.longdouble)
    return np.asarray(rows / np.sqrt(np.mean(rows**2, axis=-1, keepdims=True) + np.longdouble(eps)))


def _shifted(x: ArrayLike) -> tuple[Array, Array, Array]:
    """x - max x as an unevaluated sum of two numbers, and where the first maximum is."""
    rows = np.asarray(x, dtype=np.longdouble)
    if rows.shape[-1] == 0:
        return rows, rows, rows.astype(bool)
    place = np.argmax(rows, axis=-1)[..., None]
    largest = np.take_along_axis(rows, place, axis=-1)
    high = rows - largest
    back = high - rows
    low = (rows - (high - back)) - (largest + back)
    return high, np.where(np.isfinite(low), low, 0), np.arange(rows.shape[-1]) == place


def _power(high: Array, low: Array) -> Array:
    first = np.exp(high)
    return np.asarray(first + first * low)


def _rest(terms: Array, top: Array) -> Array:
    """The sum of the exponentials without that of the largest element, which is 1."""
    return np.asarray(np.sum(np.where(top, 0, terms), axis=-1, keepdims=True))


def _bad(x: ArrayLike) -> Array:
    """Rows whose softmax is NaN: with NaN or +inf in them, or nothing above -inf."""
    rows = np.asarray(x)
    worst = np.any(np.isnan(rows) | (rows == np.inf), axis=-1, keepdims=True)
    return np.asarray(worst | np.all(rows == -np.inf, axis=-1, keepdims=True))
