"""rowfold's own row functions on plain arrays."""

import math

import mpmath
import numpy as np
import pytest

from rowfold import rowfns as rf

VALUES = [-800.0, -40.0, -1e-3, -0.0, 1e-9, 0.5, 40.0, 800.0]


def exact(formula, x):
    with mpmath.workdps(800):
        return float(formula(mpmath.mpf(x)))


@pytest.mark.parametrize("x", VALUES)
def test_sigmoid_is_accurate_at_both_ends(x):
    """No cancellation, no overflow."""
    assert math.isclose(rf.sigmoid(x), exact(lambda v: 1 / (1 + mpmath.exp(-v)), x), rel_tol=1e-15)


@pytest.mark.parametrize("x", VALUES)
def test_softplus_is_accurate_at_both_ends(x):
    """No cancellation, no overflow."""
    assert math.isclose(rf.softplus(x), exact(lambda v: mpmath.log1p(mpmath.exp(v)), x), rel_tol=1e-15)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1000.0, 1000.0], 1000.0 + math.log(2)),
        ([-1000.0, -1000.0], -1000.0 + math.log(2)),
        ([], -math.inf),
        ([-math.inf, -math.inf], -math.inf),
        ([-math.inf, 0.0], 0.0),
        ([math.inf, 0.0], math.inf),
        ([math.nan, 0.0], math.nan),
        ([math.nan, math.inf], math.nan),
    ],
)
def test_logsumexp_has_the_special_values_of_the_table(row, expected):
    """Nothing overflows and nothing warns."""
    np.testing.assert_equal(rf.logsumexp(np.array(row)), expected)


def test_logsumexp_runs_along_an_axis_and_under_a_mask():
    """Batches, kept axes and masks are taken as by NumPy's reductions."""
    x = np.array([[0.0, 1.0], [2.0, 3.0]])
    got = rf.logsumexp(x, axis=0, keepdims=True, where=[[True, False], [True, True]])
    np.testing.assert_allclose(got, [[np.logaddexp(0, 2), 3.0]])


def test_logsumexp_of_everything():
    """axis=None is one number."""
    assert math.isclose(rf.logsumexp(np.zeros((2, 2)), axis=None), math.log(4))


def test_rsqrt_does_not_warn():
    """Special values are as those of 1 / sqrt."""
    np.testing.assert_equal(rf.rsqrt(np.array([4.0, 0.0, -1.0, np.inf])), [0.5, np.inf, np.nan, 0.0])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_positions_count_along_the_row(dtype):
    """0 .. n-1 along the last axis, as floats."""
    got = rf.positions(np.zeros((2, 3), dtype))
    assert got.tolist() == [[0, 1, 2], [0, 1, 2]] and got.dtype == ("float32" if dtype == "float32" else "float64")


def test_stop_gradient_is_the_value_itself():
    """It means something to derivatives only."""
    x = np.array([1.0, 2.0])
    assert rf.stop_gradient(x) is x


@pytest.mark.parametrize("fn", [rf.sigmoid, rf.softplus, rf.rsqrt, rf.stop_gradient])
def test_float32_stays_float32(fn):
    """The type of the row is kept."""
    assert fn(np.ones(2, np.float32)).dtype == np.float32
