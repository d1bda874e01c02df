"""Two versions of the generator, their C timed in turns in one process: what a change of the loops gained or cost.

    python benchmarks/forms.py 641d061^ 641d061 --kernel softmax --shapes 512x1000,4096x64 --isa avx2
    python benchmarks/forms.py HEAD . --kernel layer_norm

A version is a commit of this repository, or a directory with a checkout. The C of each is emitted by its own `src`,
compiled by `cc` as rowfold compiles it, and called through ctypes: the kernel alone, without Python's call. Prints
nanoseconds an element: minimum and median of each, and the minima's ratio.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

FLAGS = "-O3 -fPIC -shared -fvisibility=hidden -ffp-contract=off -fno-math-errno -fno-trapping-math".split()
SETTINGS = {"softmax": 1.0, "log_softmax": 1.0, "softmin": 1.0, "layer_norm": 1e-5, "rms_norm": 1e-6}  # write rows
EMIT = """
import sys
from rowfold import library
name, isa, dtype, rows, n = sys.argv[1:]
kernel = getattr(library, name).using(isa=isa)
print(kernel.stages((int(rows), int(n)), dtype)["c"])
"""


def main() -> None:
    options = arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{options.kernel}, {options.isa}, {options.dtype}: ns an element, minimum and median")
    for text in options.shapes.split(","):
        shape = tuple(map(int, text.split("x")))
        with tempfile.TemporaryDirectory() as folder:
            versions = [checkout(version, Path(folder, str(k))) for k, version in enumerate(options.versions)]
            calls = [compiled(version, options, shape) for version in versions]
        times: list[list[float]] = [[], []]
        for _ in range(options.rounds):
            for call, found in zip(calls, times, strict=True):
                found.append(min(once(call) for _ in range(5)) / np.prod(shape) * 1e9)
        (a, b), (c, d) = ((min(t), statistics.median(t)) for t in times)
        print(f"{text:>12}  before {a:.3f} {b:.3f}  after {c:.3f} {d:.3f}  after / before {c / a:.3f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("versions", nargs=2, metavar="VERSION", help="a commit, or a directory with a checkout")
    parser.add_argument("--kernel", default="softmax", choices=(*SETTINGS, "logsumexp", "entropy"))
    parser.add_argument("--shapes", default="512x1000,1024x512,256x4096,4096x64", help="(default: %(default)s)")
    parser.add_argument("--isa", default="avx512", help="(default: %(default)s)")
    parser.add_argument("--dtype", default="float32", help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="(default: %(default)s)")
    return parser.parse_args()


def checkout(version: str, folder: Path) -> Path:
    """Where this version's files are: its own directory, or the files of a commit, written to `folder`."""
    if Path(version, "src").is_dir():
        return Path(version)
    folder.mkdir()
    here = Path(__file__).parents[1]
    archive = subprocess.run(["git", "-C", here, "archive", version, "src"], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder


def compiled(checkout: Path, options: argparse.Namespace, shape: tuple[int, ...]) -> Callable[[], None]:
    """A call of the kernel that a checkout emits for a shape."""
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve() / "src")}
    command = [sys.executable, "-c", EMIT, options.kernel, options.isa, options.dtype, *map(str, shape)]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    symbol = re.search(r"(\w+)\(\s*char \*\*args", text)[1]  # type: ignore[index]
    said = re.search(r"compile with (.*)\.$", text, re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "kernel.c"), Path(folder, "kernel.so")
        source.write_text(text)
        flags = said[1].split() if said and said[1] != "no flags" else []
        subprocess.run(["cc", *FLAGS, *flags, source, "-o", library, "-lm"], check=True)
        function = ctypes.CDLL(str(library))[symbol]
    return bound(function, options, shape)


def bound(function: Callable[..., object], options: argparse.Namespace, shape: tuple[int, ...]) -> Callable[[], None]:
    """The arrays of one call in the order of the kernel's ports: the row, a temperature if it takes one, the result."""
    rows, n = shape
    x = (3 * np.random.default_rng(0).standard_normal(shape)).astype(options.dtype)
    setting = [np.full(1, SETTINGS[options.kernel])] if options.kernel in SETTINGS else []
    result = np.empty_like(x) if setting else np.empty(rows, x.dtype)
    arrays = [x, *setting, result]
    next_row = [x.strides[0], *(0 for _ in setting), result.strides[0]]
    steps = [*next_row, x.itemsize, *([result.itemsize] if result.ndim > 1 else [])]
    args = (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))
    dims, strides = (ctypes.c_ssize_t * 2)(rows, n), (ctypes.c_ssize_t * len(steps))(*steps)
    spare = (ctypes.c_char * 4096)()  # where a kernel would say which row is bad
    kept = (arrays, args, dims, strides, spare)

    def call() -> None:
        function(kept[1], kept[2], kept[3], kept[4])

    call()
    assert np.all(np.isfinite(result))
    return call


def once(call: Callable[[], None]) -> float:
    """Seconds, after a call that warms the caches."""
    call()
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
