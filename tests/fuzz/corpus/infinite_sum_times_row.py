"""An infinite row-constant, split in two parts, must not turn into NaN."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    return x * np.sum(x)


check(rf.kernel(fuzzed), Case(batch=(2,), width=257, values=("normal", "half_minus_inf")))
