"""sum exp(x - max x) is finite however far the row is from 0."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    return x - np.sum(np.exp(x - np.max(x)))


check(rf.kernel(fuzzed), Case(batch=(2,), width=100, values=("huge", "outlier_far_up")))
