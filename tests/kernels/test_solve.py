"""Thresholds of any f: found by bisection, the same tau in every backend, and within the oracle's bounds."""

import re

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.codegen.running.interpret_plan import interpret_plan
from rowfold.errors import PlanError, TraceError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import STRATEGIES, zoo

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@rf.kernel
def soft_topk(x, *, k: float = 5.0):
    """Soft membership among the k largest: shares in (0, 1) that sum to k."""
    tau = rf.threshold(lambda v, t: rf.sigmoid(v - t), k, x, lo=-500.0, hi=500.0)
    return rf.sigmoid(x - tau), tau


@rf.kernel
def nucleus(x, *, mass: float = 0.9):
    """The smallest set of largest probabilities that has the mass."""
    p = np.exp(x - rf.logsumexp(x))
    tau = rf.threshold(lambda v, t: np.where(v >= t, p, 0.0), mass, x, lo=-np.inf, hi=np.inf)
    return np.where(x >= tau, p, 0.0), tau


@rf.kernel
def capped(x, *, total: float = 3.0):
    """A budget of which no element gets more than 1."""
    tau = rf.threshold(lambda v, t: np.clip(v - t, 0.0, 1.0), total, x, lo=-np.inf, hi=np.inf)
    return np.clip(x - tau, 0.0, 1.0), tau


KERNELS = {"soft_topk": soft_topk, "nucleus": nucleus, "capped": capped}
SETTINGS = {"soft_topk": {"k": 5.0}, "nucleus": {"mass": 0.9}, "capped": {"total": 3.0}}
every_kernel = pytest.mark.parametrize("name", KERNELS)


def rows(dtype, n):
    return np.array(list(zoo(dtype, n, np.random.default_rng(n)).values()))


def bits(results):
    return b"".join(np.where(np.isnan(r), np.nan, r).tobytes() for r in results)


@every_kernel
@every_dtype
@pytest.mark.parametrize("n", [1, 17, 300])
def test_every_row_is_within_its_bound(n, dtype, name):
    """Against the oracle over every kind of row, special values among them."""
    assert KERNELS[name].check(rows(dtype, n))


@every_kernel
@every_dtype
def test_every_backend_and_isa_finds_the_same_tau(dtype, name):
    """Bit for bit, with fused multiply-add."""
    x, kernel, found = rows(dtype, 300), KERNELS[name], set()
    for isa in host_isas():
        for backend in ("c", "llvm") if isa != "portable" else ():
            found.add(bits(kernel.using(isa=isa, backend=backend)(x)))
    assert len(found) == 1


@every_kernel
@every_dtype
def test_the_plan_interpreter_finds_the_same_tau(dtype, name):
    """The compiled kernel against the interpreter of its plan."""
    x, kernel = rows(dtype, 300), KERNELS[name].using(isa="avx2")
    assert bits(interpret_plan(kernel.plan(x.shape, dtype), {"x": x}, SETTINGS[name])) == bits(kernel(x))


def test_every_strategy_finds_the_same_nucleus():
    """A sum of probabilities is the same however its normalizer was taken."""
    x = np.random.default_rng(0).normal(size=(9, 700)).astype("float32")
    assert len({bits(nucleus.using(strategy=s)(x)) for s in STRATEGIES}) == 1


def test_a_nucleus_is_that_of_sorting():
    """The fewest of the largest probabilities whose sum reaches the mass."""
    x = np.random.default_rng(1).normal(size=(20, 500)) * 3
    p = np.sort(np.exp(x - rf.logsumexp(x)[:, None]), axis=-1)[:, ::-1]
    counts = np.sum(np.cumsum(p, axis=-1) - p < 0.9, axis=-1)
    np.testing.assert_array_equal(np.count_nonzero(nucleus(x)[0], axis=-1), counts)


@every_dtype
def test_tau_is_the_last_float_that_reaches_the_target(dtype):
    """Of a sum of steps, at a step: the largest number in the interval at which it is high enough."""
    steps = rf.kernel(lambda x: rf.threshold(lambda v, t: np.where(v >= t, 1.0, 0.0), 3.0, x, lo=-np.inf, hi=np.inf))
    assert steps(np.array([5.0, -1.5, 0.1, 7.25, 0.1], dtype)) == np.dtype(dtype).type(0.1)


@pytest.mark.parametrize(("total", "tau"), [(0.0, 4.0), (-1.0, 4.0), (9.0, np.nan)])
def test_what_no_tau_reaches_is_nan_and_what_every_tau_reaches_is_the_upper_end(total, tau):
    """As for the function on plain arrays."""
    clipped = rf.kernel(
        lambda x, *, total=1.0: rf.threshold(lambda v, t: np.clip(v - t, 0.0, 1.0), total, x, lo=-4.0, hi=4.0)
    )
    np.testing.assert_equal([clipped(np.zeros(5), total=total), clipped.reference(np.zeros(5), total=total)], [tau] * 2)


