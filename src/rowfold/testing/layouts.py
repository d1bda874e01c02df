"""The same numbers laid out in memory in every way that NumPy allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def laid_out(values: Array, layout: str) -> Array:
    """An array equal to `values`, in memory of its own with the named layout."""
    result = empty(values.shape, values.dtype, layout)
    result[...] = values
    return result


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], layout: str) -> Array:
    """A writable array of the named layout, filled with a pattern that no kernel writes."""
    return LAYOUTS[layout](shape, dtype)


def _block(shape: tuple[int, ...], dtype: np.dtype[Any], offset: int = 0) -> Array:
    memory = bytearray(b"\x5a" * (math.prod(shape) * dtype.itemsize + offset))
    return np.asarray(np.ndarray(shape, dtype=dtype, buffer=memory, offset=offset))


def _doubled(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    block = _block(tuple(2 * s for s in shape), dtype)
    return np.asarray(block[tuple(slice(None, None, 2) for _ in shape)])


def _negative(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.asarray(_block(shape, dtype)[tuple(slice(None, None, -1) for _ in shape)])


def _transposed(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.asarray(_block(shape[::-1], dtype).T)


def _offset_element(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return _block(shape, dtype, dtype.itemsize)


def _offset_byte(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return _block(shape, dtype, 1)


def _padded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Rows contiguous, with a gap between them."""
    return np.asarray(_block((*shape[:-1], shape[-1] + 3), dtype)[..., : shape[-1]])


LAYOUTS: dict[str, Callable[[tuple[int, ...], np.dtype[Any]], Array]] = {
    "contiguous": _block,
    "doubled": _doubled,
    "negative": _negative,
    "transposed": _transposed,
    "offset_element": _offset_element,
    "offset_byte": _offset_byte,
    "padded": _padded,
}
