"""Reads a row function's signature: its array parameters and its settings."""

from __future__ import annotations

import inspect
import math
import operator
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Annotated, Any, Final, Union, get_args, get_origin

import rowfold.annotations as rf
from rowfold.annotations import Between, Ignore, Mark
from rowfold.codegen.role import Role
from rowfold.errors import shown

from ...records import NamedTuple

RESERVED: Final = frozenset("axis out where dtype keepdims threads".split())
SETTING_TYPES: Final = (float, int, bool, str)


class Missing(Enum):
    """The default of a setting that has none."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class Parameter(NamedTuple):
    """A positional parameter. `optional` when its default is None: then it may be absent at a call."""

    name: str
    role: Role = Role.ROW
    ignore: int | None = None
    optional: bool = False
    bounds: Between = Between()  # of a scalar


class Setting(NamedTuple):
    """A keyword-only parameter. `static` ones are compiled in; the others are floats passed at run time."""

    name: str
    type: type
    default: object = MISSING
    static: bool = True
    low: float = -math.inf
    high: float = math.inf
    open: bool = False
    nullable: bool = False  # None is a value too
    length: bool = False  # at most the length of the rows

    @property
    def required(self) -> bool:
        return self.default is MISSING

    def check(self, value: object) -> object:
        """The value as this setting's type, inside its bounds; else TypeError or ValueError."""
        if value is None and self.nullable:
            return None
        result = self._convert(value)
        if isinstance(result, float | int) and not self._inside(result):
            bounds = f"{'(' if self.open else '['}{self.low:g}, {self.high:g}]"
            raise ValueError(f"setting {self.name!r} is {shown(value)}, and it has to lie in {bounds}")
        return result

    def _convert(self, value: object) -> object:
        try:
            return _CONVERSIONS[self.type](value)
        except (TypeError, ValueError, OverflowError):
            found = type(value).__name__
            raise TypeError(f"setting {self.name!r} takes {self.type.__name__}, not {found} {shown(value)}") from None

    def _inside(self, value: float) -> bool:
        if self.low == -math.inf and self.high == math.inf:
            return True
        return self.low <= value <= self.high and not (self.open and value == self.low)


def parameters(fn: Callable[..., object]) -> tuple[Parameter, ...]:
    """The array parameters of a row function, in order. TypeError for what a kernel cannot take."""
    found = tuple(_parameter(p, _annotation(fn, p)) for p in _signature(fn) if p.kind is not p.KEYWORD_ONLY)
    if not any(p.role in (Role.ROW, Role.MASK, Role.INT_ROW) and not p.optional for p in found):
        raise TypeError(f"{_label(fn)} needs at least one parameter that is a row and has no default")
    return found


def settings_of(fn: Callable[..., object]) -> tuple[Setting, ...]:
    """The keyword-only settings of a row function, in order. TypeError for what cannot be a setting."""
    return tuple(_setting(p, _annotation(fn, p)) for p in _signature(fn) if p.kind is p.KEYWORD_ONLY)


def resolve_settings(settings: tuple[Setting, ...], given: Mapping[str, object], label: str) -> dict[str, object]:
    """A checked value for every setting, from `given` and the defaults. TypeError names what is unknown or missing."""
    known(settings, given, label)
    values = {s.name: given.get(s.name, s.default) for s in settings}
    for name, value in values.items():
        if value is MISSING:
            raise TypeError(f"{label} needs the setting {name!r}: it has no default")
    return {s.name: s.check(values[s.name]) for s in settings}


def known(settings: Iterable[Setting], given: Mapping[str, object], label: str) -> dict[str, object]:
    """What is `given` of the settings that are compiled in. TypeError names one that is no setting."""
    named = {s.name: s for s in settings}
    for name in given:
        if name not in named:
            raise TypeError(f"{label} has no setting {name!r}; it has {', '.join(sorted(named)) or 'none'}")
    return {name: value for name, value in given.items() if named[name].static}


def _label(fn: Callable[..., object]) -> str:
    return f"row function {getattr(fn, '__name__', fn)!r}"


def _signature(fn: Callable[..., object]) -> list[inspect.Parameter]:
    try:
        found = list(inspect.signature(fn, **_lenient()).parameters.values())
    except (TypeError, ValueError):
        raise TypeError(f"{fn!r} has no signature to read; a row function is written with def or lambda") from None
    for p in found:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise TypeError(f"{_label(fn)}: *{p.name} cannot be a parameter; name each row and each setting")
        if p.name in RESERVED:
            raise TypeError(f"{_label(fn)}: {p.name!r} belongs to the call of every kernel; choose another name")
    return found


