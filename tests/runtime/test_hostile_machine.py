"""Programs too deep, machines in odd modes, limits on memory and files: a clear error or right numbers, no crash."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chaos import child_of

import rowfold as rf
from rowfold import library
from rowfold.errors import CompileError, TraceError
from rowfold.runtime import compiler

X = np.random.default_rng(4).normal(size=(3, 40)).astype(np.float32)


def test_a_row_function_that_calls_itself_is_said():
    """No RecursionError from the inside of a tracer."""

    def endless(x):
        return endless(x) + 1

    with pytest.raises(TraceError, match=r"endless calls itself without end[^$]*line \d+"):
        rf.kernel(endless)(X)


def test_a_program_that_is_nested_too_deeply_is_said():
    """Three hundred roots of roots: the C is refused with what to do; NumPy computes it (see the next test)."""

    def nested(x):
        for _ in range(300):
            x = np.sqrt(np.abs(x) + 1.5)
        return x

    with pytest.raises(CompileError, match=r"nested more deeply.*sys\.setrecursionlimit"):
        rf.kernel(nested).using(backend="c")(X)


def test_a_program_with_too_many_operations_is_said():
    """A Python loop that was meant to run over a row."""

    def long(x):
        for i in range(100_000):
            x = x + i * 0.5
        return x

    with pytest.raises(TraceError, match=r"more than .* operations"):
        rf.kernel(long)(X)


CONSTANTS = (
    np.inf,
    -np.inf,
    np.nan,
    -0.0,
    5e-324,
    1e300,
    np.float32(0.1),
    np.float64(0.1),
    np.int8(-3),
    np.bool_(True),
)


def test_constants_of_every_kind():
    """Infinities, NaN, -0.0, numbers beyond float32, NumPy's scalars: as NumPy's float32 rows take them."""

    def by(x):
        return tuple(x * c for c in CONSTANTS)

    with np.errstate(all="ignore"):
        want = [X * np.float32(float(c)) for c in CONSTANTS]
    for got, y in zip(rf.kernel(by)(X), want, strict=True):
        assert np.array_equal(np.signbit(got) & ~np.isnan(y), np.signbit(y) & ~np.isnan(y))
        np.testing.assert_allclose(got, y, rtol=2e-7)


@pytest.mark.parametrize("shape", [(2**40, 1000), (2**31, 2**31), (1000, 2**45)], ids=str)
def test_results_that_no_memory_holds(shape):
    """A zero-strided array may be larger than any memory; its result is refused by NumPy's own error."""
    with pytest.raises((MemoryError, ValueError)):
        library.softmax(np.broadcast_to(np.float32(0), shape))


@pytest.mark.parametrize("direction", [0x400, 0x800, 0xC00], ids=["down", "up", "to zero"])
def test_another_rounding_does_no_harm(direction):
    """A host that rounds otherwise gets numbers a few ULP away, and keeps its mode."""
    libm = ctypes.CDLL("libm.so.6")
    want = library.softmax(X), library.log_softmax(X)
    libm.fesetround(direction)
    try:
        got = library.softmax(X), library.log_softmax(X)
        assert libm.fegetround() == direction
    finally:
        libm.fesetround(0)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-5)


FLUSH = """#include <xmmintrin.h>
unsigned set(unsigned m) { const unsigned old = _mm_getcsr(); _mm_setcsr(m); return old; }
"""


@pytest.mark.isa("avx2")
def test_a_host_that_flushes_subnormals_does_no_harm(tmp_path):
    """Fast-math libraries set these bits for the whole process: results are 0 in place of subnormal, never NaN."""
    cc = compiler.find()
    if cc is None:
        pytest.skip("no C compiler here")
    command = [*cc.command, "-O1", "-shared", "-fPIC", "-x", "c", "-", "-o", str(tmp_path / "flush.so")]
    subprocess.run(command, input=FLUSH.encode(), check=True)
    switch = ctypes.CDLL(str(tmp_path / "flush.so")).set
    x = np.array([[0.0, -50.0, -90.0, -100.0, -np.inf] * 8], np.float32)
    want = library.softmax(x), library.logsumexp(x)
    old = switch(0x9FC0)
    try:
        got = library.softmax(x), library.logsumexp(x)
    finally:
        switch(old)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-6, atol=1.2e-38)


