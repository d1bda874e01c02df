"""Whole powers of negative numbers beyond the fourth, and below -1, were NaN."""

import numpy as np

import rowfold as rf


def fuzzed(x):
    return x**5, x**6, x**-2, np.power(x, -3.0), np.sum(x) ** 7, x**2.5


x = np.array([-2.0, 3.0, -0.0, 0.0, -1.5, -0.75])
for dtype in (np.float32, np.float64):
    with np.errstate(all="ignore"):
        for found, want in zip(rf.kernel(fuzzed)(x.astype(dtype)), fuzzed(x.astype(dtype)), strict=True):
            np.testing.assert_allclose(found, want, 4 * np.finfo(dtype).eps)
            assert np.array_equal(np.signbit(found[found == 0]), np.signbit(want[want == 0]))  # type: ignore[index]
