"""Rows tell each other where their maxima lie, but not how far a row's own factor stretches it."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    return rf.logsumexp(x / (0.1 * np.sqrt(np.sum(x * x))))


for strategy in ("auto", "speculative"):
    case = Case(batch=(9,), width=100, strategy=strategy, values=("normal", "normal_x5", "normal_x50"))
    check(rf.kernel(fuzzed), case)
