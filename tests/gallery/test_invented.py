"""docs/invented.md prints the plans that the planner makes."""

import re
from pathlib import Path

import numpy as np
import pytest
from samples import arguments

import rowfold as rf
from rowfold.codegen.machine import Machine
from rowfold.codegen.planner import make_plan
from rowfold.codegen.simplify import simplify
from rowfold.codegen.trace import trace
from rowfold.errors import PlanError
from rowfold.testing import load

PAGE = Path(__file__).parents[2] / "docs" / "invented.md"
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
NAMES = [re.search(r"def (\w+)", source)[1] for source, _ in EXAMPLES]


def function_of(source):
    return load(re.sub(r"@rf.kernel\ndef \w+", "def fuzzed", source))


def plan_of(source):
    """The plan with the fewest sweeps, on the machine that the planner takes when it knows none."""
    program = simplify(trace(function_of(source)))
    shape = {"dtype": "f32", "isa": "avx2", "n": 4096, "rows": 64, "machine": Machine()}
    try:
        return make_plan(program, strategy="online", **shape)
    except PlanError:
        return make_plan(program, strategy="auto", **shape)


def text_of(source):
    plan = plan_of(source)
    return "".join(f"{i}. {sweep.note}\n" for i, sweep in enumerate(plan.sweeps, 1))


@pytest.mark.parametrize(("source", "printed"), EXAMPLES, ids=NAMES)
def test_the_printed_plan_is_the_plan(source, printed):
    """Each sweep of the page is a sweep of the plan."""
    assert text_of(source) == printed


@pytest.mark.parametrize("source", [s for s, _ in EXAMPLES], ids=NAMES)
def test_the_printed_plan_has_the_fewest_walks(source):
    """The page shows as many sweeps as fusion needs."""
    plan = plan_of(source)
    assert len(plan.sweeps) == plan.walks


@pytest.mark.parametrize("source", [s for s, _ in EXAMPLES], ids=NAMES)
def test_an_invented_kernel_is_within_its_bound(source):
    """What was never seen before is fused, compiled, and right."""
    kernel = rf.kernel(function_of(source))
    assert kernel.check(*arguments(kernel.name, kernel, 100, np.float32)).ok


def test_there_are_twelve():
    """A page of twelve kernels."""
    assert len(EXAMPLES) == 12
