"""The row function itself as the reference, and the oracle as the judge."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codegen.dtypes import FORMATS, NAMED, widen
from ..codegen.ir import Role
from ..codegen.trace import Parameter
from ..philox import keys_of
from .selected import selected

if TYPE_CHECKING:
    from ..codegen.bounding.oracle import Expected
    from ..codegen.ir import Program

Array = np.ndarray[Any, np.dtype[Any]]
_WIDE = (Role.ROW, Role.MASK, Role.INT_ROW)
_AXIS = (*_WIDE, Role.TABLE)


def reference(
    kernel: Any, arrays: tuple[Any, ...], axis: Any, where: Any, keepdims: bool, settings: Mapping[str, Any]
) -> Any:
    """The row function on float64 copies, row by row and without warnings. Results have the row on its old axis."""
    rows = _Rows(kernel, arrays, axis, where, settings)
    with np.errstate(all="ignore"):
        results = [rows.one(at, settings) for at in np.ndindex(rows.batch)] or [rows.blank(settings)]
    return rows.gather(results, keepdims)


class _Rows:
    """The arrays of a call, broadcast, with the row last."""

    def __init__(
        self, kernel: Any, arrays: tuple[Any, ...], axis: Any, where: Any, settings: Mapping[str, Any]
    ) -> None:
        self.kernel, self.fn, self.masked = kernel, kernel.__wrapped__, kernel.masked
        found: tuple[Parameter, ...] = kernel.parameters
        given = dict(zip((p.name for p in found), arrays, strict=False))
        first = next(p.name for p in found if p.role in _WIDE)
        self.ndim = np.ndim(given[first])
        self.axes = _axes(axis, self.ndim)
        self.found = found
        self.values = {p.name: self._row_last(p, given[p.name]) for p in found if given.get(p.name) is not None}
        batches = [self._batch(p, self.values[p.name]) for p in found if p.name in self.values]
        self.batch = np.broadcast_shapes(*batches)
        self.where = None if where is None else self._selected(where, np.shape(given[first]))
        self._make_keys(given, settings)
        self.kept = tuple(1 if i in self.axes else n for i, n in enumerate(np.shape(given[first])))
        self.shape = np.shape(given[first])

    def _make_keys(self, given: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """An integer given as a seed is one key a row, as in a call of the kernel."""
        scalars = [p.name for p in self.found if p.role is Role.SCALAR]
        if not any(np.asarray(given.get(name)).dtype.kind in "iu" for name in scalars):
            return
        for _, node in self._program(settings).inputs:
            if node.role is Role.SEED:
                self.values[node.name] = keys_of(given[node.name], self.batch)

    def _row_last(self, parameter: Parameter, value: Any) -> Array:
        a = np.asarray(value)
        if parameter.role not in _AXIS:
            return a
        a = a if a.dtype == bool or parameter.role is Role.INT_ROW else a.astype(np.float64)
        return self._flat(a) if a.ndim == self.ndim else a

    def _flat(self, a: Array) -> Array:
        """The axes of the row moved last and made one."""
        moved = np.moveaxis(a, self.axes, range(-len(self.axes), 0)) if self.axes else a
        batch = moved.shape[: a.ndim - len(self.axes)]
        return moved.reshape(*batch, math.prod(moved.shape[len(batch) :]))

    def _selected(self, where: Any, shape: tuple[int, ...]) -> Array:
        return self._flat(np.broadcast_to(np.asarray(where, dtype=bool), shape))

    def _batch(self, parameter: Parameter, a: Array) -> tuple[int, ...]:
        shape: tuple[int, ...] = a.shape
        return shape[:-1] if parameter.role in _AXIS else shape

    def one(self, at: tuple[int, ...], settings: Mapping[str, Any]) -> tuple[Any, ...]:
        """The results of one row."""
        chosen = None if self.where is None else np.broadcast_to(self.where, (*self.batch, self.where.shape[-1]))[at]
        args = [self._argument(p, at, chosen) for p in self.found]
        if any(p.ignore is not None and args[i] == p.ignore for i, p in enumerate(self.found)):
            return self._ignored(args, settings)
        if any(p.role in _WIDE and np.size(a) == 0 for p, a in zip(self.found, args, strict=True) if a is not None):
            result = self._empty(args, settings)
        else:
            result = self.fn(*args, **settings)
        return self._parts(result, settings, chosen)

    def _parts(self, result: Any, settings: Mapping[str, Any], chosen: Array | None) -> tuple[Array, ...]:
        """The results of one row as the kernel gives them: numbers without an axis, rows whole."""
        parts = [np.asarray(r) for r in (result if isinstance(result, tuple) else (result,))]
        if chosen is None and all(part.shape != (1,) for part in parts):
            return tuple(parts)
        program = self._program(settings)
        refs = [o.ref for o in program.outputs]
        wide = [self._scattered(p, chosen) if program.is_row(r) else p for p, r in zip(parts, refs, strict=True)]
        single = [not program.is_row(r) and program.entries(r) == 0 for r in refs]
        return tuple(p.reshape(()) if one else p for p, one in zip(wide, single, strict=True))

    def _program(self, settings: Mapping[str, Any]) -> Program:
        static = {k: v for k, v in settings.items() if k in self.kernel.static}
        booleans = {p.name for p in self.found if p.role is Role.ROW and p.name in self.values}
        booleans = {name for name in booleans if self.values[name].dtype == bool}
        program: Program = self.kernel.program(static, frozenset(self.values), frozenset(booleans))
        return program

    def blank(self, settings: Mapping[str, Any]) -> tuple[Any, ...]:
        """The results of a row of zeros: what a batch of no rows has no example of."""
        row = copy.copy(self)
        wide = {p.name for p in self.found if p.role in _WIDE}
        row.values = {n: np.zeros(a.shape[-1:] if n in wide else (), a.dtype) for n, a in self.values.items()}
        row.batch, row.where = (), None
        return row.one((), settings)

    def _empty(self, args: list[Any], settings: Mapping[str, Any]) -> tuple[Any, ...]:
        """A row of nothing: NumPy refuses some reductions, the program is read on the identities."""
        from ..codegen.interpret import interpret

        floats = {s.name: settings.get(s.name, s.default) for s in self.kernel.settings if not s.static}
        given = {p.name: a for p, a in zip(self.found, args, strict=True) if a is not None}
        return interpret(self._program(settings), given, floats)

    def _argument(self, p: Parameter, at: tuple[int, ...], chosen: Array | None) -> Any:
        if p.name not in self.values:
            return None
        a = self.values[p.name]
        wide = np.broadcast_to(a, (*self.batch, *(a.shape[-1:] if p.role in _AXIS else ())))[at]
        if p.role is Role.TABLE:
            return np.array(wide)
        if p.role in _WIDE:
            return np.array(wide) if chosen is None else selected(wide[chosen], np.flatnonzero(chosen))
        if p.role is Role.INDEX and chosen is not None and p.ignore != wide:
            return int(np.count_nonzero(chosen[: int(wide)]))
        if wide.dtype == np.uint64 and p.role is Role.SCALAR:
            return np.asarray(wide)  # a key: exact, and not to be taken for a seed
        return int(wide) if p.role is Role.INDEX else float(wide)

    def _ignored(self, args: list[Any], settings: Mapping[str, Any]) -> tuple[Any, ...]:
        """A row that an index marks to be ignored: zeros of the results' shapes."""
        args = [0 if p.role is Role.INDEX else a for p, a in zip(self.found, args, strict=True)]
        result = self.fn(*args, **settings)
        return tuple(np.zeros_like(part) for part in self._parts(result, settings, None))

    def _scattered(self, part: Array, chosen: Array | None) -> Array:
        if chosen is None:
            return part
        whole = np.full(chosen.shape, self.masked, dtype=part.dtype)
        whole[chosen] = part
        return whole

    def gather(self, results: list[tuple[Any, ...]], keepdims: bool) -> Any:
        """One array for each result, the row back on its axis."""
        made = []
        for parts in zip(*results, strict=True):
            stacked = np.stack(parts)[: math.prod(self.batch)].reshape((*self.batch, *parts[0].shape))
            if parts[0].ndim:
                stacked = self._back(stacked)
            elif keepdims:
                stacked = stacked.reshape(self.kept)
            made.append(stacked)
        return made[0] if len(made) == 1 else tuple(made)

    def _back(self, a: Array) -> Array:
        if not self.axes:
            single: Array = a.reshape(self.shape)
            return single
        lengths = [self.shape[i] for i in self.axes]
        if a.shape[-1] != np.prod(lengths, dtype=np.int64):  # a k-vector lies on the last of the row's axes
            lengths = [*[1] * (len(lengths) - 1), a.shape[-1]]
        whole: Any = a.reshape(*a.shape[:-1], *lengths)
        moved: Array = np.moveaxis(whole, range(-len(self.axes), 0), self.axes)
        return moved


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    parts = axis if isinstance(axis, tuple) else (axis,)
    return tuple(sorted(int(np.lib.array_utils.normalize_axis_index(a, ndim)) for a in parts)) if ndim else ()


