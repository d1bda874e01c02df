"""The candidates of a selection: many that are equal, levels that are hard to find, NaNs among them late in a row."""

from __future__ import annotations

import numpy as np
import pytest

import rowfold as rf


def ordered(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest and their positions: NaN first, then by value, then by position."""
    with np.errstate(invalid="ignore"):
        keys = np.where(np.isnan(x), -np.inf, -x)
    places = np.lexsort((np.arange(x.size), keys, ~np.isnan(x)))[:k]
    return x[places], places


def rows(n: int) -> dict[str, np.ndarray]:
    normal = np.random.default_rng(3).standard_normal(n).astype(np.float32)
    late = normal.copy()
    late[[n - 3, n - 1]] = np.nan
    return {
        "normal": normal,
        "rising": np.sort(normal),
        "equal": np.ones(n, np.float32),
        "two values": np.repeat(np.float32([0, 1]), [n - n // 3, n // 3]),
        "one outlier": np.where(np.arange(n) == n // 2, 3e38, normal * 1e-30).astype(np.float32),
        "-inf": np.where(normal < 1.5, -np.inf, normal).astype(np.float32),
        "some inf": np.where(np.arange(n) % 97 == 5, np.inf, normal).astype(np.float32),
        "both infinities": np.where(normal < 0.5, -np.inf, np.where(normal > 2.5, np.inf, normal)).astype(np.float32),
        "late NaNs": late,
        "both zeros": np.where(normal > 0, 0.0, -0.0).astype(np.float32),
    }


@pytest.mark.parametrize("k", [1, 7, 50, 256])
@pytest.mark.parametrize("name", rows(1000))
def test_the_largest_are_found_in_order(name: str, k: int) -> None:
    """Whatever the candidates are, the k largest come out by value, equal ones by position."""
    x = rows(1000)[name]

    values, places = topk(x, k=k)

    expected = ordered(x, k)
    assert np.array_equal(values, expected[0], equal_nan=True) and np.array_equal(places, expected[1])


@rf.kernel
def topk(x: rf.Row, *, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest and their positions."""
    return rf.topk(x, k)
