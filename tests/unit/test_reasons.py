"""A plan that walks a row again says what keeps two reductions apart."""

import pytest

from rowfold import gallery
from rowfold.codegen.planning.reasons import reasons
from rowfold.codegen.simplify import simplify
from rowfold.codegen.trace import trace
from rowfold.testing import load

SOFTMAX = "e = np.exp(x - np.max(x)); p = e / np.sum(e); "
BODIES = {
    f"{SOFTMAX}e = np.exp(z - np.max(z)); q = e / np.sum(e); m = (p + q) / 2; return np.sum(p * np.log(p / m))": (
        "log(add(p, q)) is no exponential polynomial: log keeps expsum(1, x), expsum(1, z)"
    ),
    "n = np.linalg.norm(x); return rf.logsumexp(x / n)": "multiply(x, divide(1, n)) waits for divide(1, n)",
    f"{SOFTMAX}return np.sum(np.abs(p - 0.1))": "absolute(subtract(p, 0.1)) is no exponential polynomial",
    "m = np.mean(x); return np.sum(x, where=x > m)": "which elements sum takes is decided by m",
}


def why(body):
    """The reasons for a body's further walks."""
    return reasons(simplify(trace(load(f"def fuzzed(x, z):\n    {body}\n"))))


@pytest.mark.parametrize("body", BODIES)
def test_a_further_walk_is_explained(body):
    """The map, the exponent or the predicate that waits is named."""
    assert BODIES[body] in why(body)[0]


FURTHER = {
    "jensen_shannon": "keeps log(expsum(1, x)), log(expsum(1, z)) in the sum",
    "adaptive_softmax": "the exponent multiply(x, beta) waits for beta",
    "entropy_adaptive_softmax": "waits for",
    "logit_normalized_cross_entropy": "the exponent multiply(x, scale) waits for scale",
    "nfl_real": "sqrt keeps log(expsum(1, x)) in the sum",
}


@pytest.mark.parametrize("name", FURTHER)
def test_explain_says_why_a_kernel_of_the_catalogue_walks_again(name):
    """The exceptions of the catalogue: a log of a sum, temperatures of the row's own making, a real power."""
    text = str(getattr(gallery, name).explain(shape=(8, 4096)))
    assert FURTHER[name] in " ".join(text.split())


def test_a_fused_program_needs_no_reason():
    """What is walked once has nothing to explain."""
    assert why(f"{SOFTMAX}return np.sum(p * x), np.sum(p * p)") == []
