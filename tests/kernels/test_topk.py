"""The k largest of a row: values, positions, order, and what k-vectors take."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.codegen.running.interpret_plan import interpret_plan
from rowfold.errors import PlanError, TraceError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import STRATEGIES, zoo

NAN, INF = np.nan, np.inf
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
every_isa = pytest.mark.parametrize("isa", host_isas())
SIZES = [(17, 3), (300, 50), (1000, 3)]


@rf.kernel
def top(x, *, k: int):
    return rf.topk(x, k)


@rf.kernel
def many(x, *, k: int):
    """Everything that a k-vector takes, beside a sum of the row."""
    v, _ = rf.topk(x, k)
    return library.softmax(v), np.cumsum(v), np.mean(v), np.var(v), v[0] - v[-1], rf.kth(x, 2), np.mean(x)


@rf.kernel
def spellings(x, *, k: int):
    return rf.topk(np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))), k)


def rows(dtype, n):
    return np.array(list(zoo(dtype, n, np.random.default_rng(n)).values()))


@every_dtype
@every_isa
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_values_and_positions_are_those_of_the_reference(n, k, isa, dtype):
    """Over every kind of row, special values among them, bit for bit."""
    x = rows(dtype, n)
    np.testing.assert_equal(top.using(isa=isa)(x, k=k), rf.topk(x, k))


def test_the_order_is_nan_first_then_descending_then_by_position():
    """As the table of special values has it."""
    _, places = top(np.array([1.0, NAN, 3.0, -INF, INF, 3.0, NAN]), k=7)
    assert places.tolist() == [1, 6, 4, 2, 5, 0, 3]


def test_a_row_of_minus_infinity_comes_by_position():
    """Nothing is above the first k, and they are elements all the same."""
    _, places = top(np.full(600, -INF, np.float32), k=4)
    assert places.tolist() == [0, 1, 2, 3]


@every_dtype
@pytest.mark.parametrize("n", [17, 1000])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_softmax_topk_is_within_its_bound(strategy, n, dtype):
    """Against the oracle, under every strategy that has a plan."""
    try:
        verdict = library.softmax_topk.using(strategy=strategy).check(rows(dtype, n), k=3)
    except PlanError:
        pytest.skip(f"{strategy} has no plan here")
    assert verdict


@every_dtype
def test_every_isa_and_strategy_gives_the_same_bits(dtype):
    """Positions and probabilities of moderate rows, with fused multiply-add."""
    x, fused = np.random.default_rng(1).normal(size=(9, 700)).astype(dtype), set()
    for isa in host_isas():
        for strategy in STRATEGIES[:4] if isa != "portable" else ():
            found = library.softmax_topk.using(isa=isa, strategy=strategy)(x, k=3)
            fused.add(b"".join(np.ascontiguousarray(a).tobytes() for a in found))
    assert len(fused) == 1


@every_dtype
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_the_plan_interpreter_gives_the_same_values(n, k, dtype):
    """The compiled kernel against the interpreter of its plan; NaNs may differ in their bits."""
    x, kernel = rows(dtype, n), library.softmax_topk.using(isa="avx2")
    got = interpret_plan(kernel.plan(x.shape, dtype, k=k), {"x": x}, {})
    np.testing.assert_equal(kernel(x, k=k), got)


@every_dtype
@every_isa
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_k_vectors_take_maps_reductions_and_elements(n, k, isa, dtype):
    """Against the oracle, in one walk with a sum of the row."""
    assert many.using(isa=isa).check(rows(dtype, n), k=k)


@pytest.mark.parametrize("kernel", [top, many, library.softmax_topk, spellings])
def test_selection_takes_one_walk(kernel):
    """Whatever else is carried, and however the softmax is spelled."""
    assert kernel.plan((4, 1000), k=5).walks == 1


def test_numpy_gives_the_same_selection():
    """Without a compiler."""
    x = rows("float32", 100)
    np.testing.assert_equal(top.using(backend="numpy")(x, k=5), rf.topk(x, 5))


@pytest.mark.parametrize(
    ("axis", "shape"), [(0, (3, 7, 8)), (1, (6, 3, 8)), (-1, (6, 7, 3)), (None, (3,)), ((1, 2), (6, 3))]
)
def test_a_k_vector_takes_the_place_of_the_row(axis, shape):
    """And the last place where several axes were the row."""
    values, places = top(np.zeros((6, 7, 8), np.float32), axis=axis, k=3)
    assert values.shape == places.shape == shape


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_every_axis_gives_the_elements_of_its_rows(axis):
    """Also into arrays of the caller's."""
    x = np.random.default_rng(0).normal(size=(6, 7, 8)).astype("float32")
    want, _ = rf.topk(np.moveaxis(x, axis, -1), 3)
    out = np.empty_like(np.moveaxis(want, -1, axis)), np.empty(np.moveaxis(want, -1, axis).shape, np.int64)
    top(x, axis=axis, out=out, k=3)
    np.testing.assert_array_equal(out[0], np.moveaxis(want, -1, axis))


def test_positions_count_in_the_full_row_under_where():
    """What `where` hides is no candidate; where nothing is left, the index is -1 and the probability 0."""
    x = np.array([[5.0, 1.0, 9.0, 3.0], [1.0, 2.0, 3.0, 4.0]])
    keep = np.array([[True, True, False, True], [False, True, False, False]])
    _, places = library.softmax_topk(x, k=2, where=keep)
    assert places.tolist() == [[0, 3], [1, -1]]


def test_an_absent_candidate_has_probability_0():
    """A row with fewer selected elements than k."""
    found, _ = library.softmax_topk(np.ones((1, 4)), k=2, where=np.array([[False, True, False, False]]))
    assert found.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(("shape", "k"), [((3, 4), 5), ((3, 0), 1), ((3, 400), 0), ((3, 400), 257)])
def test_a_k_that_no_row_has_is_refused(shape, k):
    """By name and number, before anything is written."""
    with pytest.raises(ValueError, match=f"k is {k}"):
        top(np.zeros(shape, np.float32), k=k)


@pytest.mark.parametrize(
    ("fn", "problem"),
    [
        (lambda x: x + rf.topk(x, 3)[0], "beside a row"),
        (lambda x: rf.topk(x, 3)[0] + rf.topk(x, 2)[0], "another length"),
        (lambda x: rf.topk(x, 3)[0][x], "whole number"),
        (lambda x: rf.topk(x, np.sum(x))[0], "whole number"),
        (lambda x: rf.topk(np.sum(x), 3)[0], "of a number"),
    ],
)
def test_what_a_k_vector_does_not_take(fn, problem):
    """The error says what is wrong."""
    with pytest.raises(TraceError, match=problem):
        rf.kernel(fn).program({}, frozenset(), frozenset())
