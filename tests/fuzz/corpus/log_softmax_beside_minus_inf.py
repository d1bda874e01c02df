"""-inf beside a number stays -inf in log_softmax."""

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x, *, t: rf.Positive = 1.0):
    z = x / t
    return z - rf.logsumexp(z)


check(rf.kernel(fuzzed), Case(settings={"t": 1.0}, batch=(3,), width=257, values=("half_minus_inf",)))
