"""Load a compiled library from bytes that were verified, and hand out what is in it.

cffi in ABI mode, out of line: `_abi` is generated ahead (abi_build.py), so a warm call parses no C declaration.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any

from ..errors import LoadError
from ..records import NamedTuple
from ._abi import ffi

_system: Any = ffi.dlopen(None)
_numbers = itertools.count(1)


class Library(NamedTuple):
    """A loaded library. It stays loaded as long as the process lives: a ufunc made of it can be held anywhere."""

    handle: Any  # cffi's void *
    path: str | None  # the file on disk with the same bytes, where there is one


def load(data: bytes, path: str | None = None) -> Library:
    """Load these bytes: from memory where the system can, else from a temporary copy, else from the file at `path`.

    Memory comes first because nobody can change the bytes after they were verified, and noexec does not matter; a copy
    of our own can be changed by nobody else, but where temporary files are not executable there may be none.
    """
    failures = []
    for source in (_memory(data), _copy(data), _file(path)):
        with source as name:
            if name is None:
                continue
            handle = _system.dlopen(os.fsencode(name), os.RTLD_NOW | os.RTLD_LOCAL)
            if handle != ffi.NULL:
                return Library(handle, path)
            failures.append(_last_error())
    raise LoadError("the compiled library cannot be loaded: " + "; ".join(failures or ["no place to load it from"]))


def address(library: Library, symbol: str) -> int:
    """Where this function is in memory."""
    found = _system.dlsym(library.handle, symbol.encode())
    if found == ffi.NULL:
        raise LoadError(f"the compiled library has no symbol {symbol}: {_last_error()}")
    return int(ffi.cast("intptr_t", found))


def declared(header: str, library: Library) -> tuple[Any, Any]:
    """A cffi `(ffi, lib)` pair that knows the header's declarations. Parses C, so it is for `k.cffi()` alone."""
    import cffi  # brings pycparser, which a warm call must not import

    own: Any = cffi.FFI()
    own.cdef(header)
    return own, own.dlopen(own.cast("void *", int(ffi.cast("intptr_t", library.handle))))


@contextlib.contextmanager
def _memory(data: bytes) -> Iterator[str | None]:
    """A name of an anonymous file with these bytes, sealed; None where the system has no such files."""
    try:
        fd = os.memfd_create("rowfold", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield _filled(fd, data)
    finally:
        os.close(fd)


def _filled(fd: int, data: bytes) -> str | None:
    import fcntl

    try:
        _write(fd, data)
        fcntl.fcntl(
            fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        )
    except (AttributeError, OSError):
        return None
    return f"/proc/self{_unique(next(_numbers))}/fd/{fd}" if os.path.exists(f"/proc/self/fd/{fd}") else None


def _unique(number: int) -> str:
    """A spelling of "no further folder" that differs for every number.

    The loader knows a library again by its name, and numbers of files are used again: the same name would
    silently give the library that was loaded first.
    """
    return "".join("/." if bit == "1" else "/" for bit in f"{number:b}")


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextlib.contextmanager
def _file(path: str | None) -> Iterator[str | None]:
    """The file, by a name that it never had: another one of this name may be loaded, and be truncated since."""
    folder, name = os.path.split(path or "")
    yield f"{folder}{_unique(next(_numbers))}/{name}" if folder else path


@contextlib.contextmanager
def _copy(data: bytes) -> Iterator[str | None]:
    import shutil  # these two take 9 ms, and are hardly ever wanted
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="rowfold-")
    except OSError:
        yield None
        return
    try:
        name: str | None = os.path.join(folder, "kernel.so")
        try:
            with open(os.path.join(folder, "kernel.so"), "xb") as file:
                file.write(data)
        except OSError:
            name = None
        yield name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _last_error() -> str:
    text = _system.dlerror()
    return "" if text == ffi.NULL else bytes(ffi.string(text)).decode("utf-8", "replace")  # type: ignore[arg-type]
