"""Cross-entropy of logits that no process holds whole: each rank has a part of the vocabulary.

One all_gather of three floats a row takes the place of gathering logits. Needs torch (CPU, gloo); run it as a script.
"""

import argparse
import os
import socket

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from rowfold.library import cross_entropy as loss


def logits_of(rows: int, start: int, stop: int) -> np.ndarray:
    """The logits of a part of the vocabulary: any rank can make its own."""
    columns = np.arange(start, stop, dtype=np.float32)
    return 8 * np.sin(columns * np.float32(0.37) + np.arange(rows, dtype=np.float32)[:, None])


def rank_of(rank: int, ranks: int, port: int, rows: int, vocabulary: int) -> None:
    """What one process does: its part's states, one exchange, every rank's loss."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    start, stop = (vocabulary * k // ranks for k in (rank, rank + 1))
    target = np.arange(rows) * 7919 % vocabulary
    state = loss.partial(logits_of(rows, start, stop), target, offset=start)
    mine = torch.from_numpy(loss.pack(state))  # the maximum, the sum beside it, the target's logit
    parts = [torch.empty_like(mine) for _ in range(ranks)]
    dist.all_gather(parts, mine)
    merged = loss.identity((rows,), np.float32)
    for part in parts:
        merged = loss.merge(merged, loss.unpack(part.numpy(), like=state))
    found = loss.finish(merged)
    if rank == 0:
        whole = loss(logits_of(rows, 0, vocabulary), target)
        apart = np.abs(found - whole) / np.spacing(whole)
        print(f"{ranks} ranks, {rows} rows, {mine.shape[1] * 4} bytes a row from each rank, not {vocabulary * 4}")
        print(f"mean loss {found.mean():.6f}; at most {apart.max():.0f} ULP from the loss of whole rows")
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, size in {"ranks": 2, "rows": 64, "vocabulary": 128_256}.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    given = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(rank_of, (given.ranks, port, given.rows, given.vocabulary), nprocs=given.ranks)


if __name__ == "__main__":
    main()
