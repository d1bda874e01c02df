"""`rowfold check NAME`: the kernel on rows of every kind that has broken one, against the bounds of the oracle."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from typing import Any

from ..api import Kernel
from ..testing.values import FINITE, SPECIAL
from . import kernels

HELP = "hold a kernel to the error bound of each of its results; exit code 1 if one is beyond it"
_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kernels.add_arguments(parser, shape="3x1000")
    parser.add_argument("--dtype", choices=kernels.DTYPES, help="(default: both)")


def run(arguments: argparse.Namespace) -> int:
    """Prints the worst error of each kind of rows."""
    found = kernels.named(arguments.kernel)
    rows = []
    for made, settings in zip(found.kernels, kernels.settings_of(found, arguments.set), strict=True):
        for row in _checks(made, settings, arguments):
            rows.append(row)
            kernels.progress(f"{row['kernel']} {row['dtype']} {row['kind']}")
    kernels.progress("")
    print(json.dumps(rows, indent=1) if arguments.json else _table(rows))
    return 0 if all(row["ok"] for row in rows) else 1


def _checks(
    made: Kernel[..., Any], settings: dict[str, Any], arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    given = kernels.present(made, arguments.given)
    for dtype in [arguments.dtype] if arguments.dtype else kernels.DTYPES:
        for kind in (*FINITE, *SPECIAL):
            arrays = kernels.call_arrays(made, arguments.shape, dtype, kind, given, settings)
            found = made.check(*arrays, **settings)
            worst = float(found.worst)
            yield {
                "kernel": made.name, "dtype": dtype, "kind": kind, "ok": found.ok,
                "worst": worst if math.isfinite(worst) else None,
                "output": found.output, "place": None if found.place is None else [int(i) for i in found.place],
            }  # fmt: skip


def _table(rows: list[dict[str, Any]]) -> str:
    """Every row that is beyond its bound, else the few that come nearest to it, and the verdict."""
    wrong = [row for row in rows if not row["ok"]]
    near = sorted(rows, key=lambda row: -(row["worst"] or 0))[:_SHOWN]
    lines = [f"{'rows':18}{'dtype':9}{'error / bound':>13}  place"]
    lines += [f"{row['kind']:18}{row['dtype']:9}{_ratio(row):>13}  {_place(row)}".rstrip() for row in wrong or near]
    names = ", ".join(dict.fromkeys(row["kernel"] for row in rows))
    verdict = f"{len(wrong)} of {len(rows)} checks are beyond" if wrong else f"all {len(rows)} checks are within"
    return "\n".join([*lines, f"{names}: {verdict} the error bound"])


def _ratio(row: dict[str, Any]) -> str:
    return "infinite" if row["worst"] is None else f"{row['worst']:.3g}"


def _place(row: dict[str, Any]) -> str:
    return f"output {row['output']} at {tuple(row['place'])}" if row["place"] is not None else ""
