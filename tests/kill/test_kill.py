"""Half a minute of tests that notice a wrong generator: `python tools/mutate.py` shows how many of them all.

In the order in which they notice most, and cheapest first: what compiles nothing stands in front.
"""

import numpy as np
import pytest
from guarded import Guarded

import rowfold as rf
from rowfold import library
from rowfold.codegen.machine import Machine
from rowfold.codegen.planner import make_plan
from rowfold.codegen.running.interpret_plan import interpret_plan

pytestmark = [pytest.mark.kill, pytest.mark.slow]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(9, 1061)) * 5
Y = RNG.normal(size=(9, 1061))
INF = np.inf


# what the planner finds


WALKS = {
    "softmax": 2, "log_softmax": 2, "logsumexp": 1, "entropy": 1, "softmin": 2, "layer_norm": 2, "rms_norm": 2,
    "cross_entropy": 1, "kl_div": 1, "softmax_topk": 1, "sparsemax": 2, "var": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", WALKS)
def test_walks(name):
    """The planner fuses what can be fused, and no more."""
    settings = {"k": 3} if name == "softmax_topk" else {}
    kernel = getattr(library, name)
    assert kernel.plan(shape=(64, 32000), dtype="float32", **settings).walks == WALKS[name]


# programs whose rewriting, lowering and carries are compared with NumPy on the plain function


@rf.kernel
def moments(x, y):
    d, c = x - np.mean(x), y - np.mean(y)
    return np.mean(d**3), np.mean(d**4), np.sum(d * c), np.var(x), np.mean(d * (y - 1.0)), np.sum((x - np.mean(y)) ** 2)


@rf.kernel
def extremes(x, y):
    c = np.sum(y)
    return np.max(c * x), np.min(x * c + c), np.max(np.abs(x - np.mean(x))), np.max(np.exp(x * 0.1)), np.argmax(-2 * x)


@rf.kernel
def exponents(x, y):
    e = np.exp(0.3 * x - np.max(0.3 * x))
    p = e / np.sum(e)
    return np.sum(p * p), np.sum(p * y), np.sum(p * np.log(p)), np.sum(np.sqrt(p)), np.log(np.sum(e**2)), np.sum(p**3)


@rf.kernel
def scaled(x, y):
    c = np.mean(y) - 0.5
    e = np.exp(c * x)
    return e / np.sum(e), np.sum(x * c - 2.0), np.sum(np.where(y > 0, x, 0.0) * c), np.prod(1 + 0.001 * y)


@rf.kernel
def chosen(x, y):
    big = x > np.mean(x)
    return (
        np.sum(x, where=big), np.mean(y, where=big), np.max(y, where=big, initial=-INF),
        np.sum(x * y, where=big), np.count_nonzero(big), np.var(x, where=big), np.min(x, where=big, initial=INF),
        np.prod(1 + 0.001 * y, where=big), np.sum(np.exp(x) * big),
    )  # fmt: skip


@rf.kernel
def placed(x, target: rf.Index):
    p = rf.positions(x)
    y = np.exp(x - np.max(x)) * p
    return y[target], np.sum(y) / np.sum(np.exp(x - np.max(x))), np.argmax(x), p + x * 0.0


@rf.kernel
def mapped(x, y):
    return (
        np.expm1(x * 0.01) + np.log1p(np.abs(y)), np.exp2(y) * np.tanh(y), rf.sigmoid(x) + np.sqrt(np.abs(x)),
        np.rint(x) + np.floor(y), np.minimum(x, y) - np.maximum(x, -y), np.sign(y) * np.square(x), np.log(np.abs(x)),
        np.log2(np.abs(y)), np.where(x >= y, x, -y), 1.0 / (1.0 + x * x), np.exp(y),
    )  # fmt: skip


PROGRAMS = [moments, extremes, exponents, scaled, chosen, mapped]


def wide(kernel, *arrays, **more):
    with np.errstate(all="ignore"):
        return kernel.reference(*arrays, **more)


def close(got, want, dtype, far=40):
    """Whether each result is within some ULP of the largest of its kind, and no worse than what cancels leaves."""
    got, want = (a if isinstance(a, tuple) else (a,) for a in (got, want))
    for g, w in zip(got, want, strict=True):
        finite = np.isfinite(w)
        np.testing.assert_array_equal(np.asarray(g)[~finite], np.asarray(w)[~finite])
        size = np.abs(np.where(finite, w, 0))
        room = far * float(np.finfo(dtype).eps) * np.maximum(size, 1e-2 * np.max(size, initial=1e-3))
        with np.errstate(invalid="ignore"):
            assert np.all((np.abs(g - w) <= room) | ~finite)


@pytest.mark.parametrize("kernel", PROGRAMS, ids=lambda k: k.name)
def test_programs_without_a_compiler(kernel):
    """The recordings of the NumPy backend run the same loops."""
    x, y = X[:3].astype("f4"), Y[:3].astype("f4")
    close(kernel.using(backend="numpy")(x, y), wide(kernel, x, y), "f4")


STRATEGIES = ("three_pass_recompute", "three_pass_reload", "two_pass", "online", "speculative")
ROWS = np.array([[0.0] * 40, [1000.0] + [999.0] * 39, [-1000.0] * 39 + [-INF], [INF] + [0.0] * 39, [-INF] * 40,
                 [70000.0, -70000.0] * 20, [-90.0] * 39 + [0.0], [np.nan] + [0.0] * 39])  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "entropy"])
