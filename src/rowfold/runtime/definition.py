"""What a kernel is, found without running it: the code of its row function and every value that the code can reach.

A kernel that was compiled before is recognized by this, with no trace. So the rule is strict: what has one definition
computes the same. Whatever may hide something (an object of a class that is not known here, a module that may change,
random numbers, an import inside the function) has no definition, and a kernel that refers to it is traced every time.

Which names are globals and which are attributes is not asked: every name that the code mentions counts as both.
"""

from __future__ import annotations

import builtins
import dis
import math
import struct
import sys
from importlib import import_module
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Final

import numpy as np

from .. import __version__
from .call import Remembering
from .quick import kind_of
from .store import digest

_EXACT: Final = (type(None), bool, int, str, bytes, type(...))
_IMPORT: Final = dis.opmap["IMPORT_NAME"]
_BUILTINS: Final = frozenset(
    "abs all any bool dict divmod enumerate filter float int isinstance issubclass len list map max min pow range "
    "reversed round set sorted str sum tuple zip AssertionError Exception TypeError ValueError".split()
)
_HIDING: Final = frozenset(  # attributes that lead from what is known here to what is not
    "char core ctypeslib dtypes emath empty_like exceptions f2py fft format format_map lib linalg ma matlib matrixlib "
    "polynomial random rec strings test testing typing".split()
)
_LAZY: Final = frozenset("parameters settings static vjp".split())  # what a kernel finds out when asked
_MODULES: Final = ("math", "numpy", "rowfold", "rowfold.library")
_DISPATCHED: Final[Any] = type(np.sum)  # NumPy's functions that hand a traced row to the row
_TYPES: Final = frozenset("dtype errstate finfo iinfo ndarray".split())


class UnknownError(Exception):
    """Something that a row function can reach may differ where nothing here tells."""


def definition(kernel: Any) -> str | None:
    """The digest of all that decides what tracing this kernel gives; None where that cannot be told."""
    try:
        found = _Reader(kind_of(kernel)).whole(kernel)
    except (UnknownError, RecursionError):
        return None
    return digest(repr((__version__, sys.version, sys.implementation.name, np.__version__, found)).encode())


