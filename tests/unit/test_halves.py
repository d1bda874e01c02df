"""Sums of float64 rows that NumPy alone makes, against sums without any rounding."""

from fractions import Fraction

import numpy as np
import pytest

from rowfold.codegen.bounding.bounds import SUM_LEVELS
from rowfold.codegen.running.halves import Summed
from rowfold.testing.values import FINITE, row

pytestmark = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long doubles are doubles here")
WIDTHS = (1, 7, 8, 9, 16, 17, 24, 25, 99, 1001)


def rows(n):
    """Every kind of row whose sum is a number, and such whose roundings all go one way."""
    rng = np.random.default_rng(n)
    kinds = [row(kind, "float64", n, rng) for kind in FINITE]
    kinds = [x for x in kinds if np.max(np.abs(x)) < 1e300]
    return np.array([*kinds, *(np.full(n, k / 7) for k in range(1, 7))])


def shares(sums, x):
    """The error of each sum in roundings of the sum of sizes."""
    exact = [sum(map(Fraction, r)) for r in x.tolist()]
    size = [sum(map(abs, map(Fraction, r))) or 1 for r in x.tolist()]
    found = [Fraction(float(s)) + Fraction(float(s - np.float64(s))) for s in sums[:, 0]]
    return [float(abs(f - e) / z * 2**53) for f, e, z in zip(found, exact, size, strict=True)]


@pytest.mark.parametrize("n", WIDTHS)
def test_sums_keep_the_bound_of_compiled_ones(n):
    """As many roundings as there are levels of vectors, and not more than three; long doubles add a hundredth."""
    x = rows(n)
    assert max(shares(Summed({}, n)(x), x)) <= min(SUM_LEVELS, -(-n // 8) - 1) + 0.02


def test_numpys_own_sums_round_more_often():
    """Else these would do."""
    x = np.array([np.full(128, 1 + k * 2.0**-50) for k in range(1, 60)])
    ours, plain = (max(shares(s, x)) for s in (Summed({}, 128)(x), np.sum(x, axis=-1, keepdims=True)))
    assert ours < 0.02 < plain


def test_what_is_not_finite_shows():
    """A sum that overflows in doubles is told from others."""
    x = np.array([[1e308] * 100, [np.nan] * 100, [np.inf] * 100, [1.0] * 100])
    with np.errstate(all="ignore"):
        assert np.isfinite(Summed({}, 100)(x))[:, 0].tolist() == [False, False, False, True]
