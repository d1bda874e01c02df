"""What decides the bits: program, settings, dtype, row length and ISA, and nothing else."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from slices import sliced

from rowfold import library
from rowfold.errors import PlanError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import LAYOUTS, STRATEGIES, laid_out
from rowfold.testing.values import FINITE, row

KERNELS = ("softmax", "log_softmax", "logsumexp", "entropy", "layer_norm")
ROW_KERNELS = ("softmax", "log_softmax", "layer_norm")
DTYPES = ("float32", "float64")
WIDTHS = (1, 2, 3, 15, 16, 17, 100, 255, 256, 257, 1000, 4097)
MODERATE = sorted(set(FINITE) - {"huge", "outlier_far_up", "random_bits", "subnormal_outputs", "tiny", "uniform_wide"})
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_kernel = pytest.mark.parametrize("name", KERNELS)


def quick(case):
    """Every kernel on the best instruction set, some on AVX2, softmax on all."""
    name, dtype, isa = case
    if isa == "portable":
        return (name, dtype) == ("softmax", "float64")
    return isa == host_isas()[0] or (name in ("softmax", "log_softmax") and dtype == "float32")


every_combination, every_row_combination = (
    pytest.mark.parametrize(("name", "dtype", "isa"), sliced(product(names, DTYPES, host_isas()), quick))
    for names in (KERNELS, ROW_KERNELS)
)

every_softmax = pytest.mark.parametrize(
    ("dtype", "isa", "strategy"),
    sliced(product(DTYPES, host_isas(), STRATEGIES[:-1]), lambda c: quick(("softmax", *c[:2])) or c[2] == "auto"),
)


@cache
def rows(dtype, n, kinds=tuple(FINITE)):
    rng = np.random.default_rng(n)
    return np.array([row(kind, dtype, n, rng) for kind in kinds])


def bits(array):
    return np.ascontiguousarray(array).tobytes()


def kernel(name, isa="auto", strategy="auto"):
    return getattr(library, name).using(strategy=strategy, isa=isa)


@every_softmax
def test_one_element_has_probability_one(strategy, isa, dtype):
    """A row of one finite element gives exactly 1.0."""
    x = np.array([row(kind, dtype, 1, np.random.default_rng(seed)) for kind in FINITE for seed in range(50)])
    assert np.all(kernel("softmax", isa, strategy)(x) == 1.0)


@every_softmax
def test_equal_elements_share_exactly(strategy, isa, dtype):
    """2^k equal entries give exactly 2^-k."""
    run, values = kernel("softmax", isa, strategy), np.array([0.0, -3.7, 88.2, 1e4, -2.5e5, 3e38], dtype=dtype)
    assert [k for k in range(13) if not np.all(run(np.tile(values[:, None], 2**k)) == 2.0**-k)] == []


@pytest.mark.parametrize(
    ("name", "dtype", "isa"),
    sliced(product(KERNELS, DTYPES, host_isas()), lambda c: quick(c) and (c[2] != "avx2" or c[0] == "softmax")),
)
def test_every_strategy_gives_the_same_bits(name, dtype, isa):
    """The strategies that have a plan agree bitwise, but for rows beyond 2^16 and subnormal intermediates."""
    different = []
    for n in WIDTHS:
        x = rows(dtype, n, tuple(MODERATE))
        want = bits(kernel(name, isa)(x))
        for strategy in STRATEGIES[1:]:
            try:
                got = kernel(name, isa, strategy)(x)
            except PlanError:
                continue
            if bits(got) != want:
                different.append((strategy, n))
    assert different == []


@every_combination
def test_a_row_alone_has_the_bits_it_has_in_a_batch(name, dtype, isa):
    """Neither the batch nor the place in it changes a bit."""
    run, x = kernel(name, isa), {n: rows(dtype, n) for n in WIDTHS}
    different = [n for n in WIDTHS if bits(run(x[n])) != b"".join(bits(run(one)) for one in x[n])]
    assert different == []


@every_kernel
@every_dtype
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_no_layout_changes_a_bit(name, dtype, layout):
    """Strides of any sign, gaps and misalignment change no bit."""
    run, x = kernel(name), {n: rows(dtype, n) for n in WIDTHS}
    different = [n for n in WIDTHS if bits(run(laid_out(x[n], layout))) != bits(run(x[n]))]
    assert different == []


@every_row_combination
@pytest.mark.parametrize("strategy", STRATEGIES[:-1])
def test_in_place_changes_no_bit(name, dtype, isa, strategy):
    """A kernel may write over its input."""
    run, different = kernel(name, isa, strategy), []
    for n in WIDTHS:
        try:
            want = bits(run(rows(dtype, n)))
        except PlanError:
            continue
        x = rows(dtype, n).copy()
        if bits(run(x, out=x)) != want:
            different.append(n)
    assert different == []


@every_kernel
@every_dtype
@pytest.mark.parametrize("axis", [0, 1])
def test_no_axis_changes_a_bit(name, dtype, axis):
    """A row along another axis gives the bits that it gives along the last."""
    run, x = kernel(name), {n: rows(dtype, n).reshape(2, -1, n) for n in WIDTHS}
    different = []
    for n in WIDTHS:
        got = run(np.ascontiguousarray(np.moveaxis(x[n], -1, axis)), axis=axis)
        if bits(np.moveaxis(got, axis, -1) if got.ndim == 3 else got) != bits(run(x[n])):
            different.append(n)
    assert different == []
