"""The LLVM backend against the C one: the same statements, so the same bits."""

from functools import cache

import numpy as np
import pytest
from slices import sliced

import rowfold as rf
from rowfold import library
from rowfold.errors import PlanError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import LAYOUTS, STRATEGIES, laid_out
from rowfold.testing.values import FINITE, row

pytest.importorskip("llvmlite", reason="the LLVM backend needs llvmlite")

KERNELS = ("softmax", "log_softmax", "logsumexp", "entropy", "layer_norm", "rms_norm")
WIDTHS = (0, 1, 2, 15, 16, 17, 100, 256, 257, 1000, 4097)
# every strategy on the best instruction set; the others compile the same text for other registers
COMBINATIONS = [(isa, s) for isa in host_isas() for s in STRATEGIES if isa == host_isas()[0] or s == STRATEGIES[0]]
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@cache
def rows(dtype, n):
    """A row of every finite kind, then rows with a special value at some lane."""
    rng = np.random.default_rng(n)
    special = np.tile(np.linspace(-1, 1, n, dtype=dtype), (3, 1))
    for x, value in zip(special, (np.nan, np.inf, -np.inf), strict=True):
        x[n // 3 : n // 3 + 1] = value
    return np.concatenate([[row(kind, dtype, n, rng) for kind in FINITE], special])


def differ(name, call, **chosen):
    """The widths at which the two backends disagree in a bit; skips where no plan follows the strategy."""
    kernel = getattr(library, name).using(**chosen)
    found = []
    for n in WIDTHS:
        try:
            want, got = (call(kernel.using(backend=b), n) for b in ("c", "llvm"))
        except PlanError:
            pytest.skip(f"{chosen.get('strategy')} has no plan for {name}")
        if bits(want) != bits(got):
            found.append(n)
    return found


def bits(array):
    """The bytes, with one NaN for all: IEEE 754 leaves a NaN's sign open, and compilers exchange operands."""
    array = np.array(array)
    if array.dtype.kind == "f":
        array[np.isnan(array)] = np.nan
    return array.tobytes()


def quick(case):
    """All as `auto` has them on the best instruction set, and some of the rest."""
    name, isa, strategy, dtype = case
    if isa != host_isas()[0]:
        return dtype == "float32" and name in ("softmax", "layer_norm")[: 1 if isa == "portable" else 2]
    return strategy == "auto" or (name, dtype) in (("softmax", "float32"), ("log_softmax", "float64"))


@pytest.mark.parametrize(
    ("name", "isa", "strategy", "dtype"),
    sliced(((k, *c, d) for k in KERNELS for c in COMBINATIONS for d in ("float32", "float64")), quick),
)
def test_llvm_gives_the_bits_of_c(name, isa, strategy, dtype):
    """Every kind of row, special values and every width."""
    assert differ(name, lambda k, n: k(rows(dtype, n)), isa=isa, strategy=strategy) == []


@every_dtype
@pytest.mark.parametrize("name", ["softmax", "logsumexp", "layer_norm"])
def test_llvm_gives_the_bits_of_c_under_a_mask(name, dtype):
    """Masks are read as bytes, whatever their strides."""
    assert differ(name, lambda k, n: k(rows(dtype, n), where=rows(dtype, n)[:, ::-1] > 0)) == []


@every_dtype
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_llvm_reads_and_writes_every_layout(layout, dtype):
    """Strides of any sign, gaps and misalignment, in and out."""

    def call(kernel, n):
        x = laid_out(rows(dtype, n), layout)
        out = np.empty((len(x), 2 * n), dtype)[:, ::-2]
        return kernel(x, out=out)

    assert differ("softmax", call) == []


@every_dtype
@pytest.mark.parametrize("dtype_of_target", [np.int64, np.int32])
def test_llvm_reads_an_element_at_an_index(dtype, dtype_of_target):
    """An index into a row, and none into an empty one."""

    def call(kernel, n):
        x = rows(dtype, max(n, 1))
        return kernel(x, np.arange(len(x), dtype=dtype_of_target) % max(n, 1))

    assert differ("cross_entropy", call) == []


@rf.kernel
def selected(x, *, k: int):
    """What selection and k-vectors have words for, and positions."""
    v, at = rf.topk(x, k)
    masses = library.softmax(v)
    return v, at, np.cumsum(masses), np.mean(v), np.max(v) - v[0], np.argmax(x), x > v[-1], np.argmin(x)


@every_dtype
@pytest.mark.parametrize("isa", sliced(host_isas(), lambda isa: isa != "portable"))
def test_llvm_selects_as_c_does(isa, dtype):
    """The largest elements, their positions, k-vectors, integer and boolean results."""
    different = []
    for n in WIDTHS[4:]:
        results = [selected.using(isa=isa, backend=b)(rows(dtype, n), k=9) for b in ("c", "llvm")]
        different += [(n, k) for k, (c, llvm) in enumerate(zip(*results, strict=True)) if bits(c) != bits(llvm)]
    assert different == []


@rf.kernel
def moments(x, w):
    """Weighted and plain moments, co-moments and products, about pivots that count."""
    d, e = x - np.mean(x), x - np.average(x, weights=w)
    v = np.mean(d**2)
    return v, np.mean(d**3) / v**1.5, np.mean(d**4), np.average(e**2, weights=w), np.mean(d * w), np.prod(w)


@every_dtype
@pytest.mark.parametrize("isa", sliced(host_isas(), lambda isa: isa != "portable"))
def test_llvm_gives_the_moments_of_c(isa, dtype):
    """Sums about a pivot that is sought first; the weights begin with zeros."""
    different = []
    for n in WIDTHS[3:]:
        x, w = rows(dtype, n), np.maximum(0, np.linspace(-0.3, 1.2, n, dtype=dtype))
        results = [moments.using(isa=isa, backend=b)(x, w) for b in ("c", "llvm")]
        different += [(n, k) for k, (c, llvm) in enumerate(zip(*results, strict=True)) if bits(c) != bits(llvm)]
    assert different == []


@rf.kernel
def noisy(x, at: rf.Index, seed: rf.Scalar):
    u = rf.uniform(x, seed)
    return x + u, u[at]


@every_dtype
@pytest.mark.parametrize("isa", host_isas())
def test_llvm_makes_the_noise_of_c(isa, dtype):
    """Counter-based random numbers, in rows and at an index."""
    x = rows(dtype, 257)
    results = [noisy.using(isa=isa, backend=b)(x, np.arange(len(x)), 2**63 + 7) for b in ("c", "llvm")]
    assert [bits(a) for a in results[0]] == [bits(a) for a in results[1]]


def test_llvm_leaves_the_floating_point_flags_alone():
    """Overflow and invalid operations inside a kernel raise nothing outside."""
    with np.errstate(all="raise"):
        result = library.softmax.using(backend="llvm")(np.array([np.inf, -np.inf, 1e38, np.nan], np.float32))
        assert np.all(np.isnan(result * np.float32(2)))


def test_an_llvm_kernel_as_a_cffi_function():
    """The function is handed out as that of a shared library is."""
    ffi, lib = library.softmax.using(backend="llvm").cffi((2, 8))
    (name,) = vars(lib)
    assert ffi.typeof(getattr(lib, name)).kind == "function"
