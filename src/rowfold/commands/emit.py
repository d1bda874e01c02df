"""`rowfold emit NAME DIRECTORY --target T`: an object file or LLVM IR, and its C header, for another program."""

from __future__ import annotations

import argparse
import json

from ..codegen.targets import TARGETS
from . import kernels

HELP = "write a kernel as an object file or LLVM IR, with a C header"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kernels.add_arguments(parser, shape="1x4096")
    kernels.add_dtype(parser)
    parser.add_argument("directory", help="where to write; made if it is not there")
    parser.add_argument("--target", choices=tuple(TARGETS), required=True, help="the machine to write for")
    parser.add_argument("--lang", choices=("object", "llvm"), default="object", help="(default: object)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")


def run(arguments: argparse.Namespace) -> int:
    """Prints the paths that were written."""
    made, settings = kernels.one(arguments.kernel, arguments.set)
    paths = made.emit(
        arguments.directory, target=arguments.target, lang=arguments.lang, shape=arguments.shape,
        dtype=arguments.dtype, overwrite=arguments.overwrite, given=kernels.present(made, arguments.given), **settings,
    )  # fmt: skip
    print(json.dumps(paths, indent=1) if arguments.json else "\n".join(paths))
    return 0
