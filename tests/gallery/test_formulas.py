"""Every kernel computes the formula of its paper, as the tests write it: plainly, in long doubles, row by row."""

import shutil

import formulas_losses
import formulas_norms
import formulas_rows
import formulas_weights
import numpy as np
import pytest
from samples import TAME, arguments, quickly

from rowfold import library, options
from rowfold.codegen.lower.kernel import lower
from rowfold.errors import PlanError
from rowfold.gallery import entries
from rowfold.runtime.cpu import host_isas
from rowfold.testing import STRATEGIES

MODULES = (formulas_rows, formulas_norms, formulas_weights, formulas_losses)
FORMULAS = {k: v for module in MODULES for k, v in vars(module).items()}
ENTRIES = {e.name: e for e in entries() if not e.parts}
WIDTH = {"nucleus_filter": 80}
# Results that jump: a rounding of the float32 argument may move them by one step, or across a threshold.
STEPS = {"quantized_softmax": 1, "softmax_bias": 1e-3, "block_quantize": 1, "absmean_ternary": 1,
         "absmax_int8": 1, "codebook_quantize": 1, "rms_norm_int8": 1, "stats_quantize": 1,
         "gaussian_weight_sampling": 0.02, "minmax_quantize": 1}  # fmt: skip
every_kernel = pytest.mark.parametrize("name", sorted(ENTRIES))


def wanted(name, given):
    """The formula's results, one array each, for rows of long doubles."""
    settings = ENTRIES[name].settings
    wide = [a.astype(np.longdouble) if a.dtype.kind == "f" else a for a in given]
    with np.errstate(all="ignore"):
        rows = [FORMULAS[name](*(a[i] for a in wide), **settings) for i in range(len(TAME))]
    rows = [row if isinstance(row, tuple) else (row,) for row in rows]
    return [np.stack([np.asarray(row[j], np.longdouble) for row in rows]) for j in range(len(rows[0]))]


def results(kernel, given, settings):
    got = kernel(*given, **settings)
    return got if isinstance(got, tuple) else (got,)


def far(name, got, want, close):
    """The worst distance over what the inputs' rounding allows: `close` of the value, of the largest one, and of 1."""
    worst = 0.0
    for g, w in zip(got, want, strict=True):
        same = (np.asarray(g, np.longdouble) == w) | (np.isnan(g) & np.isnan(w))
        finite = np.abs(np.where(np.isfinite(w), w, 0))
        allowed = STEPS.get(name, 0) + close * (finite + np.max(finite, axis=-1, keepdims=True) + 1)
        with np.errstate(invalid="ignore"):
            part = np.where(same, 0.0, np.abs(np.asarray(g, np.longdouble) - w) / allowed)
        worst = max(worst, float(np.max(part)))
    return worst


@every_kernel
def test_the_row_function_is_the_formula(name):
    """On float64 rows the plain function and the paper agree to ten digits."""
    entry = ENTRIES[name]
    given = arguments(name, entry.made, WIDTH.get(name, 33), np.float64)
    got = entry.made.reference(*given, **entry.settings)
    assert far(name, got if isinstance(got, tuple) else (got,), wanted(name, given), 1e-10) <= 1


@every_kernel
def test_the_compiled_kernel_is_the_formula(name):
    """The fused float32 kernel computes what the paper says, within what float32 allows."""
    entry, kernel = ENTRIES[name], quickly(ENTRIES[name].made, sorted(ENTRIES).index(name))
    given = arguments(name, entry.made, WIDTH.get(name, 100), np.float32)
    assert far(name, results(kernel, given, entry.settings), wanted(name, given), 2e-5) <= 1


def loops_of(entry, isa, dtype, width):
    """A kernel for each of the strategies whose plans become different loops, the one that `auto` chooses first."""
    found = []
    for strategy in STRATEGIES:
        kernel = entry.made.using(strategy=strategy, isa=isa)
        try:
            steps = lower(kernel.plan((len(TAME), width), dtype, **entry.settings)).steps
        except PlanError:
            continue
        if steps not in found:
            found.append(steps)
            yield kernel


@pytest.fixture(scope="module")
def unoptimized(tmp_path_factory):
    """GCC at -O0, which takes a twentieth of the time for portable C and gives the same bits (test_emitted_c)."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    command = tmp_path_factory.mktemp("cc") / "gcc"
    command.write_text('#!/bin/sh\nexec gcc "$@" -O0\n')
    command.chmod(0o755)
    return str(command)


@pytest.mark.slow
@every_kernel
@pytest.mark.parametrize("isa", host_isas())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_strategy_is_the_formula(name, isa, dtype, unoptimized):
    """The loops of all strategies that have a plan, on every instruction set, in both types."""
    entry, close, width = ENTRIES[name], {"float32": 2e-5, "float64": 1e-10}[dtype], WIDTH.get(name, 100)
    given = arguments(name, entry.made, width, dtype)
    want = wanted(name, given)
    with options(cc=unoptimized):
        got = {k: results(k, given, entry.settings) for k in loops_of(entry, isa, dtype, width)}
    assert [k for k, found in got.items() if not far(name, found, want, close) <= 1] == []


@pytest.mark.slow
@every_kernel
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_optimized_kernel_is_the_formula(name, dtype):
    """What a call compiles on this machine, as C at -O3."""
    entry, close = ENTRIES[name], {"float32": 2e-5, "float64": 1e-10}[dtype]
    given = arguments(name, entry.made, WIDTH.get(name, 100), dtype)
    assert far(name, results(entry.made.using(backend="c"), given, entry.settings), wanted(name, given), close) <= 1


def test_every_kernel_of_the_library_is_held_against_a_formula():
    """A ready-made kernel that stands in no list would be compared with itself alone."""
    assert [name for name in library.__all__ if name not in ENTRIES] == []
