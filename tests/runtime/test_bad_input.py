"""Every refused call says what was found, what is expected and what to do, and leaves `out` untouched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rowfold.errors import DTypeError, OutputError
from rowfold.runtime.call import Caller

Make = Callable[[str], Caller]
X = np.random.default_rng(3).normal(size=(3, 5)).astype("f4")


@pytest.fixture(scope="session")
def path() -> str:
    return "ufunc"


REFUSED: list[tuple[str, str, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ("int", "softmax", (np.arange(3),), {}, DTypeError, "'x' has dtype int64.*expected float32.*dtype="),
    ("int list", "softmax", ([1, 2],), {}, DTypeError, "give dtype="),
    ("bool", "softmax", (X > 0,), {}, DTypeError, "'x' has dtype bool"),
    ("bool with dtype", "softmax", (X > 0,), {"dtype": "f4"}, DTypeError, "'x' has dtype bool"),
    ("complex", "softmax", (X.astype("c8"),), {}, DTypeError, "complex64"),
    ("str", "softmax", (np.array(["1.0"]),), {}, DTypeError, "<U3"),
    ("object", "softmax", (X.astype(object),), {}, DTypeError, "object"),
    ("structured", "softmax", (np.zeros(3, "f4,f4"),), {}, DTypeError, "f0"),
    ("longdouble", "softmax", (X.astype("g"),), {}, DTypeError, "give dtype="),
    ("ragged", "softmax", ([[1.0], [1.0, 2.0]],), {}, ValueError, "'x' cannot be made an array"),
    ("dtype=int", "softmax", (X,), {"dtype": int}, DTypeError, "dtype is int64; expected float32"),
    ("dtype=nonsense", "softmax", (X,), {"dtype": "nonsense"}, DTypeError, "is no dtype"),
    ("masked array", "softmax", (np.ma.array(X, mask=X > 0),), {}, TypeError, "where=~x.mask"),
    ("axis too high", "softmax", (X,), {"axis": 2}, np.exceptions.AxisError, "axis of 'x'"),
    ("axis too low", "softmax", (X,), {"axis": -3}, np.exceptions.AxisError, "axis of 'x'"),
    ("axis repeated", "softmax", (X,), {"axis": (0, -2)}, np.exceptions.AxisError, "twice"),
    ("axis bool", "softmax", (X,), {"axis": True}, TypeError, "axis of 'x' is True"),
    ("axis float", "softmax", (X,), {"axis": 1.0}, TypeError, "expected an int"),
    ("axis list", "softmax", (X,), {"axis": [0]}, TypeError, "tuple of ints"),
    ("axis of 0-d", "softmax", (np.float32(1),), {"axis": 1}, np.exceptions.AxisError, "axis of 'x'"),
    ("out read-only", "softmax", (X,), {"out": np.broadcast_to(np.float32(0), X.shape)}, OutputError, "read-only"),
    ("out shape", "softmax", (X,), {"out": np.empty((5, 3), "f4")}, OutputError, r"\(5, 3\); expected \(3, 5\)"),
    ("out larger", "softmax", (X,), {"out": np.empty((2, 3, 5), "f4")}, OutputError, "never resized"),
    ("out dtype", "softmax", (X,), {"out": np.empty(X.shape, "f8")}, OutputError, "float64; expected float32"),
    ("out big-endian", "softmax", (X,), {"out": np.empty(X.shape, ">f4")}, OutputError, "byte order"),
    ("out list", "softmax", (X,), {"out": [0.0]}, TypeError, "out is a list"),
    ("out too many", "softmax", (X,), {"out": (X, X)}, TypeError, "expected one array"),
    ("out too few", "center", (X,), {"out": X}, TypeError, "a tuple of 3"),
    ("outs overlap", "center", (X,), {"out": (np.empty((3, 5), "f4"), X[:, 0], X[:, 0].view("f4"))}, OutputError, "."),
    ("where dtype", "softmax", (X,), {"where": np.ones(5)}, DTypeError, "'where' has dtype float64"),
    ("where shape", "softmax", (X,), {"where": np.ones(3, bool)}, ValueError, r"'where' has shape \(3,\)"),
    ("where larger", "softmax", (X,), {"where": np.ones((2, 3, 5), bool)}, ValueError, "broadcasts to the shape"),
    ("threads 0", "softmax", (X,), {"threads": 0}, ValueError, "threads is 0; expected a positive int"),
    ("threads float", "softmax", (X,), {"threads": 1.5}, TypeError, "positive int"),
    ("threads bool", "softmax", (X,), {"threads": True}, TypeError, "positive int"),
    (
        "setting at its open bound",
        "softmax",
        (X,),
        {"temperature": 0.0},
        ValueError,
        r"'temperature' is 0.0; .*\(0, inf\]",
    ),
    ("setting negative", "softmax", (X,), {"temperature": -1}, ValueError, "'temperature' is -1"),
    ("setting nan", "softmax", (X,), {"temperature": np.nan}, ValueError, "'temperature' is nan"),
    ("setting bool", "softmax", (X,), {"temperature": True}, TypeError, "expected one number"),
    ("setting array", "softmax", (X,), {"temperature": np.ones(3)}, TypeError, "expected one number"),
    ("setting str", "softmax", (X,), {"temperature": "1"}, TypeError, "expected one number"),
    (
        "unknown option",
        "softmax",
        (X,),
        {"temprature": 1.0},
        TypeError,
        "no 'temprature'; the arguments are x, temperature",
    ),
    ("too many arrays", "softmax", (X, X), {}, TypeError, "takes 1 arrays"),
    ("no array", "softmax", (), {}, TypeError, "'x' is missing"),
    ("given twice", "softmax", (X,), {"x": X}, TypeError, "'x' was given twice"),
    (
        "weight too short",
        "weigh",
        (X, np.ones(4, "f4")),
        {},
        ValueError,
        "'weight' of shape .4,. has rows of 4 .*expected 5",
    ),
    ("weight of one", "weigh", (X, np.ones(1, "f4")), {}, ValueError, "has rows of 1"),
    ("weight int", "weigh", (X, np.ones(5, int)), {}, DTypeError, "'weight' has dtype int64"),
    ("batch mismatch", "weigh", (X, np.ones((2, 5), "f4")), {}, ValueError, "'x' has .3,., 'weight' has .2,."),
    ("mask dtype", "total_where", (X, np.ones(5, "i1")), {}, DTypeError, "pass chosen != 0"),
    ("mask shape", "total_where", (X, np.ones(4, bool)), {}, ValueError, "'chosen' of shape"),
    ("scalar shape", "shift", (X, np.ones((3, 1))), {}, ValueError, r"'by' has shape \(3, 1\); .*batch shape \(3,\)"),
    ("scalar complex", "shift", (X, 1j), {}, DTypeError, "'by' has dtype complex128"),
    ("index float", "pick", (X, np.zeros(3)), {}, DTypeError, "'target' has dtype float64"),
    ("index bool", "pick", (X, np.zeros(3, bool)), {}, DTypeError, "'target' has dtype bool"),
    ("index too high", "pick", (X, [0, 5, 9]), {}, IndexError, "'target' is 5 at row 1; expected 0 to 4, or -100"),
    ("index negative", "pick", (X, [0, 1, -1]), {}, IndexError, "'target' is -1 at row 2"),
    ("index huge", "pick", (X, np.array([2**64 - 100] * 3, "u8")), {}, IndexError, "18446744073709551516 at row 0"),
    ("index of one for all", "pick", (X, 7), {}, IndexError, "'target' is 7"),
    ("index shape", "pick", (X, [0, 1]), {}, ValueError, r"'target' has shape \(2,\)"),
    ("index into nothing", "pick", (X[:, :0], [0, 0, 0]), {}, ValueError, "'target' can name no element"),
]


@pytest.mark.parametrize(
    ("kernel", "arrays", "options", "error", "text"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refused(
    caller: Make, kernel: str, arrays: Any, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    """The error is of the documented class, and its message names the argument."""
    with pytest.raises(error, match=text):
        caller(kernel)(*arrays, **options)


@pytest.mark.parametrize(
    ("kernel", "arrays", "options"),
    [(k, a, o) for _, k, a, o, _, _ in REFUSED if "out" not in o and k != "center"],
    ids=[r[0] for r in REFUSED if "out" not in r[3] and r[1] != "center"],
)
def test_out_is_untouched(caller: Make, kernel: str, arrays: Any, options: dict[str, Any]) -> None:
    """A refused call writes nothing."""
    out = np.full((3, 5) if kernel in ("softmax", "weigh", "shift") else (3,), 7, "f4")
    with pytest.raises((TypeError, ValueError, IndexError)):
        caller(kernel)(*arrays, out=out, **options)
    assert (out == 7).all()


def test_refused_after_a_good_call(caller: Make) -> None:
    """The fast path refuses what the careful path refuses: here an out that became read-only."""
    k, out = caller("softmax"), np.empty_like(X)
    k(X, out=out)
    out.flags.writeable = False
    with pytest.raises(OutputError, match="read-only"):
        k(X, out=out)


def test_true_is_not_axis_one(caller: Make) -> None:
    """A remembered call with axis=1 does not let axis=True pass."""
    k = caller("softmax")
    k(X, axis=1)
    with pytest.raises(TypeError, match="axis"):
        k(X, axis=True)


def test_ignored_index_may_be_anything_else_out_of_range(caller: Make) -> None:
    """The ignored value passes where others of its sign do not."""
    assert caller("pick")(X, [-100, -100, 0]).tolist() == [0, 0, X[2, 0]]


def test_integer_row_above_int64(loaded: Callable[..., object]) -> None:
    """A uint64 row that int64 cannot hold is refused rather than wrapped."""
    from rowfold.runtime.call import Argument, CallSpec

    k = Caller(CallSpec("k", (Argument("x", "row"), Argument("ids", "int row"))), lambda *_: loaded("weigh"))
    with pytest.raises(ValueError, match="'ids' has the value 18446744073709551615"):
        k(X, np.full(5, 2**64 - 1, "u8"))
