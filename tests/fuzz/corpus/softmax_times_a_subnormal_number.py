"""A number below the normal ones must not be rounded away by the sum that divides it."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    v = np.sqrt(np.abs(x))
    gap = np.max(x) - np.mean(x)
    return gap * np.exp(v - np.max(v)) / np.sum(np.exp(v - np.max(v)))


check(rf.kernel(fuzzed), Case(batch=(2,), width=300, dtype="float64", values=("tiny", "tiny")))
