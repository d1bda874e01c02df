"""Compiled gradients: within their bounds, in the shapes of their parameters, and refused where there is none."""

import pickle

import numpy as np
import pytest

import rowfold as rf
from rowfold import gallery, library
from rowfold.testing import Case, Random, cases, load, random_source
from rowfold.testing.values import FINITE, row

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
MODERATE = ("normal", "normal_x5", "alternating", "sorted_up", "half_minus_inf")
RNG = np.random.default_rng(0)
X, G = RNG.normal(size=(2, 5, 70)).astype(np.float32)
W = RNG.normal(size=70).astype(np.float32)
TARGET = np.array([3, 0, -100, 69, 7])


def zoo(dtype, n):
    """One finite row of every kind, and gradients for them."""
    rng = np.random.default_rng(n)
    return np.array([row(kind, dtype, n, rng) for kind in FINITE]), rng.normal(size=(len(FINITE), n)).astype(dtype)


def exact_softmax_gradient(x, g):
    """y (g - sum y g) and the published bound 8u |y| (|g| + sum |y g|) over u, in long double."""
    x, g = x.astype(np.longdouble), g.astype(np.longdouble)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    value = y * (g - np.sum(y * g, axis=-1, keepdims=True))
    return value, 8 * np.abs(y) * (np.abs(g) + np.sum(np.abs(y * g), axis=-1, keepdims=True))


@pytest.mark.parametrize("n", [1, 2, 17, 100, 1000, 4096])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_softmax_keeps_its_bound(dtype, n):
    """Within 8u |y_i| (|g_i| + sum |y g|) for every kind of finite row (and the smallest normal number)."""
    x, g = zoo(dtype, n)
    want, bound = exact_softmax_gradient(x, g)
    error = np.abs(library.softmax.vjp(x, g)[0] - want)
    assert np.max(error / (UNIT[dtype] * bound + np.finfo(dtype).tiny)) <= 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["log_softmax", "layer_norm", "rms_norm", "sparsemax", "entmax15"])
def test_gradients_of_rows_keep_the_oracles_bound(name, dtype):
    """Row results, within the error that the analysis of the derived program allows."""
    kernel = getattr(library, name).vjp
    missing = [None] * (len(kernel.parameters) - 2)
    assert kernel.check(X.astype(dtype) * 3, *missing, G.astype(dtype)).worst <= 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_what_rows_share_keep_the_oracles_bound(dtype):
    """A weight and a bias of all rows: the sums of the rows' gradients, one wrong digit of which would be noticed."""
    x, w, g = (a.astype(dtype) for a in (X, W, G))
    assert library.layer_norm.vjp.check(x, w, w, g).worst <= 1
    assert library.rms_norm.vjp.check(x[None, :, :], w, g).worst <= 1
    assert gallery.emma.vjp.check(x, np.abs(w), TARGET % 70, g[:, 0]).worst <= 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["logsumexp", "entropy", "max", "sum", "mean", "var"])
def test_gradients_of_numbers_keep_the_oracles_bound(name, dtype):
    """One number a row, within the error that the analysis of the derived program allows."""
    assert getattr(library, name).vjp.check(X.astype(dtype) * 3, G[:, 0].astype(dtype)).worst <= 1


@pytest.mark.parametrize("seed", range(8))
def test_random_programs_have_gradients_that_compile(seed):
    """Programs that nobody wrote give what the interpreter of their derived program gives."""
    fn = load(random_source(Random(seed)))
    kernel = rf.kernel(fn).vjp
    case = Case(seed=seed, batch=(5,), width=100, values=MODERATE)
    assert kernel.check(*cases.arrays(case, kernel.parameters).values()).worst <= 1


def test_the_gradient_of_cross_entropy_is_p_minus_one_hot():
    """Softmax less 1 at the target; the ignored row gets 0."""
    p = np.exp(X - X.max(axis=-1, keepdims=True))
    want = p / p.sum(axis=-1, keepdims=True) - np.eye(70)[TARGET % 70]
    want[TARGET == -100] = 0
    np.testing.assert_allclose(library.cross_entropy.vjp(X, TARGET, np.ones(5, np.float32))[0], want, atol=2e-7)


