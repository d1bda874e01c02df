"""Kernels on Dask arrays, lazily: `apply(k, *arrays, axis=-1, **settings)`, and `k(dask_array)` does the same.

Arrays that are chunked along the batch are mapped chunk by chunk. Where rows are cut too, each chunk gives its state
(`Kernel.partial`), states are merged in Dask's tree, and results are made of the merged ones (`Kernel.finish`): no
worker ever holds a whole row. Kernels travel by definition, and each worker compiles, or finds in its cache, what its
own CPU runs; states from different CPUs merge.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import Any

import cloudpickle
import dask.array as da
import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from rowfold.api import Kernel
from rowfold.building.build import results_of
from rowfold.codegen.ir import Role
from rowfold.kernels.saved import WIDE_ROLES
from rowfold.runtime import quick

from ..records import NamedTuple

Labels = tuple[int, ...]


def apply(kernel: Kernel[..., Any], *arrays: Any, axis: Any = -1, where: Any = None, **settings: Any) -> Any:
    """The kernel on arrays of which at least one is a Dask array: Dask arrays of the results, nothing computed yet.

    Arguments and results are those of a call, chunked as the first row is. Rows may be chunked along one axis of theirs
    where the kernel has states (PlanError otherwise: rechunk so that rows are whole). TypeError for `out=`; errors that
    values decide (an Index outside its row that lies whole in a chunk) come from `compute`.
    """
    if settings.pop("out", None) is not None:
        raise TypeError(f"{kernel.name}: Dask arrays are not written in place; leave out= away")
    keepdims = settings.pop("keepdims", False)
    names = [p.name for p in kernel.parameters]
    named = {name: settings.pop(name) for name in names if name in settings}
    given = dict(zip(names, arrays, strict=False)) | named
    job = _Job.of(kernel, {n: a for n, a in given.items() if a is not None}, axis, where, settings)
    results = job.in_parts() if job.cut else job.whole()
    if keepdims:
        kept = zip(results, job.results, strict=True)
        results = [a if r.row or r.entries else da.expand_dims(a, job.axes) for a, r in kept]
    return tuple(results) if len(results) > 1 else results[0]


class _Job(NamedTuple):
    """One call: the arrays by name, their labels for Dask's blockwise, and how a task calls the kernel."""

    blob: bytes
    kernel: Kernel[..., Any]
    arrays: dict[str, Any]
    labels: dict[str, Labels]
    first: str
    axes: Labels
    settings: dict[str, Any]

    @classmethod
    def of(
        cls, kernel: Kernel[..., Any], given: Mapping[str, Any], axis: Any, where: Any, settings: dict[str, Any]
    ) -> _Job:
        roles = {p.name: p.role for p in kernel.parameters}
        arrays = {
            n: a if isinstance(a, da.Array) else da.from_array(np.asarray(a), chunks=-1) for n, a in given.items()
        }
        if tables := [n for n, role in roles.items() if role is Role.TABLE]:
            raise TypeError(f"{kernel.name}: {tables[0]!r} is a table for rf.lookup; chunks of those are not supported")
        rows = [n for n in arrays if roles[n] is Role.ROW] or [n for n in arrays if roles[n] in WIDE_ROLES]
        if not rows:
            raise TypeError(f"{kernel.name}: no row was given; expected an array with a row in it as first argument")
        first = arrays[rows[0]]
        axes = _axes(axis, first.ndim)
        if where is not None:
            arrays["where"] = da.broadcast_to(da.asarray(where), first.shape).rechunk(first.chunks)
            roles["where"] = Role.MASK
        batch = tuple(k for k in range(first.ndim) if k not in axes)
        labels = {n: _labels(a, roles[n], first.ndim, axes, batch) for n, a in arrays.items()}
        aligned = {n: _aligned(a, labels[n], first) for n, a in arrays.items()}
        return cls(_blob(kernel), kernel, aligned, labels, rows[0], axes, settings)

    @property
    def row(self) -> Any:
        return self.arrays[self.first]

    @property
    def batch(self) -> Labels:
        return tuple(k for k in range(self.row.ndim) if k not in self.axes)

    @property
    def cut(self) -> bool:
        """Whether rows are in several chunks. Rows of several axes, or of kernels without states, have to be whole."""
        several = [k for k in self.axes if self.row.numblocks[k] > 1]
        if len(several) > 1 or (several and len(self.axes) > 1):
            raise ValueError(
                f"{self.kernel.name}: rows on the axes {self.axes} are in several chunks; rechunk the array so that "
                f"each row is whole: x.rechunk({dict.fromkeys(self.axes, -1)})"
            )
        return bool(several)

    @property
    def results(self) -> Any:
        static = {n: v for n, v in self.settings.items() if n in self.kernel.static}
        optional = {p.name for p in self.kernel.parameters if p.optional}
        booleans = frozenset(n for n in self.arrays if n not in (self.first, "where") and self._is_bool(n))
        return results_of(self.kernel.program(static, frozenset(optional & self.arrays.keys()), booleans))

    def _is_bool(self, name: str) -> bool:
        role = next(p.role for p in self.kernel.parameters if p.name == name)
        return role is Role.ROW and self.arrays[name].dtype == bool

    @property
    def dtype(self) -> np.dtype[Any]:
        if self.settings.get("dtype") is not None:
            asked: np.dtype[Any] = np.dtype(self.settings["dtype"])
            return asked
        rows = [p.name for p in self.kernel.parameters if p.role is Role.ROW and p.name in self.arrays]
        found: np.dtype[Any] = np.result_type(*(self.arrays[n].dtype for n in rows if self.arrays[n].dtype != bool))
        return found

    def pairs(self, names: Any = None) -> list[Any]:
        chosen = list(self.arrays) if names is None else names
        return [x for n in chosen for x in (self.arrays[n], self.labels[n])]

    # rows that are whole

    def whole(self) -> list[Any]:
        """The kernel on each chunk of the batch."""
        axis = self.axes if len(self.axes) > 1 else next(iter(self.axes))
        task = functools.partial(_call, self.blob, tuple(self.arrays), axis, {"threads": 1} | self.settings)
        if len(self.results) == 1:
            return [self._placed(task, self.pairs(), self.results[0])]
        every = da.blockwise(task, self.batch, *self.pairs(), concatenate=True, meta=np.empty((0,) * len(self.batch)))
        new = {k: self.row.shape[k] for k in self.axes}
        nth = [(operator.itemgetter(i), r) for i, r in enumerate(self.results)]
        return [self._placed(get, [every, self.batch], r, new if r.row else {}) for get, r in nth]

    def _placed(self, task: Any, pairs: list[Any], result: Any, new: Mapping[int, int] | None = None) -> Any:
        """The array of one result, which `task` gives for each chunk."""
        dtype = self.dtype if result.dtype is None else np.dtype(result.dtype)
        labels: Labels = self.batch
        new = dict(new or {})
        if result.row:
            labels = tuple(range(self.row.ndim))
        elif result.entries:
            place = self.axes[0] if len(self.axes) == 1 else len(self.batch)
            new[self.row.ndim] = result.entries
            labels = (*self.batch[:place], self.row.ndim, *self.batch[place:])
        meta = np.empty((0,) * len(labels), dtype)
        return da.blockwise(
            task, labels, *pairs, new_axes=new, concatenate=True, dtype=dtype, meta=meta, align_arrays=False
        )

    # rows in parts

    def in_parts(self) -> list[Any]:
        """States of the chunks, merged along the row in each round; then the results."""
        (axis,) = self.axes
        settings = {n: v for n, v in self.settings.items() if n != "threads"}
        if "dtype" in settings:
            raise TypeError(
                f"{self.kernel.name}: dtype= has no effect on rows in parts; cast the array: x.astype(dtype)"
            )
        starts = np.cumsum([0, *self.row.chunks[axis][:-1]])
        offsets = da.from_array(starts, chunks=1)
        names = tuple(self.arrays)
        dtype = _state_dtype(self.kernel, self.arrays, self.labels, axis, settings)
        state = None
        for _ in range(self.kernel.rounds):
            given: list[Any] = [] if state is None else [state, self.batch]
            task = functools.partial(_partial, self.blob, names, axis, settings, bool(given))
            parts = da.blockwise(
                task, tuple(range(self.row.ndim)), *self.pairs(), offsets, (axis,), *given, dtype=dtype,
                adjust_chunks={axis: 1}, concatenate=True, align_arrays=False,
                meta=np.empty((0,) * self.row.ndim, dtype),
            )  # fmt: skip
            merge = functools.partial(_merged, self.blob)
            state = da.reduction(
                parts, _as_it_is, merge, combine=merge, axis=axis, dtype=dtype, concatenate=True,
                meta=np.empty((0,) * len(self.batch), dtype),
            )  # fmt: skip
        return [self._finished(k, r, state, offsets, axis) for k, r in enumerate(self.results)]

    def _finished(self, nth: int, result: Any, state: Any, offsets: Any, axis: int) -> Any:
        static = {n: v for n, v in self.settings.items() if n in self.kernel.static}
        row = any(r.row for r in self.results)
        wide = [p.name for p in self.kernel.parameters if p.role in WIDE_ROLES and p.name in self.arrays]
        wide += ["where"] if "where" in self.arrays else []
        task = functools.partial(_finish, self.blob, tuple(wide) if row else (), axis, static, nth)
        if result.row:
            return self._placed(task, [state, self.batch, *self.pairs(wide), offsets, (axis,)], result)
        if not row:
            return self._placed(task, [state, self.batch], result)
        task = functools.partial(_finish_number, self.blob, tuple(wide), axis, static, nth, self.row.ndim)
        return self._placed(task, [state, self.batch], result)


