"""Of rows without elements the k = 0 largest: results of no entries, for which no loop has to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import NothingAsked
from ..runtime.recall import Call
from ..runtime.spec import Bound
from .build import results_of


class _Still:
    """What stands for a loop and computes nothing."""

    ufunc = None


def nothing_of(kernel: Any, values: Mapping[str, object], call: Call, error: NothingAsked) -> Bound:
    """Results as those of k = 1, each to be given without its entry.

    Raises the error that tracing k = 0 gave, where rows have elements or a result is no k-vector.
    """
    if call.n:
        raise error
    ones = {n: 1 if type(v) is int and v == 0 else v for n, v in values.items()}
    results = results_of(kernel.program(ones, call.given, call.booleans))
    if any(r.row or r.entries != 1 for r in results):
        raise error
    return Bound(_Still(), results)
