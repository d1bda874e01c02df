"""What the row language has beyond NumPy.

On arrays these are plain NumPy functions along the last axis; on traced rows they become operations of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray  # a millisecond of import time

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def _traceable(plain: Callable[P, R]) -> Callable[P, R]:
    """Hands a call on a traced row to the row's `__row_function__`, as NumPy does with `__array_function__`."""

    @wraps(plain)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        hook = getattr(args[0], "__row_function__", None) if args else None
        if hook is not None:
            result: R = hook(plain.__name__, args, kwargs)
            return result
        with np.errstate(all="ignore"):
            return plain(*args, **kwargs)

    return function


@_traceable
def logsumexp(x: ArrayLike, /, axis: int | None = -1, *, keepdims: bool = False, where: Any = True) -> Any:
    """log(sum(exp(x))) without overflow; -inf for nothing."""
    a = np.asarray(x)
    top = np.max(a, axis=axis, keepdims=True, initial=-np.inf, where=where)
    shift = np.where(np.isfinite(top), top, 0.0)
    total = np.sum(np.exp(a - shift), axis=axis, keepdims=True, where=where)
    result = np.log(total) + shift
    return result if keepdims else np.squeeze(result, axis)[()]


@_traceable
def sigmoid(x: ArrayLike, /) -> Any:
    """1 / (1 + exp(-x)), accurate at both ends."""
    a = np.asarray(x)
    e = np.exp(-np.abs(a))
    return (np.where(a < 0, e, 1.0) / (1.0 + e))[()]


@_traceable
def softplus(x: ArrayLike, /) -> Any:
    """log(1 + exp(x)), accurate at both ends."""
    a = np.asarray(x)
    return (np.maximum(a, 0.0) + np.log1p(np.exp(-np.abs(a))))[()]


@_traceable
def rsqrt(x: ArrayLike, /) -> Any:
    """1 / sqrt(x)."""
    return 1.0 / np.sqrt(x)


def _places(x: ArrayLike, n: int) -> NDArray[Any]:
    """The positions of a row's elements: 0 to n - 1, or where they are in the row that a `where=` took them from."""
    places: NDArray[Any] | None = getattr(x, "places", None)
    return np.arange(n) if places is None or len(places) != n else places


@_traceable
def positions(x: ArrayLike, /) -> NDArray[Any]:
    """0 .. n-1 along the row, as floats."""
    a = np.asarray(x)
    kind = a.dtype if np.issubdtype(a.dtype, np.floating) else np.dtype(np.float64)
    return np.broadcast_to(_places(x, a.shape[-1]).astype(kind), a.shape)


@_traceable
def topk(x: ArrayLike, k: int, /) -> tuple[NDArray[Any], NDArray[Any]]:
    """The k largest elements of each row in descending order, and their positions (int64).

    Shapes: x (..., n), results (..., k). A NaN comes before every number; equal elements come by position. Raises
    ValueError unless 1 <= k <= 256 and k <= n; of a row of no elements there are k = 0.
    """
    a = np.asarray(x)
    if not 1 <= k <= min(256, a.shape[-1]) and not k == a.shape[-1] == 0:
        raise ValueError(f"k is {k}; it has to lie in 1 to 256, and in a row of {a.shape[-1]} elements")
    nan = np.isnan(a)
    order = np.lexsort((np.where(nan, 0.0, -a), ~nan), axis=-1)[..., :k]
    return np.take_along_axis(a, order, axis=-1), _places(x, a.shape[-1])[order].astype(np.int64)


@_traceable
def kth(x: ArrayLike, k: int, /) -> Any:
    """The k-th largest element of each row: the last of `topk(x, k)`."""
    return topk(x, k)[0][..., -1][()]


def threshold(f: Callable[[Any, Any], Any], target: Any, x: Any, /, *, lo: Any, hi: Any) -> Any:
    """tau in [lo, hi] with sum f(x, tau) = target over each row, for an f that does not increase with tau.

    On arrays: the largest float whose sum reaches the target, by bisection; NaN where none does, and where the sum is
    not finite. Kernels solve max(z - tau, 0) and its square exactly, z a map of x; any other f is a PlanError there.
    """
    from .codegen.bisect import bisect

    if hasattr(x, "__row_function__"):
        return x.__row_function__("threshold", (f, target, x), {"lo": lo, "hi": hi})
    a = np.asarray(x, dtype=np.float64)
    with np.errstate(all="ignore"):
        tau = bisect(lambda t: np.sum(f(a, t), axis=-1, keepdims=True), target, lo, hi, (*a.shape[:-1], 1))
    return tau[..., 0][()]


@_traceable
def uniform(x: ArrayLike, seed: Any, /) -> NDArray[Any]:
    """Independent numbers in (0, 1), one for each element of x, from a counter-based generator.

    `seed` is an integer, which makes one key a row, or an array of uint64 keys of the batch's shape. A number is a
    function of its key and position alone: (23 bits + 1/2) 2^-23 of Philox-4x32-10. Float32 for float32 rows, else
    float64. Raises TypeError or ValueError for what is no seed.
    """
    from .philox import keys_of
    from .philox import uniform as numbers

    a = np.asarray(x)
    keys = keys_of(seed, a.shape[:-1])
    kind = a.dtype if a.dtype == np.float32 else np.dtype(np.float64)
    return numbers(_places(x, a.shape[-1]), keys[..., None]).astype(kind)


@_traceable
def gumbel(x: ArrayLike, seed: Any, /) -> NDArray[Any]:
    """Independent standard Gumbel numbers, -log(-log(uniform(x, seed))): argmax(x + gumbel) samples softmax(x)."""
    noise: NDArray[Any] = -np.log(-np.log(uniform(x, seed)))
    return noise


@_traceable
def lookup(x: ArrayLike, table: ArrayLike, /) -> NDArray[Any]:
    """table[x] for every element of x: what the table has at the places x, whole numbers from 0 on.

    x of shape (..., n), table of shape (..., m) with any m; the result has the shape of x and the table's floats. A
    place that the table does not have (below 0, from m on, no whole number, NaN) gives NaN, so no value of x can fail.
    In a kernel the table is a parameter: `rf.Table`, or a plain row, which then may have a length of its own.
    Raises TypeError for a table that does not hold numbers.
    """
    places, held = np.asarray(x), np.asarray(table)
    if held.dtype.kind not in "fiu" and not np.issubdtype(held.dtype, np.floating):
        raise TypeError(f"rf.lookup: the table has dtype {held.dtype}; expected numbers")
    held = held if held.dtype.kind not in "iu" else held.astype(np.float64)
    from .codegen.found import found_in

    found: NDArray[Any] = found_in(np, np.atleast_1d(places), held).reshape(places.shape)
    return found[()]


@_traceable
def stop_gradient(x: T, /) -> T:
    """The value itself; derivatives take it for a constant."""
    return x