# what the tasks do


def _call(blob: bytes, names: tuple[str, ...], axis: Any, settings: dict[str, Any], *blocks: Any) -> Any:
    return _kernel(blob)(axis=axis, **dict(zip(names, blocks, strict=True)), **settings)


def _partial(
    blob: bytes, names: tuple[str, ...], axis: int, settings: dict[str, Any], later: bool, *blocks: Any
) -> Any:
    given = blocks[-1] if later else None
    arrays, offset = blocks[: len(names)], blocks[len(names)]
    kernel = _kernel(blob)
    named = dict(zip(names, arrays, strict=True))
    where = named.pop("where", None)
    ordered = [named.get(p.name) for p in kernel.parameters]
    state = kernel.partial(*ordered, axis=axis, where=where, offset=int(offset[0]), given=given, **settings)
    return np.expand_dims(state, axis)


def _as_it_is(states: Any, axis: Any, keepdims: bool) -> Any:
    return states


def _merged(blob: bytes, states: Any, axis: Any, keepdims: bool) -> Any:
    """All states along an axis, in halves."""
    kernel, (along,) = _kernel(blob), axis
    while states.shape[along] > 1:
        half = states.shape[along] // 2
        left, right, odd = (np.take(states, range(*r), axis=along) for r in _halves(states.shape[along], half))
        both = kernel.merge(left, right)
        states = np.concatenate([both, odd], axis=along)
    return states if keepdims else np.take(states, 0, axis=along)


