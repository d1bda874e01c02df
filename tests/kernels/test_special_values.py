"""One table of special values for every strategy, instruction set and lane."""

import numpy as np
import pytest
from slices import sliced

import rowfold as rf
from rowfold import library
from rowfold.errors import PlanError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import STRATEGIES

NAN, INF = np.nan, np.inf
ROW_KERNELS = ("softmax", "log_softmax", "layer_norm", "rms_norm")
NUMBER_KERNELS = ("logsumexp", "cross_entropy")
WIDTHS = (1, 2, 3, 15, 16, 17, 31, 32, 33, 40, 41, 63, 64, 65, 257)
# what a row gives with the special at one lane: (there, elsewhere), None for any finite number
TABLE = {
    ("softmax", NAN): (NAN, NAN),
    ("softmax", INF): (NAN, NAN),
    ("softmax", -INF): (0.0, None),
    ("log_softmax", NAN): (NAN, NAN),
    ("log_softmax", INF): (NAN, NAN),
    ("log_softmax", -INF): (-INF, None),
    ("layer_norm", NAN): (NAN, NAN),
    ("layer_norm", INF): (NAN, NAN),
    ("layer_norm", -INF): (NAN, NAN),
    ("rms_norm", NAN): (NAN, NAN),
    ("rms_norm", INF): (NAN, 0.0),
    ("rms_norm", -INF): (NAN, 0.0),
    ("logsumexp", NAN): NAN,
    ("logsumexp", INF): INF,
    ("logsumexp", -INF): None,
    ("cross_entropy", NAN): NAN,
    ("cross_entropy", INF): NAN,
    ("cross_entropy", -INF): None,
}
# every strategy on the best instruction set, and on the others those that differ most
COMBINATIONS = [
    (isa, strategy, dtype)
    for isa in host_isas()
    for strategy in STRATEGIES
    for dtype in ("float32", "float64")
    if isa == host_isas()[0] or strategy == "two_pass"
]
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def quick(case):
    """Every strategy in float32 on the best instruction set, and some in float64; elsewhere one dtype."""
    isa, strategy, dtype = case
    if isa != host_isas()[0]:
        return dtype == ("float64" if isa == "portable" else "float32")
    return dtype == "float32" or strategy in ("auto", "speculative")


every_combination = pytest.mark.parametrize(("isa", "strategy", "dtype"), sliced(COMBINATIONS, quick))


def planted(special, n, dtype):
    """A batch whose row i has the special at lane i."""
    x = np.tile(np.linspace(-1, 1, n, dtype=dtype), (n, 1))
    np.fill_diagonal(x, special)
    return x


def call(name, x, strategy="auto", isa="auto", target=None, **more):
    """A library kernel on these rows; skips where no plan follows the strategy."""
    kernel = getattr(library, name).using(strategy=strategy, isa=isa)
    arguments = (x,) if name != "cross_entropy" else (x, target)
    try:
        return kernel(*arguments, **more)
    except PlanError:
        assert strategy in ("two_pass", "online", "speculative", "one_pass")
        pytest.skip(f"{strategy} has no plan for {name}")


def agrees(got, want):
    """Whether these are the special values wanted; None stands for any finite number."""
    if want is None:
        return bool(np.all(np.isfinite(got)))
    return np.array_equal(got, np.full_like(got, want), equal_nan=True)


@every_combination
@pytest.mark.parametrize("special", [NAN, INF, -INF])
@pytest.mark.parametrize("name", ROW_KERNELS)
def test_a_special_at_any_lane_gives_the_row_of_the_table(name, special, strategy, isa, dtype):
    """A special at every lane and tail position gives what the table says, there and elsewhere."""
    wrong = []
    for n in WIDTHS[1:]:
        got = call(name, planted(special, n, dtype), strategy, isa)
        there = np.eye(n, dtype=bool)
        if not (agrees(got[there], TABLE[name, special][0]) and agrees(got[~there], TABLE[name, special][1])):
            wrong.append(n)
    assert wrong == []


@every_combination
@pytest.mark.parametrize("special", [NAN, INF, -INF])
@pytest.mark.parametrize("name", NUMBER_KERNELS)
def test_a_special_at_any_lane_gives_the_number_of_the_table(name, special, strategy, isa, dtype):
    """A special at every lane and tail position gives the number that the table says; it is never the target."""
    wrong = []
    for n in WIDTHS[1:]:
        target = (np.arange(n) + 1) % n
        got = call(name, planted(special, n, dtype), strategy, isa, target)
        if not agrees(got, TABLE[name, special]):
            wrong.append(n)
    assert wrong == []


