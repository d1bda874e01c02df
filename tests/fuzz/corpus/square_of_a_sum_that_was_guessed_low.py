"""A float64 sum of exponentials 2^500 above its guess was taken for safe, and its square overflowed: NaN."""

import numpy as np

import rowfold as rf


def fuzzed(x):
    return np.sum((np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))) ** 2)


x = np.zeros((3, 1025))
x[0, 756], x[1, 100], x[2, 1000] = 420.0, 300.0, 460.0
found = rf.kernel(fuzzed).using(strategy="speculative")(x)
assert np.all(np.abs(found - 1.0) <= 2e-15), found