def _halves(size: int, half: int) -> tuple[tuple[int, int], ...]:
    return (0, half), (half, 2 * half), (2 * half, size)


def _finish(
    blob: bytes, names: tuple[str, ...], axis: int, static: dict[str, Any], nth: int, state: Any, *blocks: Any
) -> Any:
    kernel, where = _kernel(blob), None
    arrays, offset = blocks[:-1], int(blocks[-1][0]) if blocks else 0
    if "where" in names:
        where, names, arrays = arrays[-1], names[:-1], arrays[:-1]
    found = kernel.finish(state, *arrays, axis=axis, offset=offset, where=where, **static)
    return found[nth] if isinstance(found, tuple) else found


def _finish_number(
    blob: bytes, names: tuple[str, ...], axis: int, static: dict[str, Any], nth: int, ndim: int, state: Any
) -> Any:
    """A number that comes beside row results: of a part without elements."""
    kernel = _kernel(blob)
    computing = np.float64 if "_f64_" in state.dtype.names[0] else np.float32
    shape = list(state.shape)
    shape.insert(axis, 0)
    kinds = {p.name: {Role.MASK: np.bool_, Role.INT_ROW: np.int64}.get(p.role, computing) for p in kernel.parameters}
    arrays: list[Any] = [np.zeros(shape, kinds[n]) for n in names if n != "where"]
    where = np.zeros(shape, bool) if "where" in names else None
    found = kernel.finish(state, *arrays, axis=axis, where=where, **static)
    return found[nth]


