"""Calling a kernel: a fast path for what was seen before, and a careful one that checks and says what is wrong.

The loop itself takes any strides and the ufunc broadcasts and resolves overlap. What a ufunc does not do is here:
axes in tuples, lower-rank rows beside any axis, `where`, 0-d, `keepdims`, narrow dtypes, and errors that help.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from ..config import active
from ..errors import RowfoldError
from . import operands, outputs, quick, repeat, totals
from .operands import How
from .repeat import Repeat
from .spec import AWAKE, Argument, Bound, CallSpec, Compiled, FloatSetting, HasLoop, Names, Result

__all__ = [
    "Argument", "Bound", "CallSpec", "Caller", "Compiled", "FloatSetting", "HasLoop", "Remembering", "Result",
]  # fmt: skip

_MOST_READY = 512
_OFTEN = 8
_ndarray = np.ndarray


class Remembering(ABC):
    """A callable that remembers which calls need no checks: same types, dtypes, shapes and options as one that passed.

    Subclasses say in `careful` how a call is done that is not known, and what repeats it. A call that comes again and
    again goes to `quick`, which answers the next ones without Python.
    """

    tupled = False  # whether a single result comes in a tuple, too

    def __init__(self) -> None:
        self._ready: dict[Any, Repeat] = {}

    def __call__(self, *arrays: Any, out: Any = None, **options: Any) -> Any:
        """Run the kernel; `axis where dtype keepdims threads`, settings and arguments by name are options."""
        try:
            repeat = self._ready[_key(arrays, options)]
            value = repeat(arrays, options, out)
        except (AttributeError, KeyError, RowfoldError, TypeError, ValueError):
            pass  # not seen before, or refused before anything was written: the careful path knows what to say
        else:
            repeat.uses += 1
            if not repeat.uses % _OFTEN and quick.wanted(repeat):
                quick.teach(self, repeat, arrays, options)
            return value
        value, ready = self.careful(arrays, out, dict(options))  # a copy: what is remembered is what the user wrote
        if ready is not None:
            self._keep(arrays, options, ready)
        return value

    @abstractmethod
    def careful(self, arrays: tuple[Any, ...], out: Any, options: dict[str, Any]) -> tuple[Any, Repeat | None]:
        """The value of a call, after all checks, and what repeats it without them, if that is possible."""

    def _keep(self, arrays: tuple[Any, ...], options: dict[str, Any], ready: Repeat) -> None:
        if any(isinstance(v, _ndarray) and name not in ready.sources for name, v in options.items()):
            return  # a number in an array is no key, for it may be another one next time
        if len(self._ready) >= _MOST_READY:
            self._ready.clear()
        with contextlib.suppress(AttributeError, TypeError, ValueError):  # an option that is no key, such as a list
            self._ready[_key(arrays, options)] = ready


def _key(arrays: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    """All that decides whether a call is like another one. An empty or zero option stands as text: 0.0 is not -0.0."""
    key: list[Any] = [active()]
    for a in arrays:
        key += (type(a), a.dtype, a.shape) if a is not None else (None,)
    for name, value in options.items():
        kind = type(value)
        key += (name, kind, value.dtype, value.shape) if kind is _ndarray else (name, kind, value or repr(value))
    return tuple(key)


class Caller(Remembering):
    """Calls one kernel. `compiled` gives the loop for a dtype, a row length and the arguments that are present."""

    def __init__(self, spec: CallSpec, compiled: Compiled, tables: Callable[[Names], Names] | None = None) -> None:
        super().__init__()
        self._tables = tables
        self.spec = spec
        self._compiled = compiled
        self._settings = frozenset(s.name for s in spec.settings)
        self._names = tuple(a.name for a in spec.arguments)

    def careful(self, arrays: tuple[Any, ...], out: Any, options: dict[str, Any]) -> tuple[Any, Repeat | None]:
        """Check everything, then run. Nothing is written to `out` when something is refused."""
        values, settings, how = self._bind(arrays, options)
        if type(how.axis) is tuple and len(how.axis) > 1:
            from .folded import folded

            value = folded(self, values, settings, how, out)
            if value is not None:
                return value, None
        with np.errstate(all="ignore"):
            spec, call = self._prepared(values, settings, how)
            found = self._compiled(
                call.computing, call.layout.n, call.rows, call.given, call.has_where, call.booleans, call.narrow
            )
            if found.ufunc is None:
                return outputs.nothing(spec.name, found.results, call, out), None  # type: ignore[attr-defined]
            call = call.matched(spec, values, found.ufunc.types[0])
            if not call.layout.plain or (call.arrays and call.arrays[0].strides[-1:] != (call.arrays[0].itemsize,)):
                from . import tiles

                found = tiles.arranged(found, call.cast())
            many = call.rows * call.layout.n >= AWAKE  # a small call needs no threads, sums need the rows in order
            if isinstance(found, Bound) and many and not any(r.total for r in found.results):
                from . import threads

                found = threads.spread(found, how.threads, call.rows * call.layout.n, call.rows)
            results = getattr(found, "results", None) or self.spec.results or ()
            targets = outputs.prepare(self.spec.name, results, call, out, bool(how.keepdims))
            written = [t.loop for t in targets]
            read = outputs.lifted(call.cast(), written) if getattr(found, "apart", False) else call.cast()
            if totals.wanted(targets):
                totals.run(found.ufunc, [*map(operands.raw, read)], targets, call)
            else:
                found.ufunc(*map(operands.raw, read), *map(operands.raw, written))
            finished = [t.finished(call.layout) for t in targets]
        value = tuple(finished) if len(finished) > 1 else finished[0]
        if not getattr(found, "lasting", True):
            return value, None
        return value, repeat.of(spec, values, how, arrays, call, targets, found)

    def _prepared(
        self, values: dict[str, Any], settings: dict[str, Any], how: How
    ) -> tuple[CallSpec, operands.Operands]:
        """The checked call. Rows of another length may be tables: only the row function tells."""
        try:
            return self.spec, operands.prepare(self.spec, values, settings, how)
        except ValueError:
            given = frozenset(a.name for a in self.spec.arguments if a.optional and values.get(a.name) is not None)
            tables = self._tables(given) if self._tables is not None else frozenset()
            if not tables:
                raise
        own = tuple(a._replace(role="table") if a.name in tables else a for a in self.spec.arguments)
        spec = self.spec._replace(arguments=own)
        return spec, operands.prepare(spec, values, settings, how)

    def _bind(self, arrays: tuple[Any, ...], options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], How]:
        """Sort what was given into arguments, settings and options, as Python would for a written signature."""
        spec, names = self.spec, self._names
        if len(arrays) > len(names):
            raise TypeError(f"{spec.name} takes {len(names)} arrays ({', '.join(names)}), but {len(arrays)} were given")
        values = dict(zip(names, arrays, strict=False))
        rest = dict(options)
        for name in names:
            if name in rest and name in values:
                raise TypeError(f"{spec.name}: {name!r} was given twice, by position and by name")
            if name in rest:
                values[name] = rest.pop(name)
        lacking = [a.name for a in spec.arguments if not a.optional and values.get(a.name) is None]
        if lacking:
            raise TypeError(f"{spec.name}: {lacking[0]!r} is missing; expected an array")
        settings = {name: rest.pop(name) for name in self._settings & rest.keys()}
        unknown = rest.keys() - _OPTIONS
        if unknown:
            known = ", ".join((*names, *(s.name for s in spec.settings), "out", *How._fields))
            raise TypeError(f"{spec.name}: there is no {min(unknown)!r}; the arguments are {known}")
        return values, settings, How(**rest)


_OPTIONS = frozenset(How._fields)
