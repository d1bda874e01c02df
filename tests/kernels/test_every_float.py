"""Every width, every lane, every float: what the other tests sample is gone through here, in the long run."""

import ctypes
import itertools
import subprocess

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.runtime import compiler
from rowfold.runtime.cpu import host_isas
from rowfold.testing import exact_log_softmax, exact_logsumexp, exact_softmax, published_bound

ISAS = [pytest.param(isa, marks=pytest.mark.isa(isa)) for isa in ("avx512", "avx2", "portable")]
EXACT = {"softmax": exact_softmax, "log_softmax": exact_log_softmax, "logsumexp": exact_logsumexp}
every_isa = pytest.mark.parametrize("isa", ISAS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
every_kernel = pytest.mark.parametrize("name", EXACT)


def within(name, got, x):
    want = EXACT[name](x)
    with np.errstate(all="ignore"):
        good = np.abs(got - want) <= published_bound(name, want, got.dtype)
    return good | (got == want) | (np.isnan(got) & np.isnan(want))


@pytest.mark.slow
@every_kernel
@every_dtype
@every_isa
def test_every_width(isa, dtype, name):
    """Rows of 1 to 4,096 elements: each tail, each number of blocks."""
    kernel = getattr(library, name).using(isa=isa)
    x = np.random.default_rng(1).normal(size=(2, 4096)).astype(dtype) * 5
    assert [n for n in range(1, 4097) if not within(name, kernel(x[:, :n]), x[:, :n]).all()] == []


@pytest.mark.slow
@every_kernel
@every_dtype
@every_isa
def test_a_special_value_at_every_place(isa, dtype, name):
    """NaN, infinities, the largest and a subnormal number at each lane of whole blocks and of tails."""
    kernel = getattr(library, name).using(isa=isa)
    info = np.finfo(dtype)
    for n, special in itertools.product(
        (7, 16, 31, 256, 300), (np.nan, np.inf, -np.inf, info.max, info.smallest_subnormal)
    ):
        x = np.tile(np.random.default_rng(2).normal(size=n).astype(dtype), (n, 1))
        np.fill_diagonal(x, special)
        assert within(name, kernel(x), x).all(), (n, special)


COMPARE = r"""
#include <math.h>
#include <stdint.h>
#include <string.h>
void fill(float *x, uint32_t first, int64_t n)
{
    for (int64_t i = 0; i < n; ++i) { const uint32_t b = first + (uint32_t)i; memcpy(x + i, &b, 4); }
}
#define WORST(F) double worst_##F(const float *x, const float *y, int64_t n) { \
    double top = 0; \
    for (int64_t i = 0; i < n; ++i) { \
        const double want = F((double)x[i]); \
        int64_t b; memcpy(&b, &want, 8); \
        int64_t e = (b >> 52) & 2047; \
        e = e < 897 ? 897 : e; \
        const int64_t u = (e - 23) << 52; \
        double ulp; memcpy(&ulp, &u, 8); \
        const double error = fabs((double)y[i] - want) / ulp; \
        top = error > top ? error : top; \
    } \
    return top; \
}
WORST(exp)
WORST(log)
"""
STEP = 1 << 22


@pytest.fixture(scope="module")
def compare(tmp_path_factory):
    """Errors in ULP against the double functions of libm, many at a time where the compiler has vectors of them."""
    cc = compiler.find()
    if cc is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("compare")
    fast = ("-O3", "-ffast-math", *(["-mavx2", "-mfma"] if "avx2" in host_isas() else []))
    command = [*cc.command, *fast, "-fPIC", "-x", "c", "-c", "-", "-o", str(folder / "compare.o")]
    subprocess.run(command, input=COMPARE.encode(), check=True)
    path = folder / "compare.so"  # linked without fast mathematics, which would flush subnormals in this process
    subprocess.run([*cc.command, "-shared", str(folder / "compare.o"), "-o", str(path), "-lm"], check=True)
    found = ctypes.CDLL(str(path))
    found.worst_exp.restype = found.worst_log.restype = ctypes.c_double
    return found


@rf.kernel
def exponential(x):
    return np.exp(x)


@rf.kernel
def logarithm(x):
    return np.log(x)


def bits(value):
    return int(np.float32(value).view(np.uint32))


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def floats(compare, first, last, kernel):
    """Every float between two patterns of bits, and what the kernel makes of them."""
    x, y = np.empty(STEP, np.float32), np.empty(STEP, np.float32)
    for start in range(first, last, STEP):
        n = min(STEP, last - start)
        compare.fill(pointer(x), ctypes.c_uint32(start), ctypes.c_int64(n))
        yield x[:n], kernel(x[:n], out=y[:n], threads=1)


def worst(compare, function, ranges, kernel):
    """The largest error in ULP over ranges of floats."""
    function = getattr(compare, f"worst_{function}")
    found = (
        function(pointer(x), pointer(y), ctypes.c_int64(len(x))) for r in ranges for x, y in floats(compare, *r, kernel)
    )
    return max(found)


def all_of(compare, first, last, kernel, holds):
    return all(holds(y).all() for _, y in floats(compare, first, last, kernel))


@pytest.mark.slow
@every_isa
def test_exp_of_every_float(isa, compare, record_property):
    """All 2^32: within 0.9 ULP where results are normal, 1.5 where they are subnormal, 0, inf and NaN where due."""
    k, sign = exponential.using(isa=isa), 1 << 31
    top, low, end = bits(88.72283), sign | bits(87.33654), sign | bits(103.97208)
    normal = worst(compare, "exp", [(0, top), (sign, low)], k)
    small = worst(compare, "exp", [(low, end)], k)
    record_property("worst", (normal, small))
    print(f"exp on {isa}: {normal:.4f} ULP, {small:.4f} where subnormal")  # noqa: T201 - docs/numerics.md has them
    assert normal <= 0.9 and small <= 1.5
    assert all_of(compare, bits(88.72284), bits(np.inf) + 1, k, np.isposinf)
    assert all_of(compare, sign | bits(103.97209), (sign | bits(np.inf)) + 1, k, lambda y: y == 0)
    assert all_of(compare, bits(np.inf) + 1, sign, k, np.isnan)
    assert all_of(compare, (sign | bits(np.inf)) + 1, 1 << 32, k, np.isnan)


@pytest.mark.slow
@every_isa
def test_log_of_every_float(isa, compare, record_property):
    """All 2^32: within 0.83 ULP, subnormal arguments included, -inf, inf and NaN where due."""
    k, sign, inf = logarithm.using(isa=isa), 1 << 31, bits(np.inf)
    found = worst(compare, "log", [(1, inf)], k)
    record_property("worst", found)
    print(f"log on {isa}: {found:.4f} ULP")  # noqa: T201 - docs/numerics.md has it
    assert found <= 0.83
    assert np.array_equal(k(np.array([0.0, -0.0, np.inf], np.float32)), [-np.inf, -np.inf, np.inf])
    assert all_of(compare, inf + 1, sign, k, np.isnan)
    assert all_of(compare, sign + 1, 1 << 32, k, np.isnan)


@pytest.mark.parametrize("function", ["exp", "log", "tanh", "expm1", "sqrt"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_number_of_16_bits(dtype, function):
    """All 65,536: computed in float32 and rounded once, so within 0.51 ULP of the exact value."""
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    x = np.arange(1 << 16, dtype=np.uint16).view(kind)
    got = rf.kernel(lambda x: getattr(np, function)(x), name=f"every_{function}")(x)
    with np.errstate(all="ignore"):
        want = getattr(np, function)(x.astype(np.float64))
        near = np.array(
            [want.astype(np.float32).astype(kind), np.nextafter(want.astype(np.float32), np.float32(0)).astype(kind)]
        )
    same = (got == near) | (np.isnan(got.astype(np.float32)) & np.isnan(want))
    assert same.any(axis=0).all()
