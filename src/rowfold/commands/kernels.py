"""What the commands share: which kernel is meant, with which settings, at which shape and dtype."""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import gallery, library
from ..api import Kernel, kernel
from ..codegen.ir import Role
from ..codegen.language.signature import Setting, resolve_settings
from ..testing import Case
from ..testing.cases import arrays
from . import UsageError

DTYPES = ("float32", "float64")
NARROW = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Named:
    """What a name stands for: a kernel, or the kernels that a function on matrices is made of."""

    name: str
    kernels: tuple[Kernel[..., Any], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)  # for those without a default


def add_arguments(parser: argparse.ArgumentParser, shape: str = "64x4096", optional: bool = False) -> None:
    """NAME and how it is called, with `shape` as the default."""
    said = "a kernel that `rowfold list --all` shows, or file.py:function"
    parser.add_argument("kernel", nargs="?" if optional else None, metavar="NAME", help=said)
    parser.add_argument("--shape", type=_shape, default=_shape(shape), help=f"rows x length (default: {shape})")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the kernel")
    parser.add_argument("--given", default="", metavar="NAME,NAME", help="optional arrays that are present")
    parser.add_argument("--json", action="store_true", help="print JSON")


def named(text: str) -> Named:
    """The library's or the gallery's kernel of this name, or that of file.py:function. UsageError if there is none."""
    path, colon, function = text.rpartition(":")
    if colon:
        return _from_file(path, function)
    entry = next((e for e in gallery.entries() if e.name == text), None)
    if entry:
        return Named(text, entry.kernels, entry.settings)
    known = {e.name for e in gallery.entries()} | set(library.__all__)
    near = difflib.get_close_matches(text, known)
    advice = f"did you mean {' or '.join(near)}?" if near else "`rowfold list --all` shows those that there are"
    raise UsageError(f"there is no kernel {text!r}; {advice}")


def _from_file(path: str, function: str) -> Named:
    if not os.path.isfile(path):
        raise UsageError(f"there is no file {path!r}")
    spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(path))[0], path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))  # it may import its neighbours, as when it is run
    spec.loader.exec_module(module)
    found = getattr(module, function, None)
    if not callable(found):
        raise UsageError(f"{path!r} has no function {function!r}")
    made: Kernel[..., Any] = found if isinstance(found, Kernel) else kernel(found)
    return Named(made.name, (made,))


def settings_of(found: Named, words: list[str]) -> list[dict[str, Any]]:
    """For each of the kernels its settings that are not left at their defaults: set by `words`, or known for it."""
    given = dict(_pair(word) for word in words)
    unknown = given.keys() - {s.name for k in found.kernels for s in k.settings}
    if unknown:
        raise UsageError(f"{found.name} has no setting {min(unknown)!r}")
    return [_resolved(k, found.settings, given) for k in found.kernels]


def one(text: str, words: list[str]) -> tuple[Kernel[..., Any], dict[str, Any]]:
    """The kernel of this name with its settings. UsageError for a function that is made of several."""
    found = named(text)
    if len(found.kernels) == 1:
        return found.kernels[0], settings_of(found, words)[0]
    parts = ", ".join(k.name for k in found.kernels)
    raise UsageError(f"{text} is a function on matrices, made of several kernels ({parts}); name one")


def _resolved(made: Kernel[..., Any], known: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    mine = {s.name: s for s in made.settings}
    values = {name: value for name, value in known.items() if name in mine}
    values |= {name: _parsed(mine[name], text) for name, text in given.items() if name in mine}
    checked = resolve_settings(made.settings, values, made.name)
    return {name: checked[name] for name in values}


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise UsageError(f"--set takes NAME=VALUE, not {word!r}")
    return name, value


def _parsed(setting: Setting, text: str) -> Any:
    if setting.nullable and text == "None":
        return None
    try:
        return _BOOLEANS[text.lower()] if setting.type is bool else setting.type(text)
    except (KeyError, ValueError):
        raise UsageError(f"setting {setting.name!r} takes {setting.type.__name__}, not {text!r}") from None


def present(made: Kernel[..., Any], words: str) -> frozenset[str]:
    """The optional parameters that are given."""
    names = frozenset(name for name in words.split(",") if name)
    unknown = names - {p.name for p in made.parameters if p.optional}
    if unknown:
        raise UsageError(f"{made.name} has no optional array {min(unknown)!r}")
    return names


def call_arrays(
    made: Kernel[..., Any], shape: tuple[int, ...], dtype: str, kind: str, given: frozenset[str],
    settings: Mapping[str, Any],
) -> list[Any]:  # fmt: skip
    """Arguments for a call: rows of this kind of `rowfold.testing`, None for an absent one, 0 for a seed."""
    case = Case(batch=shape[:-1], width=shape[-1], dtype=dtype, values=(kind,))
    values: dict[str, Any] = {**arrays(case, made.parameters)}
    static = {name: value for name, value in settings.items() if name in made.static}
    program = made.program(static, given, frozenset())
    seeds = {node.name for _, node in program.inputs if node.role is Role.SEED}
    values |= dict.fromkeys(seeds, 0)
    return [None if p.optional and p.name not in given else values[p.name] for p in made.parameters]


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.lower().split("x")
    if not all(size.isdecimal() for size in sizes):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape; write it as 64x32000")
    return tuple(map(int, sizes))


def add_dtype(parser: argparse.ArgumentParser, *, narrow: bool = False) -> None:
    """One dtype, float32 unless said."""
    choices = (*DTYPES, *NARROW) if narrow else DTYPES
    parser.add_argument("--dtype", choices=choices, default=DTYPES[0], help="(default: float32)")


def progress(text: str) -> None:
    """What is being done, on one line of a terminal that the next one replaces; nothing anywhere else."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
