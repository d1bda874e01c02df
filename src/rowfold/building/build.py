"""Plan -> loop: from the cache, by the C compiler, or by NumPy when there is none."""

from __future__ import annotations

import functools
import os
import warnings
from typing import Any

import numpy as np

from .. import __version__
from ..codegen.ir import Program
from ..codegen.plan import Plan
from ..codegen.targets import host
from ..config import Config
from ..errors import CompileError, LoadError
from ..runtime import cache, cpu, stamp
from ..runtime.call import HasLoop
from ..runtime.spec import Result, Results
from ..runtime.store import digest

_warned: set[str] = set()


def plan_key(plan: Plan) -> str:
    """Everything that decides the emitted text, and nothing that does not: the row length is not in it."""
    parts = (__version__, _templates(), plan.name, plan.dtype, plan.isa, plan.strategy, plan.sweeps, plan.groups)
    text = repr((*parts, plan.state, plan.chunked, plan.form, plan.together, plan.traffic))
    text += repr((plan.program.nodes, plan.program.names, plan.program.outputs))
    return digest(text.encode())


@functools.cache
def _templates() -> str:
    """What tells this package's templates and the modules that read them from others: an edit makes a new kernel."""
    if stamp.IMPORTED is not None:
        return stamp.IMPORTED
    read, package = bytearray(), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for room in ("templates", "codegen"):
        for folder, _, names in sorted(os.walk(os.path.join(package, room))):
            for name in sorted(n for n in names if n.endswith((".py", ".j2"))):
                with open(os.path.join(folder, name), "rb") as file:
                    read += name.encode() + file.read()
    return digest(bytes(read))


def results_of(program: Program) -> Results:
    """What the program gives, as a caller sees it."""
    kinds = {"bool": "bool", "int": "int64", "float": None}
    stored = [o.dtype or kinds[program.types[o.ref].value] for o in program.outputs]
    found = zip(program.outputs, stored, strict=True)
    return tuple(Result(program.is_row(o.ref), dtype, program.entries(o.ref), o.total) for o, dtype in found)


def loop_of(plan: Plan, key: str, config: Config) -> HasLoop:
    """A loop that runs the plan: compiled from C, else from LLVM IR, else NumPy; said once where it is not C.

    Raises CompileError when the backend that was asked for by name cannot compile.
    """
    if config.backend == "numpy":
        return interpreted(plan)
    if plan.form:
        return cache.find(key, config) or _compiled(plan, key, config, "c")  # it is C or nothing
    in_view = config.dump or config.override or config.debug
    found = None if in_view else cache.find(key, config)
    if found is not None:
        return found
    failures = []
    for language in ("c", "llvm") if config.backend == "auto" else (config.backend,):
        try:
            loop = _compiled(plan, key, config, language)
        except (CompileError, LoadError) as error:
            if config.backend != "auto":
                raise
            failures.append(str(error))  # all of it: the command, what it printed, where the source is
        else:
            if failures:
                _warn_once("rowfold compiles with llvmlite, for this could not be compiled:", failures)
            return loop
    _warn_once("rowfold runs on NumPy, right but slow, for this could not be compiled:", failures)
    return interpreted(plan)


def _compiled(plan: Plan, key: str, config: Config, language: str) -> cache.Loaded:
    from ..codegen.generate import llvm_of, source_of

    cache.compiler_for(language, config)  # before a text is made that nothing compiles
    in_view = config.dump or config.override or config.debug
    target = host(plan.isa, cpu.arch())
    if language == "llvm" and not in_view:
        draft = llvm_of(plan, target, draft=True)
        return cache.draft(draft, lambda: llvm_of(plan, target), key, config)
    source = source_of(plan) if language == "c" else llvm_of(plan, target)
    if not in_view:
        return cache.load(source, key, config)
    from ..inspecting.stagefiles import inspected

    return inspected(plan, source, key, config)


def _warn_once(what: str, failures: list[str]) -> None:
    """One warning for each kind of failure, whatever kernels meet it, with all that is known of the failures."""
    kind = " ".join(failure.splitlines()[0] for failure in failures)
    if kind not in _warned:
        warnings.warn(f"{what} {'; '.join(failures)}", RuntimeWarning, stacklevel=6)
        _warned.add(kind)  # not before: where warnings are errors, every call is one


def interpreted(plan: Plan) -> HasLoop:
    """The loop that needs no compiler."""
    from .numpyloop import NumpyLoop

    return NumpyLoop(plan) if plan.state is None else PartLoop(plan)


class PartLoop:
    """The loops of a plan for a part of a row, run by NumPy word by word: the bits of the compiled ones."""

    def __init__(self, plan: Plan) -> None:
        from ..codegen.generate import gufunc
        from ..codegen.lower.kernel import lower

        self.kernel, self.__name__ = lower(plan), plan.name
        signature, types = gufunc(plan)
        count = len(signature.split("->", maxsplit=1)[0].split("),("))
        self.types = [f"{types[:count]}->{types[count:]}"]

    @property
    def ufunc(self) -> Any:
        return self

    def __call__(self, *args: Any) -> Any:
        from ..codegen.running.interpret_part import interpret_operands

        count = self.types[0].index("-")
        results = interpret_operands(self.kernel, [np.asarray(a) for a in args[:count]])
        for place, result in zip(args[count:], results, strict=False):
            place[...] = result
        return results[0] if len(results) == 1 else results
