"""A kernel for another machine or program, made ahead of time: `k.emit`. No C compiler takes part."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codegen.generate import llvm_of, mlir_of
from ..codegen.machine import Machine
from ..codegen.plan import Plan
from ..codegen.planner import make_plan
from ..codegen.source import symbol_of
from ..codegen.targets import TARGETS
from ..config import Config
from ..errors import RowfoldError, shown
from ..records import replace
from ..runtime import load_llvm

if TYPE_CHECKING:
    from ..api import Kernel

LANGUAGES = ("object", "llvm", "mlir")
_HEADER = """/* {symbol}: for {target}, {signature} of NumPy types {types}. */
#ifndef {guard}
#define {guard}
#include <stdint.h>
{declaration}#endif
"""


class TargetError(RowfoldError, ValueError):
    """A language or machine that nothing is emitted for; the message lists those that are known."""


def emit(
    kernel: Kernel[..., Any], directory: str | os.PathLike[str], config: Config, *, target: str | None,
    lang: str = "object", shape: tuple[int, ...] = (1, 4096), dtype: Any = np.float32, overwrite: bool = False,
    **settings: Any,
) -> tuple[str, ...]:  # fmt: skip
    """Writes `<symbol>.o` (or `.ll`) and `<symbol>.h` for a target; the plan is that of the first row's shape.
    `lang="mlir"` writes `<symbol>.mlir`, for any target.

    The function has the interface of a NumPy generalized ufunc's inner loop. Targets: x86-64-v2, x86-64-v3,
    x86-64-v4, aarch64, riscv64 (these need libm) and wasm32 (which imports fma). Raises TargetError for another
    language or target, FileExistsError unless `overwrite`, CompileError where llvmlite is missing.
    """
    if lang not in LANGUAGES:
        raise TargetError(f"lang={shown(lang)} is not one of c, {', '.join(LANGUAGES)}")
    if lang == "mlir":
        plan = _plan(kernel.plan(shape, dtype, **settings), "portable", shape, config.strategy)
        symbol = symbol_of(plan.name, plan.dtype, plan.strategy, "mlir")
        return (_written(directory, f"{symbol}.mlir", mlir_of(plan).encode(), overwrite=overwrite),)
    if target is None or target not in TARGETS:
        raise TargetError(f"target={shown(target)} is not one of {', '.join(TARGETS)}")
    machine = TARGETS[target]
    here = kernel.plan(shape, dtype, **settings)
    source = llvm_of(_plan(here, machine.vocabulary, shape, config.strategy), machine)
    header = _HEADER.format(
        symbol=source.symbol, target=target, signature=source.signature, types=source.types,
        guard=source.symbol.upper() + "_H", declaration=source.header,
    )  # fmt: skip
    if lang == "llvm":
        files = {".ll": source.text.encode()}
    else:
        files = {".o": load_llvm.build(source.text, machine.triple, machine.cpu, ",".join(machine.features))}
    return tuple(_written(directory, source.symbol + end, data, overwrite=overwrite)
                 for end, data in {**files, ".h": header.encode()}.items())  # fmt: skip


def _plan(here: Plan, isa: str, shape: tuple[int, ...], strategy: str) -> Plan:
    """The plan on a machine of which we know the instruction set only."""
    rows, n = int(np.prod(shape[:-1])), shape[-1]
    plan = make_plan(here.program, dtype=here.dtype, isa=isa, n=n, rows=rows, strategy=strategy, machine=Machine())
    return replace(plan, chunked=True)  # what is emitted takes rows of any length


def _written(directory: str | os.PathLike[str], name: str, data: bytes, *, overwrite: bool) -> str:
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, name)
    with open(path, "wb" if overwrite else "xb") as file:
        file.write(data)
    return path
