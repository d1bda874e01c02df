"""NumPy alone: n less the largest weight of a softmax went to the scale of the weight and back, rounded three times."""

import numpy as np

import rowfold as rf


def fuzzed(x):
    return x.size - np.max(np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))))


x = np.random.default_rng(1).normal(size=(50, 16)) * 1e-3
found = rf.kernel(fuzzed).using(backend="numpy")(x)
wide = x.astype(np.longdouble)
weights = np.exp(wide - np.max(wide, axis=-1, keepdims=True))
expected = 16 - np.max(weights, axis=-1) / np.sum(weights, axis=-1)
assert np.all(np.abs(found - expected) <= np.spacing(16.0) / 2), np.max(np.abs(found - expected))
