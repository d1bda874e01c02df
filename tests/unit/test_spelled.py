"""The same maths in different spelling is one program, and so one plan."""

import itertools

import numpy as np
import pytest

import rowfold as rf

SOFTMAX = (
    lambda x: np.exp(x) / np.sum(np.exp(x)),
    lambda x: np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))),
    lambda x: np.exp(x - rf.logsumexp(x)),
    lambda x: np.exp(rf.library.log_softmax(x)),
    lambda x: np.exp(x - np.max(x) - np.log(np.sum(np.exp(x - np.max(x))))),
    lambda x: np.exp(x) * (1 / np.sum(np.exp(x))),
    lambda x: np.exp(x + 3.0) / np.sum(np.exp(x + 3.0)),
    lambda x: 1 / np.sum(np.exp(x)) * np.exp(x),
    lambda x: np.exp(x - np.mean(x)) / np.sum(np.exp(x - np.mean(x))),
)
TEMPERED = (
    lambda x, *, t: np.exp(x / t) / np.sum(np.exp(x / t)),
    lambda x, *, t: np.exp((1 / t) * x) / np.sum(np.exp((1 / t) * x)),
    lambda x, *, t: np.exp(x * (1 / t) - np.max(x * (1 / t))) / np.sum(np.exp(x * (1 / t) - np.max(x * (1 / t)))),
    lambda x, *, t: np.exp((x - np.max(x)) / t) / np.sum(np.exp((x - np.max(x)) / t)),
    lambda x, *, t: np.exp(x / t - rf.logsumexp(x / t)),
)
LOG_SOFTMAX = (
    lambda x: x - rf.logsumexp(x),
    lambda x: x - np.log(np.sum(np.exp(x))),
    lambda x: x - np.max(x) - np.log(np.sum(np.exp(x - np.max(x)))),
    lambda x: np.log(np.exp(x) / np.sum(np.exp(x))),
    lambda x: (x - np.max(x)) - rf.logsumexp(x - np.max(x)),
)
MEAN = (
    lambda x: np.mean(x),
    lambda x: np.sum(x) / x.size,
    lambda x: np.sum(x) * (1 / x.size),
)
VARIANCE = (
    lambda x: np.var(x),
    lambda x: x.var(),
    lambda x: np.mean((x - np.mean(x)) ** 2),
    lambda x: np.mean(np.square(x - x.mean())),
    lambda x: np.sum((x - np.sum(x) / x.size) ** 2) / x.size,
)
CROSS_ENTROPY = (
    lambda x, y: rf.logsumexp(x) - x[y],
    lambda x, y: -(x - rf.logsumexp(x))[y],
    lambda x, y: -rf.library.log_softmax(x)[y],
    lambda x, y: -np.log(rf.library.softmax(x)[y]),
    lambda x, y: -np.log(np.exp(x[y]) / np.sum(np.exp(x))),
)
FAMILIES = {
    "softmax": SOFTMAX,
    "tempered softmax": TEMPERED,
    "log-softmax": LOG_SOFTMAX,
    "mean": MEAN,
    "variance": VARIANCE,
    "cross-entropy": CROSS_ENTROPY,
}


def plan(fn):
    """The plan of a row function, for long rows."""
    fn.__annotations__ = {"y": rf.Index, "t": rf.Positive}
    return rf.kernel(fn, name="spelled").plan(shape=(8, 4096))


def skeleton(found):
    """A plan without the names that the user gave to values."""
    return found.program.nodes, [o.ref for o in found.program.outputs], found.walks, found.strategy


PAIRS = [(name, i) for name, fns in FAMILIES.items() for i in range(1, len(fns))]


@pytest.mark.parametrize(("family", "spelling"), PAIRS)
def test_every_spelling_has_the_plan_of_the_first(family, spelling):
    """Naive, shifted, through logarithms, with factors on either side: node by node the same."""
    assert skeleton(plan(FAMILIES[family][spelling])) == skeleton(plan(FAMILIES[family][0]))


def test_different_maths_has_different_programs():
    """Sameness means something: no two families share a program."""
    programs = [plan(fns[0]).program.nodes for fns in FAMILIES.values()]
    assert all(a != b for a, b in itertools.combinations(programs, 2))
