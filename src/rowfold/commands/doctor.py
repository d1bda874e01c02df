"""`rowfold doctor`: what is found on this machine, whether each backend computes rightly, and what to do where not."""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from .. import config as configuration
from ..config import Config
from ..errors import CompileError, LoadError, RowfoldError
from ..inspecting.showconfig import config_lines, in_force
from ..library import softmax
from ..runtime import compiler, cpu, load_llvm
from ..runtime.store import Fault, default_directory, open_store

if TYPE_CHECKING:
    from ..config import Backend

HELP = "look at this machine, try each backend, and say what to do about what is wrong"
_ADVICE: dict[Backend, str] = {
    "c": "install gcc or clang, or name a compiler in ROWFOLD_CC; until then llvmlite compiles the same kernels",
    "llvm": "pip install llvmlite; it is what compiles where there is no C compiler",
    "numpy": "reinstall rowfold and numpy: NumPy itself computes wrongly here",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="a JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints one screen. 1 where something is wrong that a kernel cannot go round."""
    config, fault = in_force()
    # a fault would be that of every backend
    backends: dict[Backend, str] = {} if fault else {name: self_test(name) for name in _ADVICE}
    findings = [*_configured(fault), *_machine(), *_cache(config), *_backends(backends)]
    if arguments.json:
        facts = {"self_test": backends, "chosen": _chosen(config, backends), "problems": findings}
        print(json.dumps(_facts(config) | facts, indent=1))
    else:
        tests = [f"  {name:11} {result}" for name, result in backends.items()] or ["  not tried"]
        told = [f"  {f['problem']}\n    {f['advice']}" for f in findings] or ["  none"]
        llvm = f"LLVM          {_llvm() or 'none: llvmlite is not to be had'}"
        chosen = _chosen(config, backends)
        line = f"chosen        {_told(chosen) if chosen else 'nothing'}"
        lines = [*config_lines(), llvm, "self-test", *tests, line, "problems", *told]
        print("\n".join(part for line in lines for part in _within(line)))
    return 1 if any(finding["serious"] for finding in findings) else 0


def _within(line: str) -> list[str]:
    """A line, in several where a terminal has no room for it; words and paths are not broken."""
    indent = " " * (14 if line[:1] != " " or line[2:3] != " " else 4)
    return textwrap.wrap(line, 80, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def self_test(backend: Backend) -> str:
    """Compiles softmax anew and holds three rows of it to their bound: "right", or what went wrong."""
    x = np.linspace(-80, 80, 3 * 100, dtype=np.float32).reshape(3, 100)
    x[1, 7], x[2, 9] = np.nan, -np.inf
    try:
        with configuration.options(cache=False), warnings.catch_warnings():
            warnings.simplefilter("error")
            found = softmax.using(backend=backend, strategy="auto", isa="auto").check(x)
    except (RowfoldError, RuntimeWarning, OSError) as error:
        return f"failed: {str(error).splitlines()[0]}"
    return "right" if found.ok else f"wrong: {found.worst:.3g} times the error bound at {found.place}"


def _chosen(config: Config, backends: dict[Backend, str]) -> dict[str, Any] | None:
    """The backend that compiles kernels here, by what, for which instruction set, and why it is that one."""
    if not backends:
        return None
    failed = [name for name, result in backends.items() if result.startswith("failed")]
    able = [name for name in backends if name not in failed]
    name = config.backend
    if name != "auto":
        why = f"asked for{', though it failed' if config.backend in failed else ''}"
    elif able:
        name = able[0]
        before = ", ".join(itertools.takewhile(failed.__contains__, backends))
        why = f"the first that works; {before} failed" if before else "the first of c, llvm and numpy that works"
    else:
        return None
    makers = {"c": compiler.find(config.cc), "llvm": load_llvm.find()}
    isa = cpu.host_isas()[0] if config.isa == "auto" else config.isa
    return {"backend": name, "why": why, "compiler": str(makers.get(name) or "") or None, "isa": isa}


def _told(chosen: dict[str, Any]) -> str:
    by = f" by {chosen['compiler']}" if chosen["compiler"] else ""
    return f"backend {chosen['backend']}{by}, instructions {chosen['isa']}: {chosen['why']}"


def _facts(config: Config) -> dict[str, Any]:
    return {
        "versions": {"rowfold": __version__, "python": platform.python_version(), "numpy": np.__version__},
        "cpu": cpu.model() or None,
        "isas": list(cpu.host_isas()),
        "cores": cpu.cores(),
        "cache_sizes": cpu.caches()._asdict(),
        "compilers": [
            {"found_by": p.found_by, "command": str(p.compiler) if p.compiler else None, "reason": p.reason or None}
            for p in compiler.survey(config.cc)
        ],
        "llvm": _llvm(),
        "settings": asdict(config),
    }


def _llvm() -> str | None:
    try:
        return load_llvm.identity()
    except (CompileError, LoadError):
        return None


def _finding(problem: str, advice: str, *, serious: bool = False) -> dict[str, Any]:
    return {"problem": problem, "advice": advice, "serious": serious}


def _configured(fault: str) -> Iterator[dict[str, Any]]:
    if fault:
        yield _finding(fault, "unset that variable, or give it a value that it takes", serious=True)


def _machine() -> Iterator[dict[str, Any]]:
    if cpu.host_isas() == ("portable",):
        advice = "kernels are plain C, several times slower; a virtual machine may hide what its CPU has"
        yield _finding("neither AVX2 nor AVX-512 is to be had", advice)


def _cache(config: Config) -> Iterator[dict[str, Any]]:
    try:
        open_store(config.cache_dir or default_directory(), create=config.cache)
    except (Fault, OSError) as error:
        advice = "set ROWFOLD_CACHE_DIR to a directory of yours; until then every process compiles again"
        yield _finding(f"the kernel cache is not used: {error}", advice)


def _backends(results: dict[Backend, str]) -> list[dict[str, Any]]:
    """A backend that is missing is gone round, one that computes wrongly is not."""
    return [
        _finding(f"backend {name} {result}", _ADVICE[name], serious=name == "numpy" or result.startswith("wrong"))
        for name, result in results.items()
        if result != "right"
    ]
