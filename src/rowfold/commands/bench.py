"""`rowfold bench NAME`: a kernel timed against NumPy, a copy of the array, and the libraries that are installed."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from .. import bench, library
from ..api import Kernel
from ..bench import own
from ..codegen.ir import Program, Role
from ..codegen.planning.cost import SIZES, read_bytes, written_bytes
from ..codegen.trace import trace
from ..runtime import cpu
from . import UsageError, calibrate, kernels, report

HELP = "time a kernel against NumPy, a copy, and torch, jax, onnxruntime, numba and scipy where they are installed"
_ALONE = "exponentials alone"
_WIDE = (Role.ROW, Role.MASK, Role.INT_ROW)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kernels.add_arguments(parser, optional=True)
    kernels.add_dtype(parser)
    parser.add_argument("--repeats", type=int, default=15, help="interleaved repeats (default: 15)")
    parser.add_argument("--calibrate", action="store_true", help="measure this machine for the planner; no NAME")
    parser.add_argument("--chart", metavar="FILE", help="draw the result: .svg, or with matplotlib .png, .pdf ...")
    parser.add_argument("--report", metavar="DIRECTORY", help="write a page of table, chart and plan: index.html")


def run(arguments: argparse.Namespace) -> int:
    """Prints nanoseconds an element of each contestant, all on one core and one thread."""
    if arguments.calibrate:
        return calibrate.run(arguments.json)
    if arguments.kernel is None:
        raise UsageError("name a kernel to time, or give --calibrate")
    made, settings = kernels.one(arguments.kernel, arguments.set)
    if arguments.repeats < 1 or not np.prod(arguments.shape):
        raise UsageError("there is nothing to time: --repeats and every size of --shape are at least 1")
    with bench.one_core():
        runs, absent, same = _contestants(made, settings, arguments)
        alone, size = bench.exponentials(arguments.dtype)
        times = bench.interleaved(runs | {_ALONE: alone}, arguments.repeats, kernels.progress)
    kernels.progress("")
    exponential = min(times.pop(_ALONE)) / size * 1e9
    rows = [_row(name, seconds, times["rowfold"], int(np.prod(arguments.shape))) for name, seconds in times.items()]
    facts = {"kernel": made.name, "shape": list(arguments.shape), "dtype": arguments.dtype,
             "repeats": arguments.repeats, "same_as": same, "rows": rows} | _absent(absent)  # fmt: skip
    given = kernels.present(made, arguments.given)
    explanation = made.explain(arguments.shape, arguments.dtype, given=given, **settings)
    facts |= _bound(explanation.plan, rows, exponential)
    _draw(facts, explanation, arguments)
    print(json.dumps(facts, indent=1) if arguments.json else _table(facts))
    return 0


def _bound(plan: Any, rows: list[dict[str, Any]], exponential: float) -> dict[str, Any]:
    """What nobody beats: its exponentials at the speed of exponentials alone, or its bytes at that of the copy."""
    program = plan.program
    moved = read_bytes(program, {ref for ref, _ in program.inputs if program.is_row(ref)}, plan.dtype)
    moved += written_bytes(program, [i for i, o in enumerate(program.outputs) if program.is_row(o.ref)], plan.dtype)
    copy = rows[-1]["min_ns"] * moved / (2 * SIZES[plan.dtype])
    work = exponential * len({group.exponent for group in plan.groups})
    bound, by = (work, "its exponentials alone") if work > copy else (copy, "a copy of as many bytes")
    return {"bound_ns": bound, "bound_by": by, "share_of_bound": bound / rows[0]["min_ns"]}


def _draw(facts: dict[str, Any], explanation: Any, arguments: argparse.Namespace) -> None:
    """Writes the pictures that were asked for."""
    if arguments.chart:
        if arguments.chart.endswith(".svg"):
            Path(arguments.chart).write_text(report.chart(facts), encoding="utf-8")
        else:
            report.plot(facts, arguments.chart)
    if arguments.report:
        machine = f"{cpu.model() or platform.machine()}, {explanation.plan.isa}, {platform.system()}, one thread"
        folder = Path(arguments.report)
        folder.mkdir(parents=True, exist_ok=True)
        text = report.page(facts, explanation._repr_html_(), machine)
        (folder / "index.html").write_text(text, encoding="utf-8")


def _contestants(
    made: Kernel[..., Any], settings: dict[str, Any], arguments: argparse.Namespace
) -> tuple[dict[str, bench.Run], dict[str, str], str | None]:
    """What is timed, by name, why other libraries are not, and the function of theirs that the kernel is, if it is one.

    Where the algebra makes a kernel one of the functions that other libraries have, that function is what it is timed
    against, however the kernel is spelled; any other is run there as it is written.
    """
    given = kernels.present(made, arguments.given)
    arrays = kernels.call_arrays(made, arguments.shape, arguments.dtype, "normal_x5", given, settings)
    x = next(a for a, p in zip(arrays, made.parameters, strict=True) if p.role in _WIDE and a is not None)
    target = np.empty_like(x)
    runs: dict[str, bench.Run] = {"rowfold": lambda: made(*arrays, **settings)}
    program = _program(made, settings, given)
    name = made.name if made is getattr(library, made.name, None) and not arguments.set else own.known(program)
    whole = bench.expression(name, x) if name else None
    if whole:
        runs[f"numpy {np.__version__}"] = whole
    elif not any(isinstance(a, int) for a in arrays):  # a seed has no keys here
        wide = [p.role in _WIDE and a is not None for a, p in zip(arrays, made.parameters, strict=True)]
        runs["numpy, row by row"] = bench.rows(made.__wrapped__, arrays, wide, settings)
    others, absent = bench.peers(name, x) if name and whole else _own(made, program, settings, arrays)
    return runs | others | {"a copy of the array": lambda: np.copyto(target, x)}, absent, name if whole else None


def _program(made: Kernel[..., Any], settings: dict[str, Any], given: frozenset[str]) -> Program:
    """The row function as it is written."""
    static = {name: settings.get(name, s.default) for name, s in made.static.items()}
    return trace(made.__wrapped__, name=made.name, settings=static, given=given)


def _own(
    made: Kernel[..., Any], program: Program, settings: dict[str, Any], arrays: list[Any]
) -> tuple[dict[str, bench.Run], dict[str, str]]:
    """The row function in other libraries."""
    passed = {s.name: settings.get(s.name, s.default) for s in made.settings}
    named = {p.name: a for p, a in zip(made.parameters, arrays, strict=True) if a is not None}
    return own.peers(made.__wrapped__, program, named, passed)


def _absent(reasons: dict[str, str]) -> dict[str, Any]:
    missing = [name for name, why in reasons.items() if why == own.NOT_INSTALLED]
    return {"not_installed": missing, "not_run": {n: why for n, why in reasons.items() if n not in missing}}


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
    lines += [report.bound_in_words(facts), *report.others_in_words(facts)]
    return "\n".join(lines)