class _Reader:
    """One walk over a kernel. What was met before is named by its number, so that functions may call each other."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.met: dict[int, int] = {}
        self.modules: dict[str, ModuleType] = {}
        self.names: set[str] = set()

    def whole(self, kernel: Any) -> object:
        """The kernel, and what any name of any code met on the way means in any module met on the way."""
        found: list[object] = [self.kernel(kernel)]
        done: set[tuple[str, str]] = set()
        while todo := sorted({(m, n) for m in self.modules for n in self.names} - done):
            done.update(todo)
            if ("rowfold", "library") in todo:
                import_module("rowfold.library")  # else what the name means would depend on who has imported that
            meant = [self.attribute(self.modules[m], n) for m, n in todo if n in vars(self.modules[m])]
            found += [one for one in meant if one is not None]
        return found

    def kernel(self, kernel: Any) -> object:
        own = vars(kernel)
        if kind_of(kernel) is not self.kind or type(own["_fn"]) is not FunctionType:
            raise UnknownError
        takes = (repr(kernel.parameters), repr(kernel.settings), kernel.name, self.value(kernel.masked))
        added = [(n, self.value(v)) for n, v in own.items() if n not in own["_own"] | _LAZY and not n.startswith("__")]
        return ("kernel", takes, added, self.value(own["_fn"]))

    def value(self, value: Any) -> object:
        """The value as nested tuples and lists of what Python's repr writes exactly."""
        kind = type(value)
        if kind in _EXACT:
            return (kind.__name__, value)
        if kind is float:
            return ("float", struct.pack("<d", value))
        if kind is tuple:
            return ("tuple", [self.value(v) for v in value])
        if kind is frozenset and all(type(v) in _EXACT for v in value):
            return ("frozenset", sorted(repr(v) for v in value))
        if kind is CodeType:
            return self.code(value)
        if kind is FunctionType or isinstance(value, Remembering):
            return self.once(value)
        if kind is ModuleType:
            return self.module(value)
        return _number(value) if isinstance(value, np.generic) else _named(value)

    def once(self, value: Any) -> object:
        if id(value) in self.met:
            return ("met", self.met[id(value)])
        self.met[id(value)] = len(self.met)
        if type(value) is not FunctionType:
            return self.kernel(value)
        return ("rowfold", value.__name__) if _of_the_language(value) else self.function(value)

    def function(self, fn: FunctionType) -> object:
        cells = [self.value(_content(cell)) for cell in fn.__closure__ or ()]
        defaults = self.value(fn.__defaults__), [(n, self.value(v)) for n, v in (fn.__kwdefaults__ or {}).items()]
        attributes = [(n, self.value(v)) for n, v in vars(fn).items()]
        return ("function", self.code(fn.__code__), defaults, cells, attributes, self.reached(fn))

    def reached(self, fn: FunctionType) -> object:
        """The globals and builtins behind the names that the code mentions."""
        found: list[tuple[str, object]] = []
        own: dict[str, object] = getattr(fn, "__builtins__", {})
        for name in _names(fn.__code__, {}):
            self.names.add(name)
            if name in fn.__globals__:
                found.append((name, self.value(fn.__globals__[name])))
            elif name in own:
                if name not in _BUILTINS or own[name] is not getattr(builtins, name):
                    raise UnknownError
                found.append((name, _builtin(own[name])))
        return found

    def code(self, code: CodeType) -> object:
        """Everything of the code but where it stands in its file."""
        if _IMPORT in code.co_code[::2]:
            raise UnknownError
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        handlers = getattr(code, "co_exceptiontable", b"")
        return ("code", code.co_code, handlers, counts, names, [self.value(c) for c in code.co_consts])

    def module(self, module: ModuleType) -> object:
        """A module whose content the versions tell; `whole` sees to it that nobody has changed it."""
        if module.__name__ not in _MODULES or module is not sys.modules.get(module.__name__):
            raise UnknownError
        self.modules[module.__name__] = module
        return ("module", module.__name__)

    def attribute(self, module: ModuleType, name: str) -> object:
        """What the name means there. The language's own functions may not have been fetched yet: they count nothing."""
        value = vars(module)[name]
        if type(value) is FunctionType and _of_the_language(value):
            return None
        return (module.__name__, name, self.value(value))


def _number(value: np.generic[Any]) -> object:
    if type(value).__module__ != "numpy" or value.dtype.kind not in "fiub" or value.itemsize > 8:
        raise UnknownError
    return ("number", value.dtype.str, value.tobytes())


def _named(value: Any) -> object:
    """A function or type that its name and home tell, for its home holds this very object."""
    name = getattr(value, "__name__", "")
    if isinstance(value, type):
        return _type(value, name)
    of_numpy = isinstance(value, np.ufunc) or (type(value) is _DISPATCHED and _DISPATCHED is not FunctionType)
    if of_numpy and name not in _HIDING and vars(np).get(name) is value:
        return ("numpy", name)
    if type(value) is BuiltinFunctionType and vars(math).get(name) is value:
        return ("math", name)
    raise UnknownError


def _type(value: type, name: str) -> object:
    if value is vars(np).get(name) and (issubclass(value, np.generic) or name in _TYPES):
        return ("numpy", name)
    if name in _BUILTINS and value is getattr(builtins, name):
        return ("builtin", name)
    raise UnknownError


def _builtin(value: Any) -> object:
    if not isinstance(value, type | BuiltinFunctionType) or value.__module__ != "builtins":
        raise UnknownError
    return ("builtin", value.__name__)


def _of_the_language(fn: FunctionType) -> bool:
    """Whether this is a function of ours such as rf.sigmoid: the stamp of the package tells what it does."""
    home = sys.modules.get("rowfold.rowfns")
    return fn.__module__ == "rowfold.rowfns" and home is not None and vars(home).get(fn.__name__) is fn


def _names(code: CodeType, found: dict[str, None]) -> dict[str, None]:
    """Every name that the code or a function inside it mentions, in order."""
    for name in code.co_names:
        if name in _HIDING or name.startswith("__"):
            raise UnknownError
        found[name] = None
    for constant in code.co_consts:
        if type(constant) is CodeType:
            _names(constant, found)
    return found


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        raise UnknownError from None  # not assigned yet