@every_dtype
@pytest.mark.parametrize(
    ("name", "want"),
    [("softmax", NAN), ("log_softmax", NAN), ("logsumexp", -INF), ("cross_entropy", NAN), ("layer_norm", NAN)],
)
@pytest.mark.parametrize("n", WIDTHS)
def test_a_row_of_minus_infinity_only(name, want, n, dtype):
    """A row with nothing above -inf has no softmax; its logsumexp is -inf."""
    got = call(name, np.full((2, n), -INF, dtype=dtype), target=np.zeros(2, dtype=np.int64))
    assert agrees(got, want)


@every_dtype
@pytest.mark.parametrize("name", ["softmax", "masked_softmax", "sparsemax"])
@pytest.mark.parametrize("n", WIDTHS)
def test_a_row_of_minus_infinity_only_may_give_zeros(name, n, dtype):
    """With empty="zero" a row of -inf alone gives zeros, and no other row changes a bit."""
    x = np.linspace(-3, 3, 3 * n, dtype=dtype).reshape(3, n)
    x[1] = -INF
    kernel, masks = getattr(library, name), (x > -INF,) if name == "masked_softmax" else ()
    got, want = kernel(x, *masks, empty="zero"), kernel(x, *masks)
    want[1] = 0
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("name", ["softmax", "sparsemax"])
def test_what_a_row_of_nothing_gives_is_nan_or_zero(name):
    """Another word is refused, with both."""
    with pytest.raises(ValueError, match="empty is 'zeros'; expected 'nan' or 'zero'"):
        getattr(library, name)(np.zeros(3), empty="zeros")


@every_dtype
@pytest.mark.parametrize("n", WIDTHS[1:])
def test_a_target_at_minus_infinity_costs_infinitely_much(n, dtype):
    """cross_entropy is +inf where the target itself is at -inf."""
    got = call("cross_entropy", planted(-INF, n, dtype), target=np.arange(n))
    assert agrees(got, INF)


@every_dtype
@pytest.mark.parametrize(
    ("name", "want"),
    [("softmax", 0.0), ("log_softmax", -INF), ("logsumexp", -INF), ("cross_entropy", NAN), ("layer_norm", 0.0)],
)
@pytest.mark.parametrize("n", [1, 7, 16, 40])
def test_a_row_with_nothing_selected(name, want, n, dtype):
    """A row whose mask is False everywhere gives the kernel's masked value, or its program on the identities."""
    x, none = np.full((2, n), NAN, dtype=dtype), np.zeros((2, n), dtype=bool)
    assert agrees(call(name, x, target=np.zeros(2, dtype=np.int64), where=none), want)


@every_dtype
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("special", [NAN, INF])
@pytest.mark.parametrize("n", [2, 7, 16, 40])
def test_a_special_outside_the_selection_is_invisible(name, special, n, dtype):
    """A masked-out NaN or infinity changes no bit of the result."""
    keep = ~np.eye(n, dtype=bool)
    clean = call(name, planted(0.0, n, dtype), where=keep)
    np.testing.assert_array_equal(call(name, planted(special, n, dtype), where=keep), clean)


@every_dtype
@pytest.mark.parametrize("n", [2, 7, 16, 40])
def test_a_target_outside_the_selection_costs_infinitely_much(n, dtype):
    """cross_entropy is +inf where the target is masked out."""
    got = call("cross_entropy", planted(0.0, n, dtype), target=np.arange(n), where=~np.eye(n, dtype=bool))
    assert agrees(got, INF)


@every_dtype
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm", "rms_norm"])
def test_empty_rows_give_empty_rows(name, dtype):
    """Rows of no elements come back as such."""
    assert call(name, np.zeros((3, 0), dtype=dtype)).shape == (3, 0)


@every_dtype
def test_the_logsumexp_of_nothing(dtype):
    """logsumexp of no elements is -inf."""
    assert agrees(call("logsumexp", np.zeros((3, 0), dtype=dtype)), -INF)


def test_an_empty_row_has_no_target():
    """cross_entropy of rows of no elements is refused."""
    with pytest.raises(ValueError, match=r"."):
        call("cross_entropy", np.zeros((3, 0)), target=np.zeros(3, dtype=np.int64))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("factor", [0.5, 0.1, -0.3])
def test_a_factor_known_now_keeps_infinities(factor, dtype):
    """What its rounding to the row's type lost is no second infinity of the other sign."""
    x = np.array([1.0, -np.inf, 2.0, np.inf], dtype)
    moved = rf.kernel(lambda x: factor * x - np.min(x, where=np.isfinite(x), initial=np.inf))
    assert moved(x)[[1, 3]].tolist() == [-np.inf * factor, np.inf * factor]
