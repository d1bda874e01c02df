"""Compile LLVM IR and load what comes out, through llvmlite: what `compiler` and `load_c` are for C.

llvmlite is imported when the first of these functions is called; that alone takes longer than a kernel does.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import cache
from itertools import count
from types import SimpleNamespace
from typing import Any

from ..errors import CompileError, LoadError
from ..records import NamedTuple
from ._abi import ffi
from .compiler import Compiler

OLDEST = (20, 0, 0)  # the LLVM of llvmlite 0.45
LEVEL = 2  # of instruction selection; the text is in the order that it should have, so no pass runs before
_SCHEDULER = "-enable-misched"
_numbers = count(1)


class Library(NamedTuple):
    """What a loaded object exports. `tracker` keeps it in memory."""

    symbols: dict[str, int]
    path: str | None
    tracker: Any


def find() -> Compiler | None:
    """llvmlite as a compiler, noticed by its files: nothing is imported."""
    from importlib.util import find_spec

    try:
        spec = find_spec("llvmlite")
    except ValueError:  # something stands in its place
        return None
    if spec is None or not spec.origin:
        return None
    with contextlib.suppress(OSError):
        status = os.stat(spec.origin)
        return Compiler(("llvmlite",), "llvmlite", (os.path.realpath(spec.origin), status.st_mtime_ns, status.st_size))
    return None


def identity() -> str:
    """What decides the bytes of an object besides its text. Raises CompileError when llvmlite is missing or too old."""
    machine, version = _machine(""), sys.modules["llvmlite"].__version__
    return f"llvmlite {version} | LLVM {_version()} | {machine.triple} | level {LEVEL} | {_SCHEDULER}=0"


@cache
def import_llvmlite() -> Any:
    """The module llvmlite.binding, ready for this machine."""
    try:
        from llvmlite import binding  # type: ignore[import-untyped]
    except (ImportError, OSError, RuntimeError) as error:
        raise CompileError(f"llvmlite cannot be imported ({error}); install it with `pip install llvmlite`") from error
    if binding.llvm_version_info < OLDEST:
        raise CompileError(f"llvmlite brings LLVM {_dotted(binding)}; rowfold needs {OLDEST[0]}: update llvmlite")
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


def build(text: str, triple: str = "", cpu: str = "", features: str = "", *, level: int = LEVEL) -> bytes:
    """The object file of this LLVM text, for this machine unless a triple says otherwise."""
    machine = _machine(triple, cpu, features, level)
    module = _parsed(text, machine)
    with _in_this_order():
        return bytes(machine.emit_object(module))


def assembly(text: str) -> str:
    """What `build` would assemble."""
    machine = _machine("")
    module = _parsed(text, machine)
    with _in_this_order():
        return str(machine.emit_assembly(module))


def load(data: bytes, path: str | None, *symbols: str) -> Library:
    """Link this object into the process, for these symbols of it. Raises LoadError where that fails."""
    binding = import_llvmlite()
    builder = binding.JITLibraryBuilder()
    builder.add_object_img(data)
    builder.add_current_process()  # libm, for a machine without a fused multiply-add
    for symbol in symbols:
        builder.export_symbol(symbol)
    try:
        tracker = builder.link(_jit(), f"rowfold-{next(_numbers)}")
        return Library({symbol: tracker[symbol] for symbol in symbols}, path, tracker)
    except (RuntimeError, KeyError) as error:
        raise LoadError(f"the object compiled by LLVM cannot be loaded: {error}") from error


def address(library: Library, symbol: str) -> int:
    """Where this function is in memory."""
    try:
        return library.symbols[symbol]
    except KeyError:
        raise LoadError(f"the object compiled by LLVM was loaded without {symbol}") from None


def declared(symbol: str, library: Library) -> tuple[Any, Any]:
    """`(ffi, lib)` as cffi gives them for a shared library; `lib` has the one function."""
    pointer = ffi.cast("rowfold_loop", address(library, symbol))
    return ffi, SimpleNamespace(**{symbol: pointer})


def _parsed(text: str, machine: Any) -> Any:
    """The module of a text, verified. On failure the text is kept, and CompileError says where."""
    binding = import_llvmlite()
    try:
        module = binding.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"LLVM refuses the text: {str(error).strip()}\n  source:  {_kept(text)} (kept)") from error
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    return module


@contextlib.contextmanager
def _in_this_order() -> Iterator[None]:
    """LLVM's scheduler of machine instructions mixes vectors that the text has one after the other, and spills them.

    Its option is the process's, and as it was for whoever compiles next; what is compiled meanwhile is right, too.
    """
    binding = import_llvmlite()
    binding.set_option("rowfold", f"{_SCHEDULER}=0")
    try:
        yield
    finally:
        binding.set_option("rowfold", f"{_SCHEDULER}=1")


def _kept(text: str) -> str:
    import tempfile

    try:
        with tempfile.NamedTemporaryFile("w", prefix="rowfold-", suffix=".ll", delete=False, encoding="utf-8") as file:
            file.write(text)
            return file.name
    except OSError as error:
        return f"nowhere: {error}"


@cache
def _machine(triple: str, cpu: str = "", features: str = "", level: int = LEVEL) -> Any:
    """The target machine. What a function needs is its own attribute; a file's features decide how it may be called."""
    binding = import_llvmlite()
    if triple:
        binding.initialize_all_targets()
        binding.initialize_all_asmprinters()
    try:
        target = binding.Target.from_triple(triple or binding.get_process_triple())
    except RuntimeError as error:
        raise CompileError(f"this llvmlite has no target for {triple or 'this machine'}: {error}") from error
    return target.create_target_machine(cpu=cpu, features=features, opt=level, reloc="pic", codemodel="small")


@cache
def _jit() -> Any:
    """JITLink keeps an object in one piece. The older linker maps code and constants apart, and ends the process where

    large arrays leave more than two GiB between them. Windows has no other.
    """
    return import_llvmlite().create_lljit_compiler(_machine(""), use_jit_link=sys.platform != "win32")


def _version() -> str:
    return _dotted(import_llvmlite())


def _dotted(binding: Any) -> str:
    return ".".join(map(str, binding.llvm_version_info))
