"""What tests of kernels need: rows that break kernels, errors in ULP, and a fuzzer that holds results to bounds."""

from __future__ import annotations

import inspect
import textwrap
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from rowfold.testing.cases import STRATEGIES, WIDTHS, Case, check, random_case, random_cases, reproducer
from rowfold.testing.layouts import LAYOUTS, laid_out
from rowfold.testing.programs import Draws, Random, load, random_source
from rowfold.testing.published import PUBLISHED, Bound, published_bound
from rowfold.testing.ulp import (
    exact_layer_norm,
    exact_log_softmax,
    exact_logsumexp,
    exact_rms_norm,
    exact_softmax,
    ulp,
    ulp_error,
)
from rowfold.testing.values import zoo

__all__ = [
    "LAYOUTS",
    "PUBLISHED",
    "STRATEGIES",
    "WIDTHS",
    "Bound",
    "Case",
    "Draws",
    "Random",
    "Report",
    "check",
    "exact_layer_norm",
    "exact_log_softmax",
    "exact_logsumexp",
    "exact_rms_norm",
    "exact_softmax",
    "fuzz",
    "laid_out",
    "load",
    "published_bound",
    "random_case",
    "random_cases",
    "random_source",
    "reproducer",
    "ulp",
    "ulp_error",
    "zoo",
]


@dataclass(frozen=True)
class Report:
    """What a run of the fuzzer saw: no result was beyond its bound."""

    seed: int
    cases: int
    refused: int  # cases whose strategy has no plan
    worst: float  # largest error, as a part of its bound


def fuzz(kernel: Any, seconds: float = 10, *, seed: int | None = None) -> Report:
    """Calls `kernel` on random shapes, layouts and values under every strategy and ISA, against the error bounds.

    Raises AssertionError at the first result beyond its bound, with the seed and a file that repeats the call.
    """
    from rowfold.runtime.cpu import host_isas

    start = int(np.random.default_rng().integers(2**31)) if seed is None else seed
    draws, isas = Random(start), tuple(host_isas())
    deadline = time.monotonic() + seconds
    cases, refused, worst, compared = 0, 0, 0.0, False
    planless = set[str]()
    for case in random_cases(draws, kernel.__wrapped__, isas):
        if compared and time.monotonic() > deadline:  # a report that compared nothing would be none
            break
        if case.strategy in planless:
            continue
        verdicts = _checked(kernel, case, start)
        cases, refused = cases + 1, refused + (not verdicts)
        if not verdicts and case.strategy != "one_pass":  # that one depends on the row's length
            planless.add(case.strategy)
        worst, compared = max([worst, *(v.worst for v in verdicts)]), compared or any(v.place for v in verdicts)
    return Report(start, cases, refused, worst)


def _checked(kernel: Any, case: Case, seed: int) -> list[Any]:
    try:
        return check(kernel, case)
    except AssertionError as error:
        name = getattr(kernel.__wrapped__, "__name__", "fuzzed")
        try:
            source = textwrap.dedent(inspect.getsource(kernel.__wrapped__))
        except OSError:
            source = f"# the text of {name} is not to be had\n"
        raise AssertionError(f"seed {seed}\n{error}\n\n{reproducer(source, case, name)}") from None
