"""What others hold such functions to: the array API's tables, oneDNN's kind of inputs, XNNPACK's kind of sizes.

Written from their published descriptions (data-apis.org/array-api, "Special cases" of each function; the README of
oneDNN's benchdnn driver for softmax; the micro-kernel tests that XNNPACK describes by elements, tiles and ranges).
"""

from math import inf, nan, pi

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.runtime.cpu import host_isas
from rowfold.testing import exact_log_softmax, exact_softmax, published_bound

BACKENDS = [*(("c", isa) for isa in host_isas()[:2]), ("llvm", "auto"), ("numpy", "auto")]
every_backend = pytest.mark.parametrize(("backend", "isa"), BACKENDS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

# function -> (x, result); of zeros the sign counts
UNARY = {
    "abs": [(nan, nan), (-0.0, 0.0), (-inf, inf)],
    "arctan": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, pi / 2), (-inf, -pi / 2)],
    "ceil": [(3.0, 3.0), (inf, inf), (-inf, -inf), (0.0, 0.0), (-0.0, -0.0), (nan, nan)],
    "cos": [(nan, nan), (0.0, 1.0), (-0.0, 1.0), (inf, nan), (-inf, nan)],
    "exp": [(nan, nan), (0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0)],
    "expm1": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -1.0)],
    "floor": [(-3.0, -3.0), (inf, inf), (-inf, -inf), (0.0, 0.0), (-0.0, -0.0), (nan, nan)],
    "isfinite": [(nan, 0), (inf, 0), (-inf, 0), (1.0, 1)],
    "isnan": [(nan, 1), (inf, 0), (0.0, 0)],
    "log": [(nan, nan), (-1.0, nan), (-inf, nan), (0.0, -inf), (-0.0, -inf), (1.0, 0.0), (inf, inf)],
    "log1p": [(nan, nan), (-2.0, nan), (-1.0, -inf), (-0.0, -0.0), (0.0, 0.0), (inf, inf)],
    "log2": [(nan, nan), (-1.0, nan), (0.0, -inf), (-0.0, -inf), (1.0, 0.0), (inf, inf)],
    "reciprocal": [(nan, nan), (0.0, inf), (-0.0, -inf), (inf, 0.0), (-inf, -0.0)],
    "sign": [(-3.0, -1.0), (3.0, 1.0), (inf, 1.0), (-inf, -1.0), (nan, nan)],
    "sin": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, nan), (-inf, nan)],
    "sqrt": [(nan, nan), (-1.0, nan), (0.0, 0.0), (-0.0, -0.0), (inf, inf)],
    "square": [(nan, nan), (-0.0, 0.0), (-inf, inf)],
    "tanh": [(nan, nan), (0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0)],
}
# function -> (x1, x2, result)
BINARY = {
    "add": [(nan, 1.0, nan), (inf, -inf, nan), (inf, inf, inf), (inf, -1.0, inf), (-0.0, -0.0, -0.0), (-0.0, 0.0, 0.0)],
    "divide": [(inf, inf, nan), (0.0, -0.0, nan), (1.0, 0.0, inf), (1.0, -0.0, -inf), (-1.0, inf, -0.0)],
    "logaddexp": [(nan, 1.0, nan), (1.0, nan, nan), (inf, -1.0, inf), (-5.0, inf, inf), (inf, -inf, inf)],
    "maximum": [(nan, 1.0, nan), (1.0, nan, nan), (inf, -inf, inf)],
    "minimum": [(nan, 1.0, nan), (1.0, nan, nan), (inf, -inf, -inf)],
    "multiply": [(inf, 0.0, nan), (-inf, -inf, inf), (inf, -2.0, -inf), (-2.0, 0.0, -0.0)],
}  # fmt: skip
EMPTY = {"sum": 0.0, "prod": 1.0, "all": True, "any": False, "mean": nan, "var": nan, "std": nan}


@rf.kernel
def unary(x):
    return tuple(getattr(np, name)(x) for name in UNARY)


@rf.kernel
def binary(x, y):
    return tuple(getattr(np, name)(x, y) for name in BINARY)


