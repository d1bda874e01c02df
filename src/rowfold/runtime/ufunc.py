"""Make a genuine np.ufunc of the address of a loop, from Python alone, and a slower callable with the same bits.

NumPy exports its C functions in a capsule. Slot 31 makes a generalized ufunc of a function pointer, and with it come
axis order, strides, overlap, broadcasting and a released GIL. Where there is no such capsule, `PlainLoop` serves.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import math
import sys
from functools import cache
from typing import Any

import numpy as np

from ..errors import LoadError
from ._abi import ffi

Array = np.ndarray[Any, np.dtype[Any]]
Loop = Any  # np.ufunc or PlainLoop: called as loop(*inputs, *outputs)

_SLOT = 31  # PyUFunc_FromFuncAndDataAndSignature in NumPy's table
_NO_IDENTITY = -1
_kept: list[Any] = []  # NumPy copies neither the name nor the tables: they live as long as the process


def make(pointer: int, name: str, signature: str, types: str, data: int = 0) -> Loop:
    """A np.ufunc of this loop, or a PlainLoop where NumPy's capsule is missing or does not do what it should."""
    plain = PlainLoop(pointer, name, signature, types, data)
    if not usable():
        return plain
    ufunc = _from_pointer(pointer, name, signature, types, data)
    expected = (len(plain.inputs), len(plain.outputs), signature)
    if not isinstance(ufunc, np.ufunc) or (ufunc.nin, ufunc.nout, ufunc.signature) != expected:
        raise LoadError(f"NumPy made {ufunc!r} of {name}, which is not a ufunc of {signature}")
    return ufunc


@cache
def usable() -> bool:
    """Whether real ufuncs can be made here: CPython with its GIL, and a capsule that passes the self-test."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    if sys.implementation.name != "cpython" or not gil:
        return False
    try:
        return _self_test()
    except (AttributeError, ImportError, LoadError, MemoryError, OSError, TypeError, ValueError):
        return False


class PlainLoop:
    """Calls a loop through cffi, with NumPy's broadcasting of batch shapes written out. Same loop, so the same bits."""

    def __init__(self, pointer: int, name: str, signature: str, types: str, data: int = 0) -> None:
        self.__name__ = name
        self.signature = signature
        left, right = signature.split("->")
        self.inputs, self.outputs = _cores(left), _cores(right)
        self.dtypes = [np.dtype(character) for character in types]
        self.types = [f"{types[: len(self.inputs)]}->{types[len(self.inputs) :]}"]  # as np.ufunc tells them
        self._call = ffi.cast("rowfold_loop", pointer)
        self._data = ffi.cast("void *", data)

    def __repr__(self) -> str:
        return f"<plain loop {self.__name__} {self.signature}>"

    def __call__(self, *operands: Any) -> Any:
        """Run on the inputs, and into the outputs where they are given too."""
        nin = len(self.inputs)
        arrays = [np.asarray(a, dtype=t) for a, t in zip(operands[:nin], self.dtypes, strict=False)]
        sizes, batch = self._sizes(arrays)
        results = list(operands[nin:]) or self._empty(sizes, batch)
        self._check(results, sizes, batch)
        safe = [a.copy() if any(np.may_share_memory(a, r) for r in results) else a for a in arrays]
        self._run([*safe, *results], sizes, batch)
        given = len(operands) > nin
        values = [r if given else r[()] for r in results]
        return tuple(values) if len(values) > 1 else values[0]

    def _sizes(self, arrays: list[Array]) -> tuple[dict[str, int], tuple[int, ...]]:
        sizes: dict[str, int] = {}
        batches = []
        for core, array in zip(self.inputs, arrays, strict=True):
            split = array.ndim - len(core)
            if split < 0:
                raise ValueError(f"{self!r}: an input of shape {array.shape} has fewer than {len(core)} dimensions")
            for label, size in zip(core, array.shape[split:], strict=True):
                if sizes.setdefault(label, size) != size:
                    raise ValueError(f"{self!r}: dimension {label} is {sizes[label]} and {size}")
            batches.append(array.shape[:split])
        return sizes, np.broadcast_shapes(*batches)

    def _empty(self, sizes: dict[str, int], batch: tuple[int, ...]) -> list[Array]:
        dtypes = self.dtypes[len(self.inputs) :]
        return [np.empty(self._shape(core, sizes, batch), t) for core, t in zip(self.outputs, dtypes, strict=True)]

    @staticmethod
    def _shape(core: tuple[str, ...], sizes: dict[str, int], batch: tuple[int, ...]) -> tuple[int, ...]:
        return batch + tuple(int(label) if label.isdigit() else sizes[label] for label in core)

    def _check(self, results: list[Array], sizes: dict[str, int], batch: tuple[int, ...]) -> None:
        for core, array, dtype in zip(self.outputs, results, self.dtypes[len(self.inputs) :], strict=True):
            shape = self._shape(core, sizes, batch)
            if array.shape != shape or array.dtype != dtype or not array.flags.writeable:
                raise ValueError(f"{self!r}: an output must be a writeable {dtype} array of shape {shape}")

    def _run(self, arrays: list[Array], sizes: dict[str, int], batch: tuple[int, ...]) -> None:
        """One call of the loop for every position of the batch but its last axis, as NumPy's iterator does."""
        cores = self.inputs + self.outputs
        views = [np.broadcast_to(a, batch + a.shape[a.ndim - len(c) :]) for a, c in zip(arrays, cores, strict=True)]
        starts = [a.__array_interface__["data"][0] for a in views]
        outer, inner = batch[:-1], batch[-1] if batch else 1
        if math.prod(batch) == 0:
            return
        depth = len(batch)
        core_steps = [step for view in views for step in view.strides[depth:]]
        steps = ffi.new("intptr_t[]", [v.strides[depth - 1] if batch else 0 for v in views] + core_steps)
        dims = ffi.new("intptr_t[]", [inner, *self._order(sizes)])
        for index in itertools.product(*map(range, outer)):
            offsets = (sum(i * s for i, s in zip(index, v.strides, strict=False)) for v in views)
            args = ffi.new("char *[]", [ffi.cast("char *", b + o) for b, o in zip(starts, offsets, strict=True)])
            self._call(args, dims, steps, self._data)

    def _order(self, sizes: dict[str, int]) -> list[int]:
        """The core dimensions in the order in which the signature first names them."""
        labels = dict.fromkeys(label for core in self.inputs + self.outputs for label in core)
        return [int(label) if label.isdigit() else sizes[label] for label in labels]


