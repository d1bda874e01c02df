"""What quick.c compares a call with, as 64-bit words: the fields of its structures, in their order."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from . import outputs
from .repeat import Repeat
from .spec import Array
from .ufunc import cores_of

MOST_RANK, MOST_VALUES, MOST_OUTPUTS, MOST_OPERANDS, MOST_STEPS, MOST_RECIPES = 6, 8, 4, 16, 32, 16
_MOST_DIMS = 4
_ARRAY, _SAME, _SETTING = range(3)
_INDEX_BYTES = 8


def recipe_of(
    repeat: Repeat, arrays: tuple[Any, ...], options: Mapping[str, Any], *, tupled: bool
) -> tuple[Array, list[Any]] | None:
    """The recipe for calls like this one, and the objects that it points to; None where the loop cannot take them.

    The loop must read what the user gives: contiguous arrays of its own dtypes, with one step from row to row.
    """
    if not repeat.plain:
        return None
    used = repeat.operands(arrays, options)
    call = repeat.call._replace(first=repeat.given(arrays, options)[repeat.first], arrays=(*used, *repeat.settings))
    targets = outputs.prepare(repeat.name, repeat.results, call, None, repeat.keepdims)
    steps = _steps(repeat, [*call.arrays, *(t.loop for t in targets)], call.batch)
    values: list[tuple[str | None, Any]] = [*((None, a) for a in arrays), *options.items()]
    tables = any(label.startswith("m") for core in cores_of(repeat.loop.signature) for label in core)
    fits = not tables and len(values) <= MOST_VALUES and len(targets) <= MOST_OUTPUTS and call.rows and call.layout.n
    plain = all(t.shared and _plain(t.array) for t in targets) and all(
        _plain(g) and g.dtype == t for g, t in zip(repeat.given(arrays, options), call.dtypes, strict=False)
    )
    if steps is None or not fits or not plain:
        return None
    return _written(repeat, call, values, targets, steps, tupled)


def _plain(array: Array) -> bool:
    flags = array.flags
    return bool(flags.c_contiguous and flags.aligned and array.ndim <= MOST_RANK) and array.dtype.isnative


def _written(
    repeat: Repeat, call: Any, values: list[tuple[str | None, Any]], targets: Any, steps: list[Any], tupled: bool
) -> tuple[Array, list[Any]] | None:
    """The words of the whole recipe."""
    named = [name if name is not None else k for k, (name, _) in enumerate(values)]
    sources = [named.index(s) for s in repeat.sources]
    operand = {place: k for k, place in enumerate(sources)}
    numbers = list(zip(repeat.setting_names, repeat.settings, strict=True))
    passed = [named.index(n) if n in named and type(values[named.index(n)][1]) is float else -1 for n, _ in numbers]
    inputs, total = len(sources) + len(numbers), len(sources) + len(numbers) + len(targets)
    flat = [s for s, _ in steps] + [c for _, core in steps for c in core]
    sizes = [call.layout.n, *(t.result.entries for t in targets if t.result.entries)]
    dims = [call.rows, *dict.fromkeys(sizes)]
    if total > MOST_OPERANDS or len(flat) > MOST_STEPS or len(dims) > _MOST_DIMS:
        return None
    constants = [0] * len(sources) + [_bits(float(a)) for _, a in numbers]
    words = [repeat.pointer, repeat.data, len(values), total, len(targets), int(tupled), call.rows * call.layout.n]
    words += _filled([*sources, *passed], MOST_OPERANDS) + _filled(constants, MOST_OPERANDS)
    words += _filled(dims, _MOST_DIMS) + _filled(flat, MOST_STEPS)
    kinds = [_kind(t.array) for t in targets]
    words += _filled([w for kind in kinds for w in kind], MOST_OUTPUTS * (MOST_RANK + 3))
    for k, (name, value) in enumerate(values):
        words += _value(repeat, call, name, value, operand.get(k), steps, inputs)
    kept = [v for _, v in values if type(v) is not np.ndarray]
    kept += [t.array.dtype for t in targets] + [v.dtype for _, v in values if type(v) is np.ndarray]
    return np.array(words, np.int64), [kept, [sys.intern(n) for n, _ in values if n is not None]]


def _value(
    repeat: Repeat, call: Any, name: str | None, value: Any, operand: int | None, steps: list[Any], inputs: int
) -> list[int]:
    """What one value of the call has to be."""
    label = 0 if name is None else id(sys.intern(name))
    nothing = [0] * (MOST_RANK + 3)
    if operand is not None:
        alike = [step == steps[operand] and bool(step[1]) for step in steps[inputs:]]
        together = 0 if repeat.apart else sum(1 << o for o, same in enumerate(alike) if same)
        index, n = repeat.index.get(operand), call.layout.n
        has = 0 if index is None or index.ignore is None else 1
        checks = [0] * 5 if index is None else [1, value.size, n, has, index.ignore if has else 0]
        return [_ARRAY, label, 0, *_kind(value), together, *checks, 0, 0, 0]
    if type(value) is float and (name in repeat.setting_names or value != 0):
        low, high, is_open = repeat.bounds.get(str(name), (value, value, False))
        return [_SETTING, label, 0, *nothing, *[0] * 6, _bits(low), _bits(high), int(is_open)]
    return [_SAME, label, id(value), *nothing, *[0] * 9]


def _kind(array: Array) -> list[int]:
    return [id(array.dtype), array.ndim, *_filled(array.shape, MOST_RANK), array.nbytes]


def _steps(repeat: Repeat, arrays: list[Array], batch: tuple[int, ...]) -> list[tuple[int, list[int]]] | None:
    """From row to row and within the row, for each operand of the loop; None where rows are not equally far apart."""
    found = []
    for array, core in zip(arrays, cores_of(repeat.loop.signature), strict=True):
        split = array.ndim - len(core)
        step = _step(np.broadcast_to(array, batch + array.shape[split:]).strides[: len(batch)], batch)
        if step is None:
            return None
        found.append((step, list(array.strides[split:])))
    return found


def _step(strides: tuple[int, ...], batch: tuple[int, ...]) -> int | None:
    """The one step that walks over a whole batch."""
    there = [(size, stride) for size, stride in zip(batch, strides, strict=True) if size != 1]
    if not there:
        return 0
    step, rows = there[-1][1], 1
    for size, stride in reversed(there):
        if stride != step * rows:
            return None
        rows *= size
    return step


def _filled(words: Iterable[int], length: int) -> list[int]:
    found = list(words)
    return found + [0] * (length - len(found))


def _bits(number: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", number))[0])
