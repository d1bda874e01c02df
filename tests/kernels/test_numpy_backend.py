"""The backend that needs no compiler: within the bounds, for special values too, however rows lie."""

from fractions import Fraction

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.building import numpyloop
from rowfold.codegen.bounding.scaled import Arithmetic
from rowfold.codegen.running.halves import Summed
from rowfold.codegen.running.tape import Tape
from rowfold.testing import LAYOUTS, laid_out, ulp_error
from rowfold.testing.values import FINITE, row

KERNELS = ("softmax", "log_softmax", "logsumexp", "entropy", "layer_norm", "rms_norm", "sparsemax")
WIDTHS = (1, 2, 17, 300, 4097)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def rows(dtype, n):
    """A row of every finite kind, then rows with a special value at some lane."""
    rng = np.random.default_rng(n)
    special = np.tile(np.linspace(-1, 1, n, dtype=dtype), (3, 1))
    for x, value in zip(special, (np.nan, np.inf, -np.inf), strict=True):
        x[n // 3] = value
    return np.concatenate([[row(kind, dtype, n, rng) for kind in FINITE], special])


def on_numpy(name):
    return getattr(library, name).using(backend="numpy")


@every_dtype
@pytest.mark.parametrize("name", KERNELS)
def test_results_are_within_their_bounds(name, dtype):
    """Rows of every kind, special values among them, several blocks of them."""
    assert [n for n in WIDTHS if not on_numpy(name).check(np.tile(rows(dtype, n), (3, 1))).ok] == []


@every_dtype
@pytest.mark.parametrize("name", ["softmax", "logsumexp", "log_softmax"])
def test_a_mask_selects(name, dtype):
    """What is masked out is no operand: the compiled kernel says the same within both bounds."""
    x = rows(dtype, 300)
    got, want = (getattr(library, name).using(backend=b)(x, where=x[:, ::-1] > 0) for b in ("numpy", "auto"))
    np.testing.assert_allclose(got, want, rtol=16 * np.finfo(dtype).eps, atol=16 * np.finfo(dtype).eps)


@every_dtype
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_the_block_does_not_show(name, dtype):
    """A row alone has the bits that it has among others."""
    x = rows(dtype, 300)
    together = on_numpy(name)(x)
    assert np.array_equal(together, np.array([on_numpy(name)(one) for one in x]), equal_nan=True)


@every_dtype
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_is_read_and_written(layout, dtype):
    """Strides of any sign, gaps and misalignment."""
    x = np.tile(rows(dtype, 300), (9, 1))
    out = np.empty((len(x), 600), dtype)[:, ::-2]
    on_numpy("softmax")(laid_out(x, layout), out=out)
    assert np.array_equal(out, on_numpy("softmax")(x), equal_nan=True)


def test_in_place_special_rows_are_read_before_they_are_written():
    """NaN in one row, and its neighbours are right."""
    x = np.tile(rows("float32", 300), (9, 1))
    want = on_numpy("softmax")(x)
    assert np.array_equal(on_numpy("softmax")(x, out=x), want, equal_nan=True)


def test_a_second_call_does_not_see_the_first():
    """What was recorded for one call is filled again for the next: rows, weights that all share, and settings."""
    kernel, rng = on_numpy("layer_norm"), np.random.default_rng(5)
    for eps in (1e-5, 1e-5, 0.5):
        x, weight, bias = rng.normal(size=(40, 100)), rng.normal(size=100), rng.normal(size=100)
        want = library.layer_norm.reference(x, weight, bias, eps=eps)
        np.testing.assert_allclose(kernel(x, weight, bias, eps=eps), want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("gap", [10, 40, 80])
def test_the_confident_class_keeps_its_digits(gap):
    """The log-probability of a class that is nearly certain is not 1 - 1."""
    x = np.array([[gap, 0, 0.5, -1]], np.float32)
    got = on_numpy("log_softmax")(x)[0, 0]
    assert ulp_error(got, -np.log1p(np.sum(np.exp(x[0, 1:].astype(float) - gap))), np.float32) <= 3


@rf.kernel
def saved(x, lse: rf.Scalar):
    return np.exp(x - lse)


def test_a_result_that_loses_digits_is_not_recorded():
    """A difference that is rounded before its exponential is taken has to be interpreted, in float64."""
    x = np.random.default_rng(6).normal(size=(4, 100)) * 20
    assert saved.using(backend="numpy").check(x, np.max(x, axis=-1)).ok


@rf.kernel
def everything(x, w, at: rf.Index, *, eps: float = 1e-3):
    v, places = rf.topk(x, 3)
    p = library.softmax(x)
    return p * np.where(w > 0, x, 0), np.var(x) + eps, v, places, np.argmax(x), x[at], x > np.mean(x), np.std(p)


@every_dtype
def test_every_kind_of_result(dtype):
    """Rows, numbers, k-vectors, indices and masks."""
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(200, 300)).astype(dtype), rng.normal(size=300).astype(dtype)
    assert everything.using(backend="numpy").check(x, w, np.arange(200)).ok


def test_every_operation_is_recorded():
    """What the recording did not hear of would be missing when it is replayed."""
    needed = {name for name in vars(Arithmetic) if not name.startswith("_")}
    assert needed - {"number", "solve"} <= vars(Tape).keys()


def test_a_recording_serves_a_second_call():
    """The same shape again, with other rows: what was recorded is the kernel, not its first results."""
    x, w = np.random.default_rng(2).normal(size=(2, 200, 300)).astype("float32"), np.ones(300, "float32")
    kernel = everything.using(backend="numpy", threads=1)
    assert [kernel.check(one, w, np.arange(200)).ok for one in x] == [True, True]


def test_no_rows_and_no_elements():
    """Empty arrays give empty arrays."""
    shapes = [on_numpy("softmax")(np.empty(shape, np.float32)).shape for shape in ((0, 5), (3, 0), (2, 0, 4))]
    assert shapes == [(0, 5), (3, 0), (2, 0, 4)]


def test_few_recordings_are_kept():
    """A kernel that sees ever new shapes does not keep them all."""
    kernel = on_numpy("softmax")
    for n in range(20, 40):
        kernel(np.ones((3, n), np.float32))
    assert all(len(loop.tapes) <= numpyloop._MOST_TAPES for loop in kernel._loops.values())


@every_dtype
def test_rows_far_from_zero_do_not_show_to_others(dtype):
    """Some rows need a shift of their exponents, some have one class that is nearly certain: each has its own bits."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(60, 300)) * 5).astype(dtype)
    x[::3] += 2000 * rng.normal(size=(20, 1)).astype(dtype)
    x[1::6, 7] = 90
    for name in ("softmax", "log_softmax", "logsumexp", "cross_entropy"):
        given = (x, np.arange(60)) if name == "cross_entropy" else (x,)
        together = on_numpy(name)(*given)
        alone = np.array([on_numpy(name)(*(a[k] for a in given)) for k in range(60)])
        assert on_numpy(name).check(*given).ok and np.array_equal(together, alone), name


def test_rows_to_leave_out_are_recorded_too():
    """They give 0, in the first block and in those that are replayed."""
    x, target = np.random.default_rng(4).normal(size=(700, 300)).astype("float32"), np.arange(700) % 300
    target[::5] = -100
    assert np.array_equal(on_numpy("cross_entropy")(x, target) == 0, target == -100)


def test_several_threads_have_the_bits_of_one():
    """Without a place for the results, which the threads then have to know."""
    x = np.random.default_rng(5).normal(size=(700, 300)).astype("float32")
    one, more = (library.softmax.using(backend="numpy", threads=t)(x) for t in (1, 3))
    assert np.array_equal(one, more)


@every_dtype
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm", "entropy"])
def test_a_first_call_has_the_bits_of_the_next_ones(name, dtype):
    """What is recorded is evaluated in doubles, and replayed in fewer: only replays give results."""
    x, kernel = rows(dtype, 300), rf.kernel(getattr(library, name).__wrapped__, name="again").using(backend="numpy")
    assert np.array_equal(kernel(x), kernel(x), equal_nan=True)


@every_dtype
def test_weights_are_met_in_the_kernels_own_type(dtype):
    """A row that is rounded meets weights and a bias within the bounds; in place and elsewhere with the same bits."""
    rng = np.random.default_rng(7)
    x, weight, bias = (rng.normal(size=s).astype(dtype) for s in ((500, 300), 300, 300))
    kernel = on_numpy("layer_norm")
    want = kernel(x, weight, bias)
    assert kernel.check(x, weight, bias).ok
    assert np.array_equal(kernel(x, weight, bias, out=x), want)


def test_inputs_are_read_where_they_lie_and_stay_as_they_are():
    """float64 rows are not copied, and nothing is written over them; rows that lie otherwise give the same bits."""
    x = np.random.default_rng(8).normal(size=(500, 300))
    before, apart = x.copy(), np.asfortranarray(x)
    results = [[on_numpy(name)(a) for a in (x, apart)] for name in KERNELS]
    assert np.array_equal(x, before) and all(np.array_equal(a, b) for a, b in results)


def test_a_weight_that_is_special_shows_in_every_row():
    """A reduction of a row that all share tells of all of them."""
    scaled = rf.kernel(lambda x, w: x * np.sum(w), name="scaled").using(backend="numpy")
    x, w = np.ones((5, 300), np.float32), np.ones(300, np.float32)
    w[7] = np.nan
    assert np.isnan(scaled(x, w)).all()


@pytest.mark.parametrize("width", [2, 40, 300, 4097])
@pytest.mark.parametrize("spread", [0.5, 3, 30])
def test_float64_logarithms_have_two_parts(width, spread):
    """log_softmax and cross_entropy of rows with and without a confident class, without a second recording."""
    x = np.random.default_rng(9).normal(size=(200, width)) * spread
    target = np.where(np.arange(200) % 2, np.argmax(x, axis=-1), 0)
    assert on_numpy("log_softmax").check(x).ok and on_numpy("cross_entropy").check(x, target).ok


@pytest.mark.parametrize("width", [1, 7, 250, 256, 5000])
def test_sums_of_float64_round_three_times(width):
    """Beside the exact sum, rows of both signs and of many sizes."""
    rng = np.random.default_rng(width)
    x = rng.normal(size=(50, width)) * 2.0 ** rng.integers(-30, 30, (50, width))
    got = Summed({}, width)(x)[:, 0]
    near = got.astype(float)
    exact = [sum(map(Fraction, one)) for one in x.tolist()]
    off = [float(Fraction(a) - e) + float(g - a) for a, e, g in zip(near.tolist(), exact, got, strict=True)]
    assert np.all(np.abs(off) <= 3 * 2.0**-53 * np.abs(x).sum(axis=-1))


@every_dtype
def test_results_that_are_one_array_are_written_to_both_places(dtype):
    """Also where a result is the input, and where one is made of the other."""
    x = np.random.default_rng(10).normal(size=(700, 300)).astype(dtype)
    several = rf.kernel(lambda x: (x * 2, x * 2, x, x * 2 * x), name="several").using(backend="numpy", threads=1)
    for _ in range(2):
        a, b, c, d = several(x, out=tuple(np.empty_like(x) for _ in range(4)))
        assert np.array_equal(a, x * 2) and np.array_equal(b, a) and np.array_equal(c, x) and several.check(x).ok
        assert np.array_equal(d, a * x)


def test_what_is_not_recorded_has_blocks_too():
    """Several blocks of rows, each interpreted."""
    x = np.random.default_rng(11).normal(size=(700, 300)) * 20
    top = np.max(x, axis=-1)
    kernel = saved.using(backend="numpy", threads=1)
    assert np.array_equal(kernel(x, top)[500:], kernel(x[500:], top[500:])) and kernel.check(x, top).ok


def test_a_row_of_one_element_is_no_row_constant():
    """Its sum has more digits than a double, and divides it."""
    share = rf.kernel(lambda x: np.square(x) / np.sum(np.square(x)) * x, name="share").using(backend="numpy")
    assert share(np.full((2, 1), 3.0)).tolist() == [[3.0], [3.0]]
