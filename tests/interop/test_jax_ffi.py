"""Kernels as handlers of XLA's foreign functions: the kernel's own bits, under every transformation, errors by name."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library

jax = pytest.importorskip("jax")
pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore")]
jnp = jax.numpy
RNG = np.random.default_rng(0)
X, Z = RNG.normal(size=(2, 4, 6, 50)).astype(np.float32)
W, B = RNG.normal(size=(2, 50)).astype(np.float32)
MASK = RNG.random(X.shape) < 0.6
TARGET = RNG.integers(0, 50, (4, 6)).astype(np.int32)


@pytest.fixture(scope="module")
def ours():
    """The module under test, imported once JAX is known to be there."""
    from rowfold.interop import jax as module

    return module


@pytest.fixture
def doubles():
    """JAX with float64."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def no_callbacks(monkeypatch):
    """A process in which a callback into Python would be noticed."""

    def refused(*args, **options):
        raise AssertionError("a callback was used")

    monkeypatch.setattr(jax, "pure_callback", refused)


best = rf.kernel(lambda x: (np.max(x), np.argmax(x)), name="best")


@rf.kernel(name="of_a_table")
def of_a_table(x: rf.Row, table: rf.Row, which: rf.Row[int]):
    """Softmax with an offset for each element, out of a table."""
    return library.softmax(x + rf.lookup(which, table))