def test_a_shared_weight_gets_the_sum_over_the_batch():
    """The gradients of a layer norm's weight and bias have their shape."""
    _, _, got = library.layer_norm.vjp(X, W, W, G)
    np.testing.assert_allclose(got, G.sum(axis=0, dtype=np.float64), rtol=1e-6)


def test_a_shared_weight_on_another_axis_gets_the_sum_too():
    """The row on axis 0 gives the same column sums."""
    got = library.layer_norm.vjp(np.ascontiguousarray(X.T), W, W, np.ascontiguousarray(G.T), axis=0)[1]
    np.testing.assert_allclose(got, library.layer_norm.vjp(X, W, W, G)[1], rtol=1e-6)


def test_a_row_of_a_broadcast_axis_keeps_that_axis():
    """An argument of shape (1, n) beside (m, n) gets a gradient of shape (1, n)."""
    got = library.kl_div.vjp(X[:1], X, G[:, 0])
    assert [g.shape for g in got] == [(1, 70), (5, 70)]


def test_out_takes_summed_gradients():
    """Where a gradient is summed, `out` is filled with the sums."""
    out = tuple(np.empty_like(a) for a in (X, W, W))
    library.layer_norm.vjp(X, W, W, G, out=out)
    np.testing.assert_array_equal(out[1], library.layer_norm.vjp(X, W, W, G)[1])


def test_out_of_another_shape_is_refused():
    """The shape of a gradient is its parameter's."""
    with pytest.raises(rf.OutputError, match=r"shape \(5, 70\); expected float32 of shape \(70,\)"):
        library.layer_norm.vjp(X, W, W, G, out=(np.empty_like(X), np.empty_like(X), np.empty_like(W)))


def test_absent_parameters_have_no_gradient():
    """A layer norm without weight and bias has the gradient of its rows only."""
    assert len(library.layer_norm.vjp(X, G)) == 1


def test_repeated_calls_give_a_tuple_too():
    """The fast path of a call that is known already returns what the first call does."""
    np.testing.assert_array_equal(library.softmax.vjp(X, G), library.softmax.vjp(X, G))


def test_where_selects_before_the_gradient():
    """The gradient under where= is that of the row's selected elements alone, 0 elsewhere."""
    keep = np.arange(70) < 40
    want = np.zeros_like(X)
    want[:, :40] = library.softmax.vjp(np.ascontiguousarray(X[:, :40]), np.ascontiguousarray(G[:, :40]))[0]
    np.testing.assert_allclose(library.softmax.vjp(X, G, where=keep)[0], want, atol=1e-8)


def test_the_second_derivative_of_logsumexp_is_the_gradient_of_softmax():
    """H v of logsumexp, from the gradient of its gradient, is softmax's vjp of v."""
    hessian = library.logsumexp.vjp.vjp(X, np.ones(5, np.float32), G)[0]
    np.testing.assert_allclose(hessian, library.softmax.vjp(X, G)[0], atol=1e-8)


def test_gradients_compose_with_row_functions():
    """A gradient kernel called on traced rows joins the program."""
    step = rf.kernel(lambda x, g: x - 0.5 * library.softmax.vjp(x, g)[0], name="step")
    np.testing.assert_allclose(step(X, G), X - 0.5 * library.softmax.vjp(X, G)[0], atol=1e-7)


def test_the_reference_of_a_gradient_is_float64():
    """`reference` runs the derived program itself, row by row."""
    np.testing.assert_allclose(library.softmax.vjp.reference(X, G), library.softmax.vjp(X, G)[0], atol=1e-7)


def test_a_gradient_can_be_pickled():
    """The copy finds the kernel that it is the gradient of."""
    assert pickle.loads(pickle.dumps(library.softmax.vjp.using(isa="portable"))).name == "softmax_vjp"


def test_using_keeps_the_gradient_a_gradient():
    """Options make a new gradient kernel, which returns a tuple as well."""
    assert isinstance(library.softmax.vjp.using(strategy="online")(X, G), tuple)


