"""A normalizer that is in no paper: invented, planned, checked, timed, and written out as C.

    python examples/new_normalizer.py [DIRECTORY]     # where the C goes

Weights fall off like 1 / (1 + distance to the maximum)^2, but elements further than `reach` from it get nothing, so
that the tail of a long row cannot drown its head.
"""

import re
import sys
import tempfile
import timeit
from pathlib import Path

import numpy as np

import rowfold as rf


@rf.kernel
def near_the_top(x, *, reach: rf.Positive = 8.0):
    d = np.max(x) - x
    w = np.where(d < reach, np.reciprocal(np.square(1 + d)), 0.0)
    return w / np.sum(w)


def plain(x, reach=8.0):
    """The same over a whole array, as one would write it."""
    d = x.max(axis=-1, keepdims=True) - x
    w = np.where(d < reach, 1 / np.square(1 + d), 0)
    return w / w.sum(axis=-1, keepdims=True)


def main(directory):
    x = np.random.default_rng(0).normal(size=(64, 32000)).astype(np.float32) * 3
    print(near_the_top.explain(shape=x.shape), "\n")
    print("worst error as a part of its bound:", round(near_the_top.check(x).worst, 3))
    fuzzed = rf.testing.fuzz(near_the_top, seconds=1, seed=0)
    print(f"fuzzed: {fuzzed.cases} calls, at most {fuzzed.worst:.3f} of the bound")
    times = [min(timeit.repeat(lambda f=f: f(x), number=1, repeat=5)) for f in (near_the_top, plain)]
    print(f"ms: rowfold {1e3 * times[0]:.2f}, NumPy {1e3 * times[1]:.2f}")
    written = near_the_top.emit(directory, isas=["avx2", "portable"], shape=x.shape, overwrite=True)
    c = Path(written[0]).read_text()
    print(f"C: {len(written)} files, {len(c.splitlines())} lines in the first, of them the row function's own:")
    print("\n".join(sorted(set(re.findall(r"const \w+_vec [dw] = .*;", c)))))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as unnamed:
        main(sys.argv[1] if len(sys.argv) > 1 else unnamed)
