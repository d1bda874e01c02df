"""Nothing beside a row is read or written: pages that nobody may touch, gaps that stay, results that are written."""

from itertools import product

import numpy as np
import pytest
from guarded import Guarded
from slices import sliced

import rowfold as rf
from rowfold import library
from rowfold.errors import PlanError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import STRATEGIES

WIDTHS = (1, 3, 7, 8, 15, 16, 17, 40, 255, 257, 1061)
ROWS = 5
ROOM = [Guarded(ROWS * max(WIDTHS) * 8) for _ in range(3)]


@rf.kernel
def shifted(x, y):
    return np.exp(x - np.max(x)) * y, np.sum(x * y), np.argmax(y)


KERNELS = {"softmax": library.softmax, "layer_norm": library.layer_norm, "sparsemax": library.sparsemax,
           "shifted": shifted}  # fmt: skip
QUICK = [("softmax", "c"), ("softmax", "llvm"), ("shifted", "c")]
CASES = [
    (name, dtype, isa, backend)
    for name, dtype, isa, backend in product(KERNELS, ("float32", "float64"), host_isas(), ("c", "llvm"))
]
every_case = pytest.mark.parametrize(
    ("name", "dtype", "isa", "backend"),
    sliced(CASES, lambda c: c[1:3] == ("float32", host_isas()[0]) and c[::3] in QUICK),
)


def plans(name, isa, backend):
    """The kernel by each strategy; those without a plan raise PlanError."""
    return [KERNELS[name].using(strategy=s, isa=isa, backend=backend) for s in STRATEGIES]


def filled(memory, shape, dtype, *, end):
    """Random rows at one end of guarded memory."""
    x = memory.array(shape, dtype, end=end)
    x[...] = np.random.default_rng(shape[1]).normal(size=shape)
    return x


@every_case
def test_rows_end_where_memory_ends(name, dtype, isa, backend):
    """At either end of pages between two that nobody may touch, arguments and results, by every strategy."""
    wrong = []
    for kernel, n, end in product(plans(name, isa, backend), WIDTHS, (False, True)):
        given = [filled(ROOM[k], (ROWS, n), dtype, end=end) for k in range(1 + (name == "shifted"))]
        out = ROOM[2].array((ROWS, n), dtype, end=end)
        out[...] = np.nan
        more = (np.empty(ROWS, dtype), np.empty(ROWS, np.int64))
        try:
            kernel(*given, out=(out, *more) if name == "shifted" else out)
        except PlanError:
            continue
        if not np.isfinite(out).all():
            wrong.append((n, end))
    assert wrong == []


@every_case
@pytest.mark.parametrize("step", [1, 2, 3])
def test_gaps_between_rows_and_elements_stay(name, dtype, isa, backend, step):
    """What lies behind the rows of an output and between its elements is what it was, and each element is written."""
    wrong = []
    for kernel, n in product(plans(name, isa, backend), WIDTHS):
        block = np.full((2 * ROWS + 1, step * n + 9), 7, dtype)
        out, rest = block[1::2, 4 : 4 + step * n : step], np.ones(block.shape, bool)
        rest[1::2, 4 : 4 + step * n : step] = False
        given = [np.random.default_rng(n).normal(size=(ROWS, n)).astype(dtype) for _ in range(1 + (name == "shifted"))]
        more = (np.empty(ROWS, dtype), np.empty(ROWS, np.int64))
        try:
            kernel(*given, out=(out, *more) if name == "shifted" else out)
        except PlanError:
            continue
        if (block[rest] != 7).any() or (out == 7).any():
            wrong.append(n)
    assert wrong == []
