"""Exponents are not rounded: a row meets numbers on its way to an exponential, and the result is within its bound."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.runtime.cpu import host_isas
from rowfold.testing.values import FINITE, SPECIAL, row

BACKENDS = [("c", host_isas()[0]), ("llvm", "auto"), ("numpy", "auto")]
NUMBERS = (0.3, -7.7, 1e-3, 1.0, 3e30, 0.0, -0.0, np.inf, -np.inf, np.nan)


@rf.kernel
def over(x, s: rf.Scalar):
    return np.exp(x / s), np.exp(1.5 - x / s)


@rf.kernel
def distance_over(x, s: rf.Scalar):
    return np.exp((x - np.max(x)) / s), np.exp((np.mean(x) - x) * s)


@rf.kernel
def apart_over(x, s: rf.Scalar):
    return np.exp(x / s - np.max(x / s)), np.exp((x - s) / 3.0 + 0.1) * x


@rf.kernel
def again(x, s: rf.Scalar):
    return np.exp(-((x * s) / 0.7 - s) * 0.3), np.exp(-(x / (3.0 * s)))


KERNELS = (over, distance_over, apart_over, again)
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@every_dtype
@every_kernel
@pytest.mark.parametrize(("backend", "isa"), BACKENDS)
def test_exponents_keep_the_bound_of_what_is_not_rounded(kernel, dtype, backend, isa):
    """Rows from subnormal to endless, numbers of either sign, 0 and what is not finite."""
    rng = np.random.default_rng(1)
    rows = np.array([row(kind, dtype, 35, rng) for kind in (*FINITE, *SPECIAL)])
    x, s = np.repeat(rows, len(NUMBERS), axis=0), np.tile(np.array(NUMBERS, dtype), len(rows))
    assert kernel.using(backend=backend, isa=isa).check(x, s)


@rf.kernel
def beside_logarithms(x, z):
    lse, more = rf.logsumexp(x), np.log(np.sum(np.exp(x)) + 1.0)
    near, far = np.exp(z - lse), np.exp(2.0 * (z - lse))
    return near, lse, np.exp(lse - z), np.exp(z * 0.3 - more), far, np.exp(z - more - lse)


@every_dtype
@pytest.mark.parametrize(("backend", "isa"), BACKENDS)
def test_logarithms_of_another_row_in_exponents(dtype, backend, isa):
    """Both parts of a logarithm are large, and none is taken for what a rounding lost."""
    rng = np.random.default_rng(2)
    x, z = np.repeat(rng.normal(size=(6, 300)) * 4, 3, axis=0), rng.normal(size=(18, 300)) * 5
    x[3:6], x[6:9], z[::3] = x[3:6] + 900, -np.inf, z[::3] - 700
    x[9:12, 7], x[12:15, 9], z[1, 3], z[2, 4] = np.inf, np.nan, np.inf, -np.inf
    assert beside_logarithms.using(backend=backend, isa=isa).check(x.astype(dtype), z.astype(dtype))


@pytest.mark.parametrize("divisor", [0.7, 0.75, 3.3])
def test_a_quotient_of_hundreds_costs_its_exponential_no_digit(divisor):
    """float64 results are within one unit of their last place, where a rounded quotient would cost hundreds."""
    x = np.random.default_rng(0).uniform(-400, 400, (20, 40))
    got, _ = over(x, np.full(20, divisor))
    exact = np.exp(x.astype(np.longdouble) / np.longdouble(divisor))
    assert np.max(np.abs(got - exact) / np.spacing(got)) <= 1.5
