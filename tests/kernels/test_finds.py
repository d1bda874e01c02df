"""What random programs found (tests/property/test_random_plans.py), each as a kernel and a row that stands alone."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.testing.values import SPECIAL, row

INF = np.inf
BACKENDS = ("c", "llvm", "numpy")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@rf.kernel
def masked(x, keep: rf.Mask, *, t: rf.Positive = 0.7):
    """The usual spelling of a mask, with a temperature."""
    z = np.where(keep, x / t, -np.inf)
    e = np.exp(z - np.max(z))
    return e / np.sum(e)


@rf.kernel
def weighted(x, s: rf.Scalar):
    return s * np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))


@rf.kernel
def away(x, z):
    """An element's distance from a place, weighted."""
    return np.exp(x - rf.logsumexp(x)) * (z - np.argmin(x)), np.exp(x - rf.logsumexp(x)) * (z - x.size)


@rf.kernel
def twice_less(x, s: rf.Scalar):
    """Two numbers that a row meets one after the other."""
    return (x + s) - np.argmax(x), (x - s) - x.size


@rf.kernel
def shifted(x, s: rf.Scalar):
    """An exponential under a scalar beside a sum of exponentials with a far maximum."""
    return np.exp(x + s) * 2.0, rf.logsumexp(x)


@rf.kernel
def shares(x, s: rf.Scalar):
    """One number over a sum of exponentials, in all that it may meet."""
    c = s / np.sum(np.exp(x))
    k_vector = np.sum(np.exp(rf.topk(x, 3)[0] - rf.logsumexp(x)))
    return np.exp(x) * c, np.log(c), np.max(x) * c, np.exp(x) * (c * 3), x * c, c / np.sum(np.exp(2 * x)), x * k_vector


@rf.kernel
def largest_share(x, s: rf.Scalar):
    return np.max(np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))) * s


@every_backend
@every_dtype
def test_a_mask_keeps_the_exponents_of_a_scaled_row(backend, dtype):
    """x / t is not rounded before it is an exponent, behind np.where as without it."""
    rng = np.random.default_rng(0)
    x, keep = (rng.normal(size=(20, 100)) * 50).astype(dtype), rng.random((20, 100)) < 0.5
    assert masked.using(backend=backend).check(x, keep)


@every_backend
@every_dtype
def test_an_infinite_number_times_a_softmax_is_infinite(backend, dtype):
    """The two parts of a reciprocal do not meet an infinity: one of them may be negative."""
    x = np.random.default_rng(1).normal(size=(50, 7)).astype(dtype)
    np.testing.assert_array_equal(weighted.using(backend=backend)(x, np.full(50, INF)), np.full((50, 7), INF, dtype))


@rf.kernel
def stretched(x, s: rf.Scalar, r: rf.Scalar):
    """A sum whose bulk is subtracted before it meets the factor."""
    return (x + 2 * s) * r, (x - 2 * s) / r


