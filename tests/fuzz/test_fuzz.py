"""Random programs on random arrays against the oracle: the quick run, the long runs, and everything found so far."""

import math
import runpy
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import rowfold as rf
from rowfold import library
from rowfold.runtime.cpu import host_isas
from rowfold.testing import Random, check, fuzz, load, random_cases, random_source, reproducer

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.py"))
CASES_A_BUILD, CASES = 8, 16
ENOUGH = 300
KERNELS = ("softmax", "log_softmax", "logsumexp", "softmin", "cross_entropy", "entropy", "layer_norm", "rms_norm")


class Drawn:
    """The generator's choices, drawn by hypothesis: it then finds a smaller program that fails."""

    def __init__(self, data):
        self.data = data

    def pick(self, options):
        return self.data.draw(st.sampled_from(options))


def run(draws, source, *, everywhere=False):
    """Runs some cases of one program; the worst error as a part of its bound, and how many rows were compared."""
    kernel = rf.kernel(load(source))
    worst, rows = 0.0, 0
    for case in islice(
        random_cases(draws, kernel.__wrapped__, host_isas(), CASES_A_BUILD, everywhere=everywhere), CASES
    ):
        try:
            verdicts = check(kernel, case)
        except Exception as error:
            text = reproducer(source, case)
            raise AssertionError(f"{type(error).__name__}: {error}\n\n{text}") from error
        worst, rows = max([worst, *(v.worst for v in verdicts)]), rows + math.prod(case.batch) * bool(verdicts)
    return worst, rows


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,  # what is refused here was broken by the change at hand; the long run draws anew
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking compiles too much; the reproducer is short anyway
)
@given(st.data())
def test_random_programs_keep_their_bounds(data):
    """Any program of the row language is within the bound that the oracle derives for it."""
    draws = Drawn(data)
    assert run(draws, random_source(draws, every=True))[0] <= 1


@pytest.mark.parametrize("name", KERNELS)
def test_library_kernels_keep_their_bounds(name):
    """A library kernel is within its bound on rows of every kind, shape and layout."""
    assert fuzz(getattr(library, name), seconds=1, seed=1).worst <= 1


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_what_was_found_once_stays_found(path):
    """A case that failed once passes."""
    assert runpy.run_path(str(path))


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(6))
def test_a_long_run_meets_no_error_and_uses_its_bounds(round_):
    """Ten minutes of random programs: nothing beyond its bound, and the bounds are not loose."""
    seed = int(np.random.default_rng().integers(2**31))
    print(f"first seed {seed}")  # noqa: T201 - a failing run shows it
    worst, rows, programs, deadline = 0.0, 0, 0, time.monotonic() + 600
    while time.monotonic() < deadline:
        draws = Random(seed := seed + 1)
        found, more = run(draws, random_source(draws, every=True), everywhere=True)
        worst, rows, programs = max(worst, found), rows + more, programs + 1
    print(f"{programs} programs, {rows} rows, at most {worst:.3f} of the bound")  # noqa: T201 - with -s
    assert 0.3 <= worst <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_the_bounds_of_library_kernels_are_used(name):
    """Of three hundred cases of a library kernel one comes to 0.3 of its bound, or the bound is too loose."""
    reports = []
    while sum(r.cases for r in reports) < ENOUGH:
        reports.append(fuzz(getattr(library, name), seconds=20, everywhere=True))
    assert 0.3 <= max(r.worst for r in reports) <= 1
