"""The command line: `rowfold` and `python -m rowfold`. One module of `commands` for each word after it.

A command module has `HELP`, `add_arguments(parser)` and `run(arguments)`, which returns the exit code: 0 for success, 1
where something was looked for and found wrong. Wrong usage is 2, as in argparse; our errors are 1 and a sentence.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from .commands import UsageError
from .errors import RowfoldError

COMMANDS = {  # the word, and the module where it lives
    "list": "listing",
    "explain": "explain",
    "emit": "emit",
    "check": "check",
    "bench": "bench",
    "doctor": "doctor",
    "cache": "cache",
}


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit code."""
    arguments = parser().parse_args(words)
    try:
        code: int = arguments.run(arguments)
    except BrokenPipeError:  # `rowfold list | head` has read enough
        sys.stderr.close()
        return 0
    except UsageError as error:
        print(f"rowfold {arguments.command}: {error}", file=sys.stderr)
        return 2
    except (RowfoldError, OSError, TypeError, ValueError) as error:
        print(f"rowfold {arguments.command}: {error}", file=sys.stderr)
        return 1
    return code


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from . import __version__

    top = argparse.ArgumentParser("rowfold", description="Write the row in NumPy. Get the fused kernel.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for word, name in COMMANDS.items():
        module = import_module(f"{__package__}.commands.{name}")
        below = commands.add_parser(word, help=module.HELP, description=module.HELP)
        module.add_arguments(below)
        below.set_defaults(run=module.run)
    return top
