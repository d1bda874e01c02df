"""Softmax of rows that no process holds whole, over MPI: states are a datatype, merging them is a reduction.

    mpiexec -n 3 python examples/mpi_rows.py

Needs mpi4py and an MPI (`pip install mpi4py mpich`). Without mpiexec it runs as one process.
"""

import argparse

import numpy as np
from mpi4py import MPI

from rowfold import library

softmax = library.softmax


def part_of(rows: int, start: int, stop: int) -> np.ndarray:
    """The columns from start to stop: any rank can make its own."""
    columns = np.arange(start, stop, dtype=np.float32)
    return 8 * np.sin(columns * np.float32(0.37) + np.arange(rows, dtype=np.float32)[:, None])


def merging(dtype: np.dtype) -> tuple[MPI.Datatype, MPI.Op]:
    """A state as MPI sees it, and the reduction that merges two."""
    kind = MPI.DOUBLE.Create_contiguous(dtype.itemsize // 8).Commit()

    def merge(one, other, _):
        a, b = (np.frombuffer(memory, dtype) for memory in (one, other))
        b[...] = softmax.merge(a, b)

    return kind, MPI.Op.Create(merge, commute=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, size in {"rows": 16, "columns": 300_000}.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    given, world = parser.parse_args(), MPI.COMM_WORLD
    start, stop = (given.columns * k // world.size for k in (world.rank, world.rank + 1))
    mine = part_of(given.rows, start, stop)

    state = softmax.partial(mine, offset=start)
    kind, merge = merging(state.dtype)
    merged = np.empty_like(state)
    world.Allreduce([state, given.rows, kind], [merged, given.rows, kind], op=merge)
    written = softmax.finish(merged, mine, offset=start)

    whole = softmax(part_of(given.rows, 0, given.columns))[:, start:stop]
    apart = world.allreduce(float(np.max(np.abs(written - whole) / np.spacing(whole))), op=MPI.MAX)
    total = world.allreduce(written.sum(axis=-1, dtype=np.float64), op=MPI.SUM)
    if world.rank == 0:
        print(f"{world.size} ranks, {given.rows} rows of {given.columns}, {state.itemsize} bytes a row from each rank")
        print(f"rows sum to 1 within {np.max(np.abs(total - 1)):.1e}; at most {apart:.0f} ULP from whole rows")


if __name__ == "__main__":
    main()
