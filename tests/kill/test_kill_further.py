"""The same for states, the other backend and gradients: what takes longest to compile stands last."""

import numpy as np
import pytest
from test_kill import STRATEGIES, X, Y, chosen, close, extremes, wide

import rowfold as rf
from rowfold import library
from rowfold.errors import PlanError

pytestmark = [pytest.mark.kill, pytest.mark.slow]


def test_parts_are_merged():
    """A row in two parts is the row; an index is in one of them."""
    t = np.array([3, 600, 1060] * 3)
    for kernel, more in ((library.logsumexp, ()), (library.layer_norm, ()), (library.cross_entropy, (t,))):
        a = kernel.partial(X[:, :600].astype("f4"), *more)
        b = kernel.partial(X[:, 600:].astype("f4"), *more, offset=600)
        chunks = (X.astype("f4"),) if kernel is library.layer_norm else ()
        close(kernel.finish(kernel.merge(a, b), *chunks), wide(kernel, X.astype("f4"), *more), "f4")


@pytest.mark.isa("avx2")
def test_llvm_has_the_same_bits():
    """Where llvmlite stands in for the compiler."""
    x = np.concatenate([X, X * 20])[:, :300].astype("f4")
    for name in ("softmax", "layer_norm"):
        kernel = getattr(library, name)
        assert kernel.using(backend="llvm")(x).tobytes() == kernel.using(backend="c")(x).tobytes()
    two = library.softmax.using(strategy="two_pass")
    assert two.using(backend="llvm", isa="avx2")(x).tobytes() == two.using(backend="c")(x).tobytes()


def test_gradients_are_slopes():
    """Of a scalar function of the row, by differences of the reference."""

    def loss(x, y):
        d = np.tanh(x) * y - np.mean(x)
        return np.sum(d * d, where=y > 0) / np.sum(np.exp(x - np.max(x)))

    kernel, x, y, step = rf.kernel(loss), X[:2, :40] * 0.2, Y[:2, :40], 1e-5
    slopes = [
        [(loss(x[r] + step * e, y[r]) - loss(x[r] - step * e, y[r])) / (2 * step) for e in np.eye(40)] for r in (0, 1)
    ]
    assert np.allclose(kernel.vjp(x, y, np.ones(2))[0], slopes, rtol=1e-5, atol=1e-7)


def test_online_needs_an_exponential_sum():
    """A strategy without a plan is refused."""
    with pytest.raises(PlanError):
        library.layer_norm.using(strategy="online").plan(shape=(4, 10), dtype="float32")


@pytest.mark.parametrize("kernel", [extremes, chosen], ids=lambda k: k.name)
def test_llvm_folds_as_numpy_does(kernel):
    """Sums, extrema and counts of rows, with conditions and without."""
    x, y = X[:3, :300].astype("f4"), Y[:3, :300].astype("f4")
    close(kernel.using(backend="llvm")(x, y), wide(kernel, x, y), "f4", far=400)


def test_llvm_drafts_have_the_same_bits(monkeypatch):
    """What first calls through LLVM run, whatever else is compiled beside them."""
    from rowfold.runtime import cache

    monkeypatch.setattr(cache, "draft", lambda source, make, key, config: cache.load(source, "", config))
    x = np.random.default_rng(8).normal(size=(9, 333)).astype(np.float32)
    for kernel in (library.softmax, library.logsumexp):
        with rf.options(cache=False):
            assert kernel.using(backend="llvm")(x).tobytes() == kernel.using(backend="c")(x).tobytes()


def test_numpy_sums_every_element():
    """Rows whose halves have one element more."""
    x = np.random.default_rng(9).normal(size=(3, 335))
    want = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(library.rms_norm.using(backend="numpy")(x), want, rtol=1e-13)


def test_rewriting_under_masks_and_conditions():
    """Sums of chosen elements, gathers of hidden ones, powers of sums, extrema of maps that rise nowhere."""

    def chosen(x, y, at: rf.Index):
        big = np.where(x > 0, y, 0.0)
        return np.sum(big, where=y > -1), np.sum(x**2) ** 2, np.max(np.cos(x)), np.max(np.square(x)), np.exp(x)[at]

    kernel, x, y, at = rf.kernel(chosen), X[:3, :300].astype("f4"), Y[:3, :300].astype("f4"), np.array([4, 7, 299])
    close(kernel(x, y, at), wide(kernel, x, y, at), "f4", far=400)
    mask = Y[:3, :300] > 0.2
    close(kernel(x, y, at, where=mask)[:4], wide(kernel, x, y, at, where=mask)[:4], "f4", far=400)
    shown = np.where(mask[np.arange(3), at], np.exp(x[np.arange(3), at].astype("f8")), 0)
    np.testing.assert_allclose(kernel(x, y, at, where=mask)[4], shown, rtol=1e-6)


