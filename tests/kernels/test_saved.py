"""Gradients from what a forward call kept, and values with gradients in one call."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library

RNG = np.random.default_rng(0)
X, Z, G = RNG.normal(size=(3, 5, 70)).astype(np.float32) * 3
W, B = RNG.normal(size=(2, 70)).astype(np.float32)
ONE = G[:, 0].copy()
TARGET = np.array([3, 0, -100, 69, 7])
CALLS = {
    "softmax": ((X,), G),
    "log_softmax": ((X,), G),
    "masked_softmax": ((X, Z > 0), G),
    "logsumexp": ((X,), ONE),
    "cross_entropy": ((X, TARGET), ONE),
    "entropy": ((X,), ONE),
    "kl_div": ((X, Z), ONE),
    "layer_norm": ((X, W, B), G),
    "rms_norm": ((X, W), G),
    "var": ((X,), ONE),
}
KEPT = {
    "softmax": ("result",),
    "log_softmax": ("x", "saved"),
    "cross_entropy": ("logits", "target", "saved"),
    "layer_norm": ("x", "weight", "saved_0", "saved_1"),
    "rms_norm": ("x", "weight", "saved"),
}


def close(got, want):
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6 * np.abs(other).max(), strict=True)


@pytest.mark.parametrize("name", CALLS)
def test_what_was_kept_gives_the_gradients(name):
    """From what was kept come the gradients that the whole call would have."""
    arrays, gradient = CALLS[name]
    kernel = getattr(library, name)
    _, saved = kernel.with_saved(*arrays)
    close(kernel.vjp.from_saved(saved, gradient), kernel.vjp(*arrays, gradient))


@pytest.mark.parametrize("name", CALLS)
def test_keeping_changes_no_bit_of_the_result(name):
    """The results are those of the plain call."""
    arrays, _ = CALLS[name]
    kernel = getattr(library, name)
    np.testing.assert_array_equal(kernel.with_saved(*arrays)[0], kernel(*arrays))


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_is_the_least_to_read(name):
    """Softmax keeps its result, cross-entropy its logsumexp, norms the mean and the deviation."""
    arrays, _ = CALLS[name]
    assert getattr(library, name).with_saved(*arrays)[1].names == KEPT[name]


@pytest.mark.parametrize("name", CALLS)
def test_value_and_gradients_come_in_one_call(name):
    """with_value gives what the kernel gives, and its gradients."""
    arrays, gradient = CALLS[name]
    kernel = getattr(library, name)
    value, gradients = kernel.vjp.with_value(*arrays, gradient)
    close((value, *gradients), (kernel(*arrays), *kernel.vjp(*arrays, gradient)))


def test_value_and_gradients_go_where_the_caller_wants_them():
    """`out` is one tuple for both."""
    places = np.empty(5, np.float32), np.empty_like(X)
    value, (gradient,) = library.cross_entropy.vjp.with_value(X, TARGET, ONE, out=places)
    assert value is places[0] and gradient is places[1]


@pytest.mark.parametrize("options", [{"where": X > -2}, {"temperature": 2.0}])
def test_options_of_the_call_are_kept_too(options):
    """A predicate and a temperature hold for the gradients."""
    _, saved = library.softmax.with_saved(X, **options)
    close(library.softmax.vjp.from_saved(saved, G), library.softmax.vjp(X, G, **options))


def test_another_axis_is_kept_too():
    """A row on the first axis gives gradients there."""
    x, g = np.ascontiguousarray(X.T), np.ascontiguousarray(G.T)
    _, saved = library.layer_norm.with_saved(x, W, axis=0)
    close(library.layer_norm.vjp.from_saved(saved, g), library.layer_norm.vjp(x, W, g, axis=0))


def test_a_kept_row_outlives_an_out_on_its_memory():
    """Where the result is written over a row that is kept, a copy of the row is kept."""
    x = X.copy()
    _, saved = library.log_softmax.with_saved(x, out=x)
    close(library.log_softmax.vjp.from_saved(saved, G), library.log_softmax.vjp(X, G))


def test_numbers_are_kept_as_doubles():
    """Two float64 numbers a row are all that a layer norm adds to the caller's memory."""
    assert library.layer_norm.with_saved(X)[1].nbytes == 2 * 8 * 5


def test_what_another_kernel_kept_is_refused():
    """from_saved takes what its own kernel kept."""
    _, saved = library.logsumexp.with_saved(X)
    with pytest.raises(TypeError, match=r"softmax_vjp.from_saved: expected what softmax.with_saved gave"):
        library.softmax.vjp.from_saved(saved, G)


def test_a_missing_gradient_is_named():
    """from_saved says which gradients it expects."""
    _, saved = library.softmax.with_saved(X)
    with pytest.raises(TypeError, match=r"expected 1 gradients \(gradient\)"):
        library.softmax.vjp.from_saved(saved)


def test_gradients_of_ones_own_keep_nothing():
    """Nobody knows what a function of @k.defvjp needs."""
    kernel = rf.kernel(lambda x: np.sum(x), name="total")
    kernel.defvjp(lambda x, gradient: (np.zeros_like(x) + gradient,))
    with pytest.raises(rf.NotDifferentiableError, match="defvjp does not say what to keep"):
        kernel.with_saved(X)
