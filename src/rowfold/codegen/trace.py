"""Row function -> program: runs the function once on objects that record what is asked of them.

signature.py says what the function takes; rows.py has the objects; vocabulary.py, elementwise.py and reductions.py
say what each word of NumPy means; frames.py finds the user's names and traceerrors.py the user's lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from rowfold.codegen.ir import Input, Map, Output, Param, Program, Role, operands
from rowfold.codegen.language.frames import call_row_function
from rowfold.codegen.language.signature import MISSING, Parameter, Setting, parameters, settings_of
from rowfold.codegen.language.table import table_used_otherwise, with_tables
from rowfold.codegen.language.traced import BatchTotal, Traced, Tracer
from rowfold.codegen.language.traceerrors import fail_at_definition
from rowfold.codegen.language.vocabulary import VOCABULARY

from ..records import replace

__all__ = ["MISSING", "Parameter", "Setting", "inline", "is_traced", "parameters", "settings_of", "trace"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def trace(
    fn: Callable[..., object],
    *,
    name: str | None = None,
    settings: Mapping[str, object] = _NOTHING,
    given: frozenset[str] | None = None,
    kinds: Mapping[str, str] = _NOTHING,
) -> Program:
    """The program of a row function.

    `settings` holds values of the settings that specialize (run-time ones may be there and are not looked at);
    `given` names the optional parameters that are present; `kinds` says "bool" for rows that are boolean at the call.
    """
    label: str = name or getattr(fn, "__name__", "") or "kernel"
    tracer = Tracer(label, VOCABULARY)
    args = _arguments(tracer, parameters(fn), given or frozenset(), kinds)
    keywords = _keywords(tracer, settings_of(fn), settings)
    try:
        result = call_row_function(fn, args, keywords)
    except RecursionError:
        fail_at_definition(f"{label} calls itself without end", "a row function has as many steps as it has lines", fn)
    program = tracer.builder.finish(_outputs(tracer, fn, result))
    program = with_tables(program)
    _check_seeds(program, fn)
    _check_tables(program, fn)
    return replace(program, names=_unique(program.names))


def _check_seeds(program: Program, fn: Callable[..., object]) -> None:
    """A seed is a key of 64 bits: as a number it would not be itself."""
    used = {r for n in program.nodes if not (isinstance(n, Map) and n.op == "uniform") for r in operands(n)}
    for ref, leaf in program.inputs:
        if leaf.role is Role.SEED and (ref in used or any(o.ref == ref for o in program.outputs)):
            advice = "give what is computed with a parameter of its own"
            fail_at_definition(f"{program.name} uses the seed {leaf.name!r} as a number", advice, fn)


def _check_tables(program: Program, fn: Callable[..., object]) -> None:
    if name := table_used_otherwise(program):
        advice = "rf.lookup alone reads a table; a parameter that is a row besides is annotated rf.Row"
        fail_at_definition(f"{program.name} uses the table {name!r} as a row or a number", advice, fn)


def is_traced(value: object) -> bool:
    """Whether a value stands for a row or a number of a trace that is running."""
    return isinstance(value, Traced)


def inline(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Calls the row function of a kernel on traced rows, so that its nodes join the caller's program."""
    tracer = next(a.tracer for a in (*args, *kwargs.values()) if isinstance(a, Traced))
    return tracer.dispatch(_inlined, (fn, args, kwargs), {})


def _inlined(t: Tracer, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    names = {s.name: s for s in settings_of(fn)}
    rest = dict(kwargs)
    if rest.pop("axis", -1) not in (None, 0, -1):
        t.fail("a kernel called with another axis", "a row has one axis: leave axis= out")
    rest.pop("keepdims", None)
    for key in ("out", "where", "dtype", "threads"):
        if rest.pop(key, None) is not None:
            t.fail(f"a kernel called with {key}= on a traced row", f"leave {key}= to the call of the outer kernel")
    for key, value in rest.items():
        if key in names and not is_traced(value):
            rest[key] = names[key].check(value)
    return fn(*args, **rest)


def _arguments(
    tracer: Tracer, found: Iterable[Parameter], given: frozenset[str], kinds: Mapping[str, str]
) -> list[Traced | None]:
    found = tuple(found)
    _known((*given, *kinds), [p.name for p in found], "parameter")
    return [
        None if p.optional and p.name not in given else tracer.leaf(Input(p.name, _role(p, kinds), p.ignore))
        for p in found
    ]


def _role(parameter: Parameter, kinds: Mapping[str, str]) -> Role:
    if kinds.get(parameter.name) != "bool" or parameter.role is Role.MASK:
        return parameter.role
    if parameter.role is not Role.ROW:
        raise TypeError(f"parameter {parameter.name!r} is a {parameter.role.value}; it does not take booleans")
    return Role.MASK


def _keywords(tracer: Tracer, found: tuple[Setting, ...], given: Mapping[str, object]) -> dict[str, object]:
    _known(given, [s.name for s in found], "setting")
    return {s.name: _static(tracer, s, given) if s.static else _param(tracer, s) for s in found}


def _static(tracer: Tracer, setting: Setting, given: Mapping[str, object]) -> object:
    value = given.get(setting.name, setting.default)
    if value is MISSING:
        raise TypeError(f"{tracer.builder.name} needs the setting {setting.name!r}: it has no default")
    return setting.check(value)


def _param(tracer: Tracer, setting: Setting) -> Traced:
    return tracer.leaf(Param(setting.name, setting.low, setting.high, setting.open))


def _known(names: Iterable[str], known: list[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise TypeError(f"there is no {what} {name!r}; there is {', '.join(known) or 'none'}")


def _outputs(tracer: Tracer, fn: Callable[..., object], result: object) -> list[Output]:
    results = result if isinstance(result, tuple) else (result,)
    if not results:
        fail_at_definition(f"{tracer.builder.name} returns an empty tuple", "return a row or a number", fn)
    return [_output(tracer, fn, r) for r in results]


def _output(tracer: Tracer, fn: Callable[..., object], result: object) -> Output:
    if isinstance(result, BatchTotal):
        return Output(tracer.ref(result.row), total=True)
    if isinstance(result, Traced):
        return Output(tracer.ref(Traced(result.tracer, result.ref)), result.cast)
    if isinstance(result, np.ndarray) and result.ndim == 0:
        result = result[()]
    if isinstance(result, bool | np.bool_ | int | float | np.integer | np.floating):
        return Output(tracer.ref(result))
    found = "nothing" if result is None else f"a {type(result).__name__}"
    advice = "return a row, a number, or a tuple of these"
    return fail_at_definition(f"cannot trace {tracer.builder.name}: it returns {found}", advice, fn)


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names, where a second value of a name gets a number: x, x_2, x_3."""
    taken, result = set(names), list[str]()
    numbers: dict[str, Iterator[int]] = {}
    for name in names:
        unique = name
        if name in numbers:
            unique = next(u for k in numbers[name] if (u := f"{name}_{k}") not in taken)
        elif name:
            numbers[name] = count(2)
        result.append(unique)
    return tuple(result)
