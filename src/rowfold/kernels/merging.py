"""States of parts of rows as structured arrays: merged, and made for parts without elements, by NumPy.

How each kind of field merges is codegen/lower/merging.py.
"""

from __future__ import annotations

from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.spec import Array

if TYPE_CHECKING:
    from ..codegen.lower.merging import Placed

Fields = tuple[tuple[str, tuple[int, ...]], ...]


def state_dtype(fields: Fields) -> np.dtype[Any]:
    """The structured dtype of these fields, all of doubles."""
    return np.dtype([(name, np.float64, shape) if shape else (name, np.float64) for name, shape in fields])


def fields_of(dtype: np.dtype[Any]) -> Fields:
    return tuple((name, dtype[name].shape) for name in dtype.names or ())


def doubles(state: Any) -> Array:
    """The numbers of states, along the last axis."""
    whole: Array = np.ascontiguousarray(state).view(np.float64)
    return whole.reshape(*np.shape(state), state.dtype.itemsize // whole.itemsize)


def identity(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """States of parts that hold no element: merging with them changes nothing."""
    from ..codegen.lower import merging

    none = np.array(merging.identity(fields_of(dtype)))
    return np.full(shape, none.view(dtype)[0], dtype)


def merge(a: Array, b: Array) -> Array:
    """The states of both parts, of one dtype; their shapes broadcast."""
    from ..codegen.lower import merging
    from ..codegen.running.statewords import STATE_WORDS

    w, dtype, shape = STATE_WORDS, a.dtype, np.broadcast_shapes(a.shape, b.shape)
    first, second = (_columns(side, len(shape)) for side in (a, b))
    merged = np.empty((first.shape[0], *shape))
    with np.errstate(all="ignore"):
        merged[...] = np.where(merging.begun(w, first[1]), first, second)
        for round_, units in _by_round(dtype):
            both = merging.both_in(w, round_, first[1], second[1])
            for p in units:
                made = p.state.merge(w, _values(first, p), _values(second, p))
                for target, value in zip(_values(merged, p), made, strict=True):
                    np.copyto(target, value, where=both)
    state: Array = np.ascontiguousarray(np.moveaxis(merged, 0, -1)).view(dtype)
    return state.reshape(shape)


@cache
def _by_round(dtype: np.dtype[Any]) -> list[tuple[int, list[Placed]]]:
    from ..codegen.lower.merging import placed

    return [(round_, list(units)) for round_, units in groupby(placed(fields_of(dtype)), lambda p: p.round)]


def _columns(state: Array, axes: int) -> Array:
    """Each number of all states behind each other."""
    numbers = doubles(state)
    numbers = numbers.reshape((1,) * (axes - state.ndim) + numbers.shape)
    return np.ascontiguousarray(np.moveaxis(numbers, -1, 0))


def _values(columns: Array, p: Placed) -> list[Array]:
    """What a state is of: numbers, or k-vectors."""
    entries = p.state.entries
    if entries:
        return [columns[p.at + k : p.at + k + entries] for k in range(0, p.state.size, entries)]
    return [columns[k, ...] for k in range(p.at, p.at + p.state.size)]
