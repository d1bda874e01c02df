"""Merging the states of parts of rows. The names of a state's fields say how, so that any process can merge any states.

Every rule is associative up to the rounding of doubles (pairs of doubles for float64 kernels): the order of the parts
and the shape of the tree leave the bounds as they are. Parts stand in the order of the row where that matters (the
first of equal elements): positions tell, not the order of the arguments.

templates/standalone/merging.c.j2 says the same in C, with the same bits: no library's exponential is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
SHIFT = 4  # of exponentials: sum = number / unit * 2^exponent e^(factor shift), with these four before the numbers
LOG2E = math.log2(math.e)
LN2_HI, LN2_LO = float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33")  # k LN2_HI is exact
TAYLOR = tuple(1 / math.factorial(k) for k in range(13, -1, -1))
_START = {"max": -np.inf, "min": np.inf, "prod": 1.0}


def state_dtype(fields: tuple[tuple[str, tuple[int, ...]], ...]) -> np.dtype[Any]:
    """The structured dtype of these fields, all of doubles."""
    return np.dtype([(name, np.float64, shape) if shape else (name, np.float64) for name, shape in fields])


def identity(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """States of parts that hold no element: merging with them changes nothing."""
    empty = np.zeros(shape, dtype)
    for name in _units(dtype):
        kind = kind_of(name)
        if kind in _START:
            empty[name] = _START[kind]
        elif kind == "argmax":
            empty[name][..., 1] = -1.0
        elif kind == "topk":
            empty[name] = np.array([-np.inf, -1.0])[:, None]
        elif kind in ("exp", "lse"):
            empty[name][..., 2:4] = 1.0
            empty[name][..., 4] = -np.inf if kind == "lse" else 0.0
    return empty


def merge(a: Array, b: Array) -> Array:
    """The states of both parts, of one dtype; their shapes broadcast."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
    merged = np.empty(shape, a.dtype)
    names = a.dtype.names
    assert names is not None, "a state has fields"
    head, single = names[0], f"_{'f64' if '_f64_' in names[0] else 'f32'}_"
    rounds = a[head][..., 1], b[head][..., 1]
    with np.errstate(all="ignore"):
        for name in names:
            merged[name] = _merged(name, single, rounds, a[name], b[name])
    merged[head] = _head(a[head], b[head])
    return merged


def kind_of(name: str) -> str:
    """round1_0_moments_a_aa -> moments."""
    return name.split("_")[2]


def _units(dtype: np.dtype[Any]) -> list[str]:
    return [n for n in (dtype.names or ())[1:] if n.startswith("round")]


def _head(a: Array, b: Array) -> Array:
    """Elements add up in the first round; later rounds know them. An identity has done no round."""
    both = (a[..., 1] == 1) & (b[..., 1] == 1)
    elements = np.where(both, a[..., 0] + b[..., 0], np.where(a[..., 1] > 0, a[..., 0], b[..., 0]))
    return np.stack([elements, np.maximum(a[..., 1], b[..., 1])], axis=-1)


def _merged(name: str, single: str, rounds: tuple[Array, Array], a: Array, b: Array) -> Array:
    extra = a.ndim - rounds[0].ndim
    first, second = (r.reshape(r.shape + (1,) * extra) for r in rounds)
    chosen = np.where(first > 0, a, b)
    if not name.startswith("round"):
        return chosen
    current = int(name[5 : name.index("_")])
    whole = _RULES[kind_of(name)](a, b, name, single)
    return np.where((first == current) & (second == current), whole, chosen)


# pairs of doubles


def _add(a: Array, b: Array) -> Array:
    """Sums in one double, or in two whose sum they are; what is not finite is in the first."""
    if a.shape[-1] == 1:
        return a + b
    hi, rest = _two_sum(a[..., 0], b[..., 0])
    return _pair(hi, rest + (a[..., 1] + b[..., 1]))


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def _pair(hi: Array, lo: Array) -> Array:
    s = hi + lo
    rest = (hi - s) + lo
    return np.stack([np.where(np.isfinite(s), s, hi), np.where(np.isfinite(rest), rest, 0.0)], axis=-1)


