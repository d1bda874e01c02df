"""Rows of 16 and 8 bits: every code, both ways, in every backend; one rounding of a float32 result."""

import contextlib
from itertools import product

import numpy as np
import pytest
from slices import sliced

import rowfold as rf
from rowfold.codegen.dtypes import FORMATS, NAMED, narrow, rounded, widen
from rowfold.codegen.running.interpret_plan import interpret_plan

ml_dtypes = pytest.importorskip("ml_dtypes")

DTYPES = {name: np.dtype(getattr(ml_dtypes, name, name)) for name in NAMED}
BACKENDS = [
    pytest.param(isa, backend, marks=pytest.mark.isa(isa), id=f"{backend}-{isa}")
    for backend in ("c", "llvm")
    for isa in ("avx512", "avx2", "portable")
] + [pytest.param("auto", "numpy", id="numpy")]
each_dtype = pytest.mark.parametrize("name", list(DTYPES))
each_backend = pytest.mark.parametrize(("isa", "backend"), BACKENDS)


@rf.kernel
def same(x):
    return x * 1.0


@rf.kernel
def first_of(x, i: rf.Index):
    return x[i]


def codes(name):
    """Every number of a format, NaN and infinity included."""
    bits = DTYPES[name].itemsize * 8
    return np.arange(2**bits, dtype=f"u{bits // 8}").view(DTYPES[name])


@pytest.fixture(autouse=True)
def quiet():
    """NumPy's own conversions of NaN and of large numbers may warn."""
    with np.errstate(all="ignore"):
        yield


def between(name):
    """float32 values at, beside and between neighbouring numbers, of both signs, and far beyond the largest."""
    finite = np.unique(codes(name).astype(np.float64))
    finite = finite[np.isfinite(finite)]
    middle = (finite[1:] / 2 + finite[:-1] / 2).astype(np.float32)
    near = [np.nextafter(middle, np.float32(way)) for way in (-np.inf, np.inf)]
    far = np.array([np.inf, np.nan, 3e38, 1e-45, 7e-46, 0.0, -0.0, 449, 464, 465, 65519, 65520, 65536], np.float32)
    return np.concatenate([middle, *near, far, -far])


def equal(got, want):
    """Whether the codes are the same; NaN is one value here."""
    got, want = (np.asarray(a, np.float32) for a in (got, want))
    return bool(((got.view(np.uint32) == want.view(np.uint32)) | (np.isnan(got) & np.isnan(want))).all())


@each_dtype
def test_every_code_means_what_numpy_says(name):
    """The widening of the code generator's own arithmetic, over all codes."""
    raw = codes(name).view(f"u{DTYPES[name].itemsize}")
    assert equal(widen(raw, FORMATS[NAMED[name]]), codes(name).astype(np.float32))


@each_dtype
def test_values_round_to_nearest_even(name):
    """The rounding of the code generator's own arithmetic: ties, both neighbours of ties, overflow, subnormals."""
    got = narrow(between(name), FORMATS[NAMED[name]]).view(DTYPES[name])
    assert equal(got, between(name).astype(DTYPES[name]))


@each_dtype
@each_backend
def test_every_code_passes_a_kernel_unchanged(name, isa, backend):
    """All codes as one row, contiguous and strided, through a loop that reads and writes them."""
    x = codes(name)
    kernel = same.using(isa=isa, backend=backend)
    twice = np.repeat(x, 2)[::2]
    assert equal(kernel(x), x) and equal(kernel(twice), x)


@each_dtype
@each_backend
def test_a_kernel_rounds_to_nearest_even(name, isa, backend):
    """float32 rows stored in a narrow format."""
    x = between(name)
    assert equal(same.using(isa=isa, backend=backend)(x, dtype=DTYPES[name]), x.astype(DTYPES[name]))


@each_dtype
@each_backend
def test_an_element_and_a_number(name, isa, backend):
    """Single elements are read, and numbers written, in the format too."""
    x = codes(name).reshape(-1, 64)
    kernel = first_of.using(isa=isa, backend=backend)
    assert all(equal(kernel(x, np.full(len(x), k)), x[:, k]) for k in (0, 17, 63))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 8.0])
