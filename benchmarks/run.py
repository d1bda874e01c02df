"""The benchmark: row operators, one pinned core, one thread, every peer in the same process and the same minute.

Repeats are interleaved (every peer once a round, each warmed just before it is timed), so that a drift of the machine
hits all rows alike; quote ratios within one run. Every output is checked against float64 in the run that times it.
The bound of a shape is the larger of the exponential (in L1) and a copy of the array, both measured in the same run.

    python benchmarks/run.py                                  softmax at four shapes
    python benchmarks/run.py --shapes readme --rounds 9 --json result.json            the table of the README
    python benchmarks/run.py --shapes all --operators softmax,layer_norm --dtypes float32,bfloat16 --json result.json
    python benchmarks/run.py --peers rowfold,torch --strategies --shapes 1x4096,4096x64
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "ROWFOLD_THREADS")
SHAPES = "512x1000,256x4096,64x32000,32x128256"
README = ("512x1000", "256x4096", "64x32000", "32x128256", "4096x64", "1x4096", "1x1048576")
SINGLE = tuple(f"1x{2**k}" for k in range(8, 25, 2))
ALL = (
    *SINGLE, "4096x64", "8192x128", "1024x512", "512x1000", "256x4096", "64x32000", "64x50257", "32x128256",
    "131072x256", "1x257", "3000x80", "700x777", "40x100277", "24x151936",
)  # fmt: skip


def main() -> None:
    """Pin first, import afterwards: thread pools size themselves when their library is imported."""
    options = arguments()
    pin(options.core)
    import problem
    from peers import PEERS

    wanted = options.peers.split(",") if options.peers else []
    chosen = [p for p in PEERS if p.name in wanted or (not wanted and not p.slow) or (options.strategies and p.slow)]
    versions = {p.name: p.found() for p in chosen}
    report: dict[str, Any] = {"machine": machine(options.core), "versions": versions, "results": {}, "latency": {}}
    for name in (name for name, version in versions.items() if version is None):
        print(f"{name}: not installed, no row")
    present = [p for p in chosen if versions[p.name]]
    operators = list(problem.OPERATORS) if options.operators == "all" else options.operators.split(",")
    for operator in operators:
        for dtype in options.dtypes.split(","):
            report["results"].setdefault(operator, {})[dtype] = every_shape(operator, dtype, present, options)
    if not options.no_latency and versions.get("rowfold"):
        report["latency"] = latency()
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", default=SHAPES, help="rows x columns, readme or all (default: %(default)s)")
    parser.add_argument("--operators", default="softmax", help="comma separated, or all (default: %(default)s)")
    parser.add_argument("--dtypes", default="float32", help="float32, float64, float16, bfloat16")
    parser.add_argument("--peers", default="", help="only these rows, comma separated")
    parser.add_argument("--strategies", action="store_true", help="every strategy forced, and AVX2, as rows")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved repeats (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.02, help="of one row in one round (default: %(default)s)")
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


def every_shape(operator: str, dtype: str, peers: list[Any], options: Any) -> dict[str, Any]:
    """The rows of one operator at each shape, and a last line over all of them."""
    shapes = {"all": ALL, "readme": README}.get(options.shapes) or options.shapes.split(",")
    found = {}
    for text in shapes:
        found[text] = measure(operator, dtype, tuple(map(int, text.split("x"))), peers, options)
        show(f"{operator} {text} {dtype}", found[text])
    means = summary(found)
    if means and len(found) > 1:
        print(f"\n{operator} {dtype}, geometric mean over {len(found)} shapes: " + ", ".join(
            f"{means[name]:.2f}x {name}" for name in means))  # fmt: skip
    return found


def measure(operator: str, dtype: str, shape: Any, peers: list[Any], options: Any) -> dict[str, Any]:
    """Nanoseconds per element and largest error of each peer that has this operator, and what bounds them."""
    import numpy as np
    import problem

    kind = np.dtype(getattr(__import__("ml_dtypes"), dtype)) if dtype == "bfloat16" else np.dtype(dtype)
    p = problem.make(operator, shape, kind)
    jobs, rows = {}, {}
    for peer in peers:
        try:
            job = peer.prepare(p)
        except Exception as error:  # noqa: BLE001 - a peer that fails is reported, and the others go on
            rows[peer.name] = {"error": (str(error) or type(error).__name__).splitlines()[0][:80]}
        else:
            jobs |= {peer.name: job} if job else {}
    errors = errors_of(p, jobs)
    limits = bounds(p.x)
    times = interleaved({name: job.run for name, job in jobs.items()} | limits, options)
    size = p.x.size
    for name in jobs:
        best, middle = min(times[name]) / size * 1e9, statistics.median(times[name]) / size * 1e9
        rows[name] = {"min_ns": best, "median_ns": middle, "max_ulp": errors[name]}
    copy, exp = min(times["copy"]) / size * 1e9, min(times["exp"]) / EXP_SIZE * 1e9
    for name in jobs:
        rows[name]["share_of_bound"] = max(copy, exp) / rows[name]["min_ns"]
    return {"bound": {"copy_ns": copy, "exp_ns": exp}, **rows}


def errors_of(p: Any, jobs: dict[str, Any]) -> dict[str, float]:
    """Each output against float64, after a run."""
    found, exact = {}, p.exact()
    for name, job in jobs.items():
        job.run()
        found[name] = p.error(job.result()[: p.checked], exact)
    return found


EXP_ROWS, EXP_LENGTH = 64, 2048
EXP_SIZE = EXP_ROWS * EXP_LENGTH


def bounds(x: Any) -> dict[str, Any]:
    """A copy of the array, and our exponentials of a row that stays in L1, added up and not stored: the two limits."""
    import numpy as np

    import rowfold as rf

    exp = rf.kernel(lambda x: np.sum(np.exp(x)), name="sum_of_exp")
    row = np.random.default_rng(0).standard_normal(EXP_LENGTH).astype(x.dtype if x.dtype == np.float64 else np.float32)
    again, y, e = np.broadcast_to(row, (EXP_ROWS, EXP_LENGTH)), np.empty_like(x), np.empty(EXP_ROWS, row.dtype)
    return {"copy": lambda: np.copyto(y, x), "exp": lambda: exp(again, out=e)}


def interleaved(runs: dict[str, Any], options: Any) -> dict[str, list[float]]:
    """Seconds a call, one figure a round and job; each round visits every job, starting with another one."""
    from rowfold import bench

    return bench.interleaved(runs, options.rounds, seconds=options.seconds, least=2)


def show(title: str, rows: dict[str, Any]) -> None:
    """One table; `speed-up` is the peer's time over rowfold's, so above 1 rowfold is faster."""
    ours, bound = rows.get("rowfold"), rows["bound"]
    print(f"\n{title}   (copy {bound['copy_ns']:.3f}, exp {bound['exp_ns']:.3f} ns/el)")
    print(f"{'':29}{'min ns/el':>10}{'median':>10}{'max ULP':>12}{'of bound':>10}{'speed-up':>10}")
    for name, row in rows.items():
        if "error" in row:
            print(f"{name:29}  failed: {row['error']}")
        elif name != "bound":
            ratio = f"{row['min_ns'] / ours['min_ns']:.2f}" if ours and "min_ns" in ours else "-"
            figures = f"{row['min_ns']:10.3f}{row['median_ns']:10.3f}{row['max_ulp']:12.4g}"
            print(f"{name:29}{figures}{row['share_of_bound']:10.2f}{ratio:>10}")
    if best := best_peer(rows):
        print(f"against the best peer, {best[0]}: {best[1]:.2f}x", flush=True)


def best_peer(rows: dict[str, Any]) -> tuple[str, float] | None:
    """The fastest row that is not ours, and its time over ours."""
    others = {n: r["min_ns"] for n, r in rows.items() if "min_ns" in r and not n.startswith("rowfold")}
    if not others or "min_ns" not in rows.get("rowfold", {}):
        return None
    name = min(others, key=others.__getitem__)
    return name, others[name] / rows["rowfold"]["min_ns"]


def summary(shapes: dict[str, Any]) -> dict[str, float]:
    """The geometric mean of each peer's time over ours, and of the best peer's; only shapes where both have a row."""
    ratios: dict[str, list[float]] = {}
    for rows in shapes.values():
        best = best_peer(rows)
        if best is None:
            continue
        ratios.setdefault("the best peer", []).append(best[1])
        for name, row in rows.items():
            if "min_ns" in row and not name.startswith("rowfold"):
                ratios.setdefault(name, []).append(row["min_ns"] / rows["rowfold"]["min_ns"])
    return {name: math.exp(statistics.fmean(map(math.log, found))) for name, found in ratios.items()}


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
