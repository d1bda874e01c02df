"""The public promise on one page: if this file passes, the sentence on the README's first line is true."""

import pickle

import numpy as np
import pytest

import rowfold as rf
from rowfold.library import cross_entropy, log_softmax, logsumexp, softmax


@rf.kernel
def squash(x, *, sharpness: rf.Positive = 1.0):
    e = np.exp(sharpness * (x - np.max(x)))
    return e / np.sum(e)


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(0, 3, (4, 5, 33)).astype(np.float32)


def test_a_row_function_is_a_kernel_for_any_batch(x):
    """Write the row in NumPy: the kernel computes it for every row of every shape."""
    np.testing.assert_allclose(squash(x), squash.reference(x), rtol=5e-7)


def test_the_plain_function_stays_within_reach(x):
    """On a plain row, the function that was decorated is the reference."""
    row = x[0, 0].astype(np.float64)
    np.testing.assert_array_equal(squash.__wrapped__(row), squash.reference(row))


def test_axis_means_what_it_means_in_numpy(x):
    """Any axis, any number of them, and all of them."""
    np.testing.assert_array_equal(softmax(x, axis=1), np.moveaxis(softmax(np.moveaxis(x, 1, -1).copy()), -1, 1))


def test_out_is_filled_and_returned(x):
    """No memory is taken where the caller brings some."""
    y = np.empty_like(x)
    assert softmax(x, out=y) is y


def test_in_place_gives_the_same_bits(x):
    """Input and output may be one array."""
    expected = softmax(x)
    np.testing.assert_array_equal(softmax(x, out=x), expected)


def test_where_selects_elements(x):
    """A masked-out element has no weight, and comes out as zero."""
    keep = np.arange(33) % 3 > 0
    np.testing.assert_array_equal(softmax(x, where=keep)[..., ~keep], 0)


def test_a_row_alone_equals_the_row_in_a_batch(x):
    """Batch, position and stride never change a bit."""
    np.testing.assert_array_equal(softmax(x)[2, 3], softmax(x[2, 3].copy()))


def test_a_setting_is_passed_at_the_call(x):
    """A float setting costs no new kernel, only a number."""
    np.testing.assert_allclose(squash(x, sharpness=0.5), squash.reference(x, sharpness=0.5), rtol=5e-7)


def test_an_index_takes_an_element(x):
    """cross_entropy is one walk and writes no row."""
    y = np.arange(20).reshape(4, 5)
    expected = -np.take_along_axis(log_softmax.reference(x), y[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(cross_entropy(x, y), expected, rtol=5e-7)


def test_float64_stays_float64(x):
    """A kernel computes in the type that it is given."""
    assert logsumexp(x.astype(np.float64)).dtype == np.float64


def test_the_plan_counts_walks():
    """Softmax needs two walks: one to reduce, one to write."""
    assert softmax.plan(shape=(64, 32000), dtype="float32").walks == 2


def test_the_naive_spelling_gets_the_stable_plan():
    """Stability is inserted, not required."""
    naive = rf.kernel(lambda x: np.exp(x) / np.sum(np.exp(x)), name="naive")
    np.testing.assert_array_equal(naive(np.float32([[1e4, 1e4]])), [[0.5, 0.5]])


@pytest.mark.parametrize("strategy", ["three_pass_recompute", "three_pass_reload", "two_pass", "online", "speculative"])
def test_a_strategy_changes_the_walk_and_not_the_bits(strategy, x):
    """Free choices are free."""
    np.testing.assert_array_equal(softmax.using(strategy=strategy)(x), softmax(x))


def test_a_program_outside_the_language_is_explained():
    """The message shows the line and says what to write instead."""
    median = rf.kernel(lambda x: np.sort(x)[0], name="median")
    with pytest.raises(rf.TraceError, match="sort"):
        median(np.ones(4, np.float32))


def test_a_kernel_travels_to_another_process(x):
    """A kernel pickles by definition."""
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(softmax))(x), softmax(x))
