"""Our dataclasses against those of the standard library."""

import copy
import dataclasses
import inspect
import math
import pickle
import typing

import pytest

from rowfold import records


def made(module, **options):
    @module.dataclass(**options)
    class Sample:
        """Fields of every kind."""

        name: str
        size: int = 3
        more: dict = module.field(default_factory=dict)
        quiet: float = module.field(default=0.5, repr=False)

        def __post_init__(self):
            if self.size < 0:
                raise ValueError("a negative size")

    return Sample


OPTIONS = [{}, {"slots": True}, {"frozen": True}, {"frozen": True, "slots": True}, {"repr": False}]
every_option = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "plain")


@records.dataclass(frozen=True, slots=True)
class Number:
    value: float


@records.dataclass(frozen=True, slots=True)
class Named(Number):
    name: str = "n"


@every_option
@pytest.mark.parametrize("args", [("a",), ("a", 4), ("a", 4, {1: 2}, 0.25)])
def test_fields_are_given_as_in_the_standard_library(options, args):
    """By place and by default."""
    ours, theirs = (made(module, **options)(*args) for module in (records, dataclasses))
    assert [getattr(ours, f.name) for f in dataclasses.fields(theirs)] == list(dataclasses.asdict(theirs).values())


@pytest.mark.parametrize("options", OPTIONS[:4], ids=lambda o: "-".join(o) or "plain")
def test_the_text_is_that_of_the_standard_library(options):
    """What repr shows."""
    ours, theirs = (repr(made(module, **options)("a", size=4)) for module in (records, dataclasses))
    assert ours == theirs


@every_option
def test_equality_is_by_fields_and_class(options):
    """Two classes with the same fields are two kinds."""
    one, other = made(records, **options), made(records, **options)
    assert (one("a") == one("a"), one("a") == one("b"), one("a") == other("a")) == (True, False, False)


def test_a_number_that_is_not_one_equals_itself():
    """As in a tuple: a constant NaN in a program is one constant."""
    assert Number(math.nan) == Number(math.nan)


def test_equal_frozen_values_have_one_hash():
    """They serve as keys; values that change do not."""
    assert (len({Number(1.0), Number(1.0)}), made(records).__hash__) == (1, None)


@pytest.mark.parametrize("change", [lambda v: setattr(v, "value", 2.0), lambda v: delattr(v, "value")])
def test_a_frozen_value_does_not_change(change):
    """The error is that of the standard library."""
    with pytest.raises(dataclasses.FrozenInstanceError, match="value"):
        change(Number(1.0))


@pytest.mark.parametrize("args", [(), ("a", 1, {}, 0.5, 7)])
def test_a_wrong_number_of_fields_is_refused(args):
    """TypeError, as for a function."""
    with pytest.raises(TypeError, match=r"Sample\(\)"):
        made(records)(*args)


def test_an_unknown_field_is_refused():
    """TypeError names it."""
    with pytest.raises(TypeError, match="colour"):
        Number(value=1.0, colour=2)


def test_a_check_after_the_fields_are_set_is_run():
    """__post_init__ may refuse."""
    with pytest.raises(ValueError, match="negative"):
        made(records, frozen=True, slots=True)("a", -1)


def test_replace_changes_a_copy():
    """The other fields stay."""
    assert records.replace(Named(1.0, "m"), value=2.0) == Named(2.0, "m")


def test_inherited_fields_come_first():
    """Also in patterns."""
    match Named(1.0, "m"):
        case Named(value, name):
            assert (value, name, Named.__slots__) == (1.0, "m", ("name",))


def test_tools_of_the_standard_library_see_the_fields():
    """asdict, fields and signatures."""
    seen = dataclasses.asdict(Named(1.0)), [f.name for f in dataclasses.fields(Named)], str(inspect.signature(Named))
    assert seen == ({"value": 1.0, "name": "n"}, ["value", "name"], "(value: Any, name: Any = 'n') -> None")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_a_frozen_value_can_be_copied(copied):
    """Copied and pickled, it is the same value."""
    assert copied(Named(1.0, "m")) == Named(1.0, "m")


# named tuples


class Point(records.NamedTuple):
    """A place."""

    x: float
    y: float = 0.5

    @property
    def size(self):
        return self.x + self.y


class Standard(typing.NamedTuple):
    """A place."""

    x: float
    y: float = 0.5


Standard.__name__ = "Point"


@pytest.mark.parametrize(
    "look",
    [
        repr, tuple, hash, len, lambda p: p._asdict(), lambda p: tuple(p._replace(y=2)), lambda p: p._fields,
        lambda p: p._field_defaults, lambda p: p.x, lambda p: p[1], lambda p: p == (1, 0.5), lambda p: p < (2, 0),
        lambda p: tuple(type(p)._make((3, 4))), lambda p: type(p).__match_args__, lambda p: hasattr(p, "__dict__"),
        lambda p: tuple(type(p)(y=1, x=2)), lambda p: type(p).__doc__,
    ],
)  # fmt: skip
def test_named_tuples_are_those_of_the_standard_library(look):
    """Values, places, names, order, and no attribute beside them."""
    assert look(Point(1)) == look(Standard(1))


def test_named_tuples_have_methods_and_travel():
    """Copies and pickles are of the same kind."""
    for other in (copy.copy(Point(1)), copy.deepcopy(Point(1)), pickle.loads(pickle.dumps(Point(1)))):
        assert (type(other), other, other.size) == (Point, (1, 0.5), 1.5)


@pytest.mark.parametrize(("args", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"z": 2}), ((1,), {"x": 2})])
def test_named_tuples_refuse_what_they_have_no_place_for(args, named):
    """By place and by name; nor is a place assigned to."""
    with pytest.raises(TypeError):
        Point(*args, **named)
    with pytest.raises(AttributeError):
        Point(1).x = 2
