"""What a selection cannot be asked: named errors, and an output that nothing was written to."""

from typing import Annotated

import numpy as np
import pytest

import rowfold as rf
from rowfold import gallery, library

X = np.random.default_rng(0).normal(size=(4, 30)).astype(np.float32)
TAU, AT = np.array([1.0, 2.0, 0.0, 0.5]), np.zeros(4, int)
ROWS = (library.softmax, library.sparsemax, library.masked_softmax, gallery.soft_topk, gallery.nucleus,
        gallery.epsilon_filter, gallery.topk_softmax_dense)  # fmt: skip


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
    "a budget of nothing": (gallery.soft_topk, (X,), {"k": 0.0}, ValueError, "'k' is 0.0"),
    "a budget above the row": (gallery.soft_topk, (X,), {"k": 30.5}, ValueError, r"'k' is 30.5; .* in \(0, 30\]"),
    "no probability mass": (gallery.nucleus, (X,), {"mass": 0.0}, ValueError, "'mass' is 0.0"),
    "a share that nothing reaches": (gallery.epsilon_filter, (X,), {"epsilon": 1.5}, ValueError, "'epsilon' is 1.5"),
    "softmax over none": (gallery.topk_softmax_dense, (X,), {"k": 0}, ValueError, r"'k' is 0, .* in \[1, 256\]"),
    "a temperature of 0 in a row": (gallery.temperature_dro, (X, TAU), {}, ValueError, "'tau' is 0.0 at row 2"),
    "a temperature that is compiled in": (gallery.psl_relu, (X, AT), {"tau": -0.5}, ValueError, "'tau' is -0.5"),
    "a mask as an argument": (library.masked_softmax, (X, X[:, :7] > 0), {}, ValueError, "'mask' of .*expected 30"),
    "a mask of another batch": (library.masked_softmax, (X, X[:3] > 0), {}, ValueError, "do not broadcast: .*mask"),
    "a mask of another shape": (library.sparsemax, (X,), {"where": np.ones((3, 7), bool)}, ValueError, r"\(3, 7\)"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_asked_is_refused_by_name(case):
    """Before anything is written: the output keeps what it had."""
    kernel, arrays, options, kind, message = CASES[case]
    out = np.full((4, 30), 7.0, np.float32)
    numbers = np.full(4, 7.0, np.float32)
    places = {library.cross_entropy: numbers, gallery.psl_relu: numbers, gallery.temperature_dro: (numbers, out[0, :4])}
    given = {**options, "out": out if kernel in ROWS else places.get(kernel)}
    with pytest.raises(kind, match=message):
        kernel(*arrays, **given)
    assert np.all(out == 7.0) and np.all(numbers == 7.0)


def test_a_bound_of_each_row_holds_in_calls_that_come_again():
    """What is remembered of a call is not the numbers in its arrays."""
    for _ in range(40):
        gallery.temperature_dro(X, np.ones(4))
    with pytest.raises(ValueError, match=r"'tau' is 0\.0 at row 2"):
        gallery.temperature_dro(X, TAU)


@pytest.mark.parametrize(("length", "message"), [(21.0, r"in \(0, 20\]"), (0.0, "is 0.0")])
def test_rows_of_unequal_lengths_have_the_bounds_of_the_shortest(length, message):
    """Twenty elements cannot sum to 21."""
    with pytest.raises(ValueError, match=message):
        gallery.soft_topk.ragged(X.ravel(), [0, 100, 120], k=length)


def test_none_of_no_elements_is_an_empty_result():
    """The special-value table: k = 0 is no error where rows are empty."""
    found = library.softmax_topk(X[:, :0], k=0)
    assert [(a.shape, a.dtype) for a in found] == [((4, 0), np.float32), ((4, 0), np.int64)]


def test_bounds_of_a_row_are_refused_at_the_definition():
    """Elements have no bounds: a kernel would have to read the row twice."""
    with pytest.raises(TypeError, match="a row has none"):
        rf.kernel(bounded)


def bounded(x: Annotated[rf.Row, rf.Between(0.0)]):
    return x