def test_plans_without_a_compiler(name, strategy):
    """Every strategy's loops, run by NumPy on rows that need a shift: the same bits, and the right ones."""
    program = getattr(library, name).program({}, frozenset(), frozenset())
    x = ROWS.astype(np.float32)
    plans = [make_plan(program, dtype="f32", isa="avx512", n=40, rows=8, strategy=s, machine=Machine()) for s in
             (strategy, "three_pass_recompute")]  # fmt: skip
    settings = {p.name: 1.0 for _, p in program.params}
    inputs = {program.inputs[0][1].name: x}
    found, plain = (interpret_plan(plan, inputs, settings)[0] for plan in plans)
    assert found[:5].tobytes() == plain[:5].tobytes()
    with np.errstate(all="ignore"):
        want = getattr(library, name).reference(x)
    sure = np.isfinite(np.asarray(want)) & (np.abs(np.asarray(want)) > 1e-30)
    np.testing.assert_allclose(found[sure], np.asarray(want)[sure], rtol=2e-6)


# compiled


MEMORY = [Guarded(9 * 1061 * 8) for _ in range(2)]


CASES = [("softmax", "f4"), ("softmax", "f8"), ("log_softmax", "f4"), ("layer_norm", "f4"), ("sparsemax", "f4")]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_kernels_between_guard_pages(name, dtype):
    """Short, odd and long rows at either end of their memory: right, and nothing beside them touched."""
    kernel = getattr(library, name)
    for n in (1, 3, 17, 40, 257, 1061):
        for end in (False, True):
            x = MEMORY[0].array((9, n), dtype, end=end)
            x[...] = X[:, :n] + (Y[:, :n] > 2) * 50
            want = wide(kernel, x)
            out = MEMORY[1].array(want.shape, dtype, end=end)
            close(kernel(x, out=out), want, dtype)


@pytest.mark.parametrize("kernel", PROGRAMS, ids=lambda k: k.name)
def test_programs(kernel):
    """As in NumPy, in float32 and through steps between the elements."""
    x, y = (np.repeat(a.astype("f4"), 2, axis=1)[::-1, ::2] for a in (X, Y))
    close(kernel(x, y), wide(kernel, x, y), "f4")


def test_programs_in_float64():
    """Sums of float64 keep what they lost."""
    close(moments(X + 1e3, Y), wide(moments, X + 1e3, Y), "f8", far=100_000)
    close(scaled(X, Y), wide(scaled, X, Y), "f8", far=200)


def test_special_values():
    """NaN, infinities, nothing at all, far rows, subnormal results; and no flag is left set."""
    x = ROWS.astype("f4")
    with np.errstate(all="raise"):
        y, z, lse = library.softmax(x), library.log_softmax(x), library.logsumexp(x)
        top, bottom = library.max(x), extremes(x, x)
    np.testing.assert_allclose(lse, [np.log(40), 1000 + np.log(1 + 39 / np.e), -1000 + np.log(39), INF, -INF,
                                     70000 + np.log(20), 0, np.nan], rtol=2e-7, atol=1e-37)  # fmt: skip
    assert (
        np.isnan(y[[3, 4, 7]]).all() and y[5, 0] == np.float32(0.05) and y[2, 39] == 0 and np.isnan(z[[3, 4, 7]]).all()
    )
    assert y[6, 0] == np.float32(np.exp(-90.0) / 1) and np.isnan(top[7]) and top[4] == -INF and bottom is not None


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_strategies_have_the_same_bits(name):
    """Compiled as well; rows help each other, and it does not show."""
    kernel, x = getattr(library, name), np.concatenate([X, X - 80, X * 20, X + 60])[:, :300].astype("f4")
    want = np.stack([kernel.using(strategy="three_pass_recompute")(row) for row in x])
    for strategy in ("two_pass", "online", "speculative"):
        assert kernel.using(strategy=strategy)(x).tobytes() == want.tobytes()


