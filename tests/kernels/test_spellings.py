"""Kernels that a user may spell: factors of any sign, extreme factors, rows that cancel, settings that are zero."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.testing import exact_softmax, ulp_error
from rowfold.testing.values import FINITE, row

INF, NAN = np.inf, np.nan
FAR = ("huge", "random_bits")  # x - max x overflows, and 0 times that is NaN
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@rf.kernel
def sharpened(x, *, s: float = 1.0):
    e = np.exp(s * (x - np.max(x)))
    return e / np.sum(e)


@every_dtype
@pytest.mark.parametrize("factor", [1.0, -1.0, 0.0, 2.0, -0.5])
def test_a_factor_of_unknown_sign(factor, dtype):
    """exp(s (x - max)) over its sum is softmax(s x) within softmax's bound, whatever the sign of s."""
    x = np.array([row(kind, dtype, 257, np.random.default_rng(3)) for kind in FINITE if kind not in FAR])
    want = exact_softmax(x.astype(np.longdouble) * factor)
    assert np.max(ulp_error(sharpened(x, s=factor), want)) <= 4


@pytest.mark.parametrize("factor", [1e-42, 3e-40, -2.5e-31, 1.1e32, 1e39])
def test_a_factor_near_the_ends_of_float32(factor):
    """p * x has one rounding, where p itself is no normal float32 too."""
    x = np.array([[1e30, -3.3e38, 7e36, 1.7e-37, -3e-10, 0.0, 1e-30]], np.float32)
    got = rf.kernel(lambda x, *, p=1.0: p * x, name="times")(x, p=factor)
    with np.errstate(over="ignore"):
        assert np.max(ulp_error(got, x.astype(np.longdouble) * factor)) <= 0.75


def test_infinity_times_a_factor_is_infinity():
    """A factor in two parts makes no NaN of an infinite element."""
    got = rf.kernel(lambda x: x * np.sum(np.where(np.isfinite(x), x, 0.0)), name="scaled")
    np.testing.assert_array_equal(got(np.array([INF, -INF, 1.0, 2.0], np.float32)), [INF, -INF, 3.0, 6.0])


@every_dtype
def test_a_row_minus_itself(dtype):
    """x - x is a row: 0 where x is finite, NaN elsewhere."""
    got = rf.kernel(lambda x: x - x, name="nothing")(np.array([[1, INF, NAN, -2]], dtype))
    np.testing.assert_array_equal(got, [[0, NAN, NAN, 0]])


@pytest.mark.parametrize("x", [3e38, -3.3e38, 1e-40, 7.0])
def test_layer_norm_of_one_element(x):
    """(x - x) / sqrt(0 + eps) is nothing, however large x is."""
    assert abs(rf.library.layer_norm(np.array([x], np.float32))[0]) <= 2.0**-36


def test_two_spellings_of_a_quotient_are_one_program():
    """d * (1 / s) and d / s have one plan."""
    first, second = (
        rf.kernel(f, name="standard")
        for f in (
            lambda x: (x - np.mean(x)) * (1 / np.std(x)),
            lambda x: (x - np.mean(x)) / np.std(x),
        )
    )
    assert first.stages()["program"] == second.stages()["program"]


def test_a_setting_of_minus_zero_is_not_zero():
    """Two settings that compare equal and compute differently are two kernels."""

    @rf.kernel
    def pole(x, *, c: rf.Static[float] = 1.0):
        return 1 / (c * np.abs(x))

    x = np.ones(3, np.float32)
    assert [pole(x, c=c)[0] for c in (0.0, -0.0, 0.0)] == [INF, -INF, INF]