def _times(a: Array, c: Array) -> Array:
    """A sum times a double."""
    if a.shape[-1] == 1:
        return a * c[..., None]
    hi, rest = _two_product(a[..., 0], c)
    return _pair(hi, rest + a[..., 1] * c)


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Dekker's product: NumPy has no fma. Where the halves overflow nothing is known of the rest."""
    p, factor = a * b, 134217729.0
    ah = a * factor - (a * factor - a)
    bh = b * factor - (b * factor - b)
    al, bl = a - ah, b - bh
    rest = ((ah * bh - p) + ah * bl + al * bh) + al * bl
    return p, np.where(np.isfinite(rest), rest, 0.0)


# the rules, by kind


def _sum(a: Array, b: Array, name: str, single: str) -> Array:
    return _add(a, b)


def _argmax(a: Array, b: Array, name: str, single: str) -> Array:
    """The larger, the first of equal ones, a NaN before everything."""
    (x, i), (y, j) = (a[..., 0], a[..., 1]), (b[..., 0], b[..., 1])
    nan_a, nan_b = np.isnan(x), np.isnan(y)
    ahead = np.where(nan_a | nan_b, nan_a & ~nan_b, x > y)
    level = np.where(nan_a | nan_b, nan_a & nan_b, x == y)
    left = (i >= 0) & ((j < 0) | ahead | (level & (i <= j)))
    return np.where(left[..., None], a, b)


def _topk(a: Array, b: Array, name: str, single: str) -> Array:
    """The k best of both: NaN first, then by value, then by position."""
    both = np.concatenate([a, b], axis=-1)
    values, places = both[..., 0, :], both[..., 1, :]
    nan = np.isnan(values)
    order = np.lexsort((places, np.where(nan, 0.0, -values), ~nan, places < 0), axis=-1)[..., : a.shape[-1]]
    return np.take_along_axis(both, np.broadcast_to(order[..., None, :], a.shape), axis=-1)


def _take(a: Array, b: Array, name: str, single: str) -> Array:
    return np.where(a[..., 1:] > 0, a, b)


def _exp(a: Array, b: Array, name: str, single: str) -> Array:
    """Sums over one shift: that of the side whose exponents reach higher. The other side moves by a power of two."""
    width = 2 if single == "_f64_" else 1
    head, scale = _common(a, b)
    sums = [
        _add(_times(a[..., k : k + width], scale[0]), _times(b[..., k : k + width], scale[1]))
        for k in range(SHIFT, a.shape[-1], width)
    ]
    return np.concatenate([head, *sums], axis=-1)


def _lse(a: Array, b: Array, name: str, single: str) -> Array:
    """The same where the largest term stands apart: of the two largest, the lower one joins the rest."""
    head, scale = _common(a, b)
    m, n = a[..., SHIFT], b[..., SHIFT]
    first = (m >= n) | np.isnan(n)
    low, high = np.where(first, n, m), np.where(first, m, n)
    term = _power(np.where(np.isposinf(low), 0.0, low - head[..., 1]), head)
    rest = a[..., -1] * scale[0] + b[..., -1] * scale[1] + np.where(np.isneginf(low), 0.0, term)
    return np.concatenate([head, high[..., None], rest[..., None]], axis=-1)


def _common(a: Array, b: Array) -> tuple[Array, tuple[Array, Array]]:
    """(exponent, shift, factor, unit) for both sides, and what each side's sums are multiplied by."""
    left = _reach(a) >= _reach(b)
    unknown = np.isnan(a[..., 0]) | np.isnan(b[..., 0])
    head: Array = np.where(left[..., None], a[..., :SHIFT], b[..., :SHIFT])
    head[..., 0] = np.where(unknown, np.nan, head[..., 0])
    return head, (_moved(a, head), _moved(b, head))


