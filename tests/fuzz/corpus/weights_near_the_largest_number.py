"""A weighted sum whose products come within a shift of overflowing may overflow, and no other may."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x, z):
    r1 = np.sum(np.exp(x - np.max(x)) * z) / np.sum(np.exp(x - np.max(x)))
    return x - r1


check(
    rf.kernel(fuzzed),
    Case(
        seed=306,
        batch=(2,),
        width=255,
        dtype="float64",
        values=("normal_x5", "normal_x50", "huge"),
        layout="transposed",
        output="given",
        strategy="online",
    ),
)
