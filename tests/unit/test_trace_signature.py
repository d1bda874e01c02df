"""What a row function's signature says about its parameters and settings."""

import math
from typing import Annotated, Any, Optional

import numpy as np
import pytest

from rowfold import annotations as rf
from rowfold.codegen.ir import Role
from rowfold.codegen.language.signature import MISSING, Parameter, Setting, parameters, resolve_settings, settings_of


def every(x, a: rf.Row, m: rf.Mask, i: rf.Row[int], s: rf.Scalar, y: rf.Index, z: rf.Index(ignore=-100), w=None):
    return x


def strings(
    x, a: "rf.Row", m: "rf.Mask", i: "rf.Row[int]", s: "rf.Scalar", y: "rf.Index", z: "rf.Index(ignore=-100)", w=None
):
    return x


EVERY = (
    Parameter("x"),
    Parameter("a"),
    Parameter("m", Role.MASK),
    Parameter("i", Role.INT_ROW),
    Parameter("s", Role.SCALAR),
    Parameter("y", Role.INDEX),
    Parameter("z", Role.INDEX, ignore=-100),
    Parameter("w", optional=True),
)


@pytest.mark.parametrize("fn", [every, strings])
def test_annotations_say_what_a_parameter_is(fn):
    """Objects and strings mean the same."""
    assert parameters(fn) == EVERY


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (rf.Mask | None, Parameter("p", Role.MASK, optional=True)),
        (Optional[rf.Scalar], Parameter("p", Role.SCALAR, optional=True)),  # noqa: UP045
        (rf.Index(ignore=7) | None, Parameter("p", Role.INDEX, ignore=7, optional=True)),
        (rf.Index | None, Parameter("p", Role.INDEX, optional=True)),
        (rf.Row | None, Parameter("p", optional=True)),
        (Annotated[rf.Index, rf.Ignore(3)], Parameter("p", Role.INDEX, ignore=3, optional=True)),
        (Annotated[Any, rf.Mask.__metadata__[0]], Parameter("p", Role.MASK, optional=True)),
        (np.ndarray, Parameter("p", optional=True)),
        ("NDArray[np.float64]", Parameter("p", optional=True)),
        ("Somewhere.Else", Parameter("p", optional=True)),
    ],
    ids=str,
)
def test_an_annotation_may_be_wrapped(annotation, expected):
    """Unions with None and Annotated are looked through; foreign annotations mean a row."""

    def fn(x, p=None):
        return x

    fn.__annotations__["p"] = annotation
    assert parameters(fn)[1] == expected


def annotated(annotation, default=MISSING):
    """The setting that a keyword-only parameter makes."""

    def fn(x, *, p):
        return x

    if annotation is not None:
        fn.__annotations__["p"] = annotation
    if default is not MISSING:
        fn.__kwdefaults__ = {"p": default}
    return settings_of(fn)[0]


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (float, MISSING, Setting("p", float, static=False)),
        (float, 2, Setting("p", float, 2.0, static=False)),
        (None, 1.5, Setting("p", float, 1.5, static=False)),
        (None, np.float64(1.5), Setting("p", float, 1.5, static=False)),
        (None, 3, Setting("p", int, 3)),
        (None, True, Setting("p", bool, True)),
        (None, "mean", Setting("p", str, "mean")),
        (int, MISSING, Setting("p", int)),
        (int | None, None, Setting("p", int, None, nullable=True)),
        (rf.Static[float], 0.5, Setting("p", float, 0.5)),
        (rf.Positive, 1.0, Setting("p", float, 1.0, False, 0.0, math.inf, True)),
        ("rf.Positive", 1.0, Setting("p", float, 1.0, False, 0.0, math.inf, True)),
        (rf.NonNegative, 0.0, Setting("p", float, 0.0, False, 0.0)),
        (Annotated[float, rf.Between(0, 1)], MISSING, Setting("p", float, MISSING, False, 0, 1)),
        (Annotated[rf.Static[float], rf.Between(0, 1)], 0.0, Setting("p", float, 0.0, True, 0, 1)),
    ],
    ids=str,
)
def test_annotations_say_what_a_setting_is(annotation, default, expected):
    """Floats are passed at run time, everything else specializes."""
    assert annotated(annotation, default) == expected


@pytest.mark.parametrize(
    "text",
    [
        "lambda: 1",
        "lambda *x: x",
        "lambda x, **k: x",
        "lambda x, y=2.0: x",
        "lambda x=None: x",
        "lambda x, axis: x",
        *(f"lambda x, *, {name}=1: x" for name in "axis out where dtype keepdims threads".split()),
        "lambda x, *, p: x",
        "lambda x, *, p=None: x",
        "lambda x, *, p=[1]: x",
        "np.exp2.__call__",
    ],
)
def test_what_a_kernel_cannot_take_is_a_type_error(text):
    """A signature that no call could use is refused when the kernel is made."""
    fn = eval(text)
    with pytest.raises(TypeError):
        (parameters(fn), settings_of(fn))


@pytest.mark.parametrize("annotation", [float, int, bool, "rf.Scaler", "float"])
def test_a_number_in_the_place_of_an_array_is_a_type_error(annotation):
    """A positional float is a setting or a Scalar; the message asks which."""

    def fn(x, p):
        return x

    fn.__annotations__["p"] = annotation
    with pytest.raises(TypeError, match="'p'"):
        parameters(fn)


@pytest.mark.parametrize("annotation", [rf.Row, rf.Mask, list, float | None])
def test_an_array_is_no_setting(annotation):
    """Keyword-only parameters are numbers, booleans and strings."""
    with pytest.raises(TypeError, match="'p'"):
        annotated(annotation, None)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(int, 1.5), (int, True), (bool, 1), (str, 3), (float, "1"), (float, True), (float, [1.0])],
)
def test_a_setting_of_another_type_is_a_type_error(annotation, value):
    """A setting is converted only where nothing is lost."""
    with pytest.raises(TypeError, match="setting 'p' takes"):
        annotated(annotation).check(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (rf.Positive, 0.0),
        (rf.Positive, math.nan),
        (rf.NonNegative, -1e-300),
        (Annotated[float, rf.Between(0, 1)], 1.5),
        (Annotated[float, rf.Between(0, 1)], -1),
    ],
)
def test_a_setting_out_of_bounds_is_a_value_error(annotation, value):
    """The message names the setting and its bounds."""
    with pytest.raises(ValueError, match=r"'p' is .* to lie in"):
        annotated(annotation).check(value)


def test_settings_are_resolved_from_the_call_and_the_defaults():
    """Every setting gets a value of its own type."""

    def fn(x, *, a: float = 1, k: int):
        return x

    assert resolve_settings(settings_of(fn), {"k": np.int64(3)}, "fn") == {"a": 1.0, "k": 3}


@pytest.mark.parametrize(("given", "message"), [({}, "needs the setting 'k'"), ({"k": 1, "z": 2}, "no setting 'z'")])
def test_missing_and_unknown_settings_are_type_errors(given, message):
    """What is missing and what is unknown are named."""

    def fn(x, *, k: int):
        return x

    with pytest.raises(TypeError, match=message):
        resolve_settings(settings_of(fn), given, "fn")
