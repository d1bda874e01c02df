"""Log-sum-exp of a row whose parts are made on many machines: Ray's tasks give states, and merge them in a tree.

Needs ray (`pip install ray`); it starts a local cluster, or joins the one of `RAY_ADDRESS`.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import Any

import numpy as np
import ray

from rowfold import library

logsumexp = library.logsumexp


def part_of(rows: int, start: int, stop: int) -> np.ndarray:
    """The columns from start to stop: any task can make its own."""
    columns = np.arange(start, stop, dtype=np.float32)
    return 8 * np.sin(columns * np.float32(0.37) + np.arange(rows, dtype=np.float32)[:, None])


@ray.remote
def partial(rows: int, start: int, stop: int) -> Any:
    """The states of one part."""
    return logsumexp.partial(part_of(rows, start, stop), offset=start)


@ray.remote
def merge(a: Any, b: Any) -> Any:
    """The states of two parts together."""
    return logsumexp.merge(a, b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--columns", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=7)
    given = parser.parse_args()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ends = [given.columns * k // given.parts for k in range(given.parts + 1)]
    states = [partial.remote(given.rows, *part) for part in pairwise(ends)]
    while len(states) > 1:
        pairs = zip(states[::2], states[1::2], strict=False)
        states = [*(merge.remote(a, b) for a, b in pairs), *states[len(states) & ~1 :]]
    found = logsumexp.finish(ray.get(states[0]))
    ray.shutdown()
    whole = logsumexp(part_of(given.rows, 0, given.columns))
    print(f"{given.parts} parts of {given.rows} rows of {given.columns}: at most "
          f"{np.max(np.abs(found - whole) / np.spacing(whole)):.0f} ULP from whole rows")  # fmt: skip


if __name__ == "__main__":
    main()
