"""The benchmark: float32 softmax, one pinned core, one thread, every peer in the same process and the same minute.

Repeats are interleaved (every peer once a round, each warmed just before it is timed), so that a drift of the machine
hits all rows alike; quote ratios within one run. Every output is checked against float64 in the run that times it.

    python benchmarks/run.py                                  the four shapes of the README
    python benchmarks/run.py --shapes 1x4096,4096x64 --peers rowfold,torch --json result.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ROWFOLD_THREADS")
SHAPES = "512x1000,256x4096,64x32000,32x128256"


def main() -> None:
    """Pin first, import afterwards: thread pools size themselves when their library is imported."""
    options = arguments()
    pin(options.core)
    from peers import PEERS

    chosen = [peer for peer in PEERS if not options.peers or peer.name in options.peers.split(",")]
    versions = {peer.name: peer.version() for peer in chosen}
    report: dict[str, Any] = {"machine": machine(options.core), "versions": versions, "softmax": {}, "latency": {}}
    for text in options.shapes.split(","):
        report["softmax"][text] = measure(tuple(map(int, text.split("x"))), chosen, versions, options)
        show(text, report["softmax"][text])
    if not options.no_latency and versions.get("rowfold"):
        report["latency"] = latency()
    for name in (name for name, version in versions.items() if version is None):
        print(f"{name}: not installed, no row")
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", default=SHAPES, help="rows x columns, comma separated (default: %(default)s)")
    parser.add_argument("--peers", default="", help="only these rows, comma separated")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved repeats (default: %(default)s)")
    parser.add_argument("--core", type=int, default=-1, help="the core to pin to (default: the last one allowed)")
    parser.add_argument("--no-latency", action="store_true", help="leave out import and first-call times")
    parser.add_argument("--json", help="write the whole result to this file")
    return parser.parse_args()


def pin(core: int) -> None:
    """One core and one thread, for this process and its children."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core if core >= 0 else max(os.sched_getaffinity(0))})


def machine(core: int) -> dict[str, object]:
    """What a later run must share for its figures to be comparable."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"cpu": model, "python": platform.python_version(), "core": core, "system": platform.system()}


def measure(shape: tuple[int, ...], chosen: list[Any], versions: dict[str, Any], options: Any) -> dict[str, Any]:
    """Nanoseconds per element and largest error of each installed peer at one shape."""
    import numpy as np

    x = (3 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    jobs = {peer.name: peer.prepare(x) for peer in chosen if versions[peer.name]}
    times = interleaved(jobs, options.rounds)
    exact = reference(x)
    rows = {}
    for name, job in jobs.items():
        best, middle = min(times[name]) / x.size * 1e9, statistics.median(times[name]) / x.size * 1e9
        rows[name] = {"min_ns": best, "median_ns": middle, "max_ulp": ulp_error(job.result(), exact)}
    return rows


def interleaved(jobs: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Seconds a call, `rounds` figures a job; each round visits every job, starting with another one."""
    repeats = {name: calls_in(job.run, seconds=0.02) for name, job in jobs.items()}
    times: dict[str, list[float]] = {name: [] for name in jobs}
    names = list(jobs)
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            times[name].append(fastest(jobs[name].run, repeats[name]))
    return times


def calls_in(run: Any, seconds: float) -> int:
    """How many calls fill about this long, after two that are not counted."""
    run()
    run()
    return max(3, min(1000, int(seconds / fastest(run, 3))))


def fastest(run: Any, repeats: int) -> float:
    """The shortest of `repeats` timed calls after one that warms the caches."""
    run()
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
    return best


def reference(x: Any) -> Any:
    """Softmax in float64."""
    import numpy as np

    e = np.exp(x.astype(np.float64) - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def ulp_error(got: Any, exact: Any) -> float:
    """The largest distance from the exact result, in units of the last place of float32."""
    import numpy as np

    spacing = np.spacing(np.maximum(np.abs(exact).astype(np.float32), np.finfo(np.float32).tiny)).astype(np.float64)
    return float(np.max(np.abs(got.astype(np.float64) - exact) / spacing))


def show(shape: str, rows: dict[str, Any]) -> None:
    """One table; `rowfold /` is rowfold's time as a share of the peer's, so below 1 rowfold is faster."""
    ours = rows.get("rowfold")
    print(f"\nsoftmax {shape}\n{'':14}{'min ns/el':>10}{'median':>10}{'max ULP':>12}{'rowfold /':>11}")
    for name, row in rows.items():
        ratio = f"{ours['min_ns'] / row['min_ns']:.2f}" if ours else "-"
        print(f"{name:14}{row['min_ns']:10.3f}{row['median_ns']:10.3f}{row['max_ulp']:12.4g}{ratio:>11}")


def latency() -> dict[str, Any]:
    from latency import MEASURES

    print(f"\n{'latency':32}{'min ms':>10}{'median':>10}")
    result = {}
    for name, take in MEASURES.items():
        result[name] = taken = take()
        print(f"{name:32}{taken['min_ms']:10.4f}{taken['median_ms']:10.4f}")
    return result


if __name__ == "__main__":
    sys.exit(main())