@dataclass(frozen=True, slots=True)
class Check:
    """How a kernel's results compare with the oracle's. `worst` is the largest error as a part of its bound."""

    worst: float
    place: tuple[int, ...] | None
    output: int

    @property
    def ok(self) -> bool:
        return self.worst <= 1.0

    def __bool__(self) -> bool:
        return self.ok


def _array(value: Any) -> Any:
    """An array; an integer stays one, for as a seed it means one key a row."""
    return value if isinstance(value, int) else np.asarray(value)


def check(kernel: Any, arrays: tuple[Any, ...], settings: Mapping[str, Any]) -> Check:
    """The worst error of a call on these arrays (rows last) against the bound that the oracle derives."""
    from ..codegen.bounding.oracle import judge, oracle

    static = {k: v for k, v in settings.items() if k in kernel.static}
    names = (p.name for p in kernel.parameters)
    given = {name: _array(a) for name, a in zip(names, arrays, strict=False) if a is not None}
    booleans = frozenset(p.name for p in kernel.parameters if p.role is Role.ROW and p.name in given
                         and np.asarray(given[p.name]).dtype == bool)  # fmt: skip
    program = kernel.program(static, frozenset(given), booleans)
    floats = {s.name: float(settings.get(s.name, s.default)) for s in kernel.settings if not s.static}
    result = kernel(*arrays, **settings)
    results = result if isinstance(result, tuple) else (result,)
    rows = [np.asarray(given[p.name]).dtype for p in kernel.parameters if p.role is Role.ROW and p.name in given]
    dtype = np.result_type(*(kind for kind in rows if kind.kind == "f"), np.float32)  # as a call promotes
    expected = oracle(program, given, floats, dtype)
    pairs = [(np.asarray(got), want) for got, want in zip(results, expected, strict=True)]
    verdicts = [judge(got, _rounded(_totalled(want, got.shape, dtype), got.dtype)) for got, want in pairs]
    output = max(range(len(verdicts)), key=lambda i: verdicts[i].worst)
    return Check(verdicts[output].worst, verdicts[output].place, output)


