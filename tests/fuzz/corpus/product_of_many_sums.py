"""Five sums of exponentials or more, guessed far too low, overflowed as a product: NaN; fifteen in float32 anyhow."""

import numpy as np

import rowfold as rf


def fifth(x):
    e = np.exp(x - np.max(x))
    s = np.sum(e)
    return e / (s * s * s * s * s)


def plus_one(x):
    e = np.exp(x - np.max(x))
    s = np.sum(e) + 1.0
    return e / (s * s * s * s * s)


def fifteen(x):
    s = np.sum(np.exp(x - np.max(x)))
    many = s * s * s * s * s
    return np.log(many * many * many)


def signed(x):
    e = np.exp(x - np.max(x))
    return np.sum(e * (x - 1.0)) ** 15 / np.sum(e) ** 15


for dtype, far in ((np.float64, 150.0), (np.float32, 19.0)):
    x = np.full((3, 200), -far, dtype)
    x[0, 100:], x[1, 7:9], x[2] = 0.0, 0.0, np.linspace(-1.0, 0.0, 200)
    for fuzzed in (fifth, plus_one, fifteen, signed):
        want = np.stack([fuzzed(row) for row in x.astype(np.longdouble)])
        for strategy in ("three_pass_recompute", "speculative", "two_pass", "online"):
            found = rf.kernel(fuzzed).using(strategy=strategy)(x)
            close = 64 * np.finfo(dtype).eps * np.abs(want)
            assert np.all(np.abs(found - want) <= close), (fuzzed, strategy, found, want)
