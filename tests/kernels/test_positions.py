"""Positions of extrema, and results that are integers or booleans."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.runtime.cpu import host_isas

WIDTHS = (1, 7, 16, 100, 1000)
every_isa = pytest.mark.parametrize("isa", host_isas())
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@rf.kernel
def positions(x, z):
    """Both positions, an element taken at one, and the one as a one-hot row."""
    first = np.argmax(x)
    return first, np.argmin(x), z[first], np.where(rf.positions(x) == first, 1.0, 0.0)


@rf.kernel
def kinds(x, z):
    """Rows and numbers of every kind of result."""
    return x > z, np.rint(x).astype(np.int64), np.any(x > 2), np.count_nonzero(x > 0).astype(np.int32), x.astype(bool)


def rows(n, dtype):
    """Rows with ties, infinities and NaNs, and a second row."""
    rng = np.random.default_rng(n)
    x = rng.integers(-3, 4, size=(12, n)).astype(dtype)
    x[1], x[2], x[3, n // 2], x[4, -1], x[5, n // 3 :] = -np.inf, np.nan, np.nan, np.inf, np.nan
    x[6], x[6, n // 2], x[7], x[7, ::2] = -np.inf, np.nan, 0.0, -0.0
    return x, rng.normal(size=(12, n)).astype(dtype)


def expected(x, z):
    first = np.argmax(x, axis=-1)
    onehot = np.arange(x.shape[-1]) == first[:, None]
    return first, np.argmin(x, axis=-1), np.take_along_axis(z, first[:, None], -1)[:, 0], onehot


@every_isa
@every_dtype
def test_positions_are_those_of_numpy(isa, dtype):
    """The first of equal elements, the first NaN before everything, at any length."""
    wrong = []
    for n in WIDTHS:
        arrays = rows(n, dtype)
        results = positions.using(isa=isa)(*arrays)
        wrong += [n for got, want in zip(results, expected(*arrays), strict=True) if not np.array_equal(got, want)]
    assert wrong == []


@rf.kernel
def one_hot(x, place: rf.Scalar):
    """A number met by places of the row, from both sides."""
    return np.where(rf.positions(x) == place, 1.0, 0.0), np.where(place != rf.positions(x), x, -1.0)


@pytest.mark.parametrize("backend", ["c", "llvm", "numpy"])
@pytest.mark.parametrize("isa", host_isas())
@every_dtype
def test_a_number_that_is_no_place_is_met_by_none(dtype, isa, backend):
    """Places are compared as the integers that they are, wherever the row begins; NaN and halves are none of them."""
    numbers = np.array([0, 17, 99, -1, 100, 1e30, -1e30, 0.5, np.inf, -np.inf, np.nan, -0.0], dtype)
    x = np.random.default_rng(0).normal(size=(len(numbers), 107)).astype(dtype)[:, 3:103]
    there = np.arange(100) == numbers[:, None]
    kernel = one_hot.using(backend=backend) if backend == "numpy" else one_hot.using(backend=backend, isa=isa)
    first, second = kernel(x, numbers)
    assert np.array_equal(first, there.astype(dtype)) and np.array_equal(second, np.where(there, dtype(-1), x))


def test_one_place_of_a_row_that_has_more_than_float32_can_count():
    """Above 2^24 two places are one float32: the gradient at the target is nobody else's."""
    x = np.zeros((1, 2**24 + 70), np.float32)
    (gradient,) = rf.library.cross_entropy.vjp(x, np.array([2**24 + 1]), np.ones(1, np.float32))
    assert np.flatnonzero(gradient[0] < -0.5).tolist() == [2**24 + 1]


def test_a_position_is_an_int64():
    """No cast is needed to index with a position."""
    assert positions(*rows(16, np.float32))[0].dtype == np.int64


@every_dtype
def test_positions_do_not_depend_on_the_axis(dtype):
    """Rows that lie along columns, backwards, have the same positions."""
    x, z = rows(100, dtype)
    got = positions(np.asfortranarray(x.T)[:, ::-1], z.T[:, ::-1], axis=0)[0]
    assert np.array_equal(got[::-1], expected(x, z)[0])


@every_isa
@every_dtype
def test_positions_count_the_whole_row_under_a_predicate(isa, dtype):
    """Unselected elements are no candidates; nothing selected is -1."""
    x, z = rows(100, dtype)
    keep = np.random.default_rng(0).random(x.shape) < 0.1
    keep[0] = False
    got = positions.using(isa=isa)(x, z, where=keep)[0]
    want = [-1 if not k.any() else np.flatnonzero(k)[np.argmax(row[k])] for row, k in zip(x, keep, strict=True)]
    assert got.tolist() == want


@every_isa
@every_dtype
def test_results_may_be_integers_and_booleans(isa, dtype):
    """Comparisons give booleans, .astype gives what it names, for rows and numbers."""
    x, z = (np.nan_to_num(a, posinf=9.0, neginf=-9.0) for a in rows(100, dtype))
    want = (x > z, np.rint(x).astype(np.int64), np.any(x > 2, -1), np.sum(x > 0, -1, dtype=np.int32), x != 0)
    got = kinds.using(isa=isa)(x, z)
    assert all(g.dtype == w.dtype and np.array_equal(g, w) for g, w in zip(got, want, strict=True))


def test_what_no_integer_holds_becomes_the_lowest():
    """NaN and infinities have one integer on every machine."""
    row = np.array([np.nan, np.inf, -np.inf, 1e30], np.float32)
    results = [kinds.using(isa=isa)(row, row)[1].tolist() for isa in host_isas()]
    assert results == [[np.iinfo(np.int64).min] * 4] * len(results)