@pytest.mark.parametrize(("lo", "hi"), [(1.0, -1.0), (np.nan, 1.0), (0.0, np.nan)])
def test_an_interval_without_numbers_has_no_threshold(lo, hi):
    """NaN, in the kernel and on plain arrays."""

    @rf.kernel
    def within(x, lo: rf.Scalar, hi: rf.Scalar):
        return rf.threshold(lambda v, t: rf.sigmoid(v - t), 1.0, x, lo=lo, hi=hi)

    assert np.isnan([within(np.zeros(5), lo, hi), within.reference(np.zeros(5), lo, hi)]).all()


def test_what_where_hides_is_not_in_the_sum():
    """The selected elements share what there is; the others are what `masked=` says."""
    keep = np.array([True, False, True, True])
    got, tau = soft_topk(np.array([1.0, np.nan, 1.0, 1.0]), where=keep, k=1.5)
    np.testing.assert_allclose([*got, tau], [0.5, 0.0, 0.5, 0.5, 1.0], rtol=1e-15)


def test_a_row_may_be_written_over():
    """In place, the row is read for as long as tau is looked for."""
    x = np.random.default_rng(2).normal(size=(3, 400)).astype("float32")
    want, _ = nucleus(x)
    nucleus(x, out=(x, np.empty(3, np.float32)))
    np.testing.assert_array_equal(x, want)


def test_two_thresholds_may_depend_on_each_other():
    """The second is looked for with the first."""

    @rf.kernel
    def twice(x):
        a = rf.threshold(lambda v, t: rf.sigmoid(v - t), 2.0, x, lo=-50.0, hi=50.0)
        return rf.threshold(lambda v, t: rf.sigmoid(v - t), 3.0, x - a, lo=-50.0, hi=50.0), a

    assert twice.check(np.random.default_rng(3).normal(size=(5, 60)))


@every_kernel
def test_the_solution_is_no_walk(name):
    """Walks are as the catalogue counts them: beside what a threshold takes."""
    assert KERNELS[name].plan((4, 300), "float32").walks == {"soft_topk": 1, "nucleus": 2, "capped": 1}[name]


def test_explain_says_how_a_threshold_is_solved():
    """A sweep of its own, with what it sums."""
    text = str(nucleus.explain((4, 300), "float32"))
    assert re.search(r"sweep 2: solve for \w+: bisect it, a walk for each sum of", text)


def test_a_threshold_that_would_go_to_memory_again_and_again_says_so():
    """Memory passes count every walk of the solution over a row that no cache holds."""
    assert soft_topk.plan((1, 2**26), "float32").memory_passes > 20


def test_one_pass_is_refused_where_a_threshold_goes_to_memory():
    """By name, with the passes."""
    with pytest.raises(PlanError, match="does not stay in cache"):
        soft_topk.using(strategy="one_pass").plan((1, 2**26), "float32")


def test_a_reduction_inside_is_no_threshold():
    """The error says what is wrong, and what to do."""
    with pytest.raises(TraceError, match="a reduction of what depends on the threshold's tau"):
        rf.kernel(
            lambda x: rf.threshold(lambda v, t: np.maximum(v - t, 0) / np.sum(v - t), 1.0, x, lo=0.0, hi=1.0)
        ).program({}, frozenset(), frozenset())


@every_dtype
@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8, 2.0, 3.5])
def test_entmax_is_within_its_bound(alpha, dtype):
    """Against the oracle over every kind of row, for powers of an excess that have a closed form and others."""
    assert library.entmax.check(rows(dtype, 100), alpha=alpha)


@pytest.mark.parametrize(("alpha", "name"), [(1.5, "entmax15"), (2.0, "sparsemax")])
def test_entmax_between_softmax_and_argmax_is_the_one_that_has_a_name(alpha, name):
    """alpha of 1.5 and of 2."""
    x = np.random.default_rng(4).normal(size=(5, 200))
    np.testing.assert_allclose(library.entmax(x, alpha=alpha), getattr(library, name)(x), rtol=0, atol=1e-15)


@pytest.mark.parametrize("alpha", [1.0, 0.5, np.inf, np.nan])
def test_an_alpha_without_a_threshold_is_refused(alpha):
    """By name and value."""
    with pytest.raises(ValueError, match="alpha is"):
        library.entmax(np.zeros(5), alpha=alpha)
