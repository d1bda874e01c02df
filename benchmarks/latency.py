"""What a user waits for outside the kernel: import, first call with a compiler, first call from a warm cache, one call.

Each figure but the last comes from new processes, because only a new process imports and compiles anything.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable

import numpy as np

IMPORT = "import time, numpy; t = time.perf_counter(); import rowfold; print(time.perf_counter() - t)"
FIRST_CALL = """
import time, numpy, rowfold
x = numpy.linspace(-4, 4, 64 * 1000, dtype=numpy.float32).reshape(64, 1000)
t = time.perf_counter()
rowfold.library.softmax(x)
print(time.perf_counter() - t)
"""

FIRST_LLVM = """
import time, numpy, rowfold, llvmlite.binding
llvmlite.binding.initialize_native_target(), llvmlite.binding.initialize_native_asmprinter()
x = numpy.linspace(-4, 4, 64 * 1000, dtype=numpy.float32).reshape(64, 1000)
t = time.perf_counter()
rowfold.library.softmax.using(backend="llvm")(x)
print(time.perf_counter() - t)
"""


def in_new_process(code: str, cache: str) -> float:
    """The seconds that `code` prints, run with its own cache directory."""
    environment = os.environ | {"ROWFOLD_CACHE_DIR": cache}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def import_time(repeats: int = 15) -> dict[str, float]:
    """Milliseconds that `import rowfold` takes where numpy is already imported."""
    with tempfile.TemporaryDirectory() as cache:
        return summary([in_new_process(IMPORT, cache) for _ in range(repeats)])


def first_call(code: str = FIRST_CALL, repeats: int = 9) -> dict[str, float]:
    """Milliseconds of the first call of a process whose cache is empty: plan, emit, compile, load, call."""
    times = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            times.append(in_new_process(code, cache))
    return summary(times)


def warm_call(code: str = FIRST_CALL, repeats: int = 9) -> dict[str, float]:
    """Milliseconds of the first call of a process that finds its kernel in the cache."""
    with tempfile.TemporaryDirectory() as cache:
        in_new_process(code, cache)
        return summary([in_new_process(code, cache) for _ in range(repeats)])


def call_overhead(n: int, number: int = 20000, repeats: int = 9) -> dict[str, float]:
    """Milliseconds of one softmax of one row, where nearly everything is overhead."""
    from rowfold.library import softmax

    x = np.linspace(-1, 1, n, dtype=np.float32).reshape(1, n)
    y = np.empty_like(x)
    return repeated(lambda: softmax(x, out=y), number, repeats)


def index_overhead(number: int = 20000, repeats: int = 9) -> dict[str, float]:
    """Milliseconds of one cross-entropy of one row of 16, whose index is checked in every call."""
    from rowfold.library import cross_entropy

    x, target, y = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 16), np.array([3]), np.empty(1, np.float32)
    return repeated(lambda: cross_entropy(x, target, out=y), number, repeats)


def repeated(run: Callable[[], object], number: int, repeats: int) -> dict[str, float]:
    """Many calls of the same, after those that compile the kernel and the quick path."""
    for _ in range(20):
        run()
    return summary([t / number for t in timeit.repeat(run, number=number, repeat=repeats)])


def summary(seconds: list[float]) -> dict[str, float]:
    """Minimum and median, in milliseconds."""
    return {"min_ms": min(seconds) * 1e3, "median_ms": statistics.median(seconds) * 1e3}


MEASURES = {
    "import rowfold, above numpy": import_time,
    "first call, empty cache": first_call,
    "first call, warm cache": warm_call,
    "LLVM, empty cache, above llvmlite": lambda: first_call(FIRST_LLVM),
    "LLVM, warm cache, above llvmlite": lambda: warm_call(FIRST_LLVM),
    "one call at (1, 16)": lambda: call_overhead(16),
    "one call at (1, 64)": lambda: call_overhead(64),
    "one cross-entropy at (1, 16)": index_overhead,
}


if __name__ == "__main__":
    for what, measure in MEASURES.items():
        found = measure()
        print(f"{what:36}{found['min_ms']:10.3f}{found['median_ms']:10.3f}  ms, minimum and median")
