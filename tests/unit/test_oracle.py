"""The oracle bounds what a kernel may be off by, and decides special values."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.codegen.bounding.bound_reductions import Errors
from rowfold.codegen.bounding.oracle import Expected, judge, oracle
from rowfold.codegen.ir import Builder, Input, Output, Role

U = 2.0**-24
INF, NAN = np.inf, np.nan


def softmax_family(op):
    """The canonical program of softmax, log_softmax, logsumexp or cross_entropy."""
    b = Builder(op)
    x = b.add(Input("x", Role.ROW))
    total = b.reduce("expsum", b.const(1.0), x)
    log = b.map("log", total)
    match op:
        case "softmax":
            result = b.map("divide", b.map("exp", x), total)
        case "log_softmax":
            result = b.map("subtract", x, log)
        case "logsumexp":
            result = log
        case "cross_entropy":
            result = b.map("subtract", log, b.map("take", x, b.add(Input("y", Role.INDEX))))
    return b.finish([Output(result)])


def run(program, x, dtype=np.float32, **more):
    inputs = {"x": np.asarray(x, dtype=dtype), **more}
    return oracle(program, inputs, {}, dtype)[0]


def composed(build):
    """The program of `build(builder, x)`."""
    b = Builder("composed")
    return b.finish([Output(build(b, b.add(Input("x", Role.ROW))))])


@pytest.mark.parametrize(
    ("op", "row", "want"),
    [
        ("softmax", [0, NAN, 1], [NAN, NAN, NAN]),
        ("softmax", [0, INF, 1], [NAN, NAN, NAN]),
        ("softmax", [-INF, 0, -INF], [0, 1, 0]),
        ("softmax", [-INF, -INF], [NAN, NAN]),
        ("log_softmax", [0, NAN], [NAN, NAN]),
        ("log_softmax", [0, INF], [NAN, NAN]),
        ("log_softmax", [0, -INF], [0, -INF]),
        ("log_softmax", [-INF, -INF], [NAN, NAN]),
        ("logsumexp", [0, NAN], NAN),
        ("logsumexp", [0, INF], INF),
        ("logsumexp", [0, -INF], 0),
        ("logsumexp", [-INF, -INF], -INF),
        ("cross_entropy", [0, NAN], NAN),
        ("cross_entropy", [0, INF], NAN),
        ("cross_entropy", [-INF, 0], INF),
        ("cross_entropy", [-INF, -INF], NAN),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values_follow_the_table(op, row, want, dtype):
    """Section 5 of the numerics decides what a row with a special value gives."""
    target = {"y": np.array([0])} if op == "cross_entropy" else {}
    value, bound = run(softmax_family(op), [row], dtype, **target)
    special = ~np.isfinite(np.asarray(want, dtype=float))
    np.testing.assert_array_equal(np.where(special, value[0] + bound[0], np.round(value[0])), want)


def test_a_large_argument_does_not_widen_the_bound_of_an_exponential():
    """The exponent is shifted, so a row far from 0 is bounded like one near it."""
    near = run(softmax_family("softmax"), [[0.0, 1.0, 2.0]]).bound
    np.testing.assert_allclose(run(softmax_family("softmax"), [[1000.0, 1001.0, 1002.0]]).bound, near, rtol=1e-9)


def test_an_argument_computed_in_row_arithmetic_carries_its_error():
    """The rounding of x * x is in the exponent, and widens the bound."""
    value, bound = run(composed(lambda b, x: b.map("exp", b.map("multiply", x, x))), [[8.1]])
    assert 50 < bound[0, 0] / (value[0, 0] * U) < 100


def test_a_choice_is_rounded_before_it_is_an_exponent_as_numpy_rounds_it():
    """NumPy's own float32 row, with an exact exponential, needs that bound: without a choice it is beyond it."""
    x = np.random.default_rng(0).uniform(200, 260, (1, 64)).astype(np.float32)
    third = lambda b, x: b.map("multiply", x, b.const(1 / 3))
    choice = lambda b, x: b.map("where", b.map("greater", x, b.const(0.0)), third(b, x), x)
    found = np.exp(np.where(x > 0, x * np.float32(1 / 3), x).astype(np.float64)).astype(np.float32)
    worst = [judge(found, run(composed(lambda b, x, f=f: b.map("exp", f(b, x))), x)).worst for f in (choice, third)]
    assert worst[0] < 1 < worst[1]


@pytest.mark.parametrize(("a", "lost"), [(1.5, 0.0), (2.0**20 + 1, 0.0), (1e38, 1.0)])
def test_a_shift_is_off_by_what_the_oracle_itself_loses(a, lost):
    """Beside 1e38 doubles have nothing left of 1; in any ordinary row the term is nothing at all."""
    rules = Errors(np.dtype(np.float32), 1, None)
    left, right = (rules.lift(np.array([v]), Role.ROW) for v in (a, 1.0))
    assert rules.shift(left, right, -1).error == lost


@pytest.mark.parametrize(("row", "want"), [([0, INF], INF), ([-INF, -INF], -INF), ([0, NAN], NAN)])
def test_a_logarithm_beside_a_number_is_decided(row, want):
    """An infinite logsumexp less a number is infinite; only an element less it is NaN."""

    def build(b, x):
        return b.map("subtract", b.map("log", b.reduce("expsum", b.const(1.0), x)), b.reduce("count"))

    value, bound = run(composed(build), [row])
    np.testing.assert_array_equal([value[0], bound[0]], [want, 0.0])


