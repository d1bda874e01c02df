"""`rowfold cache`: where compiled kernels are kept, how many and how large; `--clear` removes them."""

from __future__ import annotations

import argparse
import json

from .. import config
from ..runtime.store import Fault, default_directory, open_store

HELP = "say where compiled kernels are kept and how large they are, or remove them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clear", action="store_true", help="remove every kernel; they are compiled again when used")
    parser.add_argument("--json", action="store_true", help="a JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints the place and what is in it, after clearing it if so asked. 1 where the directory cannot be used."""
    settings = config.resolve()
    try:
        where = settings.cache_dir or default_directory()
        store = open_store(where, create=False)
    except Fault as fault:
        print(json.dumps({"problem": str(fault)}) if arguments.json else f"not used: {fault}")
        return 1
    if store and arguments.clear:
        store.clear()
    kernels, size = store.content() if store else (0, 0)
    facts = {"directory": where, "in_use": settings.cache, "kernels": kernels, "bytes": size}
    if arguments.json:
        print(json.dumps(facts, indent=1))
    else:
        off = "" if settings.cache else " (switched off)"
        print(f"directory  {where}{off}\nkernels    {kernels}\nsize       {size} bytes")
    return 0
