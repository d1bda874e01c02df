"""A row function that steps outside the row language gets an error at its own line, with advice."""

import math
import sys

import numpy as np
import pytest

from rowfold import annotations as ann
from rowfold import rowfns as rf
from rowfold.codegen.trace import inline, trace
from rowfold.errors import TraceError

ARRAY = np.ones(3)
LEAKED = []


def leak(x):
    LEAKED.append(x)
    return x


def if_on_a_row(x):
    if x > 0:
        return x
    return -x


def assigns(x):
    x[0] = 1.0
    return x


def iterates(x):
    return sum(list(x))


def unpacks(x):
    a, b = x
    return a + b


OUTSIDE = [
    (lambda x: np.sort(x), "np.sort(x)", "sort outside the kernel"),
    (lambda x: np.argsort(x), "np.argsort(x)", "sort outside"),
    (lambda x: np.cumsum(x), "np.cumsum(x)", "running result"),
    (lambda x: np.add.accumulate(x), "np.add.accumulate(x)", "running result"),
    (lambda x: x.cumsum(), "x.cumsum()", "running result"),
    (lambda x: np.median(x), "np.median(x)", "order"),
    (lambda x: np.nansum(x), "np.nansum(x)", "isnan"),
    (lambda x: np.concatenate([x, x]), "np.concatenate([x, x])", "tuple"),
    (lambda x: np.array([x, x]), "np.array([x, x])", "NumPy's functions"),
    (lambda x: np.asarray(x), "np.asarray(x)", "NumPy's functions"),
    (lambda x: math.exp(np.max(x)), "math.exp(np.max(x))", "instead of math"),
    (lambda x: math.floor(np.max(x)), "math.floor(np.max(x))", "np.floor"),
    (lambda x: float(np.max(x)), "float(np.max(x))", "np.log"),
    (lambda x: int(np.max(x)), "int(np.max(x))", "np.rint"),
    (lambda x: complex(np.max(x)), "complex(np.max(x))", "np.log"),
    (lambda x: np.arange(x.size), "np.arange(x.size)", "rf.positions"),
    (lambda x: np.ones(x.shape), "np.ones(x.shape)", "np.ones_like"),
    (lambda x: x * len(x), "len(x)", "x.size"),
    (lambda x: round(x), "round(x)", "np.rint"),
    (lambda x: max(x, 0.0), "max(x, 0.0)", "np.where"),
    (lambda x: (x > 0) and (x < 1), "(x > 0) and (x < 1)", "& | ~"),
    (lambda x: not x, "not x", "& | ~"),
    (lambda x: 3 in x, "3 in x", "np.any"),
    (lambda x: x // 2, "x // 2", "np.floor(a / b)"),
    (lambda x: x % 2, "x % 2", "np.floor"),
    (lambda x: divmod(x, 2), "divmod(x, 2)", "np.floor"),
    (lambda x: x + ARRAY, "x + ARRAY", "parameter"),
    (lambda x: ARRAY * x, "ARRAY * x", "parameter"),
    (lambda x: x + None, "x + None", "is not None"),
    (lambda x: x + 1j, "x + 1j", "real numbers"),
    (lambda x: x + "a", 'x + "a"', "real numbers"),
    (lambda x: x * 10**400, "x * 10**400", "smaller"),
    (lambda x: x**x, "x**x", "np.exp(exponent"),
    (lambda x: 3**x, "3**x", "np.exp(exponent"),
    (lambda x: np.sum(x, axis=1), "np.sum(x, axis=1)", "one axis"),
    (lambda x: np.sum(x, axis=(0, 1)), "np.sum(x, axis=(0, 1))", "one axis"),
    (lambda x: np.sum(x, dtype=np.float64), "np.sum(x, dtype=np.float64)", "leave it out"),
    (lambda x: np.sum(x, out=ARRAY), "np.sum(x, out=ARRAY)", "kernel"),
    (lambda x: np.exp(x, out=x), "np.exp(x, out=x)", "out="),
    (lambda x: np.exp(x, where=x > 0), "np.exp(x, where=x > 0)", "np.where"),
    (lambda x: np.max(x, where=x > 0), "np.max(x, where=x > 0)", "initial=-np.inf"),
    (lambda x: np.sum(x, where=x), "np.sum(x, where=x)", "where=w > 0"),
    (lambda x: np.linalg.norm(x, 3), "np.linalg.norm(x, 3)", "ord=None"),
    (lambda x: np.linalg.norm(x, "fro"), 'np.linalg.norm(x, "fro")', "ord=None"),
    (lambda x: np.where(x > 0), "np.where(x > 0)", "both choices"),
    (lambda x: x & x, "x & x", "compare first"),
    (lambda x: ~x, "~x", "compare first"),
    (lambda x: (x > 0) - (x > 1), "(x > 0) - (x > 1)", "a ^ b"),
    (lambda x: -(x > 0), "-(x > 0)", "~mask"),
    (lambda x: x @ 2.0, "x @ 2.0", "`*`"),
    (lambda x: x[0], "x[0]", "rf.Index"),
    (lambda x: x[::2], "x[::2]", "rf.Index"),
    (lambda x: x[x > 0], "x[x > 0]", "np.where"),
    (lambda x: x[np.max(x)], "x[np.max(x)]", "rf.Index"),
    (lambda x: np.max(x)[np.argmax(x)], "np.max(x)[np.argmax(x)]", "only rows"),
    (lambda x: x.astype(float) + 1, "x.astype(float) + 1", "return statement"),
    (lambda x: x.astype(complex), "x.astype(complex)", "real number"),
    (lambda x: x.T, "x.T", "one axis"),
    (lambda x: x.ptp(), "x.ptp", "np.ptp"),
    (lambda x: x.dtype, "x.dtype", "astype"),
    (lambda x: np.full_like(x, 1.0, shape=3), "np.full_like(x, 1.0, shape=3)", "length"),
    (lambda x: np.heaviside(x, 0.0), "np.heaviside(x, 0.0)", "np.where"),
    (lambda x: np.einsum("i,i->", x, x), 'np.einsum("i,i->", x, x)', "np.dot"),
    (lambda x: np.subtract.outer(x, x), "np.subtract.outer(x, x)", "np.dot"),
    (lambda x: rf.positions(np.max(x)), "rf.positions(np.max(x))", "give a row"),
    (lambda x: x + LEAKED[0], "x + LEAKED[0]", "only values"),
    (lambda x: inline(leak, (x,), {"axis": 1}), 'inline(leak, (x,), {"axis": 1})', "one axis"),
    (lambda x: inline(leak, (x,), {"where": x > 0}), 'inline(leak, (x,), {"where": x > 0})', "outer kernel"),
    (if_on_a_row, "x > 0", "np.where"),
    (assigns, "x[0]", "np.where"),
    (iterates, "list(x)", "np.sum"),
    (unpacks, "a, b", "np.sum"),
]


def marked(message):
    """The part of the source line that the carets underline."""
    lines = message.splitlines()
    at = max(i for i, line in enumerate(lines) if line.strip() and not line.strip().strip("^"))
    start = lines[at].index("^")
    return lines[at - 1][start : start + lines[at].count("^")]


@pytest.fixture(autouse=True, scope="module")
def _leaked():
    trace(leak)


def message_of(fn):
    with pytest.raises(TraceError) as caught:
        trace(fn)
    return str(caught.value)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 keeps no columns")
@pytest.mark.parametrize(("fn", "expression", "_"), OUTSIDE, ids=[e for _, e, _ in OUTSIDE])
def test_the_expression_is_underlined(fn, expression, _):
    """The carets stand under the expression that left the language."""
    assert marked(message_of(fn)) == expression


@pytest.mark.parametrize(("fn", "_", "advice"), OUTSIDE, ids=[e for _, e, _ in OUTSIDE])
def test_the_message_says_what_to_write_instead(fn, _, advice):
    """The last line is advice that fits the mistake."""
    last = message_of(fn).splitlines()[-1]
    assert last.startswith("  Instead: ") and advice in last


def test_the_message_names_file_and_line():
    """The place is written as Python writes it, so that editors can jump there."""
    line = if_on_a_row.__code__.co_firstlineno + 1
    assert f'File "{__file__}", line {line}, in if_on_a_row' in message_of(if_on_a_row)


def deep(x, n):
    return deep(x, n - 1) if n else np.sort(x)


def test_a_long_call_chain_stays_short():
    """A mistake at the end of many calls is told in fewer than 15 lines."""
    assert len(message_of(lambda x: deep(x, 100)).splitlines()) < 15


def test_without_source_the_call_chain_is_shown():
    """A row function made by exec has places but no lines to show."""
    scope = {"np": np}
    exec("def inner(x):\n    return np.sort(x)\ndef outer(x):\n    return inner(x)", scope)
    lines = message_of(scope["outer"]).splitlines()
    assert lines[1:3] == ['  File "<string>", line 4, in outer', '  File "<string>", line 2, in inner']


@pytest.mark.parametrize("result", [None, [1.0], {}, "a", ARRAY, (), (1.0, None)], ids=repr)
def test_a_row_function_returns_rows_and_numbers(result):
    """Another result is refused, and the definition is shown."""
    assert "return a row" in message_of(lambda x: result)


def test_a_branch_on_a_setting_is_explained():
    """A run-time setting cannot steer the row function, and the message says how it could."""

    def fn(x, *, alpha: float = 1.0):
        return x if alpha else -x

    assert "alpha: rf.Static[float]" in message_of(fn)


def test_absurd_sizes_are_refused():
    """A loop that unrolls to more than 10,000 operations is a mistake."""

    def fn(x):
        for i in range(20_000):
            x = x + float(i)
        return x

    assert "more than 10,000 operations" in message_of(fn)


def test_an_unknown_attribute_is_absent():
    """Code that probes for attributes sees none, as hasattr expects."""

    def fn(x):
        return x if hasattr(x, "detach") else x + 1

    assert len(trace(fn).nodes) == 3


def test_errors_of_the_users_own_code_pass_through():
    """An exception of the row function is the user's, unchanged."""

    def fn(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        trace(fn)


def test_a_row_has_no_hash():
    """A row is no dictionary key, as an array is none."""
    with pytest.raises(TypeError, match="unhashable"):
        trace(lambda x: {x: 1})


def test_a_row_describes_itself():
    """Printing a traced value says what it is."""
    seen = []

    def fn(x):
        e = np.exp(x)
        seen.append(repr(e * 1.0 + e))
        seen.append(repr(e))
        return e

    trace(fn)
    assert seen[1] == "<traced row e of fn>"


def test_a_missing_static_setting_is_a_type_error():
    """Without a value a specializing setting has no program."""

    def fn(x, *, k: int):
        return x * k

    with pytest.raises(TypeError, match="needs the setting 'k'"):
        trace(fn)


@pytest.mark.parametrize("wrong", [{"settings": {"z": 1}}, {"given": frozenset({"z"})}, {"kinds": {"z": "bool"}}])
def test_unknown_names_are_type_errors(wrong):
    """A name that the row function does not have is refused."""
    with pytest.raises(TypeError, match="'z'"):
        trace(lambda x: x, **wrong)


def test_booleans_for_a_scalar_are_a_type_error():
    """Only rows may turn out to be masks."""

    def fn(x, s: ann.Scalar):
        return x * s

    with pytest.raises(TypeError, match="does not take booleans"):
        trace(fn, kinds={"s": "bool"})
