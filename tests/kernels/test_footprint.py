"""What a call takes beside its arrays: nothing from the heap where `out=` is given, and a little of the stack."""

import re
import subprocess
import threading
import tracemalloc

import numpy as np
import pytest

from rowfold import library
from rowfold.runtime import compiler

SCRATCH = 64 << 10  # bytes a thread
CALLS = {
    "softmax": lambda x, out: library.softmax(x, out=out),
    "log_softmax": lambda x, out: library.log_softmax(x, out=out),
    "layer_norm": lambda x, out: library.layer_norm(x, out=out),
    "sparsemax": lambda x, out: library.sparsemax(x, out=out),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_with_out_allocates_nothing(name):
    """A hundred calls on 4 MB leave the peak of traced memory where one call's bookkeeping puts it."""
    x = np.random.default_rng(0).standard_normal((64, 16384), np.float32)
    out = np.empty_like(x)
    for _ in range(2):
        for _ in range(20):
            CALLS[name](x, out)
        for thread in threading.enumerate():  # a process has the team of threads compiled beside its first calls
            if thread.name == "rowfold" and not thread.daemon:
                thread.join()
    for _ in range(20):
        CALLS[name](x, out)
    tracemalloc.start()
    for _ in range(100):
        CALLS[name](x, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < SCRATCH


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm", "sparsemax"])
def test_a_loop_fits_its_scratch_on_the_stack(name, tmp_path):
    """All frames of the emitted functions together, as the compiler lays them out."""
    found = compiler.find()
    if found is None:
        pytest.skip("there is no C compiler")
    source = getattr(library, name).stages(shape=(8, 4096), dtype="float32")["c"]
    path = tmp_path / "kernel.c"
    path.write_text(source)
    flags = re.search(r"compile with (.*)\.$", source, re.MULTILINE)
    assert flags
    command = [*found.command, "-O1", *flags[1].split(), "-fstack-usage", "-c", "kernel.c"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    frames = [int(line.split("\t")[1]) for line in (tmp_path / "kernel.su").read_text().splitlines()]
    assert 0 < sum(frames) <= SCRATCH


