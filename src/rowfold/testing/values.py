"""Rows of every kind that has broken a softmax: the distributions that tests and fuzzing draw from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Maker = Callable[[int, np.random.Generator, np.finfo[Any]], Array]


def zoo(dtype: DTypeLike, n: int, rng: np.random.Generator) -> dict[str, Array]:
    """One row of length `n` of every kind, by name."""
    return {name: row(name, dtype, n, rng) for name in (*FINITE, *SPECIAL)}


def row(name: str, dtype: DTypeLike, n: int, rng: np.random.Generator) -> Array:
    """One row of the named kind."""
    kind: Any = np.dtype(dtype)
    info = np.finfo(kind)
    with np.errstate(all="ignore"):
        return (FINITE | SPECIAL)[name](n, rng, info).astype(info.dtype)


def _normal(scale: float, offset: float = 0.0) -> Maker:
    return lambda n, rng, info: rng.normal(size=n) * scale + offset


def _wide(n: int, rng: np.random.Generator, info: np.finfo[Any]) -> Array:
    return np.asarray(rng.uniform(-1, 1, size=n) * np.log(float(info.max)) * 1.2)


def _equal(n: int, rng: np.random.Generator, info: np.finfo[Any]) -> Array:
    return np.full(n, rng.normal() * 10)


def _outlier(size: float) -> Maker:
    def make(n: int, rng: np.random.Generator, info: np.finfo[Any]) -> Array:
        x = rng.normal(size=n)
        if n:
            x[rng.integers(n)] = size
        return x

    return make


def _huge(n: int, rng: np.random.Generator, info: np.finfo[Any]) -> Array:
    return np.asarray(rng.uniform(0.9, 1.0, size=n) * float(info.max) * np.where(rng.random(n) < 0.3, -1.0, 1.0))


def _subnormal(n: int, rng: np.random.Generator, info: np.finfo[Any]) -> Array:
    """Exponentials of most elements are subnormal beside that of the first."""
    x: Array = np.log(float(info.tiny)) + rng.uniform(-14, 1, size=n)
    x[:1] = 0.0
    return x


def _alternating(n: int, rng: np.random.Generator, info: np.finfo[Any]) -> Array:
    return np.asarray(np.where(np.arange(n) % 2 == 0, 1.0, -1.0) * (10 + rng.random(n)))


def _ramp(sign: float) -> Maker:
    return lambda n, rng, info: sign * np.arange(n) * float(rng.choice([1e-3, 0.1, 1.0]))


def _bits(n: int, rng: np.random.Generator, info: np.finfo[Any]) -> Array:
    """Any finite number is as likely as any other."""
    whole = rng.integers(0, 2**info.bits, size=n, dtype=np.uint64).astype(f"u{info.bits // 8}")
    x = whole.view(info.dtype)
    return np.asarray(np.where(np.isfinite(x), x, 0.0))


def _planted(*specials: float) -> Maker:
    """Normal numbers with specials at random lanes."""

    def make(n: int, rng: np.random.Generator, info: np.finfo[Any]) -> Array:
        x = rng.normal(size=n) * 5
        if n:
            for special in specials:
                x[rng.integers(n, size=1 + n // 40)] = special
        return x

    return make


def _masked(n: int, rng: np.random.Generator, info: np.finfo[Any]) -> Array:
    return np.where(rng.random(n) < 0.5, -np.inf, rng.normal(size=n))


FINITE: dict[str, Maker] = {
    "normal": _normal(1),
    "normal_x5": _normal(5),
    "normal_x50": _normal(50),
    "normal_x1e-3": _normal(1e-3),
    "normal_plus_1e4": _normal(1, 1e4),
    "uniform_wide": _wide,
    "all_equal": _equal,
    "zeros": lambda n, rng, info: np.zeros(n),
    "outlier_up": _outlier(60.0),
    "outlier_down": _outlier(-1e4),
    "outlier_far_up": _outlier(3e7),
    "huge": _huge,
    "subnormal_outputs": _subnormal,
    "alternating": _alternating,
    "sorted_up": lambda n, rng, info: np.sort(rng.normal(size=n) * 5),
    "sorted_down": lambda n, rng, info: -np.sort(rng.normal(size=n) * 5),
    "ramp_up": _ramp(1.0),
    "ramp_down": _ramp(-1.0),
    "random_bits": _bits,
    "tiny": lambda n, rng, info: rng.normal(size=n) * float(info.tiny),
}
SPECIAL: dict[str, Maker] = {
    "nan": _planted(np.nan),
    "plus_inf": _planted(np.inf),
    "minus_inf": _planted(-np.inf),
    "both_inf": _planted(np.inf, -np.inf),
    "nan_and_inf": _planted(np.inf, np.nan),
    "half_minus_inf": _masked,
    "all_minus_inf": lambda n, rng, info: np.full(n, -np.inf),
}
