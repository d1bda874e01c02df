"""Loops as handlers of XLA's foreign functions, compiled for the jaxlib that is installed, and calls of them.

A handler's library is cached as a kernel's is, under the plan and jaxlib's version; it is registered once a process.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rowfold import config as configuration
from rowfold.annotations import Between
from rowfold.api import Kernel
from rowfold.building.build import plan_key, results_of
from rowfold.codegen.generate import source_of
from rowfold.codegen.ir import Role
from rowfold.codegen.jax_ffi import with_handler
from rowfold.codegen.plan import Plan
from rowfold.errors import CompileError, LoadError
from rowfold.interop.operator import extent
from rowfold.kernels.saved import WIDE_ROLES
from rowfold.runtime import cache
from rowfold.runtime.spec import Results

from ..records import NamedTuple

NARROW = {"bfloat16": jnp.bfloat16, "float16": jnp.float16}
WORDS = np.dtype(np.uint32)  # two hold a double, which JAX has not by default
_HEADER = ("xla", "ffi", "api", "c_api.h")
_registered: set[str] = set()


class Handler(NamedTuple):
    """A registered handler: the name of its target, the plan of its loop, and what it gives."""

    target: str
    plan: Plan
    results: Results


@functools.lru_cache(1024)
def handler(
    kernel: Kernel[..., Any], rows: int, n: int, dtype: str, static: tuple[tuple[str, Any], ...]
) -> Handler | None:
    """The handler for calls of this size; None where a callback has to do: no C compiler, or noise."""
    config = configuration.resolve(kernel.chosen)
    path = os.path.join(jax.ffi.include_dir(), *_HEADER) if hasattr(jax, "ffi") else ""
    if config.backend not in ("auto", "c") or not os.path.exists(path):
        return None
    given = [p.name for p in kernel.parameters if p.optional]
    plan = kernel.plan((rows, n), dtype, given=given, **dict(static))
    key = f"jax {jax.lib.__version__} {plan_key(plan)}"
    loaded = cache.find(key, config)
    try:
        if loaded is None:
            source = with_handler(source_of(plan), plan.program, path, jax.lib.__version__, plan.dtype)
            loaded = cache.load(source, key, config)
    except (CompileError, LoadError):
        return None
    target = f"{loaded.symbol}_{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if target not in _registered:
        jax.ffi.register_ffi_target(target, _capsule(loaded.pointer), platform="cpu")
        _registered.add(target)
    return Handler(target, plan, results_of(plan.program))


def _capsule(pointer: int) -> Any:
    prototype = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return prototype(("PyCapsule_New", ctypes.pythonapi))(pointer, b"xla._CUSTOM_CALL_TARGET", None)


def call(
    kernel: Kernel[..., Any], arrays: Sequence[Any], axis: int, settings: Mapping[str, Any], doubles: int = 0
) -> tuple[Any, ...] | None:
    """The kernel's results for present arguments, one of each parameter; None where there is no handler.

    Sums over the batch come as a row. The last `doubles` results are doubles, kept as two words if JAX has no doubles.
    """
    roles = [p.role for p in kernel.parameters]
    floats = [a.dtype for a, role in zip(arrays, roles, strict=True) if role is Role.ROW and _is_float(a)]
    booleans = any(role is Role.ROW and not _is_float(a) for a, role in zip(arrays, roles, strict=True))
    bounded = any(p.bounds != Between() for p in kernel.parameters)  # numbers that a call looks at, a handler does not
    if booleans or bounded or Role.SEED in roles or not floats:
        return None
    dtype = jnp.result_type(*floats)
    wide = [a.shape for a, role in zip(arrays, roles, strict=True) if role in WIDE_ROLES]
    whole, batch = extent(wide, axis, np.broadcast_shapes)
    axis = axis if axis < 0 else axis - len(whole)
    static = tuple((n, v) for n, v in settings.items() if n in kernel.static)
    found = handler(kernel, int(np.prod(batch, dtype=np.int64)), whole[axis], jnp.dtype(dtype).name, static)
    if found is None:
        return None
    inputs = {node.name: node.role for _, node in found.plan.program.inputs}
    given = [_aligned(a, inputs[p.name], dtype, len(whole), axis)
             for a, p in zip(arrays, kernel.parameters, strict=True) if p.name in inputs]  # fmt: skip
    _check_lengths(kernel.name, given, [inputs[p.name] for p in kernel.parameters if p.name in inputs], axis)
    shapes = [_result(found, k, whole, batch, axis, dtype, doubles) for k in range(len(found.results))]
    numbers = _numbers(kernel, found.plan, settings, whole[axis])
    made = jax.ffi.ffi_call(found.target, shapes, vmap_method="expand_dims")(*given, axis=np.int64(axis), **numbers)
    return tuple(_finished(r, k, found, dtype, doubles) for k, r in enumerate(made))


def _check_lengths(name: str, arrays: Sequence[Any], roles: Sequence[Role], axis: int) -> None:
    lengths = {a.shape[axis] for a, role in zip(arrays, roles, strict=True) if role in WIDE_ROLES}
    if len(lengths) > 1:
        raise ValueError(f"{name}: rows of {' and '.join(map(str, sorted(lengths)))} elements; expected one length")


def _is_float(array: Any) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.floating))


def _numbers(kernel: Kernel[..., Any], plan: Plan, settings: Mapping[str, Any], n: int) -> dict[str, Any]:
    """The settings that are passed at run time, checked as a call checks them."""
    own = {s.name: s._replace(high=min(s.high, n)) if s.length else s for s in kernel.settings}
    names = [p.name for _, p in plan.program.params]
    values: dict[str, Any] = {n: own[n].check(settings[n]) if n in settings else own[n].default for n in names}
    return {n: np.float64(v) for n, v in values.items()}


def _aligned(array: Any, role: Role, dtype: Any, rank: int, axis: int) -> Any:
    """The argument with all axes of the batch, so that vmap may put one before them, in a type for the handler."""
    if role is Role.SCALAR and array.dtype == WORDS:
        return array.reshape(*(1 for _ in range(rank - array.ndim)), *array.shape)
    axes = rank if role in WIDE_ROLES or role is Role.TABLE else rank - 1
    lower = array.ndim < axes
    array = array.reshape(*(1 for _ in range(axes - array.ndim)), *array.shape)
    if role in WIDE_ROLES and lower:
        array = jnp.moveaxis(array, -1, axis)  # a lower-rank row lies on its last axis
    match role:
        case Role.ROW | Role.TABLE:
            return array.astype(dtype)
        case Role.SCALAR:
            return array if array.dtype == jnp.float64 else array.astype(jnp.float32)
        case Role.INDEX | Role.INT_ROW:
            return array if array.dtype == jnp.int64 else array.astype(jnp.int32)
        case _:
            return array


def _result(
    found: Handler, k: int, whole: Any, batch: Any, axis: int, dtype: Any, doubles: int
) -> jax.ShapeDtypeStruct:
    """The buffer that the handler writes a result to."""
    result, output = found.results[k], found.plan.program.outputs[k]
    place = len(whole) + axis
    shape = (whole[axis],) if result.total else whole if result.row else batch
    if result.entries:
        shape = (*whole[:place], result.entries, *whole[place + 1 :])
    if k >= len(found.results) - doubles and not jax.config.jax_enable_x64:
        return jax.ShapeDtypeStruct((*shape, 2), WORDS)
    stored = found.plan.program.stored(output).value
    kind: Any = {"int": jnp.int64, "bool": jnp.bool_, "double": jnp.float64}.get(stored, _computed(dtype))
    kind = dtype if output.narrow else kind
    return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(kind))


def _computed(dtype: Any) -> Any:
    return jnp.float64 if dtype == jnp.float64 else jnp.float32


def _finished(array: Any, k: int, found: Handler, dtype: Any, doubles: int) -> Any:
    """The result in the dtype that the kernel gives."""
    if k >= len(found.results) - doubles:
        return array
    wanted = found.results[k].dtype
    return array.astype(jax.dtypes.canonicalize_dtype(dtype if wanted is None else np.dtype(wanted)))
