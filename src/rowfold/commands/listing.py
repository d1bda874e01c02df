"""`rowfold list`: the ready-made kernels, or with `--all` the whole catalogue, and the walks that each takes."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from typing import Any

from .. import library
from ..gallery import Entry, entries

HELP = "list the ready-made kernels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="the gallery too: every kernel of the catalogue")
    parser.add_argument("--json", action="store_true", help="a JSON list of objects, one for each kernel")


def run(arguments: argparse.Namespace) -> int:
    """Prints the list."""
    rows = [_facts(e) for e in (entries() if arguments.all else _ready_made())]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    print(json.dumps(rows, indent=1) if arguments.json else _table(rows, columns))
    return 0


def _ready_made() -> list[Entry]:
    """The library's kernels, each under the first row that names it."""
    first: dict[str, Entry] = {}
    for entry in entries():
        if entry.name in library.__all__:
            first.setdefault(entry.name, entry)
    return list(first.values())


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "id": entry.id,
        "paper": entry.paper,
        "walks_stated": entry.walks_stated,
        "walks": entry.walks(),
    }


def _table(rows: list[dict[str, Any]], columns: int) -> str:
    """A line for each kernel; in a terminal of so many columns titles are cut, not broken."""
    wide = max(len(row["name"]) for row in rows)
    lines = [f"{'kernel':{wide}}  {'id':4}  walks  paper"]
    lines += [f"{row['name']:{wide}}  {row['id']:4}  {row['walks']:5}  {row['paper']}".rstrip() for row in rows]
    return "\n".join(line if len(line) <= columns or not columns else f"{line[: columns - 3]}..." for line in lines)
