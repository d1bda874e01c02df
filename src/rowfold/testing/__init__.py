"""What tests of kernels need: rows that break kernels, errors in ULP, and a fuzzer that holds results to bounds."""

from __future__ import annotations

import inspect
import sys
import textwrap
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from rowfold.testing.cases import STRATEGIES, WIDTHS, Case, check, random_case, random_cases, reproducer
from rowfold.testing.layouts import LAYOUTS, laid_out
from rowfold.testing.programs import Draws, Random, load, random_source
from rowfold.testing.published import PUBLISHED, Bound, published_bound
from rowfold.testing.shrinking import c_file, failing, shrunk
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
    "Find",
    "Random",
    "Report",
    "c_file",
    "check",
    "exact_layer_norm",
    "exact_log_softmax",
    "exact_logsumexp",
    "exact_rms_norm",
    "exact_softmax",
    "failing",
    "fuzz",
    "laid_out",
    "load",
    "published_bound",
    "random_case",
    "random_cases",
    "random_source",
    "reproducer",
    "shrunk",
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


class Find(AssertionError):  # noqa: N818 - what a fuzzer is there for is no error of it
    """A result beyond its bound: the seed of the run, and files that repeat the smallest call that gives one."""

    def __init__(self, said: str, seed: int, case: Case, python: str, c: str | None) -> None:
        super().__init__(f"seed {seed}\n{said}\n\n{python}")
        self.seed, self.case, self.python, self.c = seed, case, python, c


def fuzz(kernel: Any, seconds: float = 10, *, seed: int | None = None, everywhere: bool = False) -> Report:
    """Calls `kernel` on random shapes, layouts and values against the error bounds.

    Under every strategy and ISA; `everywhere`: by every backend and compiler, in several threads too.

    Raises Find, an AssertionError, at the first result beyond its bound: with the seed, the smallest case that still
    fails, and the texts of files in Python and, where one can be written, C that repeat the call.
    """
    from rowfold.runtime.cpu import host_isas

    start = int(np.random.default_rng().integers(2**31)) if seed is None else seed
    draws, isas = Random(start), tuple(host_isas())
    deadline = time.monotonic() + seconds
    cases, refused, worst, compared = 0, 0, 0.0, False
    planless = set[str]()
    for case in random_cases(draws, kernel.__wrapped__, isas, everywhere=everywhere):
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
        source, name = _source_of(kernel.__wrapped__)
        least = shrunk(failing(kernel), case)
        raise Find(str(error), seed, least, reproducer(source, least, name), c_file(kernel, least)) from None


def _source_of(fn: Any) -> tuple[str, str]:
    """A text that defines or imports a row function, and what it is called there."""
    name, module = getattr(fn, "__name__", "fuzzed"), getattr(fn, "__module__", "") or ""
    if module.startswith("rowfold.") and getattr(sys.modules.get(module), name, None) is not None:
        return f"from {module} import {name}\n", f"{name}.__wrapped__"
    try:
        lines = textwrap.dedent(inspect.getsource(fn)).splitlines()
    except OSError:
        return f"# the text of {name} is not to be had\n", name
    start = next((k for k, line in enumerate(lines) if line.startswith("def ")), 0)  # behind the decorators
    return "\n".join([*lines[start:], ""]), name
