"""Thresholds: sparsemax and 1.5-entmax, exact on their support, and what they are read off."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.codegen.running.interpret_plan import interpret_plan
from rowfold.errors import TraceError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import zoo

NAN, INF = np.nan, np.inf
KERNELS = ("sparsemax", "entmax15")
WIDTHS = (1, 3, 16, 100, 1000, 6000)  # the longest has rows whose support is larger than the pool of candidates
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
every_isa = pytest.mark.parametrize("isa", host_isas())
every_kernel = pytest.mark.parametrize("name", KERNELS)
every_width = pytest.mark.parametrize("n", WIDTHS)


@rf.kernel
def budget(x, *, total: rf.Positive = 3.0):
    """Weights of a budget: each in [0, 1] after the clip, and tau itself."""
    tau = rf.threshold(lambda v, t: np.maximum(v - t, 0.0), total, x, lo=-10.0, hi=10.0)
    return np.maximum(x - tau, 0.0), tau


def rows(dtype, n):
    return np.array(list(zoo(dtype, n, np.random.default_rng(n)).values()))


def exact_sparsemax(x):
    """By sorting, in float64, from the maximum down."""
    d = x.astype(np.longdouble) - x.max()
    s = np.sort(d)[::-1]
    taus = (np.cumsum(s) - 1) / np.arange(1, x.size + 1)
    return np.maximum(d - taus[np.flatnonzero(s > taus)[-1]], 0)


def exact_entmax15(x):
    """The algorithm of Peters, Niculae and Martins on the sorted row."""
    s = np.sort((x.astype(np.longdouble) - x.max()) / 2)[::-1]
    rho = np.arange(1, x.size + 1)
    mean, square = np.cumsum(s) / rho, np.cumsum(s**2) / rho
    taus = mean - np.sqrt(np.maximum((1 - rho * (square - mean**2)) / rho, 0))
    tau = taus[np.flatnonzero(taus <= s)[-1]]
    return np.maximum((x.astype(np.longdouble) - x.max()) / 2 - tau, 0) ** 2


@every_kernel
@every_dtype
@every_isa
@every_width
def test_every_row_is_within_its_bound(n, isa, dtype, name):
    """Against the oracle over every kind of row, special values among them."""
    assert getattr(library, name).using(isa=isa).check(rows(dtype, n))


@every_kernel
@every_dtype
@every_width
def test_the_plan_interpreter_gives_the_same_values(n, dtype, name):
    """The compiled kernel against the interpreter of its plan."""
    x, kernel = rows(dtype, n), getattr(library, name).using(isa="avx2")
    np.testing.assert_array_equal(kernel(x), interpret_plan(kernel.plan(x.shape, dtype), {"x": x}, {})[0])


@every_kernel
@every_dtype
def test_every_isa_gives_the_same_bits(dtype, name):
    """The candidates, and the order of their sums, are those of the row alone."""
    x, kernel = rows(dtype, 1000)[:20], getattr(library, name)
    assert len({kernel.using(isa=isa)(x).tobytes() for isa in host_isas() if isa != "portable"}) == 1


@every_kernel
@every_dtype
@pytest.mark.parametrize("n", [1, 17, 6000])
def test_llvm_gives_the_bits_of_c(n, dtype, name):
    """Where the pool overflows as well."""
    pytest.importorskip("llvmlite", reason="the LLVM backend needs llvmlite")
    x, kernel = rows(dtype, n), getattr(library, name)
    found = [kernel.using(backend=b)(x) for b in ("c", "llvm")]
    assert len({np.where(np.isnan(r), np.nan, r).tobytes() for r in found}) == 1


@every_dtype
@pytest.mark.parametrize(("name", "exact"), [("sparsemax", exact_sparsemax), ("entmax15", exact_entmax15)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("n", [2, 17, 700, 5000])
def test_the_result_is_that_of_sorting(n, scale, name, exact, dtype):
    """Within 4 units in the last place of 1, relative to the largest share."""
    x = np.random.default_rng(n).normal(size=n).astype(dtype) * np.dtype(dtype).type(scale)
    want, got = exact(x), getattr(library, name)(x)
    assert np.max(np.abs(got - want)) <= 4 * np.finfo(dtype).eps * np.max(want) + 1e-15


@every_kernel
@every_dtype
@pytest.mark.parametrize("k", [0, 1, 5, 12])
def test_equal_elements_share_exactly(k, dtype, name):
    """2^k equal entries give 2^-k; a square of a small share has lost what tau was rounded by."""
    got = getattr(library, name)(np.full(2**k, -3.7, dtype))
    np.testing.assert_allclose(got, 2.0**-k, rtol=4 * np.finfo(dtype).eps * 2 ** (k / 2), atol=0)


@every_kernel
@pytest.mark.parametrize("row", [[NAN, 1.0], [INF, 1.0], [-INF, -INF], [NAN, INF, -INF]])
def test_rows_without_a_projection_are_nan(row, name):
    """As the table of special values has it."""
    assert np.all(np.isnan(getattr(library, name)(np.array(row))))


@every_kernel
def test_minus_infinity_gets_nothing(name):
    """Beside a number it is 0."""
    assert getattr(library, name)(np.array([-INF, 2.0, -INF])).tolist() == [0.0, 1.0, 0.0]


@every_kernel
def test_what_where_hides_is_not_there(name):
    """The selected elements share what there is; the others get 0."""
    keep = np.array([True, False, True])
    got = getattr(library, name)(np.array([1.0, NAN, 1.0]), where=keep)
    np.testing.assert_allclose(got, [0.5, 0.0, 0.5], rtol=1e-15)


@every_kernel
def test_the_reference_agrees(name):
    """The row function on plain arrays, which bisects, against the kernel."""
    x = np.random.default_rng(3).normal(size=(5, 40))
    np.testing.assert_allclose(getattr(library, name)(x), getattr(library, name).reference(x), rtol=1e-9, atol=1e-14)


@every_kernel
def test_numpy_gives_the_same(name):
    """Without a compiler."""
    x = np.random.default_rng(3).normal(size=(5, 40))
    kernel = getattr(library, name)
    np.testing.assert_allclose(kernel.using(backend="numpy")(x), kernel(x), rtol=1e-12, atol=1e-15)


@every_kernel
def test_a_projection_takes_two_walks(name):
    """One that compacts the candidates, and one that writes."""
    assert getattr(library, name).plan((4, 1000)).walks == 2


def test_a_budget_is_spent():
    """The weights sum to the total, whatever it is."""
    weights, _ = budget(np.linspace(-1, 1, 50), total=7.0)
    assert abs(weights.sum() - 7.0) < 1e-14


@pytest.mark.parametrize(("total", "tau"), [(1e4, -10.0), (1e-30, 1.0)])
def test_a_threshold_stays_in_its_interval(total, tau):
    """lo and hi clip a solution outside."""
    assert budget(np.linspace(-1, 1, 50), total=total)[1] == tau


@pytest.mark.parametrize(
    ("fn", "problem"),
    [
        (lambda x: rf.threshold(lambda v, t: v, 1.0, x, lo=0, hi=1), "does not depend"),
        (lambda x: rf.threshold(lambda v, t: v - t, 1.0, np.sum(x), lo=0, hi=1), "of a number"),
    ],
)
def test_what_is_no_threshold(fn, problem):
    """The error says what is wrong."""
    with pytest.raises(TraceError, match=problem):
        rf.kernel(fn).program({}, frozenset(), frozenset())
