"""The planner reaches the fewest walks, says why not otherwise, and is a pure function."""

import os
import subprocess
import sys

import pytest

from rowfold import library
from rowfold.codegen.machine import Machine
from rowfold.codegen.planner import FORMS, STRATEGIES, make_plan
from rowfold.codegen.simplify import simplify
from rowfold.codegen.trace import trace
from rowfold.errors import PlanError
from rowfold.testing import Random, load, random_source

# The fewest walks by fusion (the catalogue's table).
WALKS = {
    "softmax": 2,
    "masked_softmax": 2,
    "softmin": 2,
    "softpick": 2,
    "log_softmax": 2,
    "logsumexp": 1,
    "entropy": 1,
    "cross_entropy": 1,
    "kl_div": 1,
    "softmax_topk": 1,
    "sparsemax": 2,
    "entmax": 2,
    "entmax15": 2,
    "layer_norm": 2,
    "rms_norm": 2,
    "max": 1,
    "sum": 1,
    "mean": 1,
    "var": 1,
}
SOFTMAX = "p = np.exp(x - np.max(x)); p = p / np.sum(p); "
MORE_WALKS = {
    f"{SOFTMAX}return np.sum(p * p)": 1,  # collision probability
    f"{SOFTMAX}return 1 / np.sum(np.square(p))": 1,  # effective sample size
    f"{SOFTMAX}return np.sum(p * x), np.sum(p)": 1,
    f"{SOFTMAX}return np.sum(p * np.square(x - np.sum(p * x)))": 1,  # variance under p: temperature derivative
    f"{SOFTMAX}return p[y]": 1,
    f"{SOFTMAX}return p * (x - np.sum(p * x))": 2,  # softmax backward
    "return np.sum(np.abs(x - np.mean(x)))": 2,
    "return np.max(x) - np.min(x), np.mean(x)": 1,
    "return np.std(x) / np.mean(x)": 1,
    "return np.exp(x)": 1,
    "return x[y]": 0,
}


def program(text, signature="x, y: rf.Index"):
    """The canonical program of a body."""
    return simplify(trace(load(f"def fuzzed({signature}):\n    {text}\n")))


def named(name):
    return getattr(library, name).program({"k": 1} if name == "softmax_topk" else {}, frozenset(), frozenset())


def plan(found, strategy="auto", n=4096, dtype="f32", isa="avx2", rows=64):
    return make_plan(found, dtype=dtype, isa=isa, n=n, rows=rows, strategy=strategy, machine=Machine())


def shape(found):
    """A plan without the user's names."""
    return [(s.carries, s.maxima, s.writes, s.keeps, s.reloads) for s in found.sweeps], found.groups, found.ns


@pytest.mark.parametrize("name", sorted(library.__all__))
def test_library_kernels_reach_the_fewest_walks(name):
    """Each ready-made kernel takes as few walks as fusion allows."""
    assert plan(named(name)).walks == WALKS[name]


@pytest.mark.parametrize("body", MORE_WALKS)
def test_what_a_softmax_is_read_for_reaches_the_fewest_walks(body):
    """Sums under a softmax ride along with its normalizer."""
    assert plan(program(body)).walks == MORE_WALKS[body]


