"""A factor with nothing to its second part must not meet infinity with that."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    return x * 0.5 - rf.logsumexp(x * 0.5) + np.max(x, where=np.isfinite(x), initial=0.0)


check(rf.kernel(fuzzed), Case(batch=(3,), width=35, values=("half_minus_inf", "minus_inf", "normal")))