def _totalled(expected: Expected, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Expected:
    """The gradient of an argument that rows share: the sum of theirs, added in doubles and rounded once."""
    from ..codegen.bounding.oracle import Expected

    value, bound = expected
    further = value.ndim - len(shape)
    axes = tuple(i for i in range(value.ndim) if i < further or value.shape[i] != shape[i - further])
    if not axes:
        return expected
    with np.errstate(all="ignore"):
        count, total = math.prod(value.shape[i] for i in axes), value.sum(axes).reshape(shape)
        bound = (bound + count * 2.0**-53 * np.abs(value)).sum(axes).reshape(shape)
        return Expected(total, bound + np.finfo(dtype).eps / 2 * np.abs(total))


def _rounded(expected: Expected, dtype: np.dtype[Any]) -> Expected:
    """The bound with the one rounding to a format of 16 or 8 bits; none where the format has no such number."""
    from ..codegen.bounding.oracle import Expected

    f = FORMATS.get(NAMED.get(dtype.name, ""))
    if f is None:
        return expected
    reach = np.abs(expected.value) + expected.bound
    with np.errstate(all="ignore"):
        exponent = np.floor(np.log2(np.maximum(reach, 2.0 ** (1 - f.bias))))
    largest = widen(np.array([f.top], f"u{f.bits // 8}"), f)[0]
    half = np.where(reach > largest, np.inf, 2.0 ** (exponent - f.mantissa - 1))
    return Expected(expected.value, expected.bound + half)
