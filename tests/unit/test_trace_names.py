"""The program speaks in the user's own variable names."""

import sys

import numpy as np

from rowfold.codegen.trace import inline, trace


def names(fn):
    return [n for n in trace(fn).names if n]


def test_values_are_named_after_variables():
    """Each node that was assigned has the variable's name."""

    def softmax(x):
        m = np.max(x)
        e = np.exp(x - m)
        y = e / np.sum(e)
        return y  # noqa: RET504 - the name is the point

    assert names(softmax) == ["x", "m", "e", "y"]


def test_a_variable_used_again_is_numbered():
    """A second value of the same variable is told apart from the first."""

    def fn(x):
        x -= np.max(x)
        x = np.exp(x)
        x_2 = x / x.sum()
        return x_2  # noqa: RET504 - the name is the point

    assert names(fn) == ["x", "x_3", "x_4", "x_2"]


def test_unpacked_values_are_named():
    """Values assigned several at a time are named when they are used."""

    def fn(x):
        low, high = np.min(x), np.max(x)
        return high - low

    assert names(fn) == ["x", "low", "high"]


def shift(v):
    top = v.max()
    return v - top


def test_a_helper_names_its_own_and_the_caller_names_its_result():
    """Variables of functions that the row function calls are names too."""

    def fn(x):
        shifted = shift(x)
        return np.exp(shifted)

    assert names(fn) == ["x", "top", "shifted"]


def test_an_inlined_kernel_names_its_variables():
    """The names of an inlined kernel's own code come with it."""

    def fn(x):
        shifted = inline(shift, (x,), {})
        return shifted * 2

    assert names(fn) == ["x", "top", "shifted"]


def test_a_chosen_value_is_named():
    """A conditional expression is an assignment as any other."""

    def fn(x, *, flip: bool = True):
        s = np.sum(x) if flip else np.max(x)
        return x / s

    assert names(fn) == ["x", "s"]


def test_a_value_assigned_inside_an_expression_is_named():
    """The walrus names its value."""

    def fn(x):
        return x / (total := np.sum(x)) + total

    assert names(fn) == ["x", "total"]


def test_settings_keep_their_names():
    """Run-time settings are parameters of the program."""

    def fn(x, *, beta: float = 2.0):
        return x * beta

    assert names(fn) == ["x", "beta"]


def test_tracing_leaves_no_hook_behind():
    """Debuggers, coverage and profilers stay as they were."""
    before = sys.gettrace(), sys.getprofile()
    trace(lambda x: np.exp(x))
    assert (sys.gettrace(), sys.getprofile()) == before


def test_tracing_twice_gives_the_same_program():
    """A trace depends on the row function alone."""

    def fn(x):
        a, b = np.exp(x), np.log(x)
        return a * b

    assert str(trace(fn)) == str(trace(fn))