def test_a_kernel_has_no_writable_data(tmp_path):
    """Threads and forks share it."""
    cc = compiler.find()
    if cc is None:
        pytest.skip("no C compiler here")
    text = library.softmax_topk.stages(shape=(8, 1000), k=3)["c"]
    flags = ("-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl")
    command = [*cc.command, "-O1", *flags, "-c", "-x", "c", "-", "-o", str(tmp_path / "k.o")]
    subprocess.run(command, input=text.encode(), check=True)
    table = subprocess.run(["nm", str(tmp_path / "k.o")], check=True, capture_output=True, text=True).stdout
    assert [line for line in table.splitlines() if line.split()[-2] in "bBdDC"] == []


def limited(**limits: int) -> int:
    """How a process ends that calls a new kernel under these limits: 0, or a documented error (3), else a crash."""

    def call() -> None:
        for name, value in limits.items():
            kind = getattr(resource, f"RLIMIT_{name}")
            resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
        kernel = rf.kernel(lambda x: np.exp(x - np.max(x)) * 1.25, name=f"limited_{min(limits.values())}")
        try:
            got = kernel(X)
        except (rf.RowfoldError, MemoryError, OSError):
            os._exit(3)
        np.testing.assert_allclose(got, np.exp(X - X.max(-1, keepdims=True)) * 1.25, rtol=1e-6)

    return os.waitstatus_to_exitcode(os.waitpid(child_of(call), 0)[1])


@pytest.mark.parametrize("files", [3, 6, 9, 12, 16])
def test_few_file_descriptors(files):
    """Pipes, files and locks that cannot be opened: the numbers, or an error that is documented."""
    assert limited(NOFILE=files + len(os.listdir("/proc/self/fd")) - 4) in (0, 3)


@pytest.mark.parametrize("limits", [{"FSIZE": 0}, {"FSIZE": 5000}, {"NPROC": 1}, {"STACK": 1 << 20}], ids=str)
def test_tight_limits(limits):
    """Nothing can be written, or no process started."""
    assert limited(**limits) in (0, 3)


HOLES = """
import mmap, numpy as np
from rowfold import library
from rowfold.runtime.cpu import host_isas
LAZY = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE, which mmap names from 3.13 on
pieces = [mmap.mmap(-1, size, flags=LAZY, prot=mmap.PROT_READ) for size in (1 << 33, 3 * mmap.PAGESIZE) * 40]
for hole in pieces[1::4]:
    hole.close()
x = np.arange(120).reshape(3, 40) / 8
for kernel in (library.softmax, library.entropy, library.layer_norm):
    for isa in host_isas():
        for dtype in ("float32", "float64"):
            got = kernel.using(backend="llvm", isa=isa)(x.astype(dtype))
            np.testing.assert_allclose(got, kernel.reference(x), rtol=1e-5)
"""


def test_arrays_that_leave_holes_between_them():
    """Where memory is mapped in pieces, code and constants of LLVM's loops came to lie too far apart: it aborted."""
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_memory_that_runs_out():
    """A result too large for what is left is a MemoryError, and the next call works."""
    code = (
        "import numpy as np, resource, rowfold as rf; x = np.zeros((4, 64), 'f4'); rf.library.softmax(x); "
        "big = np.zeros((1 << 14, 1 << 12), 'f4'); used = int(open('/proc/self/statm').read().split()[0]) * 4096; "
        "resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20),) * 2)\n"
        "try: rf.library.softmax(big)\n"
        "except MemoryError: print('refused', rf.library.softmax(x)[0, 0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "refused 0.015625", done.stderr


# what a long life of a process costs


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_ten_million_calls_hold_no_more_memory():
    """Flat within 1 %, after the first hundred thousand."""
    out = np.empty_like(X)
    for _ in range(100_000):
        library.softmax(X, out=out)
    before = resident()
    for _ in range(10_000_000):
        library.softmax(X, out=out)
    assert resident() <= 1.01 * before


@pytest.mark.slow
def test_ten_thousand_kernels_of_twenty_programs():
    """Objects that are thrown away leave nothing: equal programs share what was compiled."""

    def program(k):
        return lambda x: np.exp(x * (k + 0.5)) / np.sum(np.exp(x * (k + 0.5)))

    def some(count):
        for number in range(count):
            rf.kernel(program(number % 20), name=f"of_{number % 20}")(X)

    some(2000)
    before = resident()
    some(10_000)
    assert resident() <= 1.02 * before


@pytest.mark.slow
def test_two_hundred_programs_cost_what_is_stated():
    """At most 400 kB of memory for each distinct program that stays loaded."""
    before = resident()

    def program(c):
        return lambda x: np.sum(np.exp(x * c))

    kept = [rf.kernel(program(1.0 + k), name=f"distinct_{k}") for k in range(200)]
    for kernel in kept:
        kernel(X)
    assert resident() - before <= 200 * 400_000
