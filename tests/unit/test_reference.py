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
