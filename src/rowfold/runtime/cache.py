"""From a source, or from the key of its plan, to a loaded kernel; compiled at most once on this machine.

Two levels. A library is kept under the hash of all that decides its bytes: text, flags, compiler, features, schema.
A plan key leads straight to a library, so that a second process neither emits nor compiles nor starts a program.
A fault of the cache costs one warning and some time, never the answer.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ..config import Config
from ..errors import CompileError, IsaError, LoadError
from ..records import NamedTuple
from . import compiler as compilers
from . import cpu, drafts, load_c, load_llvm
from . import ufunc as ufuncs
from .compiler import Compiler
from .store import SCHEMA, Fault, Store, digest, open_store

if TYPE_CHECKING:
    from ..codegen.source import Source  # 2 ms that a warm call need not pay

T = TypeVar("T")
Library = load_c.Library | load_llvm.Library
_LOCK_SECONDS = 2 * compilers.SECONDS
_FILES = {"c": ("kernel.so", "kernel.c"), "llvm": ("kernel.o", "kernel.ll")}  # of an entry, by language


class Loaded:
    """A kernel in memory. `ufunc` is a np.ufunc, or a plain loop where NumPy has no way to make one."""

    def __init__(self, entry: Entry, pointer: int, library: Library, from_cache: bool) -> None:
        self.symbol, self.header = entry.symbol, entry.header
        self.signature, self.types, self.isa = entry.signature, entry.types, entry.isa
        self.apart = entry.apart  # no output may be the memory of an input
        self.compiler = entry.compiler  # what the compiler that made it says it is
        self.pointer = pointer
        self.library, self.key = library, entry.library
        self.path = library.path  # the library's file in the cache, if it is there
        self.from_cache = from_cache

    @cached_property
    def ufunc(self) -> Any:
        return ufuncs.make(self.pointer, self.symbol, self.signature, self.types)

    @cached_property
    def plain(self) -> ufuncs.PlainLoop:
        """The same loop called through cffi alone; same bits, slower."""
        return ufuncs.PlainLoop(self.pointer, self.symbol, self.signature, self.types)

    def after(self, job: Callable[[], None]) -> None:
        """Do this now, or behind what is being compiled in place of a draft."""
        drafts.after(self.key, job)

    def cffi(self) -> tuple[Any, Any]:
        """`(ffi, lib)` with the emitted header's declarations."""
        if isinstance(self.library, load_llvm.Library):
            return load_llvm.declared(self.symbol, self.library)
        return load_c.declared(self.header, self.library)


class Entry(NamedTuple):
    """What a plan's record says: how to call the kernel and which library it is in."""

    symbol: str
    header: str
    signature: str
    types: str
    isa: str
    features: list[str]
    compiler: str
    library: str
    language: str
    apart: bool = False


_libraries: dict[str, Library] = {}  # by path: another cache directory gets what it needs, too
_warned: set[str] = set()


def find(plan_key: str, config: Config) -> Loaded | None:
    """The kernel of this plan if it was compiled before, by what would compile it now. Starts no process."""
    return _guarded(lambda: _find(plan_key, config)) if config.cache else None


def load(source: Source, plan_key: str, config: Config) -> Loaded:
    """The kernel of this source: from the cache, or compiled and then kept there under the source and the plan."""
    _check_cpu(source.symbol, source.isa, source.features)
    compiler = compiler_for(source.language, config)
    identity = compilers.identity(compiler) if source.language == "c" else load_llvm.identity()
    key = library_key(source, identity)
    store = _guarded(lambda: open_store(config.cache_dir, create=True)) if config.cache else None
    entry = _entry(source, identity, key)
    library, from_cache = _library(source, entry, compiler, store, config)
    loaded = _loaded(entry, library, from_cache)
    if store and plan_key:
        _guarded(lambda: _remember(store, plan_key, entry, compiler))
    return loaded


