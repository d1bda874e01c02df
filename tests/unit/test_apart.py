"""Which exponentials wait with their power of two is read off the program."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.codegen.rewriting.apart import apart
from rowfold.codegen.simplify import simplify
from rowfold.codegen.trace import trace
from rowfold.testing import load

TOGETHER = (  # nothing that is large meets them
    "np.exp(x) / np.sum(np.exp(x))",
    "np.exp(x)",
    "0.5 * np.exp(x - rf.logsumexp(x))",
    "np.where(keep, np.exp(x - rf.logsumexp(x)), 0.0)",
    "np.exp(x - rf.logsumexp(x)) * (x > z)",
    "np.exp(x - rf.logsumexp(x)) * np.tanh(z)",
    "np.exp(x - rf.logsumexp(x)) * rf.positions(x)",
    "np.exp(x - rf.logsumexp(x)) / x.size",
    "np.exp(x - rf.logsumexp(x)) - z",
    "np.exp(x - rf.logsumexp(x)), np.sum(z * np.exp(x))",
)
APART = (
    "z * np.exp(x - rf.logsumexp(x))",
    "s * np.exp(x - rf.logsumexp(x))",
    "np.max(z) * np.exp(x - rf.logsumexp(x))",
    "0.5 * np.exp(x)",
    "1e30 * np.exp(x - rf.logsumexp(x))",
    "np.exp(x - rf.logsumexp(x)) * np.where(keep, z, 1.0)",
    "np.where(keep, np.exp(x - rf.logsumexp(x)), 0.0) * z",
    "-np.exp(x - rf.logsumexp(x)) * (z - np.mean(z))",
    "z / (np.exp(x) + 0.0 * x) + z / np.exp(x)",
    "np.exp(x - rf.logsumexp(x)) / z",
)


def waiting(result):
    """Whether an exponential of this result is kept apart."""
    parameters = "x, z, keep: rf.Mask, s: rf.Scalar"
    return bool(apart(simplify(trace(load(f"def fuzzed({parameters}):\n    return {result}\n")))))


@pytest.mark.parametrize("result", TOGETHER)
def test_a_softmax_and_what_is_small_need_no_pair(result):
    """Their text, and their speed, are those of a plain softmax."""
    assert not waiting(result)


@pytest.mark.parametrize("result", APART)
def test_what_meets_a_factor_of_any_size_is_a_pair(result):
    """Rows, numbers of the call, and sums of other rows may be of any size."""
    assert waiting(result)


def test_the_library_has_no_pairs_in_its_forward_kernels():
    """No ready-made softmax pays for them."""
    names = ("softmax", "log_softmax", "logsumexp", "cross_entropy", "entropy", "softmin")
    found = [name for name in names if apart(getattr(rf.library, name).plan(shape=(8, 100)).program)]
    assert found == []


def test_an_exponential_in_place_of_another_is_not_kept_in_the_output():
    """What the sum left there is clamped, so the writing sweep takes it again."""
    plan = rf.kernel(lambda x, z: z * np.exp(x) / np.sum(np.exp(x)), name="scaled").plan(shape=(8, 4096))
    assert [sweep.keeps for sweep in plan.sweeps] == [()] * len(plan.sweeps)
