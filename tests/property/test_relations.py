"""What a softmax and its relatives have to do with one another, and with their own rows in another order or place."""

import shutil
from itertools import product

import numpy as np
import pytest
from slices import sliced

import rowfold as rf
from rowfold import library
from rowfold.testing import published_bound

INF = np.inf
WIDTHS = (1, 2, 17, 100, 257, 1000)
DTYPES = ("float32", "float64")
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_row_kernel = pytest.mark.parametrize("name", ["softmax", "log_softmax"])


def rows(n, dtype):
    """Rows that are flat, steep, tied, and far apart; multiples of 2^-8, which whole shifts keep as they are."""
    x = np.random.default_rng(n).normal(size=(6, n)) * np.array([[0.01], [1.0], [5.0], [50.0], [0.0], [5.0]])
    x[5] = np.rint(x[5])
    return (np.rint(x * 256) / 256).astype(dtype)


def apart(name, got, other, dtype):
    """The largest difference as a part of what two results within their bound may differ by."""
    size = np.maximum(np.abs(got), np.abs(other))
    finite = np.isfinite(size)
    np.testing.assert_array_equal(got[~finite], other[~finite])
    room = 2 * published_bound(name, size[finite].astype(np.longdouble), dtype)
    return float(np.max(np.abs(got[finite].astype(np.longdouble) - other[finite]) / room, initial=0))


@every_dtype
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sparsemax"])
def test_a_larger_element_has_no_smaller_share(name, dtype):
    """Neighbours among the numbers of a type, which round to the same or to neighbours, keep their order."""
    whole, wrong = np.int32 if dtype == "float32" else np.int64, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        first = np.array(rng.normal() * 10.0 ** rng.integers(-3, 3), dtype).view(whole)
        x = np.sort((first + np.arange(5000, dtype=whole) * whole(rng.integers(1, 9))).view(dtype))
        if np.any(np.diff(getattr(library, name)(x)) < 0):
            wrong.append(seed)
    assert wrong == []


@every_dtype
@every_row_kernel
@pytest.mark.parametrize("count", [1, 15, 300])
def test_elements_of_minus_infinity_take_nothing(name, dtype, count):
    """Behind a row, and in front of it: the others share as before."""
    kernel = getattr(library, name)
    for n in WIDTHS:
        x = rows(n, dtype)
        more, nothing = np.full((6, count), -INF, dtype), kernel(np.array([0, -INF], dtype))[1]
        behind, before = kernel(np.concatenate([x, more], 1)), kernel(np.concatenate([more, x], 1))
        assert (behind[:, n:] == nothing).all() and (before[:, :count] == nothing).all()
        assert (
            apart(name, behind[:, :n], kernel(x), dtype) <= 1 and apart(name, before[:, count:], kernel(x), dtype) <= 1
        )


@every_dtype
@every_row_kernel
def test_the_order_of_a_row_is_that_of_its_result(name, dtype):
    """A row turned round, or shuffled, has the same results at other places."""
    kernel = getattr(library, name)
    for n in WIDTHS:
        x, shuffled = rows(n, dtype), np.random.default_rng(n).permutation(n)
        for order in (np.arange(n)[::-1], shuffled):
            assert apart(name, kernel(x[:, order]), kernel(x)[:, order], dtype) <= 1


@every_dtype
@every_row_kernel
@pytest.mark.parametrize("shift", [1.0, -17.0, 1024.0])
def test_a_row_may_lie_anywhere(name, dtype, shift):
    """What is added to every element, exactly, changes no share."""
    kernel = getattr(library, name)
    for n in WIDTHS:
        x = rows(n, dtype)
        assert ((x + dtype_of(dtype)(shift)) - dtype_of(dtype)(shift) == x).all()
        assert apart(name, kernel(x + dtype_of(dtype)(shift)), kernel(x), dtype) <= 1


def dtype_of(name):
    return np.dtype(name).type


@every_dtype
def test_a_softmax_is_the_exponential_of_its_logarithm(dtype):
    """As far as the logarithm, rounded, can tell: half a unit of it, and the bounds of both."""
    for n in WIDTHS:
        x = rows(n, dtype)
        share, log = library.softmax(x).astype(np.longdouble), library.log_softmax(x).astype(np.longdouble)
        room = published_bound("softmax", share, dtype) + share * published_bound("log_softmax", log, dtype) * 1.01
        assert (np.abs(np.exp(log) - share) <= room + np.finfo(dtype).smallest_subnormal).all()


@every_dtype
def test_a_cross_entropy_is_a_negative_logarithm_of_a_share(dtype):
    """That of the target, whichever it is."""
    for n in WIDTHS:
        x, target = rows(n, dtype), np.arange(6) % n
        loss, log = library.cross_entropy(x, target), library.log_softmax(x)[np.arange(6), target]
        room = published_bound("cross_entropy", loss.astype(np.longdouble), dtype)
        room += published_bound("log_softmax", log.astype(np.longdouble), dtype)
        assert (np.abs(loss.astype(np.longdouble) + log) <= room).all()


@pytest.mark.parametrize(
    ("name", "dtype"), sliced(product(("softmax", "log_softmax", "layer_norm"), DTYPES), lambda c: c[1] == "float32")
)
def test_gradients_of_what_no_shift_changes_sum_to_nothing(name, dtype):
    """But for what each of them was rounded by."""
    for n in WIDTHS:
        x, g = rows(n, dtype), np.random.default_rng(n).normal(size=(6, n)).astype(dtype)
        gradients = getattr(library, name).vjp(x, g)
        gradient = (gradients[0] if isinstance(gradients, tuple) else gradients).astype(np.longdouble)
        scale = 1 / np.sqrt(np.var(x, axis=-1) + 1e-5) if name == "layer_norm" else 1.0  # of what a mean of g loses
        room = 8 * np.finfo(dtype).eps * (np.abs(gradient).sum(-1) + scale * np.abs(g).sum(-1))
        assert (np.abs(gradient.sum(-1)) <= room).all()


@pytest.mark.parametrize(
    ("name", "dtype", "compiler"),
    sliced(
        product(("softmax", "layer_norm", "cross_entropy"), DTYPES, ("gcc", "clang", "clang-19")),
        lambda c: c[:2] == ("softmax", "float32"),
    ),
)
def test_no_compiler_changes_a_bit(name, dtype, compiler):
    """Of rows of any length."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    kernel, more = getattr(library, name), ()
    for n in WIDTHS:
        x = rows(n, dtype)
        more = (np.arange(6) % n,) if name == "cross_entropy" else ()
        with rf.options(cc=compiler):
            found = kernel(x, *more)
        assert found.tobytes() == kernel(x, *more).tobytes()
