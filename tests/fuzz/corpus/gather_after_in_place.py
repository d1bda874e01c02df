"""A gather reads its element before the row is written over."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x, y: rf.Index):
    return np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))), np.mean(x) - x[y]


check(
    rf.kernel(fuzzed),
    Case(
        seed=803244,
        batch=(9,),
        width=256,
        dtype="float64",
        values=("outlier_down", "ramp_down"),
        output="in_place",
        strategy="three_pass_reload",
    ),
)
