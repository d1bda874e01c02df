"""Rows on axes that cannot be seen as one: taken a few at a time, with the bits of the same rows alone."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library as lib
from rowfold.runtime import folded


def draw(shape, dtype="float32"):
    return (np.random.default_rng(0).standard_normal(shape) * 5).astype(dtype)


def alone(kernel, x, axes, *more):
    """The same rows, copied to lie one after the other."""
    rest = [k for k in range(x.ndim) if k not in axes]
    moved = x.transpose(*rest, *axes)
    found = kernel(np.ascontiguousarray(moved).reshape(*moved.shape[: len(rest)], -1), *more)
    return found if found.ndim == len(rest) else found.reshape(moved.shape).transpose(np.argsort([*rest, *axes]))


@pytest.fixture
def taken(monkeypatch):
    """How many calls went this way."""
    calls = []
    run = folded.Folded.run
    monkeypatch.setattr(folded.Folded, "run", lambda self, *a: calls.append(run(self, *a)) or calls[-1])
    return calls


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("shape", "axes"), [((130, 30, 111), (0, 2)), ((6, 20, 7, 30, 4), (0, 2, 4)), ((6, 20, 70, 30), (1, 3))]
)
def test_rows_of_axes_apart_have_the_bits_of_rows_alone(shape, axes, threads, taken):
    """Rows and numbers, in any number of threads, in an array that is given or not."""
    x = draw(shape)
    options = {"axis": axes, "threads": threads}
    found = [lib.softmax(x, **options), lib.softmax(x, out=np.empty_like(x), **options), lib.logsumexp(x, **options)]
    expected = [alone(k, x, axes) for k in (lib.softmax, lib.softmax, lib.logsumexp)]
    assert [np.array_equal(f, e) for f, e in zip(found, expected, strict=True)] == [True] * 3 and len(taken) == 3


def test_a_weight_is_shared_and_other_rows_go_along(taken):
    """A weight as long as a row, in float64, and two arrays of one shape."""
    x, w = draw((40, 20, 50), "float64"), draw(2000, "float64")
    other = np.ascontiguousarray(x[::-1].transpose(1, 0, 2)).reshape(20, -1)
    apart = draw((40, 20, 100), "float64")[:, :, ::2]
    pairs = [(lib.rms_norm(apart, w, axis=(0, 2)), alone(lib.rms_norm, apart, (0, 2), w))]
    pairs += [(lib.layer_norm(x, w, axis=(0, 2)), alone(lib.layer_norm, x, (0, 2), w))]
    pairs.append((lib.kl_div(x, x[::-1], axis=(0, 2)), alone(lib.kl_div, x, (0, 2), other)))
    assert [np.array_equal(f, e) for f, e in pairs] == [True] * 3 and len(taken) == 3


@pytest.mark.parametrize(
    ("options", "error"),
    [({"threads": 0}, ValueError), ({"out": np.empty((3, 3), "f4")}, rf.OutputError), ({"axis": (0, 3)}, ValueError)],
)
def test_what_is_refused_is_refused_here_too(options, error):
    """Errors are those of any other call."""
    with pytest.raises(error, match=r"threads|out has shape|axis"):
        lib.softmax(draw((130, 30, 111)), **{"axis": (0, 2), **options})


def test_in_place_and_k_vectors_go_the_other_way():
    """What cannot be done a few rows at a time is still right."""
    x = draw((130, 30, 111))
    expected, best = lib.softmax(x, axis=(0, 2)), lib.softmax_topk(x, k=3, axis=(0, 2))[0]
    assert np.array_equal(lib.softmax(x, axis=(0, 2), out=x), expected) and best.shape == (30, 3)
