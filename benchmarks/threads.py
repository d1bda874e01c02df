"""Threads, other axes and dispatch, beside what they are aimed at (issue 8). One table in less than 90 seconds.

    python benchmarks/threads.py [--json FILE]

Everything in a line is timed in one interleaved run, least / median of its rounds. torch is
compared where it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from rowfold import library

Call = Callable[[], object]
FASTER = ((64, 32000), (512, 1000), (1, 2**20))
SIZES = ((1, 1000), (4, 1000), (16, 256), (64, 64), (32, 1000), (1, 2**15), (64, 1000), (1, 2**16), (512, 128),
         (1, 2**17), (256, 1000), (4096, 64), (1, 2**18), (7, 2**16), (1024, 512), (3, 2**20), (1, 2**22))  # fmt: skip
ACROSS = ("softmax", "logsumexp", "layer_norm", "max", "sum")


def timed(calls: Sequence[Call], seconds: float, most: int = 400) -> list[tuple[float, float]]:
    """(least, median) microseconds of each, taken in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call(), call()
    end = time.perf_counter() + seconds
    while len(times[0]) < 5 or (time.perf_counter() < end and len(times[0]) < most):
        for call, kept in zip(calls, times, strict=True):
            call()  # what the call before left in caches and in the frequency of the core
            start = time.perf_counter()
            call()
            kept.append(time.perf_counter() - start)
    return [(min(t) * 1e6, float(np.median(t)) * 1e6) for t in times]


def drawn(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


class Report:
    """Lines as they come, and what they say for a later run."""

    def __init__(self) -> None:
        self.found: list[dict[str, object]] = []

    def line(self, name: str, value: float, aim: float, *, most: bool, note: str = "") -> None:
        """One figure: `most` if it should not exceed its aim."""
        met = value <= aim if most else value >= aim
        self.found.append({"name": name, "value": value, "aim": aim, "met": met, "note": note})
        print(f"{name:42} {value:8.2f}   aim {'<=' if most else '>='} {aim:<6g} {'met' if met else 'MISSED':7} {note}",
              flush=True)  # fmt: skip


def told(times: Sequence[tuple[float, float]]) -> str:
    return "  ".join(f"{least:.1f}/{median:.1f} us" for least, median in times)


def threads(report: Report) -> None:
    """Two threads against one."""
    for shape in (*FASTER, *SIZES):
        x = drawn(shape)
        out = np.empty_like(x)
        one, two = timed([lambda x=x, out=out, t=t: library.softmax(x, out=out, threads=t) for t in (1, 2)], 1.2)
        wanted = 1.7 if shape in FASTER else 0.95  # no slower, up to what a clock tells
        report.line(f"softmax {shape}: 2 threads / 1", one[0] / two[0], wanted, most=False,
                    note=f"median {one[1] / two[1]:.2f}  {told([one, two])}")  # fmt: skip


def bandwidth(report: Report) -> None:
    """A row of 2^24 elements against a copy by two threads in the same seconds."""
    x = drawn((1, 2**24))
    out, half = np.empty_like(x), 2**23
    pool = ThreadPoolExecutor(2)
    parts = [(out[0, k : k + half], x[0, k : k + half]) for k in (0, half)]

    def copied() -> None:
        list(pool.map(lambda p: np.copyto(*p), parts))

    copy, two = timed([copied, lambda: library.softmax(x, out=out, threads=2)], 6)
    report.line("softmax (1, 2^24): of a 2-thread copy's rate", copy[0] / two[0], 0.85, most=False,
                note=f"median {copy[1] / two[1]:.2f}  {told([copy, two])}")  # fmt: skip


def dispatch(report: Report) -> None:
    """What handing work to the team costs (benchmarks/dispatch.c)."""
    command = [sys.executable, str(Path(__file__).with_name("dispatch.py"))]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line, aim in zip(text.splitlines(), (1.0, 30.0), strict=True):
        name, _, rest = line.partition(": ")
        report.line(f"dispatch, team {name}, us", float(rest.split()[1]), aim, most=True, note=rest)


def others() -> dict[str, Call]:
    """Other libraries at (32000, 64), axis 0, in one thread."""
    x = drawn((32000, 64))
    calls: dict[str, Call] = {
        "numpy softmax": lambda: (e := np.exp(x - x.max(0))) / e.sum(0),
        "numpy max": lambda: x.max(0),
        "numpy sum": lambda: x.sum(0),
        "numpy layer_norm": lambda: (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5),
        "numpy logsumexp": lambda: np.log(np.exp(x - (m := x.max(0))).sum(0)) + m,
    }
    try:
        import torch
    except ImportError:
        return calls
    torch.set_num_threads(1)
    t = torch.from_numpy(x)
    calls["torch softmax"] = lambda: torch.softmax(t, 0)
    calls["torch logsumexp"] = lambda: torch.logsumexp(t, 0)
    calls["torch max"] = lambda: torch.amax(t, 0)
    calls["torch sum"] = lambda: torch.sum(t, 0)
    calls["torch layer_norm"] = lambda: torch.nn.functional.layer_norm(t.T, (32000,))
    return calls


def axes(report: Report) -> None:
    """Rows along axis 0 against rows along the last, and against other libraries."""
    x = drawn((32000, 64))
    rows, peers = np.ascontiguousarray(x.T), others()
    for name in ACROSS:
        kernel = getattr(library, name)
        there, here = np.empty_like(kernel(rows)), np.empty_like(kernel(x, axis=0))
        mine = [lambda k=kernel, o=there: k(rows, out=o, threads=1),
                lambda k=kernel, o=here: k(x, axis=0, out=o, threads=1)]  # fmt: skip
        found = {peer: call for peer, call in peers.items() if peer.endswith(f" {name}")}
        last, first, *rest = timed([*mine, *found.values()], 1.5)
        report.line(f"{name} (32000, 64) axis 0 / (64, 32000)", first[0] / last[0], 1.3, most=True,
                    note=f"median {first[1] / last[1]:.2f}  {told([last, first])}")  # fmt: skip
        for peer, times in zip(found, rest, strict=True):
            report.line(f"  {peer} / rowfold, axis 0", times[0] / first[0], 1.0, most=False, note=told([times]))
    x = drawn((160, 64, 200))
    rows = np.ascontiguousarray(np.moveaxis(x, 1, 0)).reshape(64, -1)
    there, here = np.empty_like(rows), np.empty_like(x)
    last, both = timed([lambda: library.softmax(rows, out=there, threads=1),
                        lambda: library.softmax(x, axis=(0, 2), out=here, threads=1)], 1.5)  # fmt: skip
    report.line("softmax (160, 64, 200) axes (0, 2) / (64, 32000)", both[0] / last[0], 1.3, most=True,
                note=f"median {both[1] / last[1]:.2f}  {told([last, both])}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    parser.add_argument("--only", choices=("threads", "bandwidth", "dispatch", "axes"))
    given = parser.parse_args()
    report, start = Report(), time.perf_counter()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; numbers are least / median")
    for part in (dispatch, threads, bandwidth, axes):
        if given.only in (None, part.__name__):
            part(report)
    missed = sum(not f["met"] for f in report.found)
    print(f"{len(report.found)} figures, {missed} missed, {time.perf_counter() - start:.0f} s")
    if given.json:
        given.json.write_text(json.dumps(report.found, indent=1))


if __name__ == "__main__":
    main()
