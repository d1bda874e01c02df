"""Short rows of a batch go through a kernel eight at a time, and no bit of any row tells."""

from __future__ import annotations

import numpy as np
import pytest

import rowfold as rf
from rowfold import gallery, library

isas = pytest.mark.parametrize("isa", [pytest.param(i, marks=pytest.mark.isa(i)) for i in ("avx512", "avx2")])
WIDTHS = (1, 15, 64, 100, 250, 256)
backends = pytest.mark.parametrize("backend", ["c", "llvm"])


@rf.kernel
def many_words(x, w: rf.Scalar, y: rf.Index, *, scale: float = 1.0):
    """Row-constant arithmetic of every kind between two walks."""
    center, spread = np.mean(x), np.max(x) - np.min(x)
    factor = np.where(spread > 3.0, np.log1p(np.abs(w)), np.sqrt(np.exp(-w * w) + spread))
    near = np.minimum(np.maximum(factor, 0.1), 3.0) / (1.0 + np.tanh(x[y]) ** 2)
    return (x - center) * near * scale, np.sum(x * x) * np.sign(w) - np.floor(near) + np.log(spread + 1.0)


@rf.kernel
def own_temperature(x, t: rf.Scalar):
    """A softmax whose exponent has another factor in every row."""
    return np.log(np.sum(np.exp(x / t))) * t


def rows(n: int, seed: int, dtype: str = "float32") -> np.ndarray:
    """61 rows, some of which send their group to the rows alone."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((61, n)) * 2
    x[17], x[30] = 1e30, -np.inf
    x[33, n // 2], x[42, n // 3] = np.nan, np.inf
    return x.astype(dtype)


def same(kernel: rf.Kernel, *arrays: np.ndarray) -> bool:
    """Whether a batch has the bits of its rows alone."""
    together = kernel(*arrays)
    alone = [kernel(*given) for given in zip(*arrays, strict=True)]
    if not isinstance(together, tuple):
        return together.tobytes() == np.stack(alone).tobytes()
    return all(t.tobytes() == np.stack(a).tobytes() for t, a in zip(together, zip(*alone, strict=True), strict=True))


@isas
@backends
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm"])
def test_a_group_has_the_bits_of_its_rows(name, backend, isa):
    """Float32: with a whole number of vectors and without, up to a whole block."""
    kernel = getattr(library, name).using(isa=isa, backend=backend)
    assert [same(kernel, rows(n, 1)) for n in WIDTHS] == [True] * len(WIDTHS)


@backends
@pytest.mark.parametrize("name", ["log_softmax", "layer_norm"])
def test_a_group_of_doubles_has_the_bits_of_its_rows(name, backend):
    """Float64, whose sums have two parts."""
    assert same(getattr(library, name).using(backend=backend), rows(100, 2, "float64"))


@isas
@backends
def test_numbers_of_a_group_are_those_of_its_rows(backend, isa):
    """Numbers, settings, an index and two results: each in its own lane."""
    rng = np.random.default_rng(3)
    x, w, y = rng.standard_normal((61, 90)).astype("f"), rng.standard_normal(61), rng.integers(90, size=61)
    assert same(many_words.using(isa=isa, backend=backend), x, w, y)


@backends
def test_factors_of_exponents_differ_in_a_group(backend):
    """Each row has a guess in its own octaves."""
    assert same(own_temperature.using(backend=backend), rows(90, 11), np.random.default_rng(12).uniform(0.5, 4.0, 61))


@backends
def test_a_running_maximum_may_begin_at_a_number_of_the_row(backend):
    """The least exponent that a row's own factor leaves is where its maximum starts."""
    rng = np.random.default_rng(12)
    h, tau, along = rng.normal(size=(25, 9)), rng.uniform(0.5, 4.0, 25), rng.normal(size=(2, 25))
    assert same(gallery.temperature_dro.vjp.using(backend=backend), h, tau, *along)


@backends
def test_rows_of_several_blocks_go_together(backend):
    """Those whose logarithms would wait for each other."""
    assert [same(library.log_softmax.using(backend=backend), rows(n, 10)) for n in (257, 512, 1000)] == [True] * 3


@backends
def test_masked_rows_go_together(backend):
    """A mask a row, and bytes beside floats."""
    mask = np.random.default_rng(5).random((61, 70)) < 0.7
    assert same(library.masked_softmax.using(backend=backend), rows(70, 6), mask)


@backends
def test_rows_in_place_go_together_or_alone(backend):
    """A row is never needed again after it was written."""
    x, kernel = rows(90, 7), library.softmax.using(backend=backend)
    expected = kernel(x).tobytes()
    assert kernel(x, out=x).tobytes() == expected


@backends
def test_narrow_rows_go_together(backend):
    """Rows of 16 bits, read and rounded through a block of floats."""
    x = np.random.default_rng(8).standard_normal((61, 100)).astype("float16")
    assert same(library.softmax.using(backend=backend), x)


@backends
def test_a_group_at_the_end_of_a_batch_is_finished(backend):
    """The last sweep of a group runs beneath the next one, or behind the last row."""
    assert [same(library.softmax.using(backend=backend), rows(70, 9)[:count]) for count in (8, 9, 16, 17, 25)] == [
        True
    ] * 5
