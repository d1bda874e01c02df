"""What rows of one batch do for each other - guesses, sweeps beneath the next row - changes no bit of any."""

from __future__ import annotations

import numpy as np
import pytest

import rowfold as rf
from rowfold import library

KERNELS = {name: getattr(library, name) for name in "softmax log_softmax logsumexp entropy layer_norm".split()}
every_kernel = pytest.mark.parametrize("name", KERNELS)
every_width = pytest.mark.parametrize("n", [1, 16, 63, 257, 1000])


def wild(n: int, seed: int) -> np.ndarray:
    """Rows whose guesses fail in turn: far from each other, huge, infinite, without anything, not a number."""
    rng = np.random.default_rng(seed)
    offsets = np.array([0, 0, 0, 100, 100, -100, 1e4, -1e4, 3e38, -3e38, 90, 0, 7e4, 0, 0, 0])
    x = (rng.standard_normal((96, n)) * 3 + rng.permutation(np.tile(offsets, 6))[:, None]).astype("f")
    x[rng.integers(96, size=8)] = -np.inf
    x[rng.integers(96, size=4), rng.integers(n, size=4)] = np.nan
    x[rng.integers(96, size=4), rng.integers(n, size=4)] = np.inf
    x[rng.integers(96, size=8), rng.integers(n, size=8)] = 5000
    return x


def alone(k: rf.Kernel, x: np.ndarray) -> np.ndarray:
    return np.stack([k(row) for row in x])


@every_kernel
@every_width
def test_a_row_is_the_same_behind_any_other(name, n):
    """Shifts that the row before leaves are validated like any other."""
    x = wild(n, 1)
    assert KERNELS[name](x).tobytes() == alone(KERNELS[name], x).tobytes()


@every_width
def test_a_row_in_place_is_the_same_behind_any_other(n):
    """What is written over its own row is never guessed from another: it could not be done again."""
    x = wild(n, 2)
    expected = alone(library.softmax, x).tobytes()
    assert library.softmax(x, out=x).tobytes() == expected


@every_width
def test_rows_with_gaps_are_finished_like_others(n):
    """The last sweep of a row, which runs beneath the next one, finds rows with any stride."""
    x, out = wild(n, 3), np.empty((96, 3 * n), "f")
    library.softmax(x[::-1], out=out[:, ::3])
    assert out[:, ::3].tobytes() == alone(library.softmax, x[::-1]).tobytes()


def test_settings_may_change_from_row_to_row():
    """The compiled function takes a step for every argument, also for those that a batch usually shares."""
    ffi, lib = library.softmax.cffi(shape=(4, 300), dtype="float32")
    x, temperature, out = wild(300, 4)[:4], np.array([0.5, 1.0, 2.0, 3.0]), np.empty((4, 300), "f")
    args = [ffi.cast("char *", a.ctypes.data) for a in (x, temperature, out)]
    loop = getattr(lib, next(name for name in dir(lib) if name.startswith("rowfold_softmax")))
    loop(ffi.new("char *[]", args), ffi.new("intptr_t[]", [4, 300]),
         ffi.new("intptr_t[]", [1200, 8, 1200, 4, 4]), ffi.NULL)  # fmt: skip
    expected = [library.softmax(row, temperature=t) for row, t in zip(x, temperature, strict=True)]
    assert out.tobytes() == np.stack(expected).tobytes()


@pytest.mark.parametrize("name", ["log_softmax", "logsumexp", "cross_entropy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_below_the_last_one_has_nothing_beside_its_maximum(name, dtype):
    """One element, or one far above the others: what is left of those is 0 whatever maximum the row before had."""
    rng, kernel = np.random.default_rng(0), getattr(library, name)
    for n in (1, 2, 40, 300):
        x = np.full((2000, n), -1e4, dtype)
        x[:, 0] = rng.normal(size=2000) * 20
        more = (np.zeros(2000, np.int64),) if name == "cross_entropy" else ()
        alone = np.stack([kernel(row, *(m[0] for m in more)) for row in x[:50]])
        got = kernel(x, *more)
        assert got[:50].tobytes() == alone.tobytes()
        largest = got if name == "logsumexp" else x[:, 0] + got.reshape(2000, -1)[:, 0]
        assert largest.tobytes() == x[:, 0].tobytes()
