"""trace_row shows the inventor of a kernel every named value of one row."""

import numpy as np
import pytest

import rowfold as rf
from rowfold import library

ROW = np.array([1.0, 2.0, 4.0, -3.0], np.float32)


@rf.kernel
def scaled(x: rf.Row, weight: rf.Row = None, *, power: int = 2, gain: float = 1.0):
    """Two outputs, an optional row, and a setting of each kind."""
    centred = x - np.mean(x)
    bent = centred**power
    y = gain * bent if weight is None else gain * bent * weight
    return y, np.max(x)


def test_every_named_value_is_there():
    """The user's names, the outputs, and the kernel's own results with their distance."""
    names = list(scaled.trace_row(ROW))
    result = ["y", "result 2"]
    beside = [f"{name} ({what})" for name in result for what in ("kernel", "off by")]
    assert names == ["x", "gain", "centred", "bent", *result, *beside]


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", ROW), ("centred", ROW - 1.0), ("y", 3.0 * (ROW - 1.0) ** 2), ("result 2", 4.0), ("y (off by)", np.zeros(4))],
)
def test_the_values(name, value):
    """They are those of the float64 interpreter."""
    np.testing.assert_allclose(scaled.trace_row(ROW, gain=3.0)[name], value)


def test_the_kernels_own_result_is_beside():
    """The last lines hold what the compiled kernel gave, in its own dtype."""
    own = library.softmax.trace_row(ROW)["result (kernel)"]
    np.testing.assert_array_equal(own, library.softmax(ROW), strict=True)


def test_an_optional_row():
    """A row that is given takes part, under its name."""
    np.testing.assert_allclose(scaled.trace_row(ROW, ROW)["y"], (ROW - 1.0) ** 2 * ROW)


def test_a_mask_and_an_index():
    """Booleans print as such, and an index is a number."""
    masked = str(library.masked_softmax.trace_row([1, 2, 3], [True, False, True]))
    indexed = library.cross_entropy.trace_row(ROW, 2)
    assert "True  False  True" in masked and indexed["target"] == 2


def test_the_table():
    """One line a value: its name, its shape, its first numbers."""
    lines = str(library.softmax.trace_row(np.zeros(2, np.float32), temperature=2)).split("\n")
    assert [line.split() for line in lines[1:6]] == [
        ["name", "shape", "first", "values"],
        ["x", "row", "0", "0"],
        ["temperature", "row-constant", "2"],
        ["e", "row", "1", "1"],
        ["result", "row", "0.5", "0.5"],
    ]


def test_a_long_row_stays_within_80_columns():
    """Only the first values are shown."""
    lines = str(library.softmax.trace_row(np.linspace(-1e-9, 1e9, 500))).split("\n")
    assert max(map(len, lines)) <= 80 and lines[2].endswith(" ...")


@pytest.mark.parametrize(
    ("rows", "settings", "error", "said"),
    [
        ((np.zeros((2, 3)),), {}, ValueError, "takes one row"),
        ((ROW,), {"axis": 0}, TypeError, "not 'axis'"),
        ((ROW,), {"temperature": -1.0}, ValueError, "temperature"),
        ((), {}, TypeError, "softmax"),
    ],
    ids=["batch", "option", "bound", "nothing"],
)
def test_what_it_does_not_take(rows, settings, error, said):
    """One row and settings; the message names what is wrong."""
    with pytest.raises(error, match=said):
        library.softmax.trace_row(*rows, **settings)


def test_a_name_that_is_not_there():
    """The error lists the names that are."""
    with pytest.raises(KeyError, match="temperature, e, result"):
        library.softmax.trace_row(ROW)["f"]