def test_softmax_is_rounded_once(name, scale):
    """Rows of all finite codes in some order, scaled: at most 0.51 ULP from the exact softmax of what was given."""
    x = codes(name).astype(np.float64)
    x = np.random.default_rng(0).permutation(x[np.isfinite(x) & (np.abs(x) < 8e3)])
    x = (x[: len(x) // 200 * 200].reshape(-1, 200) * scale).astype(DTYPES[name])
    wide = x.astype(np.float64)
    e = np.exp(wide - wide.max(-1, keepdims=True))
    want = e / e.sum(-1, keepdims=True)
    assert ulp(rf.library.softmax(x), want, name) <= 0.51


def ulp(got, want, name):
    f = FORMATS[NAMED[name]]
    exponent = np.floor(np.log2(np.maximum(np.abs(want), 2.0 ** (1 - f.bias))))
    return float(np.max(np.abs(got.astype(np.float64) - want) / 2.0 ** (exponent - f.mantissa)))


NARROWED = ("softmax", "log_softmax", "logsumexp", "layer_norm", "softmax_topk")


@pytest.mark.parametrize(
    ("kernel", "name"),
    sliced(product(NARROWED, DTYPES), lambda c: c[1] == ("float16", "bfloat16")[NARROWED.index(c[0]) % 2]),
)
def test_the_result_is_the_float32_result_rounded(name, kernel):
    """Every strategy that there is gives the bits of the float32 kernel, rounded."""
    x = (np.random.default_rng(1).normal(size=(4, 777)) * 3).astype(DTYPES[name])
    options = {"k": 7} if kernel == "softmax_topk" else {}
    chosen = getattr(rf.library, kernel)
    want = several(chosen(x.astype(np.float32), **options))
    want = [w if w.dtype.kind == "i" else w.astype(x.dtype) for w in want]
    different = []
    for strategy in ("three_pass_recompute", "online", "two_pass", "speculative", "auto"):
        with contextlib.suppress(rf.PlanError):
            got = several(chosen.using(strategy=strategy)(x, **options))
            different += [strategy] * (not all(map(equal, got, want)))
    assert different == []


def several(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_the_interpreter_of_plans_rounds_as_the_kernel_does(name):
    """The loops in NumPy give the codes of the compiled loops."""
    x = (np.random.default_rng(2).normal(size=(4, 300)) * 3).astype(DTYPES[name])
    plan = rf.library.softmax.plan(x.shape, DTYPES[name])
    (got,) = interpret_plan(plan, {"x": x.astype(np.float32)}, {"temperature": 1.0})
    assert equal(got, rf.library.softmax(x))


@each_dtype
def test_check_knows_of_the_rounding(name):
    """The oracle's bound has the one rounding in it, and is nearly reached."""
    x = (np.random.default_rng(5).normal(size=(8, 300)) * 3).astype(DTYPES[name])
    assert 0.5 < rf.library.softmax.check(x).worst <= 1


def test_a_plan_for_narrow_rows_moves_fewer_bytes():
    """explain and plan know how rows are stored."""
    shape = (64, 1 << 20)
    wide, slim = (rf.library.logsumexp.plan(shape, d).bytes_per_element for d in (np.float32, ml_dtypes.bfloat16))
    assert (wide, slim) == (4, 2)


@pytest.mark.parametrize(
    ("x", "options", "dtype"),
    [
        (np.zeros((2, 3), np.float16), {}, np.float16),
        (np.zeros((2, 3), np.float16), {"dtype": np.float32}, np.float32),
        (np.zeros((2, 3), np.float32), {"dtype": np.float16}, np.float16),
        (np.zeros((2, 3), np.int8), {"dtype": ml_dtypes.bfloat16}, ml_dtypes.bfloat16),
        (np.zeros((2, 3), np.float64), {"dtype": ml_dtypes.float8_e5m2}, ml_dtypes.float8_e5m2),
    ],
)
def test_what_comes_back(x, options, dtype):
    """The dtype of the result is that of the row, or what dtype= says."""
    assert rf.library.softmax(x, **options).dtype == dtype


def test_a_narrow_row_beside_a_wide_weight():
    """Mixed rows promote as in NumPy, and each is read as it is stored."""
    x = np.random.default_rng(3).normal(size=(4, 100)).astype(ml_dtypes.bfloat16)
    weight = np.linspace(0.5, 2, 100, dtype=np.float32)
    got = rf.library.layer_norm(x, weight)
    assert got.dtype == np.float32 and np.array_equal(got, rf.library.layer_norm(x.astype(np.float32), weight))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_in_place_and_partial_overlap(name):
    """An out on the row itself, and one beside it in the same memory."""
    x = (np.random.default_rng(4).normal(size=(6, 300)) * 3).astype(DTYPES[name])
    want = rf.library.softmax(x)
    memory = np.concatenate([x.ravel(), x.ravel()])
    one, other = memory[:1800].reshape(6, 300), memory[1:1801].reshape(6, 300)
    assert equal(rf.library.softmax(one, out=other), want) and equal(rf.library.softmax(x, out=x), want)


def test_rounding_twice_is_rounding_once():
    """What came back from memory stays what it is."""
    f = FORMATS["bf16"]
    once = rounded(between("bfloat16"), f)
    assert equal(rounded(once, f), once)
