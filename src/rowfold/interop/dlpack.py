"""Kernels on arrays of any CPU library: `rowfold.interop.dlpack.softmax(x)`, `.wrap(kernel)`, `.apply(kernel, x)`.

What offers `__dlpack__` (torch, JAX, the array API) or `__array_interface__` is read where it lies, and the results are
of the first argument's kind. Arrays of a GPU are refused. Memory that its owner calls read-only is never written.

The reader is our own: NumPy takes neither bfloat16 nor float8 this way (DLPack 1.1, dlpack.h).
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from rowfold import library
from rowfold.api import Kernel
from rowfold.errors import DTypeError

_CPU = (1, 3, 11)  # kDLCPU, and memory of the host that CUDA or ROCm have pinned
_DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 13: "managed CUDA", 14: "oneAPI"}
_CODES = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}
_ADDED = {(4, 16): "bfloat16", (10, 8): "float8_e4m3fn", (12, 8): "float8_e5m2"}
_READ_ONLY = 1


def wrap(kernel: Kernel[..., Any]) -> Callable[..., Any]:
    """The kernel for arrays of any library: `f(*arrays, axis=-1, out=None, **settings)`, as a call of the kernel."""
    return functools.wraps(kernel)(functools.partial(apply, kernel))


def apply(kernel: Kernel[..., Any], *arrays: Any, out: Any = None, **options: Any) -> Any:
    """`kernel(*arrays, out=out, **options)`; what it gives is of the kind of the first array that is none of NumPy's.

    TypeError for an array of a GPU, DTypeError for one of a type that NumPy cannot hold, OutputError for a read-only
    `out`; and what the kernel raises.
    """
    given = [a if a is None else asarray(a, kernel.name) for a in arrays]
    named = {n: asarray(v, kernel.name) if _is_foreign(v) else v for n, v in options.items()}
    places = None if out is None else tuple(map(asarray, out)) if isinstance(out, tuple) else asarray(out)
    found = kernel(*given, out=places, **named)
    if out is not None:
        return out
    like = next((a for a in (*arrays, *options.values()) if _is_foreign(a)), None)
    return tuple(_as_kind(r, like) for r in found) if isinstance(found, tuple) else _as_kind(found, like)


def asarray(x: Any, name: str = "rowfold") -> Any:
    """The memory of `x` as a NumPy array, without a copy; read-only where its owner says so, or does not say (JAX)."""
    if not _is_foreign(x):
        return x if isinstance(x, np.ndarray) else np.asarray(x)
    if hasattr(x, "__dlpack_device__"):
        kind = int(x.__dlpack_device__()[0])
        if kind not in _CPU:
            raise TypeError(_elsewhere(name, _DEVICES.get(kind, f"a device of DLPack's type {kind}")))
    elif hasattr(x, "__cuda_array_interface__"):
        raise TypeError(_elsewhere(name, "CUDA"))
    if hasattr(x, "__dlpack__"):
        return _read(x, name)
    return np.asarray(x)


def _is_foreign(x: Any) -> bool:
    own = isinstance(x, np.ndarray | np.generic)
    return not own and any(hasattr(x, n) for n in ("__dlpack__", "__array_interface__", "__cuda_array_interface__"))


def _elsewhere(name: str, where: str) -> str:
    return f"{name}: the array is on {where}; rowfold runs on the CPU: copy it there first (x.get(), x.cpu())"


# reading


class _Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    ]  # fmt: skip


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class _Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", _Tensor),
    ]  # fmt: skip


class _Held:
    """Memory of another library, given back when no array needs it any more."""

    def __init__(self, capsule: Any) -> None:
        versioned = _is_named(capsule, b"dltensor_versioned")
        name = b"dltensor_versioned" if versioned else b"dltensor"
        self.address = _pointer(capsule, name)
        self.managed: Any = (_Versioned if versioned else _Managed).from_address(self.address)
        self.read_only = bool(self.managed.flags & _READ_ONLY) if versioned else True  # nobody said that it may be
        self._used = b"used_" + name  # the capsule keeps the pointer to its name
        _rename(capsule, self._used)
        self._capsule = capsule

    def __del__(self) -> None:
        managed = getattr(self, "managed", None)
        if managed is not None and managed.deleter:
            _Deleter(managed.deleter)(self.address)


def _read(x: Any, name: str) -> Any:
    try:
        capsule = x.__dlpack__(max_version=(1, 1))
    except TypeError:  # an exporter from before DLPack 1.0
        capsule = x.__dlpack__()
    held = _Held(capsule)
    tensor = held.managed.tensor
    dtype = _dtype(tensor, name)
    shape = tuple(tensor.shape[k] for k in range(tensor.ndim))
    if 0 in shape:
        return np.empty(shape, dtype)
    strides = tuple(tensor.strides[k] * dtype.itemsize for k in range(tensor.ndim)) if tensor.strides else None
    held.__array_interface__ = {  # type: ignore[attr-defined]
        "data": (tensor.data + tensor.offset, held.read_only), "shape": shape, "strides": strides, "version": 3,
        "typestr": f"|V{dtype.itemsize}" if dtype.kind == "V" else dtype.str,
    }  # fmt: skip
    return np.asarray(held).view(dtype)


def _dtype(tensor: Any, name: str) -> np.dtype[Any]:
    code, bits = tensor.code, tensor.bits
    if tensor.lanes == 1 and (code, bits) in _ADDED:
        try:
            added: np.dtype[Any] = np.dtype(getattr(import_module("ml_dtypes"), _ADDED[code, bits]))
        except ImportError:
            raise DTypeError(f"{name}: {_ADDED[code, bits]} needs the package ml_dtypes") from None
        return added
    if tensor.lanes != 1 or code not in _CODES or bits % 8:
        raise DTypeError(f"{name}: DLPack's type {code} of {bits} bits and {tensor.lanes} lanes is unknown")
    return np.dtype(f"{_CODES[code]}{bits // 8}")


def _is_named(capsule: Any, name: bytes) -> bool:
    prototype = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
    return bool(prototype(("PyCapsule_IsValid", ctypes.pythonapi))(capsule, name))


def _pointer(capsule: Any, name: bytes) -> int:
    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    return int(prototype(("PyCapsule_GetPointer", ctypes.pythonapi))(capsule, name))


def _rename(capsule: Any, name: bytes) -> None:
    prototype = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
    prototype(("PyCapsule_SetName", ctypes.pythonapi))(capsule, name)


# giving back


def _as_kind(result: Any, like: Any) -> Any:
    """A result as an array of the library that `like` is of."""
    if like is None:
        return result
    root = type(like).__module__.partition(".")[0]
    array = np.asarray(result)
    if root == "torch":
        return import_module("rowfold.interop.torch_arrays").tensor(array)
    if root in ("jax", "jaxlib"):
        return import_module("jax.numpy").asarray(array)
    space: Any = like.__array_namespace__() if hasattr(like, "__array_namespace__") else sys.modules.get(root)
    if hasattr(space, "from_dlpack") and array.dtype.isbuiltin == 1:
        return space.from_dlpack(array)
    return space.asarray(array) if hasattr(like, "__array_namespace__") else result


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in library.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: Callable[..., Any] = wrap(getattr(library, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*library.__all__, "apply", "asarray", "wrap"])