def test_defvjp_overrides_what_would_be_derived():
    """The row function of @k.defvjp gives the gradients from then on."""

    @rf.kernel
    def scaled(x):
        return 2.0 * x

    @scaled.defvjp
    def gradient(x, g):
        return 0.5 * g

    np.testing.assert_array_equal(scaled.vjp(X, G)[0], 0.5 * G)


def test_a_kernel_of_positions_has_no_gradient():
    """Asking for the gradient of integers is refused by name."""
    with pytest.raises(rf.NotDifferentiableError, match="gives no floats"):
        _ = rf.kernel(lambda x: np.argmax(x), name="best").vjp


def test_a_kernel_of_k_vectors_has_no_gradient_yet():
    """The gradient of a top-k is refused by name."""
    with pytest.raises(rf.NotDifferentiableError, match="k-vector"):
        _ = library.softmax_topk.vjp


def test_a_gradient_of_the_wrong_shape_is_refused():
    """A row gradient needs the row's length."""
    with pytest.raises(ValueError, match="gradient"):
        library.softmax.vjp(X, G[:, :9])


def test_a_gradient_of_integers_is_refused():
    """An incoming gradient is a float array."""
    with pytest.raises(rf.DTypeError, match="gradient"):
        library.softmax.vjp(X, np.ones((5, 70), np.int64))


FAR = ("max_softmax_probability", "least_confidence", "entropy_backward", "split_softmax", "comp_sum_loss")


@pytest.mark.parametrize("name", FAR)
def test_gradients_far_from_zero_are_those_near_it(name):
    """What depends on differences of a row has the same gradients at 1024, where no e^x is a number."""
    kernel, rng = getattr(rf.gallery, name), np.random.default_rng(0)
    x = np.round(rng.normal(size=(3, 9)) * 64) / 64
    more = [{"y": np.array([3, 0, 7]), "mask": x > 0}[p.name] for p in kernel.parameters[1:]]
    g = rng.normal(size=kernel(x, *more).shape)
    near, far = (kernel.vjp(row, *more, g)[0] for row in (x, x + 1024))
    assert np.max(np.abs(near - far)) <= 1e-11 * np.max(np.abs(near))


def noisy(x, seed: rf.Scalar):
    """A softmax of a row with noise."""
    return library.softmax(x + rf.gumbel(x, seed))


@pytest.mark.parametrize("saved", [False, True])
def test_gradients_draw_the_numbers_of_their_kernel(saved):
    """A key that is not 0 means the same to a kernel, to its gradients and to what it keeps for them."""
    kernel, seed = rf.kernel(noisy), np.array([1, 7, 2**60 + 1], np.uint64)
    x, g = RNG.normal(size=(2, 3, 9))
    y = kernel(x, seed)
    found = kernel.vjp.from_saved(kernel.with_saved(x, seed)[1], g) if saved else kernel.vjp(x, seed, g)
    assert np.max(np.abs(found[0] - y * (g - np.sum(y * g, axis=-1, keepdims=True)))) <= 1e-14


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["margin_score", "max_softmax_probability", "aps_score", "el2n", "emma"])
def test_gradients_do_not_move_with_the_row(name, dtype):
    """What depends on differences alone has the same gradient far up, where no exponential is a number."""
    kernel, x = getattr(gallery, name), np.round(X * 64) / 64  # what is added to these loses no digit
    given = {"lipschitz": np.full(70, 1e4, dtype), "y": TARGET % 70, "u": G[:, 0].astype(dtype)}
    further = [given[p.name] for p in kernel.parameters[1:]]
    near, far = (kernel.vjp((x + up).astype(dtype), *further, G[:, 1].astype(dtype)) for up in (0, 8192))
    assert np.any(near[0] != 0)
    for a, b in zip(near, far, strict=True):  # apart by what an exponent of 8192 is rounded by, at most
        np.testing.assert_allclose(b, a, rtol=0, atol=8192 * UNIT[dtype] * np.max(np.abs(near[0])))