@rf.kernel
def folds(x):
    return tuple(getattr(np, name)(x) for name in EMPTY)


def misses(kernel, table, dtype):
    """The functions and arguments whose result is not what the table says, to an ulp where it is no special value."""
    wrong = []
    for i, (name, cases) in enumerate(table.items()):
        *rows, wanted = np.array(cases, dtype).T
        got = np.asarray(kernel(*(row[None] for row in rows))[i])[0].astype(dtype)
        with np.errstate(invalid="ignore"):
            same = (got == wanted) | (np.abs(got - wanted) <= np.spacing(np.abs(wanted)))
        same |= np.isnan(got) & np.isnan(wanted)
        same &= (wanted != 0) | (np.signbit(got) == np.signbit(wanted))
        wrong += [(name, cases[k], got[k]) for k in np.flatnonzero(~same)]
    return wrong


@every_dtype
@every_backend
def test_special_cases_of_one_argument(backend, isa, dtype):
    """As the array API says, signs of zeros too."""
    assert misses(unary.using(backend=backend, isa=isa), UNARY, dtype) == []


@every_dtype
@every_backend
def test_special_cases_of_two_arguments(backend, isa, dtype):
    """The same for a pair of rows."""
    assert misses(binary.using(backend=backend, isa=isa), BINARY, dtype) == []


@every_dtype
@every_backend
def test_reductions_of_nothing(backend, isa, dtype):
    """A row without an element gives the identity, and NaN where there is none."""
    found = folds.using(backend=backend, isa=isa)(np.empty((2, 0), dtype))
    np.testing.assert_array_equal(np.array(found, float), np.tile(np.array([*EMPTY.values()], float)[:, None], 2))


def far(name, got, exact, dtype):
    """The worst error as a part of the published bound."""
    with np.errstate(invalid="ignore"):
        error = np.abs(got.astype(np.longdouble) - exact)
    return float(np.max(error / published_bound(name, exact, dtype)))


LOGITS = {"softmax": exact_softmax, "log_softmax": exact_log_softmax}
# as networks have them: classifiers, detectors, attention, segmentation over channels; then what no one has
SHAPES = [((96, 1000), 1), ((16, 81), 1), ((32, 12, 33, 33), 3), ((2, 21, 30, 31), 1), ((1, 2, 17, 6), 0), ((7,), 0),
          ((3, 1, 5), 1), ((2, 3, 4, 5, 6), 2), ((0, 10), 1), ((2, 1025), 1)]  # fmt: skip


@every_dtype
@pytest.mark.parametrize("name", LOGITS)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_small_whole_numbers_mostly_far_below(shape, axis, name, dtype):
    """Few elements count and the rest lie so far below that a sum in any order is the same."""
    rng = np.random.default_rng(len(shape))
    x = np.where(rng.random(shape) < 0.1, rng.integers(0, 8, shape), -128).astype(dtype)
    got = getattr(library, name)(x, axis=axis)
    want = np.moveaxis(LOGITS[name](np.moveaxis(x, axis, -1)), -1, axis)
    assert got.shape == shape and (got.size == 0 or far(name, got, want, dtype) <= 1)


TILES = (4, 8, 16, 32, 64, 256)


@every_dtype
@pytest.mark.parametrize("tile", TILES)
def test_elements_about_a_tile(tile, dtype):
    """One, fewer than a tile, a tile, more, multiples and what is between; in a batch, in place, and from -1 to 1."""
    counts = {1, tile - 1, tile, tile + 1, *(m * tile + d for m in (2, 3, 5) for d in (-1, 0, 1))}
    wrong = []
    for count in sorted(counts):
        for low, high in ((-1, 1), (0, 1), (-100, -90), (1000, 1080)):
            x = np.random.default_rng(count).uniform(low, high, (5, count)).astype(dtype)
            want, bits = exact_softmax(x), library.softmax(x).tobytes()
            placed = x.copy()
            library.softmax(placed, out=placed)
            if far("softmax", placed, want, dtype) > 1 or placed.tobytes() != bits:
                wrong.append((count, low))
    assert wrong == []
