"""Every word of the row language: the traced program computes what the row function computes on a plain array."""

import numpy as np
import pytest

from rowfold import annotations as ann
from rowfold import rowfns as rf
from rowfold.codegen.interpret import interpret
from rowfold.codegen.trace import inline, is_traced, trace

WORDS = [
    lambda x: x + 2,
    lambda x: 2 + x,
    lambda x: x - 2.5,
    lambda x: 2.5 - x,
    lambda x: x * np.float32(3),
    lambda x: np.float64(3) * x,
    lambda x: x / 3,
    lambda x: 3 / x,
    lambda x: x / np.array(4.0),
    lambda x: x**2,
    lambda x: abs(x) ** 0.5,
    lambda x: x**-1,
    lambda x: x**1,
    lambda x: x**0,
    lambda x: x**3,
    lambda x: abs(x) ** 1.7,
    lambda x: 2**x,
    lambda x: np.power(x, 2),
    lambda x: np.float_power(x, 2),
    lambda x: -x,
    lambda x: +x,
    lambda x: abs(x),
    lambda x: x @ (x + 1),
    lambda x: x.dot(x),
    lambda x: x > 0,
    lambda x: x >= 1,
    lambda x: x < 0,
    lambda x: x <= 1,
    lambda x: x == 1,
    lambda x: x != 1,
    lambda x: 1 > x,  # noqa: SIM300
    lambda x: (x > 0) & (x < 1),
    lambda x: (x > 0) | (x < -1),
    lambda x: (x > 0) ^ (x < 1),
    lambda x: ~(x > 0),
    lambda x: np.logical_and(x, x > 0),
    lambda x: np.logical_or(x > 1, x),
    lambda x: np.logical_not(x),
    lambda x: np.logical_xor(x, x > 0),
    lambda x: (x > 0) * x,
    lambda x: (x > 0) + 1,
    lambda x: (x > 0) + (x > 1),
    lambda x: (x > 0) * (x > 1),
    lambda x: (x > 0) / 2,
    lambda x: (x > 0) == True,  # noqa: E712
    lambda x: np.maximum(x > 0, x > 1),
    lambda x: np.minimum(x > 0, x > 1),
    lambda x: abs(x > 0),
    lambda x: np.square(x > 0),
    lambda x: np.sum(x > 0),
    lambda x: np.mean(x > 0),
    lambda x: np.prod(x > -9),
    lambda x: np.max(x > 0),
    lambda x: np.min(x > 0),
    lambda x: np.argmax(x > 0),
    lambda x: np.dot(x > 0, x > 1),
    lambda x: np.exp(x),
    lambda x: np.exp2(x),
    lambda x: np.expm1(x),
    lambda x: np.log(abs(x)),
    lambda x: np.log2(abs(x)),
    lambda x: np.log1p(abs(x)),
    lambda x: np.sqrt(abs(x)),
    lambda x: np.square(x),
    lambda x: np.reciprocal(x),
    lambda x: np.tanh(x),
    lambda x: np.sin(x),
    lambda x: np.cos(x),
    lambda x: np.arcsin(x / 10),
    lambda x: np.arccos(x / 10),
    lambda x: np.arctan(x),
    lambda x: np.rint(x),
    lambda x: np.floor(x),
    lambda x: np.ceil(x),
    lambda x: np.sign(x),
    lambda x: np.fabs(x),
    lambda x: np.isnan(x),
    lambda x: np.isfinite(x),
    lambda x: np.minimum(x, 0.5),
    lambda x: np.maximum(0.5, x),
    lambda x: np.logaddexp(x, 1.0),
    lambda x: np.clip(x, -1, 1),
    lambda x: np.clip(x, None, 1),
    lambda x: np.clip(x, 1, -1),
    lambda x: x.clip(0),
    lambda x: np.where(x > 0, x, 0),
    lambda x: np.where(x, 1.0, x > 0),
    lambda x: np.where(x > 0, x > 1, False),
    lambda x: np.where(True, x, 0.0),
    lambda x: np.zeros_like(x),
    lambda x: np.ones_like(x) + 1,
    lambda x: np.full_like(x, 2.5),
    lambda x: np.full_like(x, np.max(x)),
    lambda x: np.ones_like(x, dtype=bool),
    lambda x: np.zeros_like(x > 0),
    lambda x: np.ones_like(np.sum(x)),
    lambda x: np.polyval([1.0, -2.0, 0.5], x),
    lambda x: np.polyval([3.0], x),
    lambda x: np.polyval(np.array([1.0, 2.0]), np.max(x)),
    lambda x: np.sum(x),
    lambda x: x.sum(axis=-1, keepdims=True)[...] * x,
    lambda x: np.sum(x, axis=None, initial=2.0),
    lambda x: np.sum(x, where=x > 0),
    lambda x: np.sum(x, where=True),
    lambda x: np.sum(x, where=np.max(x) > 0),
    lambda x: np.prod(x),
    lambda x: np.prod(x, initial=2),
    lambda x: x.prod(),
    lambda x: np.max(x),
    lambda x: np.amax(x, 0),
    lambda x: x.max(initial=0.5),
    lambda x: np.max(x, initial=-np.inf, where=x < 1),
    lambda x: np.min(x),
    lambda x: np.amin(x),
    lambda x: x.min(),
    lambda x: np.mean(x),
    lambda x: x.mean(where=x > 0),
    lambda x: np.var(x),
    lambda x: np.var(x, ddof=1),
    lambda x: np.var(x, correction=1),
    lambda x: np.var(x, mean=0.5),
    lambda x: np.var(x, where=x > 0),
    lambda x: x.var(),
    lambda x: np.std(x),
    lambda x: x.std(ddof=1),
    lambda x: np.ptp(x),
    lambda x: np.any(x > 1),
    lambda x: x.any(),
    lambda x: np.any(x > 1, where=x > 0),
    lambda x: np.all(x > 1),
    lambda x: (x > -9).all(),
    lambda x: np.argmax(x),
    lambda x: x.argmax(),
    lambda x: np.argmin(x),
    lambda x: x.argmin(),
    lambda x: np.count_nonzero(x),
    lambda x: np.count_nonzero(x > 0),
    lambda x: np.dot(x, x + 1),
    lambda x: np.dot(x, 2.0),
    lambda x: np.vdot(x, x),
    lambda x: np.average(x),
    lambda x: np.average(x, weights=x + 9),
    lambda x: np.average(x, weights=x + 9, returned=True)[1],
    lambda x: np.linalg.norm(x),
    lambda x: np.linalg.norm(x, 2),
    lambda x: np.linalg.norm(x, ord=1),
    lambda x: np.linalg.norm(x, np.inf),
    lambda x: np.add.reduce(x),
    lambda x: np.multiply.reduce(x, axis=-1),
    lambda x: np.maximum.reduce(x),
    lambda x: np.minimum.reduce(x),
    lambda x: np.logical_or.reduce(x > 1),
    lambda x: np.logical_and.reduce(x > 1),
    lambda x: np.logaddexp.reduce(x),
    lambda x: np.logaddexp.reduce(x, initial=1.0),
    lambda x: x.size * np.max(x),
    lambda x: x.shape[-1] + np.size(x) + np.shape(x)[0] + x.ndim + np.ndim(x),
    lambda x: np.log(x.size) * x,
    lambda x: x.copy(),
    lambda x: x[:],
    lambda x: x.astype(np.float32),
    lambda x: (x > 0).astype(np.int8),
    lambda x: (x, np.max(x), 3, np.float32(2.5), True),
    lambda x: rf.logsumexp(x),
    lambda x: rf.logsumexp(x, axis=-1, keepdims=True) - x,
    lambda x: rf.logsumexp(x, where=x > 0),
    lambda x: rf.sigmoid(x),
    lambda x: rf.softplus(x),
    lambda x: rf.rsqrt(abs(x)),
    lambda x: rf.positions(x) * x,
    lambda x: rf.stop_gradient(x),
    lambda x: rf.lookup(rf.positions(x), x),
    lambda x: rf.lookup(x, x),
    lambda x: rf.lookup(np.max(x), x),
    # a reduction of a row-constant is that constant
    lambda x: np.sum(np.max(x)),
    lambda x: np.prod(np.max(x)),
    lambda x: np.max(np.sum(x)),
    lambda x: np.mean(np.max(x)),
    lambda x: np.var(np.max(x)),
    lambda x: np.ptp(np.max(x)),
    lambda x: np.argmax(np.max(x)),
    lambda x: np.any(np.max(x)),
    lambda x: np.count_nonzero(np.max(x)),
    lambda x: np.max(x).size + x.sum().ndim,
    lambda x: rf.logsumexp(np.max(x)),
]
ROWS = {
    "mixed": [0.5, -1.25, 3.0, 1.0, -0.0, 2.0, 1.0],
    "one": [1.5],
    "nan": [1.0, np.nan, -2.0],
    "infinite": [np.inf, 1.0, -np.inf],
}


