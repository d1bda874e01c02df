"""`rowfold check NAME`: the kernel on rows of every kind that has broken one, against the bounds of the oracle."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from typing import Any

from ..api import Kernel
from ..codegen.source import identifier
from ..testing.values import FINITE, SPECIAL
from . import UsageError, kernels

HELP = "hold a kernel to the error bound of each of its results; exit code 1 if one is beyond it"
_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kernels.add_arguments(parser, shape="3x1000")
    parser.add_argument("--dtype", choices=kernels.DTYPES, help="(default: both)")
    parser.add_argument("--fuzz", type=float, metavar="SECONDS", help="random calls instead, for so long each kernel")
    parser.add_argument("--seed", type=int, help="of the random calls (default: another one each time)")
    parser.add_argument("--reproducers", metavar="DIRECTORY", help="where a find is written as .py and .c")


def run(arguments: argparse.Namespace) -> int:
    """Prints the worst error of each kind of rows."""
    found = kernels.named(arguments.kernel)
    if arguments.fuzz is not None:
        return _fuzz(found, arguments)
    rows = []
    for made, settings in zip(found.kernels, kernels.settings_of(found, arguments.set), strict=True):
        for row in _checks(made, settings, arguments):
            rows.append(row)
            kernels.progress(f"{row['kernel']} {row['dtype']} {row['kind']}")
    kernels.progress("")
    print(json.dumps(rows, indent=1) if arguments.json else _table(rows))
    return 0 if all(row["ok"] for row in rows) else 1


def _fuzz(found: kernels.Named, arguments: argparse.Namespace) -> int:
    """Prints what each run of the fuzzer saw, or its find."""
    from ..testing import Find, fuzz

    for made in found.kernels:
        if needed := [s.name for s in made.settings if s.required]:
            raise UsageError(f"{made.name} needs {needed[0]}=; fuzz a function of a file that calls it with one")
    rows, good = [], True
    for made in found.kernels:
        row: dict[str, Any] = {"kernel": made.name}
        try:
            report = fuzz(made, arguments.fuzz, seed=arguments.seed, everywhere=True)
            row |= {"ok": True, "seed": report.seed, "cases": report.cases, "worst": report.worst}
        except Find as find:
            good = False
            row |= {"ok": False, "seed": find.seed, "case": repr(find.case), "python": find.python}
            row["files"] = _written(find, made.name, arguments.reproducers)
        rows.append(row)
    print(json.dumps(rows, indent=1) if arguments.json else "\n".join(map(_told, rows)))
    return 0 if good else 1


def _written(find: Any, name: str, directory: str | None) -> list[str]:
    if directory is None:
        return []
    os.makedirs(directory, exist_ok=True)
    files = []
    for ending, text in (("py", find.python), ("c", find.c)):
        if text is not None:
            files.append(os.path.join(directory, f"{identifier(name)}-{find.seed}.{ending}"))
            with open(files[-1], "w", encoding="utf-8") as file:
                file.write(text)
    return files


def _told(row: dict[str, Any]) -> str:
    if row["ok"]:
        said = f"{row['cases']} calls within the error bound, worst {row['worst']:.3g} of it"
        return f"{row['kernel']}: {said} (seed {row['seed']})"
    files = f"\nwritten to {', '.join(row['files'])}" if row["files"] else ""
    return f"{row['kernel']}: beyond the error bound (seed {row['seed']})\n\n{row['python']}{files}"


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
