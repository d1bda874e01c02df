"""Object files of other CPUs, made by llvmlite, linked into a C program by a cross compiler and run under qemu."""

from pathlib import Path

import numpy as np
import pytest
from toolchain import need, run

from rowfold import library

pytestmark = [pytest.mark.qemu, pytest.mark.slow]
ROWS, N = 7, 333
MACHINES = {
    "aarch64": ("aarch64-linux-gnu-gcc", ("qemu-aarch64", "-cpu", "cortex-a57")),
    "riscv64": ("riscv64-linux-gnu-gcc", ("qemu-riscv64",)),
    "x86-64-v2": ("gcc", ()),
}
MAIN = """#include <stdint.h>
#include <stdio.h>
#include "%(header)s"
static float x[%(rows)d * %(n)d], y[%(rows)d * %(n)d];
int main(void) {
    double temperature = 1.0;
    char *args[] = {(char *)x, (char *)&temperature, (char *)y};
    intptr_t dims[] = {%(rows)d, %(n)d}, steps[] = {4 * %(n)d, 0, 4 * %(n)d, 4, 4};
    if (fread(x, sizeof x, 1, stdin) != 1) return 1;
    %(symbol)s(args, dims, steps, 0);
    return fwrite(y, sizeof y, 1, stdout) != 1;
}
"""


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("kernel", ["softmax", "log_softmax"])
def test_an_object_gives_the_bits_of_portable_c(kernel, name, tmp_path):
    """The words are the same, so the bits are, whatever CPU computes them."""
    import subprocess

    compiler, emulator = MACHINES[name]
    need(compiler)
    if emulator:
        need(emulator[0])
    path, header = map(Path, getattr(library, kernel).emit(tmp_path, lang="object", target=name, shape=(ROWS, N)))
    text = MAIN % {"header": header.name, "symbol": path.stem, "rows": ROWS, "n": N}
    (tmp_path / "main.c").write_text(text)
    run(compiler, "-static", "-O1", f"-I{tmp_path}", tmp_path / "main.c", path, "-o", tmp_path / "program", "-lm")
    x = np.random.default_rng(3).normal(size=(ROWS, N)).astype(np.float32) * 5
    said = subprocess.run([*emulator, tmp_path / "program"], input=x.tobytes(), capture_output=True, check=True).stdout
    assert said == getattr(library, kernel).using(isa="portable")(x).tobytes()
