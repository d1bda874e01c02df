"""The sum whose logarithm is infinite divides like any infinite sum: into NaN."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    return rf.logsumexp(x) * np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))


for strategy in ("auto", "online", "two_pass", "three_pass_recompute"):
    case = Case(batch=(2,), width=17, dtype="float64", strategy=strategy, values=("plus_inf", "nan_and_inf"))
    check(rf.kernel(fuzzed), case)
