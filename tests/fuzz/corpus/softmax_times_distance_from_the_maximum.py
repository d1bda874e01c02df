"""What is exactly at the maximum has no distance from it, whatever its probability."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    m = np.max(x)
    return np.exp(x - rf.logsumexp(x)) * (x - m)


for dtype in ("float32", "float64"):
    check(rf.kernel(fuzzed), Case(batch=(4,), width=3, dtype=dtype, values=("normal", "alternating", "normal_x5")))