def draft(source: Source, make: Callable[[], Source], plan_key: str, config: Config) -> Loaded:
    """The kernel of this draft, in whose place comes that of the source that `make` gives, kept as by `load`."""
    _check_cpu(source.symbol, source.isa, source.features)
    entry = _entry(source, load_llvm.identity(), plan_key)
    finish = lambda: load(make(), plan_key, config).library
    return _loaded(entry, drafts.drafted(plan_key, source.text, source.symbol, finish), from_cache=False)


def settled(loop: T) -> T:
    """The same when nothing is being compiled that shall take its place."""
    drafts.wait()
    return loop


def recall(key: str, config: Config) -> dict[str, Any]:
    """What was noted under this key; nothing, if nothing was. The files are not looked at when the cache is off."""
    store = _guarded(lambda: open_store(config.cache_dir, create=False)) if config.cache else None
    return (_guarded(lambda: store.read_plan(key)) if store else None) or {}


def note(key: str, body: dict[str, Any], config: Config) -> None:
    """Keep this under the key, in place of what was there."""
    store = _guarded(lambda: open_store(config.cache_dir, create=True)) if config.cache else None
    if store:
        _guarded(lambda: store.write_plan(key, body))


def forget_plans(config: Config) -> None:
    """Let every plan be made anew; what was compiled stays."""
    store = _guarded(lambda: open_store(config.cache_dir, create=False)) if config.cache else None
    if store:
        _guarded(lambda: store.clear("plan"))


def library_key(source: Source, identity: str) -> str:
    """The hash of everything that decides the bytes of the library."""
    flags = [*compilers.FLAGS, *source.flags] if source.language == "c" else []
    parts = [SCHEMA, source.text, flags, identity, sorted(source.features), sys.platform, os.uname().machine]
    return _digest(parts)


def _find(plan_key: str, config: Config) -> Loaded | None:
    store = open_store(config.cache_dir, create=False)
    for compiler in _users(config) if store else ():
        assert store is not None
        body = store.read_plan(_plan_name(plan_key, compiler))
        if body is None:
            continue
        entry = _entry_of(body)
        library = None if cpu.missing(entry.features) else _kept(entry, store)
        if library is not None:
            return _loaded(entry, library, from_cache=True)
    return None


def _users(config: Config) -> Iterator[Compiler | None]:
    """Whose kernels may serve: those of the C compiler that would be used; with none, anybody's, then llvmlite's."""
    compiler = compilers.find(config.cc) if config.backend != "llvm" else None
    if compiler:
        yield compiler
        return
    if config.backend != "llvm" and not config.cc:
        yield None
    if config.backend != "c" and (llvm := load_llvm.find()):
        yield llvm


def _kept(entry: Entry, store: Store) -> Library | None:
    """The library of an entry, verified and loaded, unless this process has loaded it already."""
    path = _path(entry, store)
    if path not in _libraries:
        data = store.read_library(entry.library, _FILES[entry.language][0])
        if data is None:
            return None
        _libraries.setdefault(path, _in_memory(entry, data, path))
    return _libraries[path]


def _path(entry: Entry, store: Store) -> str:
    return store.library_path(entry.library, _FILES[entry.language][0])


def _library(
    source: Source, entry: Entry, compiler: Compiler, store: Store | None, config: Config
) -> tuple[Library, bool]:
    if store is None:
        return _in_memory(entry, _compiled(source, compiler, config), None), False
    kept = _guarded(lambda: _kept(entry, store))
    return (kept, True) if kept else _build_once(source, entry, compiler, store, config)


