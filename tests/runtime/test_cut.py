"""One row for several threads: chunks that are walked apart give the bits of a row walked by one."""

import sys
from itertools import product

import numpy as np
import pytest
from slices import sliced

from rowfold import library as lib
from rowfold.codegen.loops import CHUNK
from rowfold.codegen.running.interpret_plan import interpret_plan
from rowfold.runtime import cutrows, slices, threads
from rowfold.runtime.threads import spread

KERNELS = ("softmax", "log_softmax", "layer_norm", "entropy", "logsumexp", "max")
LENGTHS = (CHUNK * 4, CHUNK * 4 + 1, CHUNK * 9 - 17)


@pytest.fixture(autouse=True)
def short_rows_too(monkeypatch):
    """Rows are shared that are too short for it to pay."""
    monkeypatch.setattr(threads, "_SHARED", 0)


def draw(n, rows=1, dtype="float32"):
    return (np.random.default_rng(n).standard_normal((rows, n)) * 5).astype(dtype)


def hard(n):
    """Rows whose first guess of the shift fails, and rows that are not finite."""
    x = draw(n, 4)
    x[0, n // 2], x[0, 3], x[1, -2], x[2, 5:99], x[3] = 300, -np.inf, np.nan, np.inf, x[3] * 1e30
    return x


@pytest.mark.parametrize(
    ("name", "dtype"),
    sliced(product(KERNELS, ("float32", "float64")), lambda c: c[1] == "float32" or c[0] == "softmax"),
)
def test_a_row_has_the_same_bits_for_any_number_of_threads(name, dtype):
    """Two and three threads share a row, and write what one writes."""
    kernel = getattr(lib, name)
    different = [
        (n, count)
        for n in LENGTHS
        for count in (2, 3)
        if kernel(draw(n, dtype=dtype), threads=count).tobytes() != kernel(draw(n, dtype=dtype), threads=1).tobytes()
    ]
    assert different == []


@pytest.mark.parametrize("name", KERNELS)
def test_hard_rows_have_the_same_bits_for_any_number_of_threads(name):
    """The walks that only rare rows take are shared, too."""
    kernel, x = getattr(lib, name), hard(CHUNK * 5 + 3)
    assert [kernel(row, threads=2).tobytes() for row in x] == [kernel(row, threads=1).tobytes() for row in x]


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        *product(("softmax", "log_softmax"), ("three_pass_recompute", "online", "two_pass", "speculative")),
        *product(("logsumexp", "entropy"), ("online", "two_pass")),
    ],
)
def test_chunks_of_very_different_size_have_the_same_bits_for_any_number_of_threads(name, strategy):
    """Rows that fall and rise: no chunk's largest element, and no power of two, is that of the next."""
    kernel, up = getattr(lib, name), np.sort(draw(CHUNK * 9 + 5)[0])
    for x in (up, up[::-1].copy(), up * 200, -abs(up) * 3):
        assert kernel.using(strategy=strategy)(x, threads=2).tobytes() == kernel(x, threads=1).tobytes()


def test_a_row_in_place_is_shared():
    """The output may be the row itself."""
    x = draw(CHUNK * 6)
    expected = lib.softmax(x, threads=1).tobytes()
    assert lib.softmax(x, out=x, threads=2).tobytes() == expected


@pytest.mark.parametrize("name", ["softmax", "layer_norm"])
def test_a_row_that_no_cache_holds_is_written_around_them(name):
    """Wherever in a line of memory the output begins, each element is written once."""
    kernel, x = getattr(lib, name), draw((1 << 22) + 77)[0]
    out = [np.empty(x.size + 5, np.float32)[k : k + x.size] for k in (0, 1, 3)]
    assert {kernel(x, out=o, threads=2).tobytes() for o in out} == {kernel(x, threads=1).tobytes()}


def test_a_strided_row_is_shared():
    """Chunks of a row with gaps are packed by whoever walks them."""
    x = draw(CHUNK * 12)[:, ::2]
    assert lib.softmax(x, threads=2).tobytes() == lib.softmax(x, threads=1).tobytes()


@pytest.mark.parametrize(
    ("name", "strategy", "backend"),
    sliced(
        product(
            ("softmax", "log_softmax", "entropy"),
            ("three_pass_recompute", "online", "two_pass", "speculative"),
            ("c", "llvm"),
        ),
        lambda c: c[0] == "log_softmax" or c[1] == "speculative",
    ),
)
def test_chunks_are_the_form_of_every_long_row(name, strategy, backend):
    """Whatever the strategy and the backend, and NumPy run through the plan: chunks are summed in the same order."""
    x = draw(CHUNK * 2 + 300, 2)
    plan = getattr(lib, name).plan(x.shape)
    expected = interpret_plan(plan, {"x": x}, {p.name: 1.0 for _, p in plan.program.params})[0].astype("float32")
    assert getattr(lib, name).using(strategy=strategy, backend=backend)(x).tobytes() == expected.tobytes()


def test_a_row_that_waits_goes_on_where_it_was(monkeypatch):
    """A long row is walked a bit at a time, and keeps its bits."""
    monkeypatch.setattr(cutrows, "SLICE", cutrows.GROUP)
    monkeypatch.setattr(slices, "SLICE", cutrows.GROUP)
    monkeypatch.setattr(sys.modules[spread.__module__], "SLICE", cutrows.GROUP)
    kernel, x = lib.softmax.using(threads=2), draw(cutrows.GROUP * 2 + 5000)
    assert kernel(x).tobytes() == lib.softmax.using(strategy="three_pass_reload")(x[:, :]).tobytes()