def test_the_largest_under_a_mask_of_a_long_row():
    """What is hidden is above everything, block after block."""
    x = np.where(Y > 0, X, 1e6).astype("f4")
    for k in (3, 40):
        p, at = library.softmax_topk(x, k=k, where=Y > 0)
        order = np.argsort(np.where(Y > 0, -x, np.inf), axis=1, kind="stable")[:, :k]
        assert (at == order).all()
        assert np.isfinite(p).all()


def test_gradients_of_sums_of_numbers():
    """Each element of a row sends its part to a number that all of them meet."""

    def shifted(x, c: rf.Scalar):
        return np.sum(x * 0.0 + c)

    kernel = rf.kernel(shifted)
    assert np.allclose(kernel.vjp(X[:2, :40], np.ones(2), np.ones(2))[1], 40)


def shares_and_rows(x, y):
    e = np.exp(x - np.max(x))
    return e / np.sum(e), x * y, x - np.max(y), np.sum(x * y)


def distances_and_sums(x, y):
    d = x - np.mean(x)
    return d, d / np.std(x), np.sum(np.abs(d) * y), np.max(d * y)


def joined_sums(x, y):
    e, f = np.exp(x), np.exp(0.5 * y)
    return e / np.sum(e) - f / np.sum(f), np.sum(e * y) / np.sum(e), x + y


def bounded_shares(x, y):
    e = np.exp(x)
    return e / np.sum(e) * np.tanh(x), np.sum(e)


@pytest.mark.parametrize("backend", ["c", "llvm", "numpy"])
@pytest.mark.parametrize(
    "fn", [shares_and_rows, distances_and_sums, joined_sums, bounded_shares], ids=lambda fn: fn.__name__
)
def test_rows_may_be_written_over_arguments(fn, backend):
    """Rows and numbers of one sweep, by every strategy that has a plan; the outputs are the arguments' memory."""
    kernel, a, b = rf.kernel(fn), X[:3, :41].astype("f4"), Y[:3, :41].astype("f4")
    with np.errstate(all="ignore"):
        want = kernel.reference(a, b)
    for strategy in STRATEGIES:
        x, y = a.copy(), b.copy()
        try:
            out = tuple(x if k == 0 else np.empty(np.shape(w), "f4") for k, w in enumerate(want))
            kernel.using(strategy=strategy, backend=backend)(x, y, out=out)
        except PlanError:
            continue
        for got, right in zip(out, want, strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-4, atol=2e-6)


def test_the_largest_of_rows_in_every_order():
    """Rising rows have a new largest in each block, and whole blocks of them."""
    rows = np.stack([np.arange(900.0), -np.arange(900.0), np.arange(900.0) // 64, np.tile([1.0, 2.0, 3.0], 300)])
    kernel = rf.kernel(lambda x: rf.topk(x, 7))
    for got, want in zip(kernel(rows.astype("f4")), kernel.reference(rows), strict=True):
        np.testing.assert_array_equal(got, want)


def test_numbers_of_a_float32_row_are_rounded_once():
    """A number that a row meets is float64 until the product is rounded."""
    kernel = rf.kernel(lambda x, y: (x * (np.max(y) * 0.3), x / (np.max(y) + 0.1), x * np.exp(np.max(y))))
    x, y = X[:3, :41].astype("f4"), Y[:3, :41].astype("f4")
    for got, want in zip(kernel(x, y), kernel.reference(x, y), strict=True):
        assert np.all(np.abs(got - want) <= 0.51 * np.spacing(np.abs(want).astype("f4")))


def test_llvm_chooses_from_its_table_as_c_does():
    """Where no instruction looks a number up in a register."""
    x = np.concatenate([X, X * 9])[:, :41].astype("f4")
    kernel = library.softmax.using(isa="portable")
    assert kernel.using(backend="llvm")(x).tobytes() == kernel.using(backend="c")(x).tobytes()


@pytest.mark.parametrize("backend", ["c", "llvm"])
def test_a_row_is_not_what_the_stack_held_before(backend):
    """A row of less than a block, after long rows of NaN and of large numbers."""
    kernel = library.softmax.using(strategy="two_pass", backend=backend)
    want = library.softmax.reference(X[:1, :41])
    for before in (np.nan, np.inf, 6e4):
        kernel(np.full((1, 600), before, "f4"))
        np.testing.assert_allclose(kernel(X[:1, :41].astype("f4")), want, rtol=2e-6)
