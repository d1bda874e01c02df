"""`scipy.special`'s softmax, log_softmax and logsumexp: the same signatures and defaults, on NumPy arrays.

    from rowfold.compat.scipy import logsumexp, softmax

Integers count as float64. Complex numbers and dtypes that no kernel has (long double) are forwarded to SciPy, which has
to be installed for them. Where the two differ: a masked array is a TypeError here (SciPy ignores its mask), the softmax
of no elements is empty (SciPy raises ValueError), and no floating-point warning is raised.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

import rowfold as rf
from rowfold import library

__all__ = ["log_softmax", "logsumexp", "softmax"]

_OWN = "efd"  # float16, float32, float64


@rf.kernel(name="weighted_sum_of_exponentials")
def _weighted(a: rf.Row, b: rf.Row) -> Any:
    """(log |sum b e^a|, the sign of that sum). What has no weight counts nothing, whatever it is."""
    z = np.where(b == 0.0, -np.inf, a)
    mean = np.sum(b * np.exp(z)) / np.sum(np.exp(z))
    return np.log(np.abs(mean)) + rf.logsumexp(z), np.sign(mean)


def softmax(x: Any, axis: Any = None) -> Any:
    """e^x / sum e^x along `axis` (an int, a tuple of ints, or None for all): as scipy.special.softmax.

    Within 4 ULP in float32 and float64 for any length. Raises TypeError for a masked array.
    """
    x = _floats(x)
    return library.softmax(x, axis=axis) if x.dtype.char in _OWN else _theirs("softmax")(x, axis=axis)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """x - log sum e^x along `axis` (an int, a tuple of ints, or None for all): as scipy.special.log_softmax.

    Within 3 ULP, the confident class included. Raises TypeError for a masked array.
    """
    x = _floats(x)
    return library.log_softmax(x, axis=axis) if x.dtype.char in _OWN else _theirs("log_softmax")(x, axis=axis)


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """log sum b e^a along `axis`; with `return_sign` (log |sum b e^a|, its sign): as scipy.special.logsumexp.

    Without `b` within 1 ULP plus 4u. A negative sum is NaN without `return_sign`. Raises TypeError for a masked array.
    """
    a, b = _floats(a), None if b is None else _floats(b)
    if b is not None:
        a, b = (np.atleast_1d(v) for v in np.broadcast_arrays(*_promoted(a, b)))
    if a.dtype.char not in _OWN:
        return _theirs("logsumexp")(a, axis=axis, b=b, keepdims=keepdims, return_sign=return_sign)
    a = np.atleast_1d(a)
    if b is None:
        size = library.logsumexp(a, axis=axis, keepdims=keepdims)
        return (size, _sign(size)) if return_sign else size
    size, sign = _weighted(a, b, axis=axis, keepdims=keepdims)
    if not np.isfinite(size).all():
        size, sign = _with_infinities(size, sign, a, b, axis, keepdims)
    return (size, sign) if return_sign else np.where(sign < 0, np.nan, size)[()].astype(a.dtype)


def _floats(value: Any) -> Any:
    """The value as an array that is no masked one, its integers and booleans as float64."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("a masked array's mask would be ignored; pass b=~a.mask, or a.filled(-np.inf)")
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind in "iub" else array


def _promoted(a: Any, b: Any) -> tuple[Any, Any]:
    dtype = np.result_type(a, b)
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def _sign(size: Any) -> Any:
    """The sign of the sum whose log this is."""
    return np.where(np.isnan(size), np.nan, np.where(size == -np.inf, 0.0, 1.0))[()].astype(size.dtype)


def _with_infinities(size: Any, sign: Any, a: Any, b: Any, axis: Any, keepdims: bool) -> tuple[Any, Any]:
    """Where the result is not finite, what IEEE arithmetic says of the sum itself."""
    with np.errstate(all="ignore"):
        total = np.sum(b * np.exp(a), axis=axis, keepdims=keepdims)
        direct = np.log(np.abs(total))
    odd = ~np.isfinite(size)
    return np.where(odd, direct, size)[()].astype(a.dtype), np.where(odd, np.sign(total), sign)[()].astype(a.dtype)


@cache
def _theirs(name: str) -> Any:
    try:
        return getattr(import_module("scipy.special"), name)
    except ImportError:
        raise TypeError(f"{name} of this dtype is SciPy's, which is not installed") from None
