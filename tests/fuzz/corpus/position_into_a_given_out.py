"""A position that is written to an `out` of the user: of int64, whatever the rows are."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    return np.argmin(x)


for output in ("given", "strided"):
    check(rf.kernel(fuzzed), Case(seed=663881, batch=(3,), width=1025, values=("both_inf", "normal"), output=output))