# kernels on their way


def _blob(kernel: Kernel[..., Any]) -> bytes:
    """The kernel as bytes: by its definition where the row function is in a script, by name elsewhere."""
    fn = kernel.__wrapped__
    if quick.kind_of(kernel) is Kernel and fn.__module__ == "__main__":
        data: bytes = cloudpickle.dumps((fn, kernel.name, kernel.masked, kernel._chosen))  # noqa: SLF001
    else:
        data = cloudpickle.dumps(kernel)
    return data


@functools.lru_cache(256)
def _kernel(blob: bytes) -> Kernel[..., Any]:
    """The kernel in this process, once for all tasks."""
    found = cloudpickle.loads(blob)
    if isinstance(found, Kernel):
        return found
    fn, name, masked, chosen = found
    return Kernel(fn, name=name, masked=masked, chosen=chosen)


# shapes


def _axes(axis: Any, ndim: int) -> Labels:
    if axis is None:
        return tuple(range(ndim))
    parts = axis if isinstance(axis, tuple) else (axis,)
    return tuple(sorted(normalize_axis_index(a, ndim) for a in parts))


def _labels(array: Any, role: Role, ndim: int, axes: Labels, batch: Labels) -> Labels:
    """Which axes of the first row an argument has: a lower-rank row has its row last, numbers have the batch's."""
    if role in WIDE_ROLES:
        if array.ndim == ndim:
            return tuple(range(ndim))
        return (*batch[len(batch) - array.ndim + 1 :], axes[-1])
    return batch[len(batch) - array.ndim :] if array.ndim else ()


def _aligned(array: Any, labels: Labels, first: Any) -> Any:
    """Chunked as the first row is; axes of length one are broadcast."""
    chunks = tuple(first.chunks[k] if size != 1 or first.shape[k] == 1 else 1
                   for k, size in zip(labels, array.shape, strict=True))  # fmt: skip
    return array if array.chunks == chunks else array.rechunk(chunks)


def _state_dtype(
    kernel: Kernel[..., Any], arrays: Mapping[str, Any], labels: Mapping[str, Labels], axis: int,
    settings: Mapping[str, Any],
) -> np.dtype[Any]:  # fmt: skip
    """The dtype of states, from a part without elements of one row."""
    tiny: dict[str, Any] = {}
    for name, array in arrays.items():
        shape = tuple(0 if k == axis else 1 for k in labels[name])
        tiny[name] = np.zeros(shape, array.dtype)
    where = tiny.pop("where", None)
    ordered = [tiny.get(p.name) for p in kernel.parameters]
    found: np.dtype[Any] = kernel.partial(*ordered, axis=axis, where=where, **settings).dtype
    return found
