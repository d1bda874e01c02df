"""A row from one end of the range to the other: its distance from the maximum overflows, a tenth of that does not."""

import numpy as np

import rowfold as rf
from rowfold.runtime.cpu import host_isas
from rowfold.testing import Case, check


def fuzzed(x, *, t: rf.Positive = 0.75):
    v = x * t
    return v - rf.logsumexp(v), np.log(rf.library.softmax(x, temperature=8.0))


for isa in host_isas()[:2]:
    for dtype in ("float32", "float64"):
        for width in (17, 1024):
            kinds, settings = ("huge", "normal_x50"), {"t": 0.1}
            check(
                rf.kernel(fuzzed),
                Case(seed=2534, batch=(11,), width=width, dtype=dtype, values=kinds, isa=isa, settings=settings),
            )
