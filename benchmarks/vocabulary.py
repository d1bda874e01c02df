"""Cross-entropy over ranks that each hold a part of the vocabulary: what a step takes, and what the model says.

    for n in 1 2 3; do mpiexec -n $n python benchmarks/vocabulary.py; done
    python benchmarks/vocabulary.py --predict RATE MERGE LATENCY BANDWIDTH   # ns an element, us, us, GB/s

The model (docs/many-machines.md): a rank walks its part, then states meet in a tree.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np

from rowfold import library

loss = library.cross_entropy
ROWS, VOCABULARY = 256, 128_256


def step(ranks: int, rate: float, merge: float, latency: float, bandwidth: float) -> float:
    """The microseconds of a step on so many ranks."""
    size = loss.identity((1,), np.float32).dtype.itemsize
    levels = math.ceil(math.log2(ranks))
    return ROWS * VOCABULARY / ranks * rate * 1e-3 + levels * (merge + latency + ROWS * size / bandwidth * 1e-3)


def least(call: Callable[[], object], repeats: int = 30) -> float:
    """The microseconds of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times) * 1e6


def measure() -> None:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    start, stop = (VOCABULARY * k // world.size for k in (world.rank, world.rank + 1))
    part = np.random.default_rng(world.rank).standard_normal((ROWS, stop - start), np.float32)
    target = np.arange(ROWS) * 499 % VOCABULARY
    state = loss.partial(part, target, offset=start)
    kind = MPI.DOUBLE.Create_contiguous(state.dtype.itemsize // 8).Commit()

    def merged(one: object, other: object, _: object) -> None:
        a, b = (np.frombuffer(memory, state.dtype) for memory in (one, other))
        b[...] = loss.merge(a, b)

    together, found = MPI.Op.Create(merged, commute=True), np.empty_like(state)

    def whole() -> None:
        mine = loss.partial(part, target, offset=start)
        world.Allreduce([mine, ROWS, kind], [found, ROWS, kind], op=together)
        loss.finish(found)

    alone = least(lambda: loss.partial(part, target, offset=start))
    merging = least(lambda: loss.merge(state, state))
    world.Barrier()
    taken = world.allreduce(least(whole), op=MPI.MAX)
    world.Barrier()
    empty = np.zeros(1)
    exchange = least(lambda: world.allreduce(empty[0]))
    if world.rank == 0:
        rate = alone * 1e3 / part.size
        print(f"{world.size} ranks: {rate:.3f} ns an element, merge {merging:.0f} us, exchange {exchange:.0f} us; "
              f"a step {taken:.0f} us, predicted {step(world.size, rate, merging, exchange, 10):.0f} us")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predict", type=float, nargs=4, metavar=("RATE", "MERGE", "LATENCY", "BANDWIDTH"))
    given = parser.parse_args()
    if given.predict is None:
        measure()
        return
    for ranks in (1, 2, 3, 10, 100, 1000):
        print(f"{ranks:5} ranks: {step(ranks, *given.predict):10.0f} us")


if __name__ == "__main__":
    main()