def _build_once(
    source: Source, entry: Entry, compiler: Compiler, store: Store, config: Config
) -> tuple[Library, bool]:
    """Compile under the key's lock, unless another process did while we waited."""
    key = entry.library
    with contextlib.ExitStack() as stack:
        _guarded(lambda: stack.enter_context(store.lock(key, _LOCK_SECONDS)))
        kept = _guarded(lambda: _kept(entry, store))
        if kept:
            return kept, True
        data = _compiled(source, compiler, config)
        about = {"symbol": source.symbol, "compiler": entry.compiler, "flags": list(source.flags), "schema": SCHEMA}
        written = _guarded(lambda: store.write_library(key, data, source.text, about, _FILES[source.language]))
        library = _in_memory(entry, data, written)
    return _libraries.setdefault(_path(entry, store), library), False


def _compiled(source: Source, compiler: Compiler, config: Config) -> bytes:
    start = time.perf_counter()
    seconds = compilers.SECONDS
    c = source.language == "c"
    data = compilers.build(source.text, source.flags, compiler, seconds) if c else load_llvm.build(source.text)
    if config.debug:
        took = 1e3 * (time.perf_counter() - start)
        sys.stderr.write(f"rowfold: compiled {source.symbol} with {compiler} in {took:.0f} ms\n")
    return data


def _in_memory(entry: Entry, data: bytes, path: str | None) -> Library:
    return load_c.load(data, path) if entry.language == "c" else load_llvm.load(data, path, entry.symbol)


def _loaded(entry: Entry, library: Library, from_cache: bool) -> Loaded:
    return Loaded(entry, _address(library, entry.symbol), library, from_cache)


def _address(library: Library, symbol: str) -> int:
    if isinstance(library, load_llvm.Library):
        return load_llvm.address(library, symbol)
    return load_c.address(library, symbol)


def _remember(store: Store, plan_key: str, entry: Entry, compiler: Compiler) -> None:
    """Record the plan, and what C made of it once more for a machine that has no compiler at all."""
    for which in (compiler, None) if entry.language == "c" else (compiler,):
        store.write_plan(_plan_name(plan_key, which), entry._asdict())


def _plan_name(plan_key: str, compiler: Compiler | None) -> str:
    signs = [*compiler.command, *compiler.stamp] if compiler else []
    return _digest([SCHEMA, plan_key, signs, sys.platform, os.uname().machine])


def _entry(source: Source, identity: str, key: str) -> Entry:
    features = sorted(source.features)
    about = (source.symbol, source.header, source.signature, source.types, source.isa, features)
    return Entry(*about, identity, key, source.language, source.apart)


def _entry_of(body: dict[str, Any]) -> Entry:
    try:
        return Entry(**body)
    except TypeError as error:
        raise Fault(f"a record of the cache has other fields than it should: {error}") from error


def compiler_for(language: str, config: Config) -> Compiler:
    """What compiles this language. CompileError says what is missing, and what to install."""
    if language == "llvm":
        llvm = load_llvm.find()
        if llvm is None:
            raise CompileError("llvmlite is not installed; install it with `pip install llvmlite`")
        return llvm
    found = compilers.find(config.cc)
    if found is None:
        places = [config.cc] if config.cc else []
        tried = "; ".join(f"{p.found_by}: {p.reason}" for p in compilers.survey(config.cc)[: len(places) or None])
        raise CompileError(f"there is no C compiler ({tried}); install gcc or clang, or set ROWFOLD_CC")
    return found


def _check_cpu(symbol: str, isa: str, features: tuple[str, ...]) -> None:
    lacking = cpu.missing(features)
    if lacking:
        here = ", ".join(cpu.host_isas())
        raise IsaError(f"{symbol} is for {isa}, but this CPU lacks {', '.join(lacking)}; here run {here}")


def _digest(parts: list[Any]) -> str:
    return digest(repr(parts).encode())


def _guarded(action: Callable[[], T]) -> T | None:
    """Do something with the cache; a fault becomes one warning and None."""
    try:
        return action()
    except (Fault, OSError, LoadError) as error:
        message = f"rowfold goes on without its cache: {error}"
        if message not in _warned:
            _warned.add(message)
            warnings.warn(message, RuntimeWarning, stacklevel=3)
        return None
