"""Central moments and co-moments in one walk, as exact far from zero as near it."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.runtime.cpu import host_isas

every_isa = pytest.mark.parametrize("isa", host_isas())
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPE = (20, 1000)


@rf.kernel
def moments(x, z):
    """Skewness, kurtosis and correlation."""
    d, e = x - np.mean(x), z - np.mean(z)
    v = np.mean(d**2)
    return np.mean(d**3) / v**1.5, np.mean(d**4) / v**2, np.sum(d * e) / np.sqrt(np.sum(d * d) * np.sum(e * e))


@rf.kernel
def weighted(x, z, w):
    """The weighted variance, third moment and covariance."""
    d, e = x - np.average(x, weights=w), z - np.average(z, weights=w)
    return np.average(d**2, weights=w), np.average(d**3, weights=w), np.average(d * e, weights=w)


def rows(dtype, offset):
    rng = np.random.default_rng(0)
    x = (rng.gamma(2.0, size=SHAPE) + offset).astype(dtype)
    return x, (x + rng.normal(size=SHAPE)).astype(dtype), rng.random(SHAPE).astype(dtype)


def expected(x, z, w):
    """Sums of products of weighted distances over the weight, by number of factors of each row, in long double."""
    x, z, w = (a.astype(np.longdouble) for a in (x, z, w))
    total = w.sum(-1, keepdims=True)
    d, e = (a - (w * a).sum(-1, keepdims=True) / total for a in (x, z))
    return lambda i, j: (w * d**i * e**j).sum(-1) / total[:, 0]


def distance(got, want):
    """The largest relative error, in units of the last place."""
    return max(float(np.max(np.abs(g - w) / np.abs(w))) / np.finfo(g.dtype).eps for g, w in zip(got, want, strict=True))


@every_isa
@pytest.mark.parametrize(("dtype", "offset", "most"), [("f4", 0, 1), ("f4", 1e4, 1), ("f8", 0, 500), ("f8", 1e4, 500)])
def test_moments_are_exact_wherever_the_row_lies(isa, dtype, offset, most):
    """An offset of ten thousand standard deviations costs no digit in float32."""
    x, z, w = rows(dtype, offset)
    m = expected(x, z, np.ones_like(w))
    want = (m(3, 0) / m(2, 0) ** 1.5, m(4, 0) / m(2, 0) ** 2, m(1, 1) / np.sqrt(m(2, 0) * m(0, 2)))
    assert distance(moments.using(isa=isa)(x, z), want) <= most


@every_isa
@every_dtype
def test_weighted_moments_are_taken_from_weighted_means(isa, dtype):
    """Weights at each element, in one walk."""
    arrays = rows(dtype, 100)
    m = expected(*arrays)
    assert distance(weighted.using(isa=isa)(*arrays), (m(2, 0), m(3, 0), m(1, 1))) <= 500 ** (dtype is np.float64)


@every_dtype
def test_what_is_not_selected_does_not_matter(dtype):
    """Far from zero, under a predicate that leaves the first elements out, not a bit is lost."""
    x, z, _ = rows(dtype, 1e4)
    keep = np.random.default_rng(1).random(SHAPE) < 0.5
    keep[:, :40] = False
    x[~keep] = np.nan
    got = moments(x, z, where=keep)
    alone = [moments(a[k], b[k]) for a, b, k in zip(x, z, keep, strict=True)]
    assert distance(got, [np.array(column) for column in zip(*alone, strict=True)]) <= 8


@pytest.mark.parametrize("kernel", [moments, weighted])
def test_moments_take_one_walk(kernel):
    """Means, variances and higher moments are carried together."""
    assert kernel.plan(SHAPE).walks == 1
