"""What multiplies an exponential meets it before its power of two does: nothing is lost that the result still shows."""

from itertools import product

import numpy as np
import pytest
from slices import sliced

import rowfold as rf
from rowfold.runtime.cpu import host_isas
from rowfold.testing.values import FINITE, SPECIAL, row

KINDS = (*FINITE, *SPECIAL)


@rf.kernel
def times_row(x: rf.Row, v: rf.Row):
    return v * rf.library.softmax(x)


@rf.kernel
def times_distance(x: rf.Row, v: rf.Row):
    p = np.exp(x - rf.logsumexp(x))
    return p * (v - np.sum(p * v))


@rf.kernel
def times_number(x: rf.Row, g: rf.Scalar):
    return g * rf.library.softmax(x)


@rf.kernel
def under_given_sum(x: rf.Row, lse: rf.Scalar, g: rf.Scalar):
    return np.exp(x - lse) * g


@rf.kernel
def unnormalized(x: rf.Row, v: rf.Row):
    return np.exp(x) * v


@rf.kernel
def beside_its_sum(x: rf.Row, v: rf.Row):
    e = np.exp(x)
    return e * v, np.sum(e)


@rf.kernel
def divided(x: rf.Row, v: rf.Row):
    return v / np.exp(x)


@rf.kernel
def selected(x: rf.Row, v: rf.Row):
    return np.where(x > 0, rf.library.softmax(x), 0.0) * v


KERNELS = (times_row, times_distance, times_number, under_given_sum, unnormalized, beside_its_sum, divided, selected)
DTYPES = (np.float32, np.float64)


def named(value):
    return value if isinstance(value, str) else getattr(value, "name", None) or value.__name__


def given(kernel, dtype, kinds=KINDS):
    """Rows of every kind, those of one parameter beside every third kind of the next."""
    rng = np.random.default_rng(3)
    rows = np.array([row(kind, dtype, 35, rng) for kind in kinds])
    pairs = np.repeat(np.arange(len(kinds)), 9), np.arange(len(kinds) * 9) * 3 % len(kinds)
    numbers = np.array([1.0, -3e-30, 1e38, 2e-42, np.inf, np.nan, 700.0], dtype)
    arrays = [rows[pairs[0]], *(rows[np.roll(pairs[1], i)] for i in range(len(kernel.parameters) - 1))]
    size = len(pairs[0])
    return [
        np.resize(np.roll(numbers, i), size) if p.role.value == "scalar" else a
        for i, (p, a) in enumerate(zip(kernel.parameters, arrays, strict=True))
    ]


@pytest.mark.parametrize(
    ("kernel", "dtype", "isa"),
    sliced(product(KERNELS, DTYPES, host_isas()[:2]), lambda c: c[2] == host_isas()[0] or c[1] is np.float32),
    ids=named,
)
def test_the_bound_holds_whatever_the_factors(kernel, dtype, isa):
    """Rows and numbers from subnormal to the largest, NaN and infinite, on both sides."""
    assert kernel.using(isa=isa).check(*given(kernel, dtype))


# What the planner admits: a sum of exponentials has every form, without one there is nothing to carry online.
FORMS = ("three_pass_recompute", "three_pass_reload", "two_pass", "online", "speculative")
ADMITTED = dict.fromkeys(KERNELS, FORMS) | dict.fromkeys((under_given_sum, unnormalized, divided), FORMS[:2])


@pytest.mark.parametrize(
    ("kernel", "dtype"),
    sliced(product(KERNELS, DTYPES), lambda c: (KERNELS.index(c[0]) + DTYPES.index(c[1])) % 2 == 0),
    ids=named,
)
def test_every_strategy_has_the_same_bits(kernel, dtype):
    """Powers of two are exact, so how the sum came about does not matter, but for terms that overflow or underflow."""
    arrays = given(kernel, dtype, [kind for kind in KINDS if kind not in ("subnormal_outputs", "huge", "random_bits")])
    found = {}
    for strategy in FORMS:
        try:
            results = kernel.using(strategy=strategy)(*arrays)
        except rf.PlanError:
            continue
        found[strategy] = [bits(r) for r in (results if isinstance(results, tuple) else (results,))]
    assert found == dict.fromkeys(ADMITTED[kernel], found["three_pass_recompute"])


def bits(result):
    """The bytes of a result, every NaN being one."""
    return np.where(np.isnan(result), np.array(np.nan, result.dtype), result).tobytes()
