"""The published accuracy, over every kind of row, for every strategy and instruction set of this CPU."""

from functools import cache

import numpy as np
import pytest
from slices import sliced

from rowfold import library
from rowfold.errors import PlanError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import (
    PUBLISHED,
    STRATEGIES,
    exact_layer_norm,
    exact_log_softmax,
    exact_logsumexp,
    exact_rms_norm,
    exact_softmax,
    published_bound,
    ulp_error,
)
from rowfold.testing.values import FINITE, row

WIDTHS = (1, 2, 3, 15, 16, 17, 100, 255, 256, 257, 1000, 4096)
every_isa = pytest.mark.parametrize("isa", host_isas())
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def targets(x):
    """One class a row: in even rows the most probable one, in odd rows some class."""
    some = np.arange(len(x))
    return np.where(some % 2, some % x.shape[-1], np.argmax(x, axis=-1))


def exact_cross_entropy(x):
    return -np.take_along_axis(exact_log_softmax(x), targets(x)[:, None], axis=-1)[:, 0]


EXACT = {
    "softmax": exact_softmax,
    "softmin": lambda x: exact_softmax(-x),
    "log_softmax": exact_log_softmax,
    "logsumexp": exact_logsumexp,
    "cross_entropy": exact_cross_entropy,
    "layer_norm": exact_layer_norm,
    "rms_norm": exact_rms_norm,
}
every_bound = pytest.mark.parametrize(("name", "dtype"), sorted(PUBLISHED))
BEST = host_isas()[0]
# the strategies of softmax and its normalizer on the best instruction set; the long run takes them for all on all
COMBINATIONS = [
    *((*one, isa, "auto") for one in sorted(PUBLISHED) for isa in host_isas()),
    *((*one, BEST, s) for one in sorted(PUBLISHED) if one[0] in ("softmax", "logsumexp") for s in STRATEGIES[1:]),
]


def quick(case):
    """All on the best instruction set; softmax and the logsumexp on others, and under every strategy, in one dtype."""
    name, dtype, isa, strategy = case
    one = (name, dtype) in (("softmax", "float32"), ("logsumexp", "float64"))
    return one if strategy != "auto" or isa == "avx2" else isa == BEST or (name, dtype) == ("softmax", "float64")


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
        x = zoo_rows(dtype, n, seed)
        try:
            got = kernel(x, targets(x)) if name == "cross_entropy" else kernel(x)
        except PlanError:
            assert strategy in ("two_pass", "online", "speculative", "one_pass", "three_pass_reload")
            continue
        parts.append(part_of_bound(name, got, exact(name, dtype, n, seed), dtype))
    if not parts:
        pytest.skip(f"{strategy} has no plan for {name}")
    return max(parts)


def test_every_published_bound_is_tested():
    """No kernel has a published bound that nothing here measures."""
    assert {name for name, _ in PUBLISHED} == set(EXACT)


@pytest.mark.parametrize(("name", "dtype", "isa", "strategy"), sliced(COMBINATIONS, quick))
def test_every_strategy_keeps_the_published_bound(name, dtype, isa, strategy):
    """Rows of every kind and many widths are within the published bound."""
    assert worst(name, dtype, strategy, isa, WIDTHS) <= 1


@every_bound
def test_long_rows_keep_the_published_bound(name, dtype):
    """A row of a vocabulary's width is as accurate as a short one."""
    assert worst(name, dtype, "auto", "auto", (32_000,)) <= 1


@pytest.mark.parametrize("name", sorted(EXACT))
def test_a_million_elements_keep_the_published_bound(name):
    """The bound holds for 2^20 elements in float32."""
    assert worst(name, "float32", "auto", "auto", (2**20,)) <= 1


@pytest.mark.slow
@every_bound
@every_isa
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_many_rows_keep_the_published_bound(name, dtype, strategy, isa):
    """More rows of every kind, the long ones too, are within the published bound."""
    assert max(worst(name, dtype, strategy, isa, (*WIDTHS, 32_000), seed) for seed in range(1, 20)) <= 1


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("dtype", "temperature"), [*(("float32", t) for t in (0.1, 0.75, 3.0)), ("float64", 0.5)])
def test_a_temperature_keeps_the_published_bound(name, dtype, temperature):
    """Dividing the row by a temperature, which long double does well enough to judge, costs no accuracy."""
    x = np.concatenate([zoo_rows(dtype, 257, seed) for seed in range(4)])
    with np.errstate(all="ignore"):
        x = x[np.isfinite(x.max(axis=-1) - x.min(axis=-1))]
    got = getattr(library, name)(x, temperature=temperature)
    assert part_of_bound(name, got, EXACT[name](x.astype(np.longdouble) / temperature), dtype) <= 1


@pytest.mark.parametrize(("name", "dtype"), [one for one in sorted(PUBLISHED) if one[0] != "cross_entropy"])
def test_a_selection_keeps_the_published_bound(name, dtype):
    """Under where= the selected elements are as accurate as a row of their own."""
    x, where = zoo_rows(dtype, 257), np.random.default_rng(7).random(257) < 0.6
    got = getattr(library, name)(x, where=where)
    chosen = got if got.ndim == 1 else got[:, where]
    assert part_of_bound(name, chosen, EXACT[name](x[:, where]), dtype) <= 1


@every_dtype
@every_isa
@pytest.mark.parametrize("n", [2, 3, 17, 200])
def test_few_elements_that_lead_keep_the_published_bound(n, isa, dtype):
    """The largest of a few elements has a small loss, the logarithm of a ratio whose roundings all show."""
    rng = np.random.default_rng(n)
    x = (rng.normal(size=(30_000 // n, n)) * rng.choice([1.0, 3.0, 5.0, 10.0], (30_000 // n, 1))).astype(dtype)
    got = library.log_softmax.using(isa=isa)(x)
    assert part_of_bound("log_softmax", got, exact_log_softmax(x), dtype) <= 1


@every_dtype
def test_the_probabilities_sum_to_one(dtype):
    """The sum of a softmax row is off by at most 8 units, whatever the row."""
    sums = [library.softmax(zoo_rows(dtype, n)).astype(np.longdouble).sum(axis=-1) for n in WIDTHS]
    assert max(float(np.max(np.abs(s - 1))) for s in sums) <= 4 * np.finfo(dtype).eps
