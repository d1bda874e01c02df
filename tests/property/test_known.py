"""Chained reductions whose fewest walks are known: the planner reaches them, and the plans compute the programs."""

import numpy as np
import pytest

from rowfold.codegen.bounding.oracle import judge, oracle
from rowfold.codegen.ir import Role
from rowfold.codegen.machine import Machine
from rowfold.codegen.planner import STRATEGIES, make_plan
from rowfold.codegen.running.interpret_plan import interpret_plan
from rowfold.codegen.simplify import simplify
from rowfold.codegen.trace import trace
from rowfold.errors import PlanError
from rowfold.testing import Random, load
from rowfold.testing.known import known_source
from rowfold.testing.values import row

KINDS = ("normal", "normal_x5", "alternating", "ramp_down")


def plans(program, n):
    for strategy in STRATEGIES:
        try:
            yield make_plan(program, dtype="f32", isa="avx2", n=n, rows=4, strategy=strategy, machine=Machine())
        except PlanError:
            continue


def arguments(program, n):
    """Moderate rows of every kind."""
    rng, count = np.random.default_rng(n), len(KINDS)
    makers = {
        Role.MASK: lambda k: rng.random((count, n)) < 0.7,
        Role.INDEX: lambda k: rng.integers(0, n, count),
        Role.SCALAR: lambda k: rng.normal(size=count),
        Role.ROW: lambda k: np.array([row(KINDS[(i + k) % count], np.float32, n, rng) for i in range(count)]),
    }
    return {i.name: makers[i.role](k) for k, (_, i) in enumerate(program.inputs)}


def walks_missed(seed):
    """How many walks more than an expert the planner takes; the plan is made for a long row."""
    known = known_source(Random(seed))
    plan = next(plans(simplify(trace(load(known.source))), 4096))
    return max(0, plan.walks - known.walks)


def test_the_known_fewest_walks_are_reached():
    """Of three hundred random chains at least 95 in 100 are walked as seldom as an expert would."""
    missed = [seed for seed in range(300) if walks_missed(seed)]
    assert len(missed) <= 15


@pytest.mark.parametrize("block", range(6))
def test_plans_of_chains_compute_their_programs(block):
    """Every strategy stays within the oracle's bound."""
    wrong = []
    for seed in range(10 * block, 10 * block + 10):
        program, n = simplify(trace(load(known_source(Random(seed)).source))), (3, 17, 100, 300)[seed % 4]
        inputs, settings = arguments(program, n), {"t": 0.75}
        wanted = oracle(program, inputs, settings, np.float32)
        for plan in plans(program, n):
            results = interpret_plan(plan, inputs, settings)
            wrong += [
                (seed, plan.strategy) for got, want in zip(results, wanted, strict=True) if judge(got, want).worst > 1
            ]
    assert wrong == []