def _cores(side: str) -> list[tuple[str, ...]]:
    """The labels of each operand on one side of a signature: (n),() has [("n",), ()]."""
    groups = side[1:-1].split("),(")
    return [tuple(filter(None, group.split(","))) for group in groups]


def cores_of(signature: str) -> list[tuple[str, ...]]:
    """The labels of every operand of a loop, inputs and outputs."""
    return [core for side in signature.split("->") for core in _cores(side)]


@cache
def _from_pointer(pointer: int, name: str, signature: str, types: str, context: int = 0) -> Any:
    """Kernels of one loop share it: what is kept does not grow with the kernel objects that come and go."""
    left, right = (len(_cores(side)) for side in signature.split("->"))
    functions = (ctypes.c_void_p * 1)(pointer)
    data = (ctypes.c_void_p * 1)(context or None)
    numbers = ctypes.create_string_buffer(bytes(np.dtype(character).num for character in types))
    label = ctypes.c_char_p(name.encode())
    _kept.append((functions, data, numbers, label))
    return _constructor()(functions, data, numbers, 1, left, right, _NO_IDENTITY, label, label, 0, signature.encode())


@cache
def _constructor() -> Any:
    """NumPy's C function, called with the GIL held (cffi and CDLL would release it)."""
    umath = importlib.import_module("numpy._core._multiarray_umath")  # where the capsule is; not a public name
    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    pointer = prototype(("PyCapsule_GetPointer", ctypes.pythonapi))(umath.__dict__["_UFUNC_API"], None)
    table = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_void_p))
    a, i = ctypes.c_void_p, ctypes.c_int
    make = ctypes.PYFUNCTYPE(
        ctypes.py_object, a, a, a, i, i, i, i, ctypes.c_char_p, ctypes.c_char_p, i, ctypes.c_char_p
    )
    return make(table[_SLOT])


def _self_test() -> bool:
    """Whether a ufunc made of a known loop (row sums, written in Python) gives the known answer."""
    kind = ctypes.CFUNCTYPE(None, *[ctypes.POINTER(ctypes.c_ssize_t)] * 3, ctypes.c_void_p)

    def total(args: Any, dims: Any, steps: Any, data: Any) -> None:
        for row in range(dims[0]):
            at, to = args[0] + row * steps[0], args[1] + row * steps[1]
            items = (ctypes.c_double.from_address(at + i * steps[2]).value for i in range(dims[1]))
            ctypes.c_double.from_address(to).value = sum(items)

    callback = kind(total)
    _kept.append(callback)
    pointer = ctypes.cast(callback, ctypes.c_void_p).value or 0
    ufunc = _from_pointer(pointer, "rowfold_self_test", "(n)->()", "dd")
    rows = np.arange(12.0).reshape(3, 4)[:, ::-1]
    return isinstance(ufunc, np.ufunc) and bool(np.array_equal(ufunc(rows), [6.0, 22.0, 38.0]))
