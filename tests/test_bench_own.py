"""A user's kernel in other libraries computes what the kernel computes, or it is said why it is not run there."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.bench import own
from rowfold.codegen.trace import trace

X = np.random.default_rng(0).normal(size=(4, 33)).astype(np.float32)
Z, W = X[::-1] * np.float32(0.5), np.linspace(1, 2, 4).astype(np.float32)
INPUTS = {"x": X, "allowed": X < 1, "y": np.array([3, 1, 4, 1]), "z": Z, "w": W}


def tempered(x, *, t: rf.Positive = 1.0):
    e = np.exp((x - np.max(x)) / t)
    return e / np.sum(e)


def standard(x):
    return (x - np.mean(x)) / np.std(x)


def loss(x, allowed: rf.Mask, y: rf.Index):
    others = allowed & (rf.positions(x) != y)
    return np.log(np.sum(np.exp(x), where=others)) - x[y]


def gated(x, z, w: rf.Scalar):
    return w * np.sum(np.tanh(x) * np.square(z)), np.where(x > z, np.log1p(np.exp(x)), 0.25 * z) - np.mean(x)


def largest(x):
    values, places = rf.topk(x, 3)
    return np.exp(values - rf.logsumexp(x)), places


def parameters(fn):
    """The names of a row function's arrays, in order."""
    return fn.__code__.co_varnames[: fn.__code__.co_argcount]


def program_and_inputs(fn):
    program = trace(fn)
    return program, {node.name: INPUTS[node.name] for _, node in program.inputs}


UNABLE = (("numba", loss), ("numba", largest), ("numpy", largest))


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "onnxruntime", "numba"])
@pytest.mark.parametrize("fn", [tempered, standard, gated, loss, largest])
def test_a_row_function_is_the_same_elsewhere(fn, library):
    """Within float32's rounding of what the kernel gives; what Numba has no function for it says."""
    pytest.importorskip(library)
    settings = {"t": 0.5} if fn is tempered else {}
    found, reasons = own.peers(fn, *program_and_inputs(fn), settings)
    run = next((run for name, run in found.items() if name.startswith(library)), None)
    if run is None:
        assert (library, fn) in UNABLE and "is not run: " in reasons[library]
        return
    expected = rf.kernel(fn).reference(*(INPUTS[name] for name in parameters(fn)), **settings)
    for mine, theirs in zip(run(), expected if isinstance(expected, tuple) else [expected], strict=True):
        assert np.allclose(np.reshape(np.asarray(mine), theirs.shape), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (lambda v: np.exp(v - np.max(v)) / np.sum(np.exp(v - np.max(v))), "softmax"),
        (lambda v: v - np.max(v) - np.log(np.sum(np.exp(v - np.max(v)))), "log_softmax"),
        (lambda v: np.max(v) + np.log(np.sum(np.exp(v - np.max(v)))), "logsumexp"),
        (lambda v: np.exp(2 * v) / np.sum(np.exp(2 * v)), None),
        (tempered, None),
    ],
)
def test_what_others_have_a_function_for_is_known_however_it_is_spelled(fn, name):
    """The algebra tells; another temperature is another function."""
    assert own.known(trace(fn)) == name


def test_masks_positions_and_an_index_are_numpys():
    """Whole arrays give one number a row."""
    run = own._numpy(loss, *program_and_inputs(loss), {})
    expected = rf.kernel(loss).reference(*(INPUTS[name] for name in parameters(loss)))
    assert np.allclose(run()[0][:, 0], expected, atol=1e-5)


def test_what_numpy_has_no_function_for_is_not_timed():
    """A detour would say nothing about NumPy."""
    assert own.peers(largest, *program_and_inputs(largest), {})[1]["numpy"].endswith("no plain function for topk")
