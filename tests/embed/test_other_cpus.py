"""Emitted C on CPUs that are not here: cross-compiled, and run under qemu against the same vectors and bounds."""

from pathlib import Path

import pytest
from toolchain import STRICT, need, run

from rowfold import library

pytestmark = [pytest.mark.qemu, pytest.mark.slow]
HERE = Path(__file__).parent
CASES = (("softmax", {}), ("log_softmax", {}), ("cross_entropy", {}), ("layer_norm", {}), ("sparsemax", {}),
         ("softmax_topk", {"k": 5}))  # fmt: skip
CLANG = ("clang-19", "--target=riscv64-linux-gnu", "-fuse-ld=lld", "-fno-vectorize", "-fno-slp-vectorize")
AARCH64 = {"gcc": ("aarch64-linux-gnu-gcc",), "clang": ("clang-19", "--target=aarch64-linux-gnu")}
RVV = "rv64,v=true,vlen={},vext_spec=v1.0"
# What runs a program, and what it is compiled with. qemu 7.2 tells programs nothing of V, and stops at a conversion
# that Clang's own vectorization writes.
MACHINES = {
    "neon": (("qemu-aarch64", "-cpu", "cortex-a57"), AARCH64["gcc"]),
    "neon with clang": (("qemu-aarch64", "-cpu", "cortex-a57"), AARCH64["clang"]),
    **{f"sve {v}": (("qemu-aarch64", "-cpu", f"max,sve-max-vq={v // 128}"), AARCH64["gcc"]) for v in (128, 384, 2048)},
    "sve with clang": (("qemu-aarch64", "-cpu", "max,sve-max-vq=2"), AARCH64["clang"]),
    **{f"rvv {v}": (("qemu-riscv64", "-cpu", RVV.format(v)), (*CLANG, "-march=rv64gcv")) for v in (128, 256, 1024)},
    "sse2": (("qemu-x86_64", "-cpu", "Nehalem"), ("gcc",)),
}


def emit(kernel, folder, dtypes, settings):
    """The plan of a shape, and parts of rows too where they leave states."""
    states = kernel != "sparsemax"
    getattr(library, kernel).emit(folder, dtypes=dtypes, shape=(64, 1000), states=states, **settings)


def program(folder, compiler, *sources, flags=()):
    need(compiler[0])
    built = folder / "program"
    how = ("-O2", *compiler[1:], "-std=c99", *STRICT, "-static", f"-I{folder}", *flags)
    run(compiler[0], *how, *sources, "-o", built, "-lm")
    return built


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize(("kernel", "settings"), CASES, ids=[name for name, _ in CASES])
def test_the_self_test_passes_on_another_cpu(kernel, settings, name, tmp_path):
    """Dispatch takes the instruction set that the CPU has, and each result is within its bound."""
    emulator, compiler = MACHINES[name]
    need(emulator[0])
    narrow = ("float16", "bfloat16") if kernel == "softmax" else ()
    emit(kernel, tmp_path, ("float32", "float64", *narrow), settings)
    source = tmp_path / f"rowfold_{kernel}.c"
    said = run(*emulator, program(tmp_path, compiler, source, tmp_path / "example" / "selftest.c"))
    assert f"f32: {name.split()[0]} checked" in said


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The hashes of all bits that AVX2 gives."""
    return guarded(tmp_path_factory.mktemp("here"), (), ("gcc",), "avx2")


def guarded(folder, emulator, compiler, isa):
    library.softmax.emit(folder, dtypes=("float32", "float64"), shape=(64, 1000))
    flags = (f"-DISA={isa}", f"-DISA_MACRO={isa.upper()}", f'-DISA_NAME="{isa}"')
    built = program(folder, compiler, folder / "rowfold_softmax.c", HERE / "guarded.c", flags=flags)
    said = run(*emulator, built).split()
    assert said[:1] == [isa]
    return said[2], said[5]


@pytest.mark.isa("avx2")
@pytest.mark.parametrize("name", [name for name in MACHINES if name != "sse2"])
def test_guarded_rows_have_the_bits_of_avx2(name, here, tmp_path):
    """Nothing outside of a row is touched, and every instruction set with fma gives the same bits, at any length."""
    emulator, compiler = MACHINES[name]
    need(emulator[0])
    assert guarded(tmp_path, emulator, compiler, name.split()[0]) == here


@pytest.mark.parametrize("isa", ["sse2", "c99"])
def test_nothing_outside_of_a_row_is_touched_without_fma(isa, tmp_path):
    """The pages before and after a row are never read or written."""
    assert len(guarded(tmp_path, ("qemu-x86_64", "-cpu", "Nehalem"), ("gcc",), isa)) == 2


@pytest.mark.parametrize(("kernel", "settings"), CASES, ids=[name for name, _ in CASES])
def test_the_self_test_passes_in_webassembly(kernel, settings, tmp_path):
    """With 128-bit vectors, in node."""
    emit(kernel, tmp_path, ("float32", "float64"), settings)
    sources = (tmp_path / f"rowfold_{kernel}.c", tmp_path / "example" / "selftest.c")
    flags = (*STRICT, "-std=c99", "-O2", "-msimd128", f"-I{tmp_path}")
    run(need("clang-19"), "--target=wasm32-wasi", *flags, *sources, "-o", tmp_path / "program.wasm", "-lm")
    said = run(need("node"), "--no-warnings", HERE / "wasi.mjs", tmp_path / "program.wasm")
    assert "f32: wasm checked" in said
