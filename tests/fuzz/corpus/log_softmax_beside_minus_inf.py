"""-inf beside a number stays -inf in log_softmax."""

import rowfold as rf
from rowfold.testing import Case, check


def fuzzed(x):
    return x - rf.logsumexp(x)


check(rf.kernel(fuzzed), Case(batch=(3,), width=257, values=("half_minus_inf",)))
