"""What a selection cannot be asked: named errors, and an output that nothing was written to."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library

X = np.random.default_rng(0).normal(size=(4, 30)).astype(np.float32)


@rf.kernel
def soft_topk(x, *, k: rf.Positive):
    return rf.sigmoid(x - rf.threshold(lambda v, t: rf.sigmoid(v - t), k, x, lo=-np.inf, hi=np.inf))


def places(x):
    return np.max(rf.topk(x, 31)[1])


CASES = {
    "an index outside the row": (library.cross_entropy, (X, np.array([0, 30, 1, 2])), {}, IndexError, "is 30 at row 1"),
    "more than there are": (library.softmax_topk, (X,), {"k": 31}, ValueError, "k is 31, and the rows have 30"),
    "more places than there are": (rf.kernel(places), (X,), {}, ValueError, "k is 31, and the rows have 30"),
    "none of them": (library.softmax_topk, (X,), {"k": 0}, ValueError, "k is 0"),
    "the largest of no elements": (library.softmax_topk, (X[:, :0],), {"k": 1}, ValueError, "the rows have 0 elements"),
    "a temperature of 0": (library.softmax, (X,), {"temperature": 0.0}, ValueError, "'temperature' is 0.0"),
    "a negative temperature": (library.softmax, (X,), {"temperature": -1.0}, ValueError, "'temperature' is -1.0"),
    "a budget of nothing": (soft_topk, (X,), {"k": 0.0}, ValueError, "'k' is 0.0"),
    "a mask of another shape": (library.sparsemax, (X,), {"where": np.ones((3, 7), bool)}, ValueError, r"\(3, 7\)"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_asked_is_refused_by_name(case):
    """Before anything is written: the output keeps what it had."""
    kernel, arrays, options, kind, message = CASES[case]
    out = np.full((4, 30), 7.0, np.float32)
    given = {**options, "out": out} if kernel in (library.softmax, library.sparsemax, soft_topk) else options
    with pytest.raises(kind, match=message):
        kernel(*arrays, **given)
    assert np.all(out == 7.0)