DECIDED_OTHERWISE = {
    "mixed": set(),
    "one": set(),
    "nan": {"polyval"},
    "infinite": {"polyval", "logaddexp", "logsumexp"},
}


def words_of(fn):
    names = [*fn.__code__.co_names, *(getattr(c, "co_name", str(c)) for c in fn.__code__.co_consts[1:])]
    return "-".join(n for n in names if n not in ("np", "rf"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("fn", WORDS, ids=words_of)
def test_a_word_means_what_numpy_means(fn, row):
    """The program of a word agrees with NumPy, special values included."""
    x = np.array(ROWS[row])
    if DECIDED_OTHERWISE[row] & set(fn.__code__.co_names):
        pytest.skip("the table of special values decides, or NumPy starts Horner's rule at 0 * x")
    expected = fn(x)
    got = interpret(trace(fn), {"x": x}, {})
    for g, e in zip(got, expected if isinstance(expected, tuple) else (expected,), strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("fn", WORDS, ids=words_of)
def test_a_word_keeps_its_shape(fn):
    """A result is row-shaped exactly where NumPy returns a row."""
    x = np.array(ROWS["mixed"])
    expected = fn(x)
    program = trace(fn)
    got = [program.is_row(o.ref) for o in program.outputs]
    assert got == [np.ndim(e) == 1 for e in (expected if isinstance(expected, tuple) else (expected,))]


def two_rows(x, y: ann.Row, keep: ann.Mask, s: ann.Scalar, i: ann.Row[int], t: ann.Index, *, beta: ann.Positive = 1.0):
    z = np.where(keep, x * y + s * beta, -np.inf)
    return z[t] + np.sum(i * x, where=keep), z


def test_every_role_reaches_the_program():
    """Rows, masks, scalars, integer rows, indices and settings meet in one program."""
    x, y = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    keep, i = np.array([True, False, True]), np.array([1, 2, 3])
    program = trace(two_rows)
    got = interpret(program, {"x": x, "y": y, "keep": keep, "s": 0.5, "i": i, "t": 2}, {"beta": 2.0})
    expected = two_rows(x, y, keep, 0.5, i, 2, beta=2.0)
    assert [np.array_equal(g, e) for g, e in zip(got, expected, strict=True)] == [True, True]


def test_a_plain_parameter_becomes_a_mask():
    """A bool array given for a plain parameter makes that parameter a mask."""
    program = trace(lambda x, m: np.sum(x, where=m), kinds={"m": "bool"})
    assert interpret(program, {"x": [1.0, 2.0], "m": [True, False]}, {})[0] == 1.0


def weighted(x, w=None):
    return x if w is None else x * w


@pytest.mark.parametrize(("given", "expected"), [(None, 1), (frozenset(), 1), (frozenset({"w"}), 3)])
def test_an_optional_parameter_may_be_absent(given, expected):
    """Each pattern of optional parameters is a program of its own."""
    assert len(trace(weighted, given=given).nodes) == expected


def test_a_static_setting_is_a_plain_value():
    """Integers, booleans, strings and rf.Static[float] may steer Python's control flow."""

    def fn(x, *, n: int, on: bool, how: str, a: ann.Static[float] = 2.0):
        for _ in range(n):
            x = x * a
        return x if on and how == "yes" else -x

    program = trace(fn, settings={"n": 3, "on": True, "how": "yes"})
    assert interpret(program, {"x": [1.0]}, {})[0] == 8.0


def scaled(x, *, by: ann.Positive = 2.0):
    return x * by


def kernel(*args, **kwargs):
    """What a Kernel does when it is called."""
    return inline(scaled, args, kwargs) if any(is_traced(a) for a in args) else scaled(*args, **kwargs)


def test_an_inlined_kernel_joins_the_program():
    """The row function of another kernel runs on the caller's rows."""
    program = trace(lambda x: kernel(x, by=3, axis=-1) + kernel(x))
    assert interpret(program, {"x": [1.0]}, {})[0] == 5.0


def test_an_inlined_kernel_checks_its_settings():
    """A setting out of bounds is refused inside a row function too."""
    with pytest.raises(ValueError, match="'by' is -1"):
        trace(lambda x: kernel(x, by=-1))


def test_a_very_deep_program_is_traced():
    """A chain of thousands of operations needs no recursion."""

    def fn(x):
        for _ in range(9000):
            x = x + 1.0
        return x

    assert len(trace(fn).nodes) == 9002


def test_equal_expressions_are_one_node():
    """What is written twice is computed once."""
    assert len(trace(lambda x: np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))).nodes) == 6
