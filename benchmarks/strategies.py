"""Is what the planner chooses the best? Every strategy forced at every shape, beside `auto`: its regression test.

Ratios only: all rows of a shape are timed in turns, minimum against minimum. Exit 1 if `auto` lies behind the best
forced strategy by more than `--within` at some shape in every run (a machine that is busy upsets single runs; with
`--strict` one run is enough).

    python benchmarks/strategies.py                                   softmax at every shape of the list, three runs
    python benchmarks/strategies.py --operators softmax,log_softmax,layer_norm --shapes 512x1000,1x4194304 --runs 1
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import run


def main() -> int:
    options = arguments()
    run.pin(options.core)
    shapes = list(run.ALL) if options.shapes == "all" else options.shapes.split(",")
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for operator in options.operators.split(","):
        print(f"\n{operator} {options.dtype}: ns an element, minimum")
        found[operator] = {text: every_run(operator, text, options) for text in shapes}
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    worst = {(o, s): [behind(times) for times in runs] for o, shapes in found.items() for s, runs in shapes.items()}
    late = {place: r for place, r in worst.items() if (max(r) if options.strict else min(r)) > options.within}
    for (operator, shape), ratios in late.items():
        print(f"{operator} {shape}: auto takes {', '.join(f'{r:.2f}' for r in ratios)} times the best strategy's time")
    print(f"\n{len(worst) - len(late)} of {len(worst)} shapes within {options.within:.2f}")
    return 1 if late else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", default="all", help="rows x columns, comma separated (default: %(default)s)")
    parser.add_argument("--operators", default="softmax", help="comma separated (default: %(default)s)")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--runs", type=int, default=3, help="of each shape (default: %(default)s)")
    parser.add_argument("--within", type=float, default=1.08, help="of the best strategy (default: %(default)s)")
    parser.add_argument("--strict", action="store_true", help="every run has to be within it, not one of them")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved repeats of a run (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.01, help="of one row in one round (default: %(default)s)")
    parser.add_argument("--core", type=int, default=-1, help="the core to pin to (default: the last one allowed)")
    parser.add_argument("--json", help="write all times to this file")
    return parser.parse_args()


def every_run(operator: str, text: str, options: Any) -> list[dict[str, float]]:
    """Nanoseconds an element of auto and of each strategy, once a run."""
    import numpy as np
    import problem
    from peers.rowfold_peer import STRATEGIES, rowfold

    p = problem.make(operator, tuple(map(int, text.split("x"))), np.dtype(options.dtype))
    # All write into one array: how inputs and outputs lie to each other matters more than some strategies do.
    auto = rowfold(p)
    assert auto is not None
    auto.run()
    out = auto.result()
    place = None if operator.startswith("softmax_topk") else out
    made = {name: rowfold(p, strategy=name, out=place) for name in STRATEGIES}
    made = {"auto": auto, **made}
    jobs = {name: job.run for name, job in made.items() if job}
    runs = []
    for _ in range(options.runs):
        times = {name: min(t) / p.x.size * 1e9 for name, t in run.interleaved(jobs, options).items()}
        runs.append(times)
        print(f"{text:12} {behind(times):5.2f}  " + "  ".join(f"{n} {t:.3f}" for n, t in times.items()), flush=True)
    return runs


def behind(times: dict[str, float]) -> float:
    """The time of auto over the best strategy's."""
    return times["auto"] / min(times.values())


if __name__ == "__main__":
    sys.exit(main())
