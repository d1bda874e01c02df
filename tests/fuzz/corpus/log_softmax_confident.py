"""The log-probability of a confident class is not rounded to 0."""

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    return x - rf.logsumexp(x)


check(rf.kernel(fuzzed), Case(batch=(3,), width=15, values=("outlier_up",)))
