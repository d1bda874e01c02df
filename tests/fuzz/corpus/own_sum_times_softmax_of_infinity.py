"""The NumPy backend gave NaN for elements of -inf in float64 where no sum of the same exponentials was taken."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    r0 = np.sum(np.exp(x - np.max(x)))
    return r0 * np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))), r0


case = Case(
    seed=409817,
    batch=(9,),
    width=256,
    axis=-1,
    dtype="float64",
    values=("uniform_wide", "half_minus_inf", "uniform_wide"),
    layout="padded",
    output="in_place",
    isa="avx2",
    backend="numpy",
)
check(rf.kernel(fuzzed), case)
