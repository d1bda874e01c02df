"""Gradients of what a whole batch shares: summed in the loop that gives the others, the same bits everywhere."""

import numpy as np
import pytest

from rowfold import library
from rowfold.codegen.running.interpret_plan import interpret_plan

RNG = np.random.default_rng(0)
X, G = RNG.normal(size=(2, 3, 4, 70)).astype(np.float32) * 3
W, B = RNG.normal(size=(2, 70)).astype(np.float32)


def exact(x, w, g):
    """The gradients of weight and bias in long double."""
    x = x.astype(np.longdouble)
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return (y * g).sum(axis=(0, 1)), g.astype(np.longdouble).sum(axis=(0, 1))


def bits(gradients):
    return [g.tobytes() for g in gradients]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_weights_are_right_to_a_few_units(dtype):
    """Within 4u of the sum of magnitudes for the weight, 1u for the bias."""
    x, g, w, b = (a.astype(dtype) for a in (X, G, W, B))
    unit = np.finfo(dtype).eps / 2
    got, want = library.layer_norm.vjp(x, w, b, g)[1:], exact(x, w, g)
    sizes = np.abs(x * g * 2).sum((0, 1)), np.abs(g).sum((0, 1))
    assert all(np.all(np.abs(o - e) <= k * unit * s) for o, e, s, k in zip(got, want, sizes, (4, 1), strict=True))


@pytest.mark.parametrize("options", [{"isa": "portable"}, {"backend": "llvm"}])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_give_the_same_sums(dtype, options):
    """C and LLVM IR, wide vectors and none, add the rows in one order."""
    x, g, w, b = (a.astype(dtype) for a in (X, G, W, B))
    assert bits(library.layer_norm.vjp.using(**options)(x, w, b, g)) == bits(library.layer_norm.vjp(x, w, b, g))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_interpreter_of_plans_adds_as_the_kernel_does(dtype):
    """Row after row, in the wide lanes."""
    x, g, w = (a.astype(dtype) for a in (X, G, W))
    got = library.layer_norm.vjp(x, g, weight=w)
    summing = next(iter(library.layer_norm.vjp._summers.values()))
    plan = summing.plan(x.shape, dtype, given=("weight",))
    want = interpret_plan(plan, {"x": x, "weight": w, "gradient": g}, {"eps": 1e-5})
    assert bits(got) == bits(r.astype(dtype) for r in want)


@pytest.mark.parametrize(
    "view", [np.asfortranarray, lambda a: a[::-1].copy()[::-1], lambda a: np.repeat(a, 2, -1)[..., ::2]]
)
def test_strides_change_no_bit(view):
    """The order of the rows is that of the batch, whatever memory looks like."""
    assert bits(library.rms_norm.vjp(view(X), W, view(G))) == bits(library.rms_norm.vjp(X, W, G))


def test_what_has_the_batchs_rank_keeps_its_shape():
    """A weight with axes of length 1 gets a gradient with them."""
    (_, got), (_, want) = library.rms_norm.vjp(X, W[None, None], G), library.rms_norm.vjp(X, W, G)
    np.testing.assert_array_equal(got, want[None, None])


def test_a_predicate_holds_in_the_sums():
    """What `where` leaves out adds nothing."""
    keep = X > -2
    got = library.layer_norm.vjp(X, W, B, G, where=keep)[2]
    np.testing.assert_allclose(got, np.where(keep, G, 0).sum((0, 1)), rtol=1e-5, atol=1e-5)


def test_an_empty_batch_sums_to_zero():
    """No rows, no gradient."""
    assert not library.rms_norm.vjp(X[:0], W, G[:0])[1].any()


def test_sums_go_where_the_caller_wants_them():
    """`out` takes them."""
    places = np.empty_like(X), np.empty_like(W)
    library.rms_norm.vjp(X, W, G, out=places)
    assert bits(places) == bits(library.rms_norm.vjp(X, W, G))


def test_threads_change_no_bit():
    """A large batch is summed in order, however many threads there are."""
    x, g = RNG.normal(size=(2, 512, 1024)).astype(np.float32)
    one, two = (library.layer_norm.vjp(x, g, weight=x[0], threads=k) for k in (1, 2))
    assert bits(one) == bits(two)
