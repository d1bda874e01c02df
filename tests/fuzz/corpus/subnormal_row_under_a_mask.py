"""A row of subnormal numbers meets an exponential last, under a mask too."""

import numpy as np

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x, z):
    return np.exp(x) * z, np.log(np.sum(np.exp(x)))


kinds = ("ramp_up", "tiny", "subnormal_outputs")
for isa in ("auto", "portable"):
    check(rf.kernel(fuzzed), Case(batch=(3,), width=600, dtype="float64", values=kinds, isa=isa, selected=True))
