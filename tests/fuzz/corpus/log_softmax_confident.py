"""The log-probability of a confident class is not rounded to 0."""

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x, *, t: rf.Positive = 1.0):
    z = x / t
    return z - rf.logsumexp(z)


check(rf.kernel(fuzzed), Case(settings={"t": 1.0}, batch=(3,), width=15, values=("outlier_up",)))
