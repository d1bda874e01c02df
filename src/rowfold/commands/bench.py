"""`rowfold bench NAME`: a kernel timed against NumPy, a copy of the array, and the libraries that are installed."""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

import numpy as np

from .. import bench, library
from ..api import Kernel
from ..codegen.ir import Role
from . import UsageError, kernels

HELP = "time a kernel against NumPy, a copy, and torch, jax, onnxruntime and scipy where they are installed"
_WIDE = (Role.ROW, Role.MASK, Role.INT_ROW)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kernels.add_arguments(parser)
    kernels.add_dtype(parser)
    parser.add_argument("--repeats", type=int, default=15, help="interleaved repeats (default: 15)")


def run(arguments: argparse.Namespace) -> int:
    """Prints nanoseconds an element of each contestant, all on one core and one thread."""
    made, settings = kernels.one(arguments.kernel, arguments.set)
    if arguments.repeats < 1 or not np.prod(arguments.shape):
        raise UsageError("there is nothing to time: --repeats and every size of --shape are at least 1")
    with bench.one_core():
        runs, missing = _contestants(made, settings, arguments)
        times = bench.interleaved(runs, arguments.repeats, kernels.progress)
    kernels.progress("")
    rows = [_row(name, seconds, times["rowfold"], int(np.prod(arguments.shape))) for name, seconds in times.items()]
    facts = {"kernel": made.name, "shape": list(arguments.shape), "dtype": arguments.dtype,
             "repeats": arguments.repeats, "rows": rows, "not_installed": missing}  # fmt: skip
    print(json.dumps(facts, indent=1) if arguments.json else _table(facts))
    return 0


def _contestants(
    made: Kernel[..., Any], settings: dict[str, Any], arguments: argparse.Namespace
) -> tuple[dict[str, bench.Run], list[str]]:
    """What is timed, by name. Only the library's own kernel, as it stands, has the same function elsewhere."""
    given = kernels.present(made, arguments.given)
    arrays = kernels.call_arrays(made, arguments.shape, arguments.dtype, "normal_x5", given, settings)
    x = next(a for a, p in zip(arrays, made.parameters, strict=True) if p.role in _WIDE and a is not None)
    target = np.empty_like(x)
    runs: dict[str, bench.Run] = {"rowfold": lambda: made(*arrays, **settings)}
    known = made is getattr(library, made.name, None) and not arguments.set
    whole = bench.expression(made.name, x) if known else None
    if whole:
        runs[f"numpy {np.__version__}"] = whole
    elif not any(isinstance(a, int) for a in arrays):  # a seed has no keys here
        wide = [p.role in _WIDE and a is not None for a, p in zip(arrays, made.parameters, strict=True)]
        runs["numpy, row by row"] = bench.rows(made.__wrapped__, arrays, wide, settings)
    others, missing = bench.peers(made.name, x) if known else ({}, [])
    return runs | others | {"a copy of the array": lambda: np.copyto(target, x)}, missing


def _row(name: str, seconds: list[float], ours: list[float], size: int) -> dict[str, Any]:
    low, middle, high = (1e9 * f(seconds) / size for f in (min, statistics.median, max))
    ratio = statistics.median(a / b for a, b in zip(ours, seconds, strict=True))
    return {"name": name, "min_ns": low, "median_ns": middle, "max_ns": high, "rowfold_share": ratio}


def _table(facts: dict[str, Any]) -> str:
    shape = "x".join(map(str, facts["shape"]))
    lines = [f"{facts['kernel']} {shape} {facts['dtype']}, ns an element, one core, {facts['repeats']} repeats"]
    lines.append(f"{'':26}{'min':>10}{'median':>10}{'max':>10}{'rowfold /':>11}")
    for row in facts["rows"]:
        times = "".join(f"{row[key]:10.3f}" for key in ("min_ns", "median_ns", "max_ns"))
        lines.append(f"{row['name']:26}{times}{row['rowfold_share']:11.2f}")
    lines += [f"not installed: {', '.join(facts['not_installed'])}"] if facts["not_installed"] else []
    return "\n".join(lines)
