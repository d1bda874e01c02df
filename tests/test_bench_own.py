"""A user's kernel in other libraries computes what the kernel computes, or it is said why it is not run there."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.bench import own
from rowfold.codegen.trace import trace

X = np.random.default_rng(0).normal(size=(4, 33)).astype(np.float32)
INPUTS = {"x": X, "allowed": X < 1, "y": np.array([3, 1, 4, 1])}


def tempered(x, *, t: rf.Positive = 1.0):
    e = np.exp((x - np.max(x)) / t)
    return e / np.sum(e)


def standard(x):
    return (x - np.mean(x)) / np.std(x)


def loss(x, allowed: rf.Mask, y: rf.Index):
    others = allowed & (rf.positions(x) != y)
    return np.log(np.sum(np.exp(x), where=others)) - x[y]


def largest(x):
    return rf.topk(x, 3)[0]


def program_and_inputs(fn):
    program = trace(fn)
    return program, {node.name: INPUTS[node.name] for _, node in program.inputs}


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "numba"])
@pytest.mark.parametrize(("fn", "settings"), [(tempered, {"t": 0.5}), (standard, {})])
def test_a_row_function_is_the_same_elsewhere(fn, settings, library):
    """Within float32's rounding of what the kernel gives."""
    pytest.importorskip(library)
    run = getattr(own, f"_{library}")(fn, *program_and_inputs(fn), settings)
    assert np.allclose(np.asarray(run()[0]), rf.kernel(fn).reference(X, **settings), atol=1e-5)


def test_masks_positions_and_an_index_are_numpys():
    """Whole arrays give one number a row."""
    run = own._numpy(loss, *program_and_inputs(loss), {})
    assert np.allclose(run()[0][:, 0], rf.kernel(loss).reference(*INPUTS.values()), atol=1e-5)


def test_what_numpy_has_no_function_for_is_not_timed():
    """A detour would say nothing about NumPy."""
    assert own.peers(largest, *program_and_inputs(largest), {})[1]["numpy"].endswith("no plain function for topk")
