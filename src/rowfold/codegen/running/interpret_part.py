"""Runs a kernel's loops in NumPy on operands in the order of its ports, as its ufunc takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..loops import Kernel, Port
from ..mathlib.words import Dtype
from .interpret_plan import Run
from .memory import core, port_dtype, written
from .numpywords import FORMATS


def interpret_operands(kernel: Kernel, given: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The outputs for these inputs; the batch shapes broadcast."""
    inputs = [p for p in kernel.ports if not p.output]
    outputs = [p for p in kernel.ports if p.output]
    number = FORMATS[cast(Dtype, kernel.dtype)]
    n = next((a.shape[-1] for p, a in zip(inputs, given, strict=True) if p.row), 0)
    batch = np.broadcast_shapes(*(_batch(p, a) for p, a in zip(inputs, given, strict=True)))
    rows = int(np.prod(batch, dtype=np.int64))
    memory: dict[str, NDArray[Any]] = {}
    for port, array in zip(inputs, given, strict=True):
        own = array.shape[array.ndim - bool(port.row or port.entries) :]
        memory[port.name] = np.broadcast_to(array, (*batch, *own)).astype(port_dtype(port, number)).reshape(rows, *own)
    for port in outputs:
        memory[port.name] = written(np.full((rows, *core(port, (n,))), np.nan), port_dtype(port, number))
    with np.errstate(all="ignore"):
        Run(kernel, memory, rows, n).kernel_steps()
    return tuple(memory[p.name].reshape((*batch, *core(p, (n,)))) for p in outputs)


def _batch(port: Port, array: NDArray[Any]) -> tuple[int, ...]:
    return array.shape[: array.ndim - bool(port.row or port.entries)]