def test_masks_hide():
    """What a mask hides is no operand, and what it shows is all there is."""
    mask, x = Y > 0.3, X.astype("f4")
    for name in ("softmax", "log_softmax", "layer_norm", "sparsemax", "var", "max", "mean"):
        kernel = getattr(library, name)
        close(kernel(np.where(mask, x, np.nan), where=mask), wide(kernel, x, where=mask), "f4")
    close(exponents(x, Y.astype("f4"), where=mask), wide(exponents, x, Y.astype("f4"), where=mask), "f4")
    close(moments(x, Y.astype("f4"), where=mask), wide(moments, x, Y.astype("f4"), where=mask), "f4", far=400)
    none = np.zeros((9, 1061), bool)
    assert extremes(x, Y.astype("f4"), where=none)[0].tolist() == [-INF] * 9 and chosen(x, x, where=none)[4].sum() == 0


def test_indices_positions_and_ignored_rows():
    """x[y], positions, argmax; rows that are ignored give 0."""
    x, t = X.astype("f4"), np.arange(9) * 100
    close(placed(x, t), wide(placed, x, t), "f4")
    loss = library.cross_entropy(x, np.where(t > 300, -100, t))
    assert (loss[4:] == 0).all()
    close(loss[:4], wide(library.cross_entropy, x[:4], t[:4]), "f4")
    ties = np.array([[1, 3, 3, 2] * 20, [np.nan, 5, np.nan, 9] * 20], "f4")
    assert rf.kernel(lambda x: np.argmax(x), name="first")(ties).tolist() == [1, 0]


def test_the_largest_in_order():
    """By value, then by place; under a mask; among many."""
    x = np.concatenate([np.rint(X), -np.rint(X), X], axis=1).astype("f4")
    for k in (1, 5, 60):
        p, at = library.softmax_topk(x, k=k)
        order = np.argsort(-x, axis=1, kind="stable")[:, :k]
        assert (at == order).all()
        close(p, np.take_along_axis(wide(library.softmax, x), order, 1), "f4")
    mask = np.concatenate([Y, Y, Y], axis=1) > 0
    at = library.softmax_topk(x, k=5, where=mask)[1]
    assert (at == np.argsort(np.where(mask, -x, INF), axis=1, kind="stable")[:, :5]).all()


@rf.kernel
def numbers(x, y):
    a, b = np.sum(x), np.sum(y)
    return np.sign(a), np.minimum(a, b), np.reciprocal(np.max(y)), np.count_nonzero(x >= y), x + b, np.maximum(b, a)


def test_words_on_numbers():
    """Of either sign, 0, NaN on either side, infinite; elements that are equal."""
    x, y = X[:8, :300].astype("f4"), Y[:8, :300].astype("f4")
    x[0] = np.abs(x[0])
    x[1] = -np.abs(x[1])
    x[2] = 0
    x[3, 7] = y[4, 9] = np.nan
    y[5, 200] = INF
    x[6] = y[6]
    close(numbers(x, y), wide(numbers, x, y), "f4", far=400)
    for row, other in zip(x, y, strict=True):  # alone: rows of a batch go in groups
        close(numbers(row, other), wide(numbers, row, other), "f4", far=400)


def test_values_that_are_not_finite_in_maps():
    """NaN comes through every function, and infinities as in NumPy."""
    x, y = X[:3, :40].astype("f4"), Y[:3, :40].astype("f4")
    x[:, 3], x[:, 5], y[:, 7], y[:, 9], y[:, 11] = np.nan, INF, np.nan, -INF, INF
    close(mapped(x, y), wide(mapped, x, y), "f4")
    close(mapped(X[:3] * 1e3, Y[:3] * 1e3), wide(mapped, X[:3] * 1e3, Y[:3] * 1e3), "f8")


