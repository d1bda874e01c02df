"""Cross-entropy over ranks that each hold a part of the vocabulary: what a step takes, beside what the model says.

    for n in 1 2 3; do mpiexec -n $n python benchmarks/vocabulary.py; done
    python benchmarks/vocabulary.py --predict RATE STATE LATENCY BANDWIDTH   # ns an element, us a state, us, GB/s

The model (docs/many-machines.md): a rank walks its part, all gather three floats a row, and each merges all states.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable

import numpy as np

from rowfold import library

loss = library.cross_entropy
ROWS, VOCABULARY, NUMBERS = 256, 128_256, 3


def walked(ranks: int, rate: float, cores: int) -> float:
    """The microseconds of all walks, where so many ranks share the cores of one machine."""
    return ROWS * VOCABULARY / ranks * rate * 1e-3 * max(1, ranks / cores)


def gathered(ranks: int, latency: float, bandwidth: float) -> float:
    """The microseconds of an all_gather by doubling: messages one after the other, and all bytes once."""
    return math.ceil(math.log2(ranks)) * latency + (ranks - 1) * ROWS * NUMBERS * 4 / bandwidth * 1e-3


def scattered(ranks: int, latency: float, bandwidth: float) -> float:
    """The same where each rank merges its share of the rows, and losses are gathered."""
    rounds = 2 * math.ceil(math.log2(ranks))
    return rounds * latency + (ranks - 1) / ranks * ROWS * (NUMBERS + 1) * 4 / bandwidth * 1e-3


def merged(mine: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """The states of all ranks as one, by halves: as many merges as a tree has levels."""
    states = loss.unpack(parts, like=mine)
    while len(states) > 1:
        half = len(states) // 2
        rest = states[2 * half :]
        states = np.concatenate([loss.merge(states[:half], states[half : 2 * half]), rest])
    return states[0]


def median(call: Callable[[], object], repeats: int = 25) -> float:
    """The microseconds of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


def measure() -> None:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    start, stop = (VOCABULARY * k // world.size for k in (world.rank, world.rank + 1))
    part = np.random.default_rng(world.rank).standard_normal((ROWS, stop - start), np.float32)
    target = np.arange(ROWS) * 499 % VOCABULARY
    state = loss.partial(part, target, offset=start)
    mine, parts = loss.pack(state), np.empty((world.size, ROWS, NUMBERS), np.float32)

    def together() -> None:
        world.Allgather(mine, parts)

    def step() -> None:
        state = loss.partial(part, target, offset=start)
        world.Allgather(loss.pack(state), parts)
        loss.finish(merged(state, parts))

    def alone(call: Callable[[], object]) -> float:
        """Measured by the first rank while the others sleep, not waiting in a loop."""
        found = median(call) if world.rank == 0 else 0.0
        waits = world.Ibarrier()
        while not waits.Test():
            time.sleep(0.002)
        return found

    together(), step()
    walk = alone(lambda: loss.partial(part, target, offset=start))
    merging = alone(lambda: loss.finish(merged(state, np.repeat(mine[None], world.size, 0))))
    world.Barrier()
    exchange = world.allreduce(median(together, 200), op=MPI.MAX)
    world.Barrier()
    taken = world.allreduce(median(step), op=MPI.MAX)
    if world.rank == 0:
        rate = walk * 1e3 / part.size
        predicted = walked(world.size, rate, os.cpu_count() or 1) + exchange + merging
        print(f"{world.size} ranks, {os.cpu_count()} cores: {rate:.3f} ns an element, {merging:.0f} us to merge, "
              f"{exchange:.0f} us to gather {mine.nbytes} bytes; predicted {predicted:.0f} us, "
              f"a step took {taken:.0f} us ({taken / predicted:.2f})")  # fmt: skip


def predict(rate: float, state: float, latency: float, bandwidth: float) -> None:
    print("ranks      all_gather, all merge all   each merges its rows")
    for ranks in (1, 2, 3, 10, 100, 1000):
        walk = walked(ranks, rate, ranks)
        every = walk + gathered(ranks, latency, bandwidth) + ranks * ROWS * state
        share = walk + scattered(ranks, latency, bandwidth) + ROWS * state
        print(f"{ranks:5} {every:21.0f} us {share:21.0f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predict", type=float, nargs=4, metavar=("RATE", "STATE", "LATENCY", "BANDWIDTH"))
    given = parser.parse_args()
    if given.predict is None:
        measure()
        return
    predict(*given.predict)


if __name__ == "__main__":
    main()
