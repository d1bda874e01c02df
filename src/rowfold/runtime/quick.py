"""Calls without Python: a C function that compares a call with recipes and runs the loop of the one that fits.

templates/quick.c is compiled once for all kernels, when one is called again and again. Its function becomes the
`__call__` of a class with one instance, the kernel, and has the kernel's former `__call__` behind it: it answers plain
calls of contiguous arrays in a fifth of a microsecond, and refuses nothing itself. Where there is no C compiler, no
CPython with its GIL, or memory that is not laid out as expected, nothing changes.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import os
import re
import struct
import sys
from collections.abc import Mapping
from functools import cache
from types import MethodType
from typing import Any

import numpy as np

from .. import __version__, config
from ..codegen.source import Source
from ..errors import RowfoldError
from . import ufunc
from .recipe import MOST_RECIPES, recipe_of
from .repeat import Repeat

_SYMBOL = "rowfold_quick_call"
_FASTCALL = 0x0080 | 0x0002  # METH_FASTCALL | METH_KEYWORDS
_NEW, _RETURN = 94, 76  # PyArray_NewFromDescr and PyArray_Return in NumPy's table
_HEAD = 8  # words of the table before the recipes
_COUNT = 7  # the word that tells how many recipes there are
_kept: list[Any] = []


def kind_of(kernel: Any) -> type:
    """The class of a kernel, whether or not it has a class of its own for its calls."""
    kind = type(kernel)
    return vars(kind).get("quick_kind_of", kind)  # type: ignore[no-any-return]


def wanted(repeat: Repeat) -> bool:
    """Whether a recipe may be tried for this call: one that many uses made none of is asked ever more rarely."""
    return repeat.pointer != 0 and not repeat.sums and repeat.uses & (repeat.uses - 1) == 0


def teach(kernel: Any, repeat: Repeat, arrays: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Let the kernel answer calls like this one without Python, if that can be done here."""
    if config.active() != () or not usable():
        return
    found = recipe_of(repeat, arrays, options, tupled=kernel.tupled)
    if found is None:
        return
    recipe, objects = found
    book = vars(type(kernel)).get("quick_book") or _book(kernel)
    table, kept, turn = book
    slot = next(turn) % MOST_RECIPES
    table[_HEAD + slot] = recipe.ctypes.data  # whole before it is seen, and the old one lives until it is not
    table[_COUNT] = max(int(table[_COUNT]), slot + 1)
    kept[slot] = recipe, objects


def _book(kernel: Any) -> Any:
    """Give the kernel a class of its own, whose `__call__` is the C function; its table, and what it keeps alive."""
    kind = type(kernel)
    kept: list[Any] = [None] * MOST_RECIPES
    table = np.zeros(_HEAD + MOST_RECIPES, np.int64)
    out, usual = sys.intern("out"), config.active()
    table[:_COUNT] = [id(np.ndarray), id(float), id(tuple), id(out), id(usual), *_makers()]
    behind = MethodType(kind.__call__, kernel)
    own = (table, behind, config.VARIABLE, kept, out, usual)
    book = table, kept, itertools.count()
    body = {"__call__": _function(own), "__module__": kind.__module__, "__doc__": kind.__doc__}
    kernel.__class__ = type(kind.__name__, (kind,), {**body, "quick_kind_of": kind, "quick_book": book})
    return book


@cache
def usable() -> bool:
    """Whether the C function can be had: compiled, loaded, and memory that is as it takes it to be."""
    try:
        return ufunc.usable() and struct.calcsize("P") == 8 and _as_expected() and bool(_method())
    except (AttributeError, ImportError, OSError, RowfoldError, TypeError, ValueError):
        return False


@cache
def _method() -> Any:
    """CPython's description of the function, and its address."""
    from . import cache as libraries

    chosen, text, process = config.resolve(), _text(), ctypes.CDLL(None)
    named = re.findall(r"^extern .*?\b(Py\w+)\(", text, re.MULTILINE)
    if chosen.backend not in ("auto", "c") or not all(hasattr(process, name) for name in named):
        return None
    source = Source(_SYMBOL, text, "", "any", (), (), "", "")
    key = f"quick {__version__} {text}"
    loaded = libraries.find(key, chosen) or libraries.load(source, key, chosen)
    method = _MethodDef(b"__call__", loaded.pointer, _FASTCALL, None)
    _kept.append((method, loaded))
    return method


def _text() -> str:
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "templates", "quick.c")
    with open(path, encoding="utf-8") as file:
        return file.read()


class _MethodDef(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = [
        ("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p),
    ]  # fmt: skip


def _function(own: tuple[Any, ...]) -> Any:
    prototype = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return prototype(("PyCFunction_NewEx", ctypes.pythonapi))(ctypes.addressof(_method()), own, None)


@cache
def _makers() -> tuple[int, int]:
    """NumPy's functions that make an array, and a number of an array without axes."""
    umath = importlib.import_module("numpy._core._multiarray_umath")
    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    pointer = prototype(("PyCapsule_GetPointer", ctypes.pythonapi))(umath.__dict__["_ARRAY_API"], None)
    table = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_void_p))
    return table[_NEW], table[_RETURN]


def _as_expected() -> bool:
    """Whether arrays lie in memory as quick.c has them, and NumPy's functions do what it takes them to do."""
    array = np.zeros((3, 5), np.float32)[:, ::2]
    words = (ctypes.c_int64 * 9).from_address(id(array))
    shape, strides = ((ctypes.c_int64 * 2).from_address(words[k]) for k in (4, 5))
    found = (words[1], words[2], words[3] & 0xFFFFFFFF, tuple(shape), tuple(strides), words[7], words[8] & 0xFFFFFFFF)
    expected = (id(np.ndarray), array.ctypes.data, 2, (3, 3), (20, 8), id(array.dtype), array.flags.num)
    return found == expected and all(map(_dtype_as_expected, (np.dtype("<f4"), np.dtype(">f4")))) and _makes()


def _dtype_as_expected(dtype: np.dtype[Any]) -> bool:
    word, order = ctypes.c_int64.from_address(id(dtype) + 16).value, ctypes.c_char.from_address(id(dtype) + 26).value
    return word == id(dtype.type) and order == dtype.byteorder.encode()


def _makes() -> bool:
    a, i = ctypes.c_void_p, ctypes.c_int
    new, give = _makers()
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, a, i, a, a, a, i, a)(new)
    dtype = np.dtype(np.float32)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(dtype))
    shape = (ctypes.c_int64 * 2)(2, 3)
    array = make(np.ndarray, id(dtype), 2, ctypes.addressof(shape), None, None, 0, None)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(array))
    given = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(give)(array)
    return given is array and array.shape == (2, 3) and array.dtype is dtype and array.flags.owndata