def _reach(side: Array) -> Array:
    """How high the exponents of a side reach; nothing reaches nowhere."""
    reach = side[..., 0] / LOG2E + side[..., 2] * side[..., 1]
    numbers = side[..., SHIFT:]
    where: Array = np.where(((numbers == 0) | np.isneginf(numbers)).all(axis=-1), -np.inf, reach)
    return where


def _moved(side: Array, head: Array) -> Array:
    step = side[..., 0] - head[..., 0]
    apart = np.where(side[..., 1] == head[..., 1], 0.0, (side[..., 1] - head[..., 1]) * head[..., 2])
    p, k = _exp_of(np.clip(apart, -1e4, 1e4))
    moved: Array = _binades(p, k) * _binades(np.ones_like(p), step) + step * 0.0
    return moved


def _power(x: Array, head: Array) -> Array:
    """e^(factor x) over the power of two of a shift, in the unit of the sums."""
    p, k = _exp_of(np.clip(x * head[..., 2], -1e6, 1e6))
    power: Array = _binades(p * head[..., 3], k - head[..., 0]) + x * 0.0
    return power


def _exp_of(y: Array) -> tuple[Array, Array]:
    """(p, k) with e^y = p 2^k: Taylor's series, at most ln 2 / 2 from 0."""
    k = np.rint(y * LOG2E)
    r = (y - k * LN2_HI) - k * LN2_LO
    p = np.full_like(r, TAYLOR[0])
    for c in TAYLOR[1:]:
        p = p * r + c
    return p, k


def _binades(a: Array, n: Array) -> Array:
    """a 2^n, rounded once."""
    scaled: Array = np.ldexp(a, np.clip(np.nan_to_num(n), -4000, 4000).astype(np.int32))
    return scaled


def _moments(a: Array, b: Array, name: str, single: str) -> Array:
    """Sums of products of distances from pivots: those of one side are moved to the pivots of the other."""
    products = name.split("_")[3:]
    rows = [p for p in products if len(p) == 1]
    width, weighted = 2 if single == "_f64_" else 1, kind_of(name) == "wmoments"
    gone = a[..., -1] == 0
    left, right = (np.where(gone[..., None], y, x) for x, y in ((a, b), (b, a)))  # an empty side has no pivots
    apart = {r: np.where(right[..., -1] == 0, 0.0, right[..., k] - left[..., k]) for k, r in enumerate(rows)}
    places = {p: len(rows) + k * width for k, p in enumerate(products)}
    if weighted:
        places[""] = len(rows) + len(products) * width
    sums = {p: right[..., at : at + width] for p, at in places.items()}
    if not weighted:
        sums[""] = np.concatenate([right[..., -1:], np.zeros_like(right[..., -1:])], axis=-1)[..., :width]
    merged: Array = left.copy()
    for p, at in places.items():
        merged[..., at : at + width] = _add(left[..., at : at + width], _shifted(p, sums, apart))
    merged[..., -1] = left[..., -1] + right[..., -1]
    return merged


def _shifted(product: str, sums: Mapping[str, Array], apart: Mapping[str, Array]) -> Array:
    """The product of (distance + apart), multiplied out."""
    total = sums[product]
    for chosen in range(1, 2 ** len(product)):
        inside = "".join(r for k, r in enumerate(product) if not chosen >> k & 1)
        term = sums[inside]
        for k, r in enumerate(product):
            if chosen >> k & 1:
                term = _times(term, apart[r])
        total = _add(total, term)
    return total


_RULES: Mapping[str, Callable[[Array, Array, str, str], Array]] = {
    "sum": _sum,
    "count": _sum,
    "prod": lambda a, b, name, single: a * b,
    "max": lambda a, b, name, single: np.where((a >= b) | np.isnan(a), a, b),
    "min": lambda a, b, name, single: np.where((a <= b) | np.isnan(a), a, b),
    "argmax": _argmax,
    "topk": _topk,
    "take": _take,
    "exp": _exp,
    "lse": _lse,
    "moments": _moments,
    "wmoments": _moments,
}
