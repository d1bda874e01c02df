"""Objects for other machines, made without a C compiler."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rowfold import library
from rowfold.codegen.targets import TARGETS
from rowfold.errors import RowfoldError
from rowfold.runtime import ufunc
from rowfold.runtime.cpu import host_isas

HEADS = {"x86_64": (b"\x7fELF", 62), "aarch64": (b"\x7fELF", 183), "riscv64": (b"\x7fELF", 243)}  # e_machine
RUNNABLE = {"x86-64-v2": "portable", "x86-64-v3": "avx2", "x86-64-v4": "avx512"}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_an_object_is_for_its_machine(name, tmp_path):
    """The head of the file names the architecture."""
    data = Path(library.softmax.emit(tmp_path, lang="object", target=name, shape=(8, 100))[0]).read_bytes()
    if TARGETS[name].arch == "wasm32":
        assert data[:8] == b"\0asm\x01\0\0\0"
    else:
        assert (data[:4], int.from_bytes(data[18:20], "little")) == HEADS[TARGETS[name].arch]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(RUNNABLE))
def test_an_object_gives_the_bits_of_the_kernel(name, dtype, tmp_path):
    """Linked into a library and called, it computes what the kernel compiled from C does."""
    if RUNNABLE[name] not in host_isas():
        pytest.skip(f"this CPU lacks {RUNNABLE[name]}")
    path, _ = library.log_softmax.emit(tmp_path, lang="object", target=name, shape=(9, 333), dtype=dtype)
    shared = tmp_path / "kernel.so"
    subprocess.run([shutil.which("gcc") or "cc", "-shared", "-o", shared, path, "-lm"], check=True)
    loop = ctypes.cast(ctypes.CDLL(str(shared))[Path(path).stem], ctypes.c_void_p).value
    t = np.dtype(dtype).char
    x = np.random.default_rng(3).normal(size=(9, 333)).astype(dtype)
    got = ufunc.make(loop, "emitted", "(n),()->(n)", f"{t}d{t}")(x, 1.0)
    assert np.array_equal(got, library.log_softmax.using(isa=RUNNABLE[name])(x))


def test_a_header_declares_the_function(tmp_path):
    """The header names the symbol of the object."""
    path, header = library.softmax.emit(tmp_path, target="aarch64", lang="object")
    assert f"void {Path(path).stem}(char **args" in Path(header).read_text()


def test_an_object_for_riscv_passes_doubles_in_registers(tmp_path, capfd):
    """Its head says that it is compressed (1) and goes with hard-float code (4); LLVM says nothing."""
    data = Path(library.softmax.emit(tmp_path, target="riscv64", lang="object", shape=(8, 100))[0]).read_bytes()
    assert (int.from_bytes(data[48:52], "little"), capfd.readouterr().err) == (5, "")


def test_the_text_for_a_target(tmp_path):
    """LLVM IR with its triple, for another llc."""
    path, _ = library.softmax.emit(tmp_path, target="riscv64", lang="llvm")
    assert 'target triple = "riscv64-unknown-linux-gnu"' in Path(path).read_text()


@pytest.mark.parametrize(
    ("wrong", "known"), [
        ({"target": "vax", "lang": "object"}, "x86-64-v2"),
        ({"lang": "object"}, "x86-64-v2"),
        ({"target": "wasm32", "lang": "ada"}, "c, object, llvm, mlir"),
    ],
)
def test_what_is_unknown_is_listed(wrong, known, tmp_path):
    """An unknown target or language lists the known ones."""
    with pytest.raises(RowfoldError, match=known):
        library.softmax.emit(tmp_path, **wrong)


def test_a_file_is_not_overwritten(tmp_path):
    """A file that is there stays."""
    library.softmax.emit(tmp_path, target="wasm32", lang="object")
    with pytest.raises(FileExistsError):
        library.softmax.emit(tmp_path, target="wasm32", lang="object")


def test_mlir_is_written_to_a_file(tmp_path):
    """One file, with the function of all rows."""
    (path,) = library.softmax.emit(tmp_path, lang="mlir", shape=(9, 333), dtype="float32")
    assert "func.func @rowfold_softmax_f32" in Path(path).read_text()
