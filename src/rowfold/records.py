"""Dataclasses that are made in a twentieth of the time: a first call makes sixty classes, at half a millisecond each.

`dataclass`, `field`, `replace` and `NamedTuple` are those of the standard library to a type checker, and behave like
them; but the methods are closures over the fields' places, where the standard library compiles a text for each. What
looks at fields (`dataclasses.fields`, `asdict`, `inspect.signature`) gets those of the standard library, made when it
asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

_MISSING: Any = object()


class _Field:
    """One field; before it has its name, what `field()` was told of it."""

    __slots__ = ("default", "factory", "name", "repr")

    def __init__(self, default: Any = _MISSING, factory: Callable[[], Any] | None = None, shown: bool = True) -> None:
        self.name, self.default, self.factory, self.repr = "", default, factory, shown

    def standard(self) -> Any:
        """The same for the standard library."""
        import dataclasses

        given: dict[str, Any] = {} if self.default is _MISSING else {"default": self.default}
        given |= {"default_factory": self.factory} if self.factory else {}
        return dataclasses.field(repr=self.repr, **given)


class _Standard:
    """An attribute that the standard library's dataclass of the same fields has."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: Any) -> Any:
        import dataclasses
        import inspect

        twin = dataclasses.make_dataclass(owner.__name__, [(f.name, Any, f.standard()) for f in owner.__record__])
        return inspect.signature(twin) if self._name == "__signature__" else getattr(twin, self._name)


_LATER = {name: _Standard(name) for name in ("__dataclass_fields__", "__signature__")}


def _field(*, default: Any = _MISSING, default_factory: Callable[[], Any] | None = None, repr: bool = True) -> Any:  # noqa: A002
    """A field with more than a default."""
    return _Field(default, default_factory, repr)


def _replace(record: Any, /, **changes: Any) -> Any:
    """A copy with some fields changed."""
    return type(record)(**({f.name: getattr(record, f.name) for f in record.__record__} | changes))


def _dataclass(cls: Any = None, /, *, frozen: bool = False, slots: bool = False, repr: bool = True) -> Any:  # noqa: A002
    """Gives a class its fields, and the methods that go with them."""
    if cls is None:
        return lambda given: _made(given, frozen, slots, repr)
    return _made(cls, frozen, slots, repr)


def _made(cls: Any, frozen: bool, slots: bool, shown: bool) -> Any:
    own = _own_fields(cls)
    inherited = {f.name: f for base in reversed(cls.__mro__[1:]) for f in vars(base).get("__record__", ())}
    fields = tuple((inherited | {f.name: f for f in own}).values())
    for f in own:
        if f.name in vars(cls) and (slots or f.default is _MISSING):
            delattr(cls, f.name)
    if slots:
        left = {name: value for name, value in vars(cls).items() if name not in {"__dict__", "__weakref__"}}
        left |= {"__slots__": tuple(f.name for f in own if f.name not in inherited), "__qualname__": cls.__qualname__}
        cls = type(cls)(cls.__name__, cls.__bases__, left)
    for name, method in _methods(cls, fields, frozen, shown).items():
        if vars(cls).get(name) is None:  # a class with __eq__ has a __hash__ that is None
            setattr(cls, name, method)
    return cls


def _own_fields(cls: Any) -> list[_Field]:
    found = []
    for name in cls.__annotations__:
        default = vars(cls).get(name, _MISSING)
        one = default if isinstance(default, _Field) else _Field(default)
        one.name = name
        found.append(one)
    return found


def _methods(cls: Any, fields: tuple[_Field, ...], frozen: bool, shown: bool) -> Mapping[str, Any]:
    names = tuple(f.name for f in fields)
    listed = tuple(f.name for f in fields if f.repr)
    values: Any = attrgetter(*names) if len(names) > 1 else lambda self: tuple(getattr(self, n) for n in names)

    def equal(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def text(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{n}={getattr(self, n)!r}' for n in listed)})"

    made = {"__record__": fields, "__match_args__": names, "__init__": _init(cls, fields), "__eq__": equal, **_LATER}
    made["__hash__"] = (lambda self: hash(values(self))) if frozen else None
    if shown:
        made["__repr__"] = text
    if frozen:
        made |= {"__setattr__": _refuse, "__delattr__": _refuse}
        made["__reduce__"] = lambda self: (type(self), tuple(values(self)))
    return made


def _refuse(self: Any, name: str, *value: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change field {name!r} of {type(self).__name__}")


def _init(cls: Any, fields: tuple[_Field, ...]) -> Callable[..., None]:
    count, names = len(fields), tuple(f.name for f in fields)
    after = getattr(cls, "__post_init__", None)
    places: list[Any] = [getattr(getattr(cls, name, None), "__set__", None) for name in names]
    slotted = all(places)

    def init(self: Any, *args: Any, **given: Any) -> None:
        values: Iterable[Any] = args if len(args) == count and not given else _completed(cls, fields, args, given)
        if slotted:
            for put, value in zip(places, values, strict=True):
                put(self, value)
        else:
            self.__dict__.update(zip(names, values, strict=True))
        if after is not None:
            after(self)

    return init


def _completed(cls: Any, fields: tuple[_Field, ...], args: tuple[Any, ...], given: dict[str, Any]) -> list[Any]:
    """The value of every field: by place, by name, or by default."""
    values = list(args)
    for f in fields[len(args) :]:
        if f.name in given:
            values.append(given.pop(f.name))
        elif f.factory is not None:
            values.append(f.factory())
        elif f.default is not _MISSING:
            values.append(f.default)
        else:
            raise TypeError(f"{cls.__name__}() needs {f.name!r}")
    if given or len(values) != len(fields):
        more = ", ".join(given) or f"{len(values)} values"
        raise TypeError(f"{cls.__name__}() takes {', '.join(f.name for f in fields)}, and was given {more}")
    return values


class _Named(type):
    """Makes a class of tuples whose places have names."""

    def __new__(cls, name: str, bases: tuple[type, ...], given: dict[str, Any]) -> Any:
        made: Any = super().__new__(cls, name, bases, {**given, "__slots__": ()})
        fields = tuple(_own_fields(made)) if bases != (tuple,) else ()
        names, count = tuple(f.name for f in fields), len(fields)
        for k, name_ in enumerate(names):
            setattr(made, name_, property(itemgetter(k)))

        def new(kind: Any, *args: Any, **values: Any) -> Any:
            whole = len(args) == count and not values
            return tuple.__new__(kind, args if whole else _completed(kind, fields, args, values))

        defaults = {f.name: f.default for f in fields if f.default is not _MISSING}
        more = {"__new__": new, "__match_args__": names, "_fields": names, "_field_defaults": defaults}
        for attribute, value in more.items():
            setattr(made, attribute, value)
        return made


class _NamedTuple(tuple[Any, ...], metaclass=_Named):
    """What all of them do."""

    __slots__ = ()

    _fields: tuple[str, ...]

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in self._asdict().items())})"

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def _replace(self, **changes: Any) -> Any:
        return type(self)(**(self._asdict() | changes))

    @classmethod
    def _make(cls, values: Iterable[Any]) -> Any:
        return cls(*values)


if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
    from typing import NamedTuple
else:
    dataclass, field, replace, NamedTuple = _dataclass, _field, _replace, _NamedTuple

__all__ = ["NamedTuple", "dataclass", "field", "replace"]
