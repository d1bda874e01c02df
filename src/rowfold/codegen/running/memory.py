"""The memory of a kernel that NumPy runs: operands as its ports read them, results as they are written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..loops import Port

Array = NDArray[Any]


def core(port: Port, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[-1:] if port.row or port.element == "total" else (port.entries,) if port.entries else ()


def batch_shape(port: Port, array: Array) -> tuple[int, ...]:
    """The batch that an argument without a row has."""
    return array.shape[:-1] if port.table else array.shape


def operand(port: Port, array: Array, shape: tuple[int, ...], number: type[np.floating[Any]]) -> Array:
    """An argument as the kernel reads it, a row of it for each of the batch."""
    core = array.shape[-1:] if port.table else shape[-1:] if port.row else ()
    whole = np.broadcast_to(array, (*shape[:-1], *core)).astype(port_dtype(port, number))
    batch = int(np.prod(shape[:-1], dtype=np.int64))
    return whole.reshape((batch, *core))


def port_dtype(port: Port, number: type[np.floating[Any]]) -> Any:
    kinds = {"mask": bool, "int": np.int64, "index": np.int64, "key": np.uint64, "double": np.float64}
    return kinds.get(port.element, number)


def written(value: Array, dtype: Any) -> Array:
    """The value as memory takes it: what no integer can hold becomes the lowest one."""
    if np.dtype(dtype).kind != "i" or value.dtype.kind == "b":
        return value.astype(dtype)
    fits = (value >= -(2.0**63)) & (value < 2.0**63)
    return np.where(fits, np.where(fits, value, 0).astype(dtype), np.iinfo(dtype).min)
