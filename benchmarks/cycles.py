"""What bounds a row in L1: cycles of this core for 16 elements, of exponentials alone and of what is added to them.

    python benchmarks/cycles.py [--isa avx2] [--dtype float32]

The loop of each kernel walks one row of 1024 elements again and again, through cffi, so that neither a call nor a cache
is in the figures. A cycle is the time of one addition in a chain of additions, measured in the same rounds.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import run

N, WALKS, ADDITIONS = 1024, 2000, 4_000_000
CHAIN = """
long chain(long n) {
    long x = n;
    for (long i = 0; i < n; i++) { x += i; __asm__ volatile("" : "+r"(x)); }
    return x;
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--isa", default="auto", help="(default: %(default)s)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"), help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="(default: %(default)s)")
    parser.add_argument("--core", type=int, default=-1, help="the core to pin to (default: the last one allowed)")
    options = parser.parse_args()
    run.pin(options.core)
    import rowfold as rf
    from rowfold import bench

    rows: dict[str, Callable[..., object]] = {
        "exponentials, written": lambda x: np.exp(x),  # noqa: PLW0108 - NumPy's own has more parameters
        "exponentials, added up": lambda x: np.sum(np.exp(x)),
        "a product, written": lambda x: x * 3.0,
        "a sum": lambda x: np.sum(x),  # noqa: PLW0108
        "a maximum": lambda x: np.max(x),  # noqa: PLW0108
        "softmax": lambda x: np.exp(x) / np.sum(np.exp(x)),
        "log_softmax": lambda x: x - rf.logsumexp(x),
    }
    runs = {name: walked(rf.kernel(fn, name="row").using(isa=options.isa), options) for name, fn in rows.items()}
    with tempfile.TemporaryDirectory() as folder:
        addition = chain(folder)
        times = bench.interleaved(runs | {"addition": addition}, options.rounds)
    cycle = min(times.pop("addition")) / ADDITIONS * 1e9
    print(f"{options.isa}, {options.dtype}: a cycle takes {cycle:.3f} ns; rows of {N} elements in L1")
    print(f"{'':26}{'ns an element':>14}{'cycles for 16':>16}")
    for name, taken in times.items():
        ns = min(taken) / (WALKS * N) * 1e9
        print(f"{name:26}{ns:14.4f}{16 * ns / cycle:16.2f}")


def walked(kernel: object, options: argparse.Namespace) -> Callable[[], object]:
    """Many walks over one row by the compiled loop itself: every row of the batch lies at the same place."""
    ffi, lib = kernel.cffi((1, N), options.dtype)  # type: ignore[attr-defined]
    x = np.linspace(-3, 3, N).astype(options.dtype)
    y = np.empty_like(x)
    args = ffi.new("char *[]", [ffi.cast("char *", a.ctypes.data) for a in (x, y)])
    dims, steps = ffi.new("intptr_t[]", [WALKS, N]), ffi.new("intptr_t[]", [0, 0, x.itemsize, y.itemsize])
    (symbol,) = dir(lib)
    loop = getattr(lib, symbol)
    return lambda kept=(x, y): loop(args, dims, steps, ffi.NULL)  # type: ignore[misc]


def chain(folder: str) -> Callable[[], object]:
    """A call that adds one number after the other: an addition takes a cycle, and each waits for the one before."""
    source, library = Path(folder, "chain.c"), Path(folder, "chain.so")
    source.write_text(CHAIN)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", source, "-o", library], check=True)
    function = ctypes.CDLL(str(library)).chain
    function.argtypes, function.restype = [ctypes.c_long], ctypes.c_long
    return lambda: function(ADDITIONS)


if __name__ == "__main__":
    sys.exit(main())