@pytest.mark.parametrize("spelling", ["np.exp(x) / np.sum(np.exp(x))", "np.exp(x - rf.logsumexp(x))"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_spelling_does_not_change_the_plan(spelling, strategy):
    """The naive and the roundabout softmax get the plan of the stable one."""
    stable = program("e = np.exp(x - np.max(x)); return e / np.sum(e)", "x")
    assert shape(plan(program(f"return {spelling}", "x"), strategy)) == shape(plan(stable, strategy))


@pytest.mark.parametrize(
    ("strategy", "sweeps"), [("three_pass_recompute", 3), ("three_pass_reload", 3), ("online", 2), ("two_pass", 2)]
)
def test_a_strategy_has_the_sweeps_of_its_name(strategy, sweeps):
    """A softmax takes three sweeps with a maximum first and two without."""
    assert len(plan(named("softmax"), strategy).sweeps) == sweeps


@pytest.mark.parametrize("name", sorted(library.__all__))
@pytest.mark.parametrize("n", [1, 64, 4096, 10**6])
def test_every_candidate_is_chosen_or_refused_in_words(name, n):
    """What was not chosen carries its price or its reason."""
    found = plan(named(name), n=n)
    assert len(found.rejected) == len(FORMS) - 1 and all(len(reason.split()) >= 3 for _, reason in found.rejected)


@pytest.mark.parametrize("strategy", ["online", "two_pass"])
@pytest.mark.parametrize("name", ["max", "var", "layer_norm"])
def test_a_strategy_that_means_nothing_is_refused(name, strategy):
    """Without an exponential sum there is nothing to run online."""
    with pytest.raises(PlanError, match="no shifted exponential sum"):
        plan(named(name), strategy)


def test_one_pass_is_refused_where_the_row_leaves_the_cache():
    """A million elements are not read in one pass, and the message counts the passes."""
    with pytest.raises(PlanError, match="row of 10000000 elements does not stay in cache"):
        plan(named("softmax"), "one_pass", n=10**7)


def test_a_refusal_names_every_candidate():
    """The message of a refused strategy explains all of them."""
    with pytest.raises(PlanError) as error:
        plan(named("softmax"), "one_pass", n=10**7)
    assert [name for name in FORMS if f"{name}: " not in str(error.value)] == []


def test_an_unknown_strategy_lists_the_known_ones():
    """A misspelt strategy is answered with the list."""
    with pytest.raises(PlanError, match="'onlin' is not known; choose one of auto, three_pass_recompute"):
        plan(named("softmax"), "onlin")


def test_a_reduction_without_a_carry_is_refused_by_name():
    """What simplifying should have rewritten is refused."""
    with pytest.raises(PlanError, match=r"argmin .* has no carry yet"):
        plan(trace(load("def fuzzed(x):\n    return np.argmin(x)\n")))


def test_a_position_beyond_what_float32_counts_is_refused():
    """The lanes of a float32 row count exactly up to 2^28 elements."""
    with pytest.raises(PlanError, match="exact for 268435456 float32, not for 268435457"):
        plan(program("return np.argmax(x)"), n=2**28 + 1)


def test_equal_inputs_give_equal_plans():
    """The planner keeps nothing between calls."""
    assert plan(named("softmax")) == plan(named("softmax"))


def test_the_sweeps_of_a_strategy_depend_on_neither_length_nor_batch():
    """The compiled text of a strategy is one for all shapes."""
    found = [plan(named("softmax"), "online", n=n, rows=rows) for n in (1, 10**6) for rows in (1, 10**4)]
    assert len({(p.sweeps, p.groups) for p in found}) == 1


SHOW = """
from rowfold import library
from rowfold.codegen.machine import Machine
from rowfold.codegen.planner import make_plan
for name in sorted(library.__all__):
    found = getattr(library, name).program({"k": 5} if name == "softmax_topk" else {}, frozenset(), frozenset())
    print(make_plan(found, dtype="f32", isa="avx2", n=100, rows=1, strategy="auto", machine=Machine()).__repr__())
"""


def test_plans_do_not_depend_on_the_order_of_hashes():
    """Processes with other hash seeds plan alike."""
    path = os.pathsep.join(sys.path)
    environments = [{**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path} for seed in ("0", "1", "4242")]
    command = [sys.executable, "-c", SHOW]
    texts = {subprocess.run(command, env=e, check=True, capture_output=True).stdout for e in environments}
    assert len(texts) == 1


@pytest.mark.parametrize("block", range(5))
def test_random_programs_have_a_plan(block):
    """Whatever the language can say has a plan, and the chosen one is the cheapest."""
    unplanned = []
    for seed in range(30 * block, 30 * block + 30):
        found = simplify(trace(load(random_source(Random(seed)))))
        chosen = plan(found)
        others = [plan(found, s) for s in ("three_pass_recompute", *(("online", "two_pass") if chosen.groups else ()))]
        if chosen.walks > len(chosen.sweeps) or any(o.ns < chosen.ns for o in others):
            unplanned.append(seed)
    assert unplanned == []
