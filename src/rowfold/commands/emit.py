"""`rowfold emit NAME DIRECTORY`: C that stands alone, an object file or LLVM IR, for another program."""

from __future__ import annotations

import argparse
import json

from ..codegen.targets import TARGETS
from ..errors import RowfoldError
from . import UsageError, kernels

HELP = "write a kernel for C, C++ or Rust programs, or as an object file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kernels.add_arguments(parser)
    parser.set_defaults(shape=None)
    parser.add_argument("directory", help="where to write; made if it is not there")
    parser.add_argument("--lang", choices=("c", "object", "llvm", "mlir"), default="c", help="(default: c)")
    parser.add_argument("--isas", type=_words, help="instruction sets of the C, e.g. avx2,portable (default: all)")
    parser.add_argument("--dtypes", "--dtype", type=_words, help="float32, float64, or both (default: float32)")
    parser.add_argument("--target", choices=tuple(TARGETS), help="the machine of an object file")
    parser.add_argument("--single-header", action="store_true", help="one header that holds the source too")
    parser.add_argument("--states", action="store_true", help="functions for parts of rows, too")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")


def run(arguments: argparse.Namespace) -> int:
    """Prints the paths that were written."""
    made, settings = kernels.one(arguments.kernel, arguments.set)
    if arguments.states and arguments.lang != "c":
        raise UsageError(f"--states is for --lang c, not {arguments.lang}")
    if arguments.states:
        settings = {**settings, "states": True}
    try:
        paths = made.emit(
            arguments.directory, isas=arguments.isas, dtypes=arguments.dtypes, shape=arguments.shape,
            lang=arguments.lang, target=arguments.target, single_header=arguments.single_header,
            overwrite=arguments.overwrite, given=kernels.present(made, arguments.given), **settings,
        )  # fmt: skip
    except (RowfoldError, OSError) as error:
        raise UsageError(str(error)) from error
    print(json.dumps(paths, indent=1) if arguments.json else "\n".join(paths))
    return 0


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]