CALLS = {
    "softmax": (library.softmax, (X,), {}),
    "rows on the first axis": (library.softmax, (X,), {"axis": 0}),
    "rows in the middle": (library.log_softmax, (X,), {"axis": 1}),
    "a setting": (library.softmax, (X,), {"temperature": 2.5}),
    "one row": (library.softmax, (X[0, 0],), {}),
    "no rows": (library.softmax, (X[:0],), {}),
    "numbers": (library.logsumexp, (X,), {}),
    "two rows": (library.kl_div, (X, Z), {}),
    "a row for all": (library.kl_div, (X, Z[0, 0]), {}),
    "rows of one axis for all": (library.kl_div, (X, Z[:1]), {}),
    "a mask": (library.masked_softmax, (X, MASK), {}),
    "targets": (library.cross_entropy, (X, TARGET), {"label_smoothing": 0.1}),
    "weights": (library.layer_norm, (X, W, B), {}),
    "weights of rows on another axis": (library.layer_norm, (X, W[:6], B[:6]), {"axis": 1}),
    "a number and a position": (best, (X,), {}),
    "a k-vector": (library.softmax_topk, (X,), {"k": 3}),
    "a k-vector on another axis": (library.softmax_topk, (X,), {"k": 3, "axis": 0}),
    "a table": (of_a_table, (X, W[:7].copy(), RNG.integers(0, 7, X.shape).astype(np.int32)), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_handler_gives_the_kernels_bits(ours, no_callbacks, name):
    """Compiled by jit, in C alone, the results are those of the kernel's own call, in JAX's integers."""
    kernel, arrays, options = CALLS[name]
    got = jax.jit(lambda *a: ours.wrap(kernel)(*a, **options))(*arrays)
    wide = [a.astype(np.int64) if a.dtype == np.int32 else a for a in arrays]
    want = kernel(*wide, **options)
    for one, other in zip(jax.tree.leaves(got), want if isinstance(want, tuple) else (want,), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["softmax", "numbers", "targets", "weights"])
def test_narrow_rows_have_the_kernels_bits(ours, no_callbacks, name, dtype):
    """bfloat16 and float16 are read and written by the loop."""
    kernel, arrays, options = CALLS[name]
    narrow = [jnp.asarray(a, dtype) if a.dtype == np.float32 else a for a in arrays]
    got = ours.wrap(kernel)(*narrow, **options)
    want = kernel(*[a.astype(np.int64) if a.dtype == np.int32 else np.asarray(a) for a in narrow], **options)
    np.testing.assert_array_equal(np.asarray(got), want, strict=True)


def test_doubles_have_the_kernels_bits(ours, doubles, no_callbacks):
    """float64, where JAX has it, gradients included."""
    x = X.astype(np.float64)
    got = jax.grad(lambda v: jnp.sum(ours.layer_norm(v, W.astype(np.float64)) ** 2))(x)
    y, saved = library.layer_norm.with_saved(x, W.astype(np.float64))
    np.testing.assert_allclose(got, library.layer_norm.vjp.from_saved(saved, 2 * y)[0], rtol=1e-12, atol=1e-14)


GRADIENTS = {
    "softmax": (lambda o, x: o.softmax(x, axis=1), (X,)),
    "log_softmax": (lambda o, x: o.log_softmax(x, temperature=2.0), (X,)),
    "cross_entropy": (lambda o, x: o.cross_entropy(x, TARGET), (X,)),
    "layer_norm": (lambda o, x, w, b: o.layer_norm(x, w, b), (X, W, B)),
    "a bias alone": (lambda o, x, b: o.layer_norm(x, bias=b), (X, B)),
    "rms_norm": (lambda o, x, w: o.rms_norm(x, w), (X, W)),
    "kl_div": (lambda o, x, z: o.kl_div(x, z), (X, Z[:1])),
    "sparsemax": (lambda o, x: o.sparsemax(x), (X,)),
}
PLAIN = {
    "softmax": lambda x: jax.nn.softmax(x, axis=1),
    "log_softmax": lambda x: jax.nn.log_softmax(x / 2),
    "cross_entropy": lambda x: -jnp.take_along_axis(jax.nn.log_softmax(x), TARGET[..., None], -1)[..., 0],
    "layer_norm": lambda x, w, b: jax.nn.standardize(x, epsilon=1e-5) * w + b,
    "a bias alone": lambda x, b: jax.nn.standardize(x, epsilon=1e-5) + b,
    "rms_norm": lambda x, w: x / jnp.sqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * w,
    "kl_div": lambda x, z: jnp.sum(jax.nn.softmax(x) * (jax.nn.log_softmax(x) - jax.nn.log_softmax(z)), -1),
}


@pytest.mark.parametrize("name", PLAIN)
def test_gradients_are_jaxs(ours, no_callbacks, name):
    """jax.grad under jit agrees with jax.grad of the same formula, in every argument."""
    function, arrays = GRADIENTS[name]
    places = tuple(range(len(arrays)))
    got, want = (jax.jit(jax.grad(lambda *a, f=f: jnp.sum(jnp.sin(f(*a))), places))(*arrays)
                 for f in (lambda *a: function(ours, *a), PLAIN[name]))  # fmt: skip
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", GRADIENTS)
def test_second_derivatives_are_right(ours, doubles, no_callbacks, name):
    """The gradient of a gradient along a direction is what central differences say, in float64."""
    function, arrays = GRADIENTS[name]
    own = [a.astype(np.float64)[..., :2, :5, :9] if a.ndim > 1 else a.astype(np.float64)[:9] for a in arrays]
    own[0] = own[0][:2]
    if name == "cross_entropy":
        target = TARGET[:2, :5] % 9
        function = lambda o, x: o.cross_entropy(x, target)
    first = jax.grad(lambda x, *more: jnp.sum(jnp.sin(function(ours, x, *more))))
    way = RNG.normal(size=own[0].shape)
    slope = lambda x: jnp.sum(first(x, *own[1:]) * RNG_WAY[: x.size].reshape(x.shape))
    want = (slope(own[0] + 1e-6 * way) - slope(own[0] - 1e-6 * way)) / 2e-6
    np.testing.assert_allclose(np.sum(jax.grad(slope)(own[0]) * way), want, rtol=1e-6, atol=1e-6)


RNG_WAY = np.random.default_rng(5).normal(size=4000)


def test_each_element_of_vmap_has_its_own_sum(ours, no_callbacks):
    """The gradient of a shared weight, for every element of a mapped axis, wherever that lies."""
    each = jax.vmap(jax.grad(lambda w, x: jnp.sum(ours.layer_norm(x, w) ** 2)), in_axes=(None, 1))
    want = [jax.grad(lambda w, x=x: jnp.sum(ours.layer_norm(x, w) ** 2))(W) for x in np.moveaxis(X, 1, 0)]
    np.testing.assert_allclose(each(jnp.asarray(W), X), np.stack(want), rtol=1e-6)


@pytest.mark.parametrize("axes", [(0, 0, None), (1, None, 0), (None, 0, 0)])
def test_vmap_maps_over_any_argument(ours, no_callbacks, axes):
    """Rows, weights and biases, mapped or not, one inside the other."""
    arrays = [X[:, :, :6], W[:24].reshape(4, 6), B[:24].reshape(4, 6)]
    arrays = [a[0] if k and axes[k] is None else a for k, a in enumerate(arrays)]
    if axes[0] == 1:
        arrays[0] = np.moveaxis(X[:, :, :6], 0, 1)
    got = jax.vmap(ours.layer_norm, axes)(*arrays)
    pick = lambda k, i: arrays[k] if axes[k] is None else np.take(arrays[k], i, axes[k])
    want = [library.layer_norm(*(np.ascontiguousarray(pick(k, i)) for k in range(3))) for i in range(4)]
    np.testing.assert_array_equal(got, np.stack(want))


@pytest.mark.parametrize("target", [50, -1])
def test_an_index_out_of_range_is_told_in_the_kernels_words(ours, target):
    """The name, the value, the row and what is expected."""
    wrong = TARGET.copy()
    wrong[1, 2] = target
    with pytest.raises(Exception, match=f"'target' is {target} at row 8; expected 0 to 49, or -100 for a row"):
        np.asarray(jax.jit(ours.cross_entropy)(X, wrong))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda o: o.softmax(X, axis=7), IndexError, "axis|range"),
        (lambda o: o.softmax(jnp.arange(3)), rf.DTypeError, "'x' has dtype int32"),
        (lambda o: o.softmax(X, temperature=-1.0), ValueError, "temperature"),
        (lambda o: o.kl_div(X), TypeError, "'z' is missing"),
        (lambda o: o.kl_div(X, Z[..., :7]), ValueError, "7"),
    ],
    ids="axis dtype setting missing lengths".split(),
)
def test_what_is_wrong_is_said_at_once(ours, call, kind, words):
    """Before anything runs, as by the kernel's own call."""
    with pytest.raises(kind, match=words):
        call(ours)


def test_without_a_c_compiler_a_callback_does_it(ours):
    """A kernel of another backend gives the same bits, and the same gradients."""
    kernel = library.layer_norm.using(backend="llvm")
    got, want = (jax.grad(lambda w, f=f: jnp.sum(f(X, w) ** 2))(W) for f in (ours.wrap(kernel), ours.layer_norm))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_array_equal(ours.wrap(kernel)(X, W), library.layer_norm(X, W))


def test_two_lengths_share_a_handler(ours):
    """A handler belongs to a plan, not to a shape."""
    from rowfold.interop.jax_ffi import handler

    one, other = (handler(library.softmax, rows, n, "float32", ()) for rows, n in ((9, 50), (17, 60)))
    assert one.target == other.target
