"""The published accuracy, over every kind of row, for every strategy and instruction set of this CPU."""

from functools import cache

import numpy as np
import pytest

from rowfold import library
from rowfold.errors import PlanError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import (
    STRATEGIES,
    exact_log_softmax,
    exact_logsumexp,
    exact_softmax,
    published_bound,
    ulp_error,
)
from rowfold.testing.values import FINITE, row

EXACT = {"softmax": exact_softmax, "log_softmax": exact_log_softmax, "logsumexp": exact_logsumexp}
WIDTHS = (1, 2, 3, 15, 16, 17, 100, 255, 256, 257, 1000, 4096)
every_kernel = pytest.mark.parametrize("name", sorted(EXACT))
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
every_isa = pytest.mark.parametrize("isa", host_isas())
# every strategy on the best instruction set, and on the others those that differ most; the long run takes them all
COMBINATIONS = [
    (isa, strategy) for isa in host_isas() for strategy in STRATEGIES if isa == host_isas()[0] or strategy == "two_pass"
]


@cache
def zoo_rows(dtype, n, seed=0):
    """One finite row of every kind, and one more of the common kinds."""
    rng = np.random.default_rng(seed)
    kinds = FINITE if n <= 32_000 else ("normal_x5", "normal_plus_1e4", "all_equal", "outlier_up")
    return np.array([row(kind, dtype, n, rng) for kind in kinds])


@cache
def exact(name, dtype, n, seed=0):
    return EXACT[name](zoo_rows(dtype, n, seed))


def part_of_bound(name, got, want, dtype):
    """The worst error as a part of the published bound."""
    assert got.dtype == dtype
    with np.errstate(all="ignore"):
        error = np.abs(got.astype(np.longdouble) - want)
        right = (got == want) | (ulp_error(got, want) == 0)  # infinity, where no float is large enough
        parts = np.where(right, 0, error / published_bound(name, want, dtype))
    return float(np.max(np.where(np.isnan(parts), np.inf, parts)))


def worst(name, dtype, strategy, isa, widths, seed=0):
    kernel = getattr(library, name).using(strategy=strategy, isa=isa)
    parts = []
    for n in widths:
        try:
            got = kernel(zoo_rows(dtype, n, seed))
        except PlanError:
            assert strategy in ("two_pass", "online", "one_pass")
            continue
        parts.append(part_of_bound(name, got, exact(name, dtype, n, seed), dtype))
    if not parts:
        pytest.skip(f"{strategy} has no plan for {name}")
    return max(parts)


@every_kernel
@every_dtype
@pytest.mark.parametrize(("isa", "strategy"), COMBINATIONS)
def test_every_strategy_keeps_the_published_bound(name, dtype, strategy, isa):
    """Rows of every kind and many widths are within the published bound."""
    assert worst(name, dtype, strategy, isa, WIDTHS) <= 1


@every_kernel
@every_dtype
@every_isa
def test_long_rows_keep_the_published_bound(name, dtype, isa):
    """A row of a vocabulary's width is as accurate as a short one."""
    assert worst(name, dtype, "auto", isa, (32_000,)) <= 1


@every_kernel
def test_a_million_elements_keep_the_published_bound(name):
    """The bound holds for 2^20 elements in float32."""
    assert worst(name, "float32", "auto", "auto", (2**20,)) <= 1


@pytest.mark.slow
@every_kernel
@every_dtype
@every_isa
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_many_rows_keep_the_published_bound(name, dtype, strategy, isa):
    """More rows of every kind, the long ones too, are within the published bound."""
    assert max(worst(name, dtype, strategy, isa, (*WIDTHS, 32_000), seed) for seed in range(1, 20)) <= 1


@every_dtype
def test_the_probabilities_sum_to_one(dtype):
    """The sum of a softmax row is off by at most 8 units, whatever the row."""
    sums = [library.softmax(zoo_rows(dtype, n)).astype(np.longdouble).sum(axis=-1) for n in WIDTHS]
    assert max(float(np.max(np.abs(s - 1))) for s in sums) <= 4 * np.finfo(dtype).eps
