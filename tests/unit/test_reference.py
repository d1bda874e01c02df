"""The row function as the reference: where there is nothing to run it on, results have the kernel's shapes."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library

CALLS = {
    "softmax": (library.softmax, (0, 3), {}),
    "its axis": (library.softmax, (2, 0, 3), {"axis": 1}),
    "a number a row": (library.logsumexp, (0, 3), {"keepdims": True}),
    "over two axes": (library.logsumexp, (2, 0, 3), {"axis": (0, 2)}),
    "k a row": (library.softmax_topk, (0, 3), {"k": 2}),
    "empty rows": (library.softmax, (3, 0), {}),
    "the largest of nothing": (library.max, (3, 0), {}),
}

KEPT = {
    "a sum": lambda x: np.sum(x, keepdims=True),
    "beside a row": lambda x: (x / x.sum(keepdims=True), x.mean(keepdims=True) + 1),
    "one of a row": lambda x: rf.topk(x, 1)[0],
}


def shapes(result):
    return [np.shape(r) for r in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("name", CALLS)
def test_results_of_nothing_have_the_kernels_shapes(name):
    """No rows, or rows of no elements."""
    kernel, shape, more = CALLS[name]
    x = np.zeros(shape, dtype=np.float32)
    assert shapes(kernel.reference(x, **more)) == shapes(kernel(x, **more))


def test_a_threshold_of_nothing_is_nan():
    """As the kernel has it."""
    excess = rf.kernel(lambda x: rf.threshold(lambda v, t: np.maximum(v - t, 0.0), 1.0, x, lo=-np.inf, hi=np.inf))
    assert np.isnan(excess.reference(np.zeros((2, 0)))).all()


@pytest.mark.parametrize("columns", [1, 5])
@pytest.mark.parametrize("name", KEPT)
def test_a_number_that_keeps_its_axis_is_a_number(name, columns):
    """Whatever NumPy's `keepdims` makes of it within the row function."""
    kernel, x = rf.kernel(KEPT[name]), np.ones((2, columns), np.float32)
    assert shapes(kernel.reference(x, where=x > 0)) == shapes(kernel(x))


@rf.kernel
def placed(x):
    """Everything that counts in the full row."""
    return np.argmax(np.where(x < 1, x, -1.0)), rf.topk(x, 2)[1], np.argmin(x * 2) * np.sum(x), x * rf.positions(x)


@rf.kernel
def sampled(x, seed: rf.Scalar):
    return np.argmax(x + rf.gumbel(x, seed)), rf.topk(x, 2)[0] * 2


@pytest.mark.parametrize(("kernel", "more"), [(placed, ()), (sampled, (7,))], ids=["placed", "sampled"])
def test_positions_count_in_the_full_row(kernel, more):
    """Where some of it is hidden too, in the kernel and in the reference alike."""
    rng = np.random.default_rng(3)
    x, where = rng.normal(size=(5, 40)).astype(np.float32), rng.random((5, 40)) < 0.6
    got, wanted = kernel(x, *more, where=where), kernel.reference(x, *more, where=where)
    assert [np.allclose(g, w, rtol=1e-5) for g, w in zip(got, wanted, strict=True)] == [True] * len(got)
