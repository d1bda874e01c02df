"""Merges of states of every kind, as C that stands alone has them: the bits of NumPy's, whatever the numbers are."""

import ctypes

import numpy as np
import pytest
from toolchain import STRICT, need, run

from rowfold.codegen.c.standalone_merging import merging_of
from rowfold.codegen.c.standalone_words import merging_words, renamed
from rowfold.codegen.lower.merging import STATES, kind_of
from rowfold.kernels.merging import merge, state_dtype

ROWS = 3000
SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-310, 5e-324, 1.0])
HEAD = """#include <math.h>
#include <stdint.h>
#include <string.h>
#define RF_COPY memcpy
#define RF_INFINITY INFINITY
#define RF_NAN NAN
#define RF_COLD
#pragma STDC FP_CONTRACT OFF
"""


def fields(dtype):
    """A state of each kind, sums in one double or in two, top-k of several sizes, two rounds."""
    w = 2 if dtype == "f64" else 1
    units = [("exp", 4 + w), ("exp", 4 + 3 * w), ("lse", 6), ("moments_a_aa", 2 + 2 * w), ("wmoments_a_aa", 2 + 3 * w)]
    units += [("moments_a_b_aa_ab_bb_aab", 3 + 6 * w), ("argmax", 2), ("sum", w), ("count", 1), ("prod", 1), ("max", 1)]
    units += [("min", 1), ("take", 2), *(("topk", 2, k) for k in (1, 2, 5, 16))]
    named = [(f"round{1 + (i % 3 == 2)}_{i}_{name}", tuple(shape)) for i, (name, *shape) in enumerate(units)]
    return (f"k_{dtype}_0", (2,)), ("given_t", ()), *sorted(named)


def numbers(rng, shape):
    ordinary = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 6, size=shape)
    return np.where(rng.random(shape) < 0.1, rng.choice(SPECIAL, size=shape), ordinary)


def states(rng, dtype):
    """Numbers of all sizes where a state may have them; rounds, places and counts as states have them."""
    made = np.empty(ROWS, state_dtype(fields(dtype)))
    head, *names = made.dtype.names
    for name in names:
        made[name] = numbers(rng, made[name].shape)
        _FILL.get(kind_of(name) if name.startswith("round") else "", lambda rng, field: None)(rng, made[name])
    made[head] = np.stack([rng.integers(0, 99, ROWS), rng.choice([0, 1, 1, 2], ROWS)], axis=-1)
    return made


def fill_powers(rng, field):
    far = rng.random(ROWS) < 0.3
    field[:, 0] = np.where(far, field[:, 0], np.rint(rng.normal(size=ROWS) * 200))
    field[:, 1] = np.where(far, field[:, 1], 0.0)
    field[:, 2] = np.where(far, rng.choice([1.0, 0.5, -2.0, np.nan], ROWS), 1.0)
    field[:, 3] = rng.choice([1.03, 1.03 * 2.0**64], ROWS)


def fill_moments(rng, field):
    field[:, -1] = rng.integers(0, 9, ROWS)


def fill_places(rng, field):
    field[:, 0] = rng.choice([1.0, 2.0, np.nan, np.inf, -np.inf], ROWS)
    field[:, 1] = rng.integers(-1, 9, ROWS)


def fill_lists(rng, field):
    k = field.shape[-1]
    values, places = rng.choice([0.0, 1.0, 2.0, np.nan, np.inf, -np.inf], (ROWS, k)), rng.random((ROWS, 64)).argsort()
    none = np.arange(k) >= rng.integers(0, 2 * k + 1, ROWS)[:, None]
    values, places = np.where(none, -np.inf, values), np.where(none, -1.0, places[:, :k])
    nan = np.isnan(values)
    order = np.lexsort((places, np.where(nan, 0.0, -values), ~nan, none), axis=-1)
    field[:, 0], field[:, 1] = (np.take_along_axis(v, order, axis=-1) for v in (values, places))


_FILL = {"exp": fill_powers, "lse": fill_powers, "moments": fill_moments, "wmoments": fill_moments,
         "argmax": fill_places, "topk": fill_lists}  # fmt: skip


def compiled(folder, dtype, compiler):
    """The function that merges one state."""
    merging, size = merging_of(fields(dtype), dtype), state_dtype(fields(dtype)).itemsize // 8
    text = [HEAD, *merging_words(dtype, "k_", merging), "void merge(const double *, const double *, double *);"]
    text += ["void merge(const double *a, const double *b, double *merged)", "{", f"    double m[{size}];"]
    text += [f"    memcpy(m, {merging.begun} ? a : b, sizeof m);", *renamed(merging.lines, "k_")]
    text += ["    memcpy(merged, m, sizeof m);", "}", ""]
    (folder / "merge.c").write_text("\n".join(text))
    strict = [] if compiler == "clang" else ["-Wno-unknown-pragmas"]
    run(need(compiler), "-std=c99", *STRICT, *strict, "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-o",
        folder / "merge.so", folder / "merge.c")  # fmt: skip
    return ctypes.CDLL(str(folder / "merge.so")).merge


@pytest.mark.parametrize("compiler", ["gcc", pytest.param("clang", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_c_and_numpy_merge_to_the_same_bits(dtype, compiler, tmp_path):
    """Random states of all kinds, one in ten numbers a special one; any NaN is a NaN."""
    assert {kind_of(name) for name, _ in fields(dtype)[2:]} == set(STATES)
    rng, function = np.random.default_rng(8), compiled(tmp_path, dtype, compiler)
    a, b = states(rng, dtype), states(rng, dtype)
    merged = np.empty_like(a)
    for i in range(ROWS):
        function(*(ctypes.c_void_p(s.ctypes.data + i * s.itemsize) for s in (a, b, merged)))
    got, wanted = (s.view(np.float64).reshape(ROWS, -1) for s in (merged, merge(a, b)))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    assert np.where(np.isnan(got), 0.5, got).tobytes() == np.where(np.isnan(wanted), 0.5, wanted).tobytes()