def test_steps_between_the_elements_of_results_and_masks():
    """Beyond a block too; what lies between is not touched."""
    x, out, keep = X.astype("f4"), np.full((9, 2122), 7, "f4"), np.repeat(Y > 0, 2, axis=1)[:, ::2]
    library.softmax(x, out=out[:, ::2], where=keep)
    assert (out[:, 1::2] == 7).all()
    close(out[:, ::2], wide(library.softmax, x, where=keep), "f4")
    close(library.softmax(x, out=out[:, 1::2]), wide(library.softmax, x), "f4")


def test_small_numbers_beside_a_large_one_are_summed():
    """In float64, whose lanes keep what they lose."""
    x = np.full((2, 1061), 0.1)
    x[:, 0] = 1e16
    assert np.all(np.abs(library.sum(x) - (1e16 + 106)) <= 4)


def test_the_position_of_the_largest_that_is_shown():
    """What is hidden is larger, and comes first."""
    x = np.array([[5, 1, 3, 9, 3] * 60] * 2, "f4")
    keep = np.array([[False, True, True, False, True] * 60] * 2)
    assert rf.kernel(lambda x: np.argmax(x), name="shown")(x, where=keep).tolist() == [2, 2]


def test_a_temperature_for_each_row():
    """The compiled function takes a step for every argument, also for those that a batch usually shares."""
    ffi, lib = library.softmax.cffi(shape=(4, 300), dtype="float32")
    x, temperature, out = X[:4, :300].astype("f4"), np.array([0.5, 1.0, 2.0, 3.0]), np.empty((4, 300), "f4")
    args = [ffi.cast("char *", a.ctypes.data) for a in (x, temperature, out)]
    loop = getattr(lib, next(name for name in dir(lib) if name.startswith("rowfold_softmax")))
    steps = ffi.new("intptr_t[]", [1200, 8, 1200, 4, 4])
    loop(ffi.new("char *[]", args), ffi.new("intptr_t[]", [4, 300]), steps, ffi.NULL)
    each = [wide(library.softmax, row, temperature=t) for row, t in zip(x, temperature, strict=True)]
    close(out, np.stack(each), "f4")


def test_gradients_that_are_summed_over_rows():
    """Those of weight and bias, of nine rows."""
    x, w, g = X[:, :300].astype("f4"), np.ones(300, "f4"), Y[:, :300].astype("f4")
    _, weight, bias = library.layer_norm.vjp(x, w, w, g)
    close(weight, np.sum(g * wide(library.layer_norm, x), axis=0), "f4", far=400)
    close(bias, np.sum(g.astype("f8"), axis=0), "f4")


def test_the_largest_beside_nan():
    """NaN comes first, in its order; equal ones by place."""
    x = np.rint(X[:, :300]).astype("f4")
    x[:, 40::50] = np.nan
    x[::2, 3] = INF
    kernel = rf.kernel(lambda x: rf.topk(x, 9), name="nine")
    for got, want in zip(kernel(x), kernel.reference(x), strict=True):
        np.testing.assert_array_equal(got, want)


def test_exponents_and_small_arguments_lose_nothing():
    """To four units in the last place: what a product in an exponent loses, and numbers near 0."""

    def fine(x):
        return np.exp(0.7 * x + 1.5), np.expm1(x * 1e-5), np.log1p(x * 1e-5)

    x = (X[:3, :300] * 4).astype("f4")
    kernel = rf.kernel(fine)
    for got, want in zip(kernel(x), kernel.reference(x.astype("f8")), strict=True):
        np.testing.assert_allclose(got, want, rtol=4 * 2.0**-23)


def test_settings_from_row_to_row():
    """A batch may have one number a row."""

    def cooled(x, heat: rf.Scalar):
        e = np.exp((x - np.max(x)) * heat)
        return e / np.sum(e)

    kernel, heat = rf.kernel(cooled), np.linspace(0.1, 2, 9)
    close(kernel(X.astype("f4"), heat), wide(kernel, X.astype("f4"), heat), "f4")


def test_random_rows():
    """Philox with ten rounds, in any order; u is never 0."""

    def noise(x, seed: rf.Scalar):
        return rf.uniform(x, seed)

    kernel = rf.kernel(noise)
    x = np.zeros((2, 77), "f4")
    assert np.array_equal(kernel(x, 5), wide(kernel, x, 5).astype("f4"))