@every_backend
@pytest.mark.parametrize("rows", [3, 24])  # alone, and side by side
def test_a_sum_times_an_infinity_has_the_sign_of_the_sum(backend, rows):
    """The rest of a number whose bulk was subtracted before meets no infinity and no overflow by itself."""
    row = np.float32([[-INF, -3, 0, 3, INF], [-INF, -1, 0.5, 2, 9], [1, -3, 0, 3, 2]])
    s, r = np.meshgrid([0.3, -1, 100, -1e10, 0, INF, -INF, 1e30], [INF, -INF, 0.0, 1e-3, 1e20])
    x = np.broadcast_to(np.tile(row, (rows // 3, 1)), (*s.shape, rows, 5))
    s, r = (np.broadcast_to(a[..., None], x.shape[:-1]) for a in (s, r))
    with np.errstate(over="ignore"):
        wanted = [w.astype(np.float32) for w in stretched.reference(x, s, r)]
    np.testing.assert_allclose(stretched.using(backend=backend)(x, s, r), wanted, rtol=3e-7)


@rf.kernel
def beside_logs(x, z):
    """A logarithm of a sum of exponentials with other numbers of the row."""
    lse = rf.logsumexp(x)
    return lse - rf.logsumexp(z), lse + rf.logsumexp(z), lse - x.size, lse - np.max(z), 2 * lse - rf.logsumexp(z)


@every_backend
@every_dtype
def test_an_infinite_logarithm_beside_a_number_is_what_numpy_makes_of_it(backend, dtype):
    """It is NaN beside an element, as the table has it, but not beside another number: inf less a finite one is inf."""
    kinds = np.array([[1, 2, 3], [1, INF, 2], [-INF] * 3, [1, -INF, 2], [1, np.nan, 2], [INF, INF, 1], [INF, -INF, 1]])
    x, z = (a.astype(dtype) for a in (kinds.repeat(7, 0), np.tile(kinds, (7, 1))))
    found = np.array(beside_logs.using(backend=backend)(x, z))
    np.testing.assert_allclose(found, np.array(beside_logs.reference(x, z)), rtol=1e-6)


@every_backend
@every_dtype
def test_a_row_less_a_place_is_rounded_once(backend, dtype):
    """Positions and lengths are exact: where the row nearly cancels them, all its digits are left."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 30)).astype(dtype)
    z = (np.argmin(x, axis=-1)[:, None] + rng.normal(size=(40, 30)) * 1e-3).astype(dtype)
    assert away.using(backend=backend).check(x, z)
    assert away.using(backend=backend).check(x, (30 + rng.normal(size=(40, 30)) * 1e-3).astype(dtype))


@every_backend
@every_dtype
def test_two_numbers_join_a_row_at_one_rounding(backend, dtype):
    """They are added to each other first, for the row may cancel either, and cost no rounding more."""
    x = np.random.default_rng(3).normal(size=(500, 30)).astype(dtype)
    x[0, 0], x[1, 1], x[2, 2], x[3] = INF, -INF, np.nan, np.finfo(dtype).max
    assert twice_less.using(backend=backend).check(x, np.random.default_rng(4).normal(size=500))


@pytest.mark.parametrize("backend", ["c", "llvm"])
@every_dtype
def test_a_far_maximum_costs_no_other_exponential(backend, dtype):
    """What is not divided by a sum of exponentials does not stand under its shift."""
    x = np.linspace(-3, 3, 20, dtype=dtype)[None].repeat(2, 0)
    x[0, 7], x[1, 7] = 30000.0, 3e7
    assert shifted.using(backend=backend).check(x, np.array([1.0, 2.0]))


@every_backend
@every_dtype
def test_no_power_of_two_is_lost_on_the_way(backend, dtype):
    """A constant one, too: a share of float64 rows is brought near one before it meets others."""
    x = np.random.default_rng(5).normal(size=(50, 33)).astype(dtype)
    assert shares.using(backend=backend).check(x, np.random.default_rng(6).random(50) + 0.5)


@every_backend
@pytest.mark.parametrize("number", [1e-308, 5e-320, 1.7e308])
def test_a_double_at_the_ends_of_its_range_meets_a_share(backend, number):
    """A ratio of sums is near one before anything is multiplied with it, in float64 too."""
    x = np.array([[0.25, 0.125, 0.0]])
    got = largest_share.using(backend=backend)(x, np.array([number]))
    e = np.exp(x - 0.25)
    np.testing.assert_allclose(got, number / np.sum(e), rtol=1e-15 if number > 1e-300 else 1e-3)


@rf.kernel
def tempered(x, *, c: float = 0.5):
    """A logarithm less than a row, times a number: its infinities and NaN are the row's."""
    return np.exp(c * library.log_softmax(x)), (x - rf.logsumexp(x)) * c


@every_backend
@every_dtype
@pytest.mark.parametrize("c", [0.5, -3.0, 1e30])
def test_what_a_logarithm_makes_of_special_values_reaches_its_multiples(backend, dtype, c):
    """NaN and infinities of the row come through what is left of a number that the row met before it was multiplied."""
    rng = np.random.default_rng(0)
    x = np.array([row(kind, dtype, 100, rng) for kind in SPECIAL], dtype)
    assert tempered.using(backend=backend).check(x, c=c)


@every_backend
@every_dtype
@pytest.mark.parametrize("offset", [0.0, 1e4, -1e6])
def test_an_entropy_does_not_tell_where_its_row_lies(offset, dtype, backend):
    """A sum and an expectation over it take the same exponentials, and round nothing else that could show."""
    x = (np.random.default_rng(0).standard_normal((16, 600)) * 3 + offset).astype(dtype)
    wide = x.astype(np.longdouble)
    e = np.exp(wide - wide.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    want = -np.sum(p * np.log(p), axis=-1)
    lost = np.spacing(np.dtype(dtype).type(1.0)) + np.spacing(abs(offset))
    assert np.max(np.abs(rf.library.entropy.using(backend=backend)(x) - want)) <= 16 * lost