def _lenient() -> dict[str, Any]:
    """From Python 3.14 on annotations are lazy; a name that only a type checker sees must not raise."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return {"annotation_format": Format.FORWARDREF}
    return {}


def _annotation(fn: Callable[..., object], p: inspect.Parameter) -> Any:
    """The annotation as an object. A string that names what only a type checker sees counts as no annotation."""
    if not isinstance(p.annotation, str):
        return p.annotation
    plain = inspect.unwrap(fn)
    closure = inspect.getclosurevars(plain).nonlocals if inspect.isfunction(plain) else {}
    ours = {"rf": rf, "rowfold": rf} | vars(rf)
    scope = ChainMap(dict(closure), getattr(plain, "__globals__", {}), ours, vars(sys.modules["builtins"]))
    try:
        return eval(p.annotation, {}, scope)  # noqa: S307 - an annotation is code of the user's own program
    except (NameError, TypeError, AttributeError) as error:
        if isinstance(error, AttributeError) and error.obj is rf:
            raise TypeError(f"{_label(fn)}: parameter {p.name!r}: there is no {p.annotation}") from None
        return p.empty


def _parameter(p: inspect.Parameter, annotation: Any) -> Parameter:
    if p.default is not p.empty and p.default is not None:
        raise TypeError(f"parameter {p.name!r}: its default can only be None (absent); put settings after a `*`")
    base, metadata, _ = _parts(annotation)
    if base in (float, int, bool, str) and not metadata:
        advice = "write it after a `*` if it is a setting, or annotate rf.Row, rf.Scalar, rf.Index or rf.Mask"
        raise TypeError(f"parameter {p.name!r} is annotated {base.__name__}: {advice}")
    found = Parameter(p.name, _role(base, metadata), optional=p.default is None)
    ignore = next((m.value for m in metadata if isinstance(m, Ignore)), None)
    bounds = next((m for m in metadata if isinstance(m, Between)), found.bounds)
    if bounds != found.bounds and (found.role is not Role.SCALAR or bounds.length):
        raise TypeError(f"parameter {p.name!r}: rf.Between is for an rf.Scalar or a setting; a row has none")
    return found._replace(ignore=ignore, bounds=bounds)


def _role(base: Any, metadata: tuple[Any, ...]) -> Role:
    if base is rf.Index:
        return Role.INDEX
    return next((Role(m.value) for m in metadata if isinstance(m, Mark)), Role.ROW)


def _setting(p: inspect.Parameter, annotation: Any) -> Setting:
    base, metadata, nullable = _parts(annotation)
    default = MISSING if p.default is p.empty else p.default
    if base is p.empty:
        base = next((t for t in (bool, int, float, str) if isinstance(default, t)), base)
    if base not in SETTING_TYPES:
        raise TypeError(f"setting {p.name!r}: annotate it float, int, bool, str, rf.Static[float] or rf.Positive")
    static = base is not float or Mark.STATIC in metadata
    nullable = nullable or default is None
    if nullable and not static:
        raise TypeError(f"setting {p.name!r}: None is no run-time float; annotate it rf.Static[float] | None")
    bounds = next((m for m in metadata if isinstance(m, Between)), Between())
    if bounds.length and static:
        raise TypeError(f"setting {p.name!r}: rf.Between(length=True) is for a float that is passed at run time")
    found = Setting(p.name, base, default, static, bounds.low, bounds.high, bounds.open, nullable, bounds.length)
    return found if default is MISSING else found._replace(default=found.check(default))


def _parts(annotation: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """The bare type, the metadata of every Annotated around it, and whether `| None` was there."""
    metadata: tuple[Any, ...] = ()
    nullable = False
    while True:
        if get_origin(annotation) is Annotated:
            metadata = (*annotation.__metadata__, *metadata)
            annotation = annotation.__origin__
        elif get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation):
            nullable = True
            rest = [a for a in get_args(annotation) if a is not type(None)]
            annotation = Union[tuple(rest)]  # noqa: UP007 - made from a list
        else:
            return annotation, metadata, nullable


def _boolean(value: Any) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError
    return bool(value)


def _integer(value: Any) -> int:
    if type(value).__name__ in ("bool", "bool_"):
        raise TypeError
    return operator.index(value)


def _float(value: Any) -> float:
    if isinstance(value, str | bytes) or type(value).__name__ in ("bool", "bool_"):
        raise TypeError
    return float(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(value)


_CONVERSIONS: Final[dict[type, Callable[[Any], object]]] = {
    float: _float,
    int: _integer,
    bool: _boolean,
    str: _string,
}
