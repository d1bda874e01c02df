"""The whole catalogue through LLVM: every strategy's loops, against the C that is held against the formulas."""

from functools import partial

import numpy as np
import pytest
from samples import arguments
from test_formulas import ENTRIES, WIDTH, every_kernel, loops_of, results, unoptimized  # noqa: F401 - a fixture

from rowfold import options
from rowfold.runtime import cache, load_llvm
from rowfold.runtime.cpu import host_isas


def bits(result):
    """What two results must have in common: everything, but for which NaN it is."""
    a = np.asarray(result)
    return np.where(np.isnan(a), np.nan, a).tobytes() if a.dtype.kind == "f" else a.tobytes()


@pytest.mark.slow
@every_kernel
@pytest.mark.parametrize("isa", host_isas())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_llvm_has_the_bits_of_c(name, isa, dtype, unoptimized):  # noqa: F811 - a fixture
    """All loops that the strategies have for a kernel, rows that have a masked tail."""
    entry, width = ENTRIES[name], WIDTH.get(name, 333)
    given = arguments(name, entry.made, width, dtype)
    different = []
    with options(cc=unoptimized):
        for kernel in loops_of(entry, isa, dtype, width):
            c, llvm = (results(kernel.using(backend=b), given, entry.settings) for b in ("c", "llvm"))
            different += [kernel for a, b in zip(c, llvm, strict=True) if bits(a) != bits(b)]
    assert different == []


@pytest.mark.slow
@every_kernel
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_drafts_have_the_bits_of_c(name, dtype, unoptimized, monkeypatch):  # noqa: F811 - a fixture
    """What first calls run, at the level at which they do."""
    entry, width = ENTRIES[name], WIDTH.get(name, 333)
    given = arguments(name, entry.made, width, dtype)
    monkeypatch.setattr(cache, "draft", lambda source, make, key, config: cache.load(source, "", config))
    monkeypatch.setattr(load_llvm, "build", partial(load_llvm.build, level=0))
    with options(cc=unoptimized):
        c, llvm = (results(entry.made.using(backend=b), given, entry.settings) for b in ("c", "llvm"))
    assert list(map(bits, llvm)) == list(map(bits, c))
