"""Rows longer than a 32-bit number, rows in files, and a long row that is stopped or watched."""

import mmap
import os
import pty
import subprocess
import sys

import numpy as np
import pytest
from stopping import seconds_to_stop

from rowfold import library as lib

HUGE = 2**31 + 1


@pytest.fixture(scope="module")
def nothing():
    """A row of zeros that needs no memory: every page of it is the same one."""
    memory = mmap.mmap(-1, HUGE * 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
    return np.frombuffer(memory, np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [("sum", 0.0), ("max", 0.0), ("mean", 0.0), ("logsumexp", np.log(HUGE)), ("entropy", np.log(HUGE)), ("var", 0.0)],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_beyond_31_bits_is_reduced(name, expected, threads, nothing):
    """More elements than an int counts, in one row that is shared or walked a bit at a time."""
    assert np.isclose(float(getattr(lib, name)(nothing, threads=threads)), expected, rtol=2e-7, atol=0)


@pytest.mark.slow
def test_parts_beyond_31_bits_are_merged(nothing):
    """The states of two parts of such a row are those of the row."""
    half, kernel = HUGE // 2, lib.logsumexp
    state = kernel.merge(kernel.partial(nothing[:half]), kernel.partial(nothing[half:], offset=half))
    assert np.isclose(float(kernel.finish(state)), np.log(HUGE), rtol=2e-7, atol=0)


@pytest.mark.parametrize("size", [300_000, pytest.param(2**26 + 5, marks=pytest.mark.slow)])
def test_rows_in_a_file_stay_there(size, tmp_path):
    """np.memmap in and out: the result is in the file, and is that of rows in memory."""
    rows = np.memmap(tmp_path / "in", np.float32, "w+", shape=(1, size))
    rows[...] = np.random.default_rng(0).standard_normal(size, np.float32)
    written = np.memmap(tmp_path / "out", np.float32, "w+", shape=(1, size))
    lib.softmax(rows, out=written, threads=2)
    written.flush()
    assert np.fromfile(tmp_path / "out", np.float32).tobytes() == lib.softmax(np.array(rows), threads=1).tobytes()


LONG = """
import mmap, numpy as np, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell started in the background
from rowfold import library as lib
size = 2**34
x = np.frombuffer(mmap.mmap(-1, size * 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ), np.float32)
lib.logsumexp(x[:2**25], threads={threads})
print("ready", flush=True)
lib.logsumexp(x[:{size}], threads={threads})
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_key_stops_a_long_row(threads):
    """Ctrl-C arrives within one row that would take seconds, in one of three tries at least: others keep us waiting."""
    assert any(seconds_to_stop(LONG.format(threads=threads, size="size")) < 0.5 for _ in range(3))


@pytest.mark.slow
def test_a_terminal_is_told_how_far_a_long_row_is():
    """From two seconds on a bar is drawn on stderr, and wiped when the row is done."""
    main, side = pty.openpty()
    command = [sys.executable, "-c", LONG.format(threads=1, size=str(2**34))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=side):
        os.close(side)
        shown = b""
        try:
            while piece := os.read(main, 4096):
                shown += piece
        except OSError:  # the other end is closed
            pass
    assert b"rowfold [" in shown and shown.endswith(b"\r\033[K")
