"""Compilers, and kernels that they compiled: what the tests of emitted C share."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from rowfold.runtime import ufunc

STRICT = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror".split()


def need(tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    return tool


def run(*command, **options):
    """The output of a command that has to succeed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


class Embedded:
    """A kernel of rows of one dtype, emitted, compiled to a shared library and called through ctypes."""

    def __init__(self, folder, name, flags=("-O2",), compiler="gcc", dtype="f32"):
        self.library = folder / f"lib_{compiler}{''.join(flags)}.so"
        run(need(compiler), *flags, "-shared", "-fPIC", "-o", self.library, folder / f"rowfold_{name}.c")
        self.c = ctypes.CDLL(str(self.library))
        self.symbol = f"rowfold_{name}_{dtype}"
        self.dtype = np.dtype({"f32": "float32", "f64": "float64"}.get(dtype, "uint16"))

    def loop(self, strategy, isa):
        """The loop of a plan as a NumPy ufunc of a row and a setting."""
        address = ctypes.cast(self.c[f"{self.symbol}_{strategy}__{isa}_u1_a1"], ctypes.c_void_p).value
        kind = self.dtype.char
        return ufunc.make(address, "emitted", "(n),()->(n)", f"{kind}d{kind}")

    def rows(self, x, *settings):
        """Every row of x through the function for strided rows."""
        out = np.empty(x.shape, x.dtype)
        strides = [ctypes.c_ssize_t(s // x.itemsize) for s in x.strides]
        values = [ctypes.c_double(s) for s in settings]
        place = [ctypes.c_ssize_t(s // out.itemsize) for s in out.strides]
        pointer = [ctypes.c_void_p(a.ctypes.data) for a in (x, out)]
        n = [ctypes.c_ssize_t(k) for k in x.shape]
        status = self.c[f"{self.symbol}_rows"](*n, pointer[0], *strides, *values, pointer[1], *place)
        assert status == 0
        return out
