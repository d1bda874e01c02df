"""An infinite exponential times v + c was the NaN of infinity times v and infinity times c."""

import numpy as np

import rowfold as rf


def fuzzed(x, y, s: rf.Scalar):
    return np.exp(x) * (y + s), (y + s) / np.exp(x)


x = np.array([[np.inf, np.inf, -np.inf, -np.inf, np.inf, -np.inf]])
y = np.array([[-np.inf, -5.0, -np.inf, 3.0, -6.5, -6.5]])
for dtype in (np.float32, np.float64):
    for s in (6.5, 6.6):
        found = rf.kernel(fuzzed)(x.astype(dtype), y.astype(dtype), s)
        with np.errstate(all="ignore"):
            expected = fuzzed(x, y, s)
        assert np.array_equal(found, expected, equal_nan=True), (dtype, s, found)