def test_a_sum_is_bounded_by_its_magnitudes_at_any_length():
    """The bound of a sum does not grow with the length of the row beyond the sum of magnitudes."""
    short, long = (run(composed(lambda b, x: b.reduce("sum", x)), np.ones((1, n))) for n in (1024, 8192))
    np.testing.assert_allclose(short.bound / 1024, long.bound / 8192)


def test_a_row_constant_is_rounded_once():
    """Row-constant arithmetic is float64: only its last rounding shows."""

    def build(b, x):
        top = b.reduce("max", x)
        return b.map("sqrt", b.map("add", b.map("multiply", top, top), top))

    value, bound = run(composed(build), [[3.0, 1.0]])
    assert bound[0] == pytest.approx(value[0] * U, rel=0.1)


def test_a_difference_that_cancels_keeps_its_absolute_error():
    """After cancellation the bound is that of the operands."""

    def build(b, x):
        return b.map("subtract", b.map("multiply", x, b.const(1 / 3)), b.map("multiply", x, b.const(1 / 3 - 1e-9)))

    value, bound = run(composed(build), [[3000.0]])
    assert bound[0, 0] > 10 * abs(value[0, 0])


def test_a_comparison_within_its_error_is_undecided():
    """A choice that rounding may turn is bounded by both of its sides."""

    def build(b, x):
        return b.map("where", b.map("greater", b.map("multiply", x, b.const(1 / 3)), b.const(1.0)), x, b.const(0.0))

    assert run(composed(build), [[3.0, 4.0]]).bound[0].tolist() == [pytest.approx(3.06), 0.0]


def test_what_overflows_on_the_way_is_left_open():
    """A kernel may or may not survive an intermediate beyond its type, so anything may come out."""
    assert run(composed(lambda b, x: b.map("sqrt", b.map("square", x))), [[1e30]]).bound[0, 0] == np.inf


def test_a_result_beyond_the_type_is_infinite():
    """A row-constant that its own type cannot hold is returned as infinity."""
    value, bound = run(composed(lambda b, x: b.map("square", b.reduce("max", x))), [[1e30]])
    assert (value[0], bound[0]) == (np.inf, 0.0)


def test_float64_is_judged_in_long_double():
    """A float64 kernel is held against numbers wider than its own."""
    assert run(softmax_family("softmax"), [[1.0, 2.0]], np.float64).value.dtype == np.longdouble


def test_where_leaves_unselected_elements_out():
    """NaN outside the selection is invisible, and no error there counts."""
    program = softmax_family("softmax")
    rows, keep = np.array([[1.0, NAN, 1.0]], dtype=np.float32), np.array([[True, False, True]])
    ((value, _),) = oracle(program, {"x": rows}, {}, np.float32, where=keep)
    assert value.tolist() == [[0.5, 0.0, 0.5]]


@pytest.mark.parametrize(("got", "worst"), [([1.0, 2.0], 0.0), ([1.5, 2.0], 0.5), ([NAN, 2.0], INF), ([1.0, INF], INF)])
def test_a_verdict_is_the_worst_part_of_a_bound(got, worst):
    """The verdict is the largest error over its bound, infinite at a wrong special value."""
    assert judge(got, Expected(np.array([1.0, 2.0]), np.array([1.0, 1.0]))).worst == worst


def test_an_open_bound_accepts_anything():
    """Where the bound is infinite no result is wrong, and the verdict says how much was decided."""
    assert judge([NAN, 2.0], Expected(np.array([1.0, 2.0]), np.array([INF, 1.0]))) == (0.0, (0,), 0.5)


@rf.kernel
def scaled_softmax(x, s: rf.Scalar):
    return rf.library.softmax(x) * s


def test_a_check_promotes_as_the_call_does():
    """A float64 number beside a float32 row leaves the result float32, and the bound is that of float32."""
    rows = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    assert scaled_softmax.check(rows, np.full(3, 0.3)).ok


@pytest.mark.parametrize(
    ("row", "decided"),
    [
        ([INF, 3e38, 3e38], True),
        ([INF, -3e38, -3e38], False),
        ([INF, -1.0, 3e38], True),
        ([-INF, -3e38, -3e38], True),
        ([-INF, 3e38, 3e38], False),
        ([INF, -INF, -3e38, -3e38], True),
        ([NAN, 3e38, 3e38, -3e38], True),
    ],
)
def test_an_infinite_sum_is_decided_unless_an_overflow_may_meet_it(row, decided):
    """Elements that overflow towards an infinity of the row change nothing."""
    found = run(composed(lambda b, x: b.reduce("sum", x)), [row])
    assert np.isfinite(found.bound).all() == decided


def test_a_negative_power_of_what_may_be_zero_is_open():
    """An error as large as the number: its inverse square may be anything; that of a number far from 0 is bounded."""

    def build(b, x):
        return b.map("power", b.map("subtract", x, b.map("tanh", x)), b.const(-2.0))

    wanted = run(composed(build), [[1e-4, 3.0]])
    assert np.isinf(wanted.bound[0, 0]) and wanted.bound[0, 1] < 1e-4
