"""Every named value of one row, for the inventor of a kernel: in float64, beside what the kernel itself gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..codegen.interpret import interpret
from ..codegen.ir import Output, Program, Ref, Role
from ..codegen.trace import MISSING, Parameter, trace

Array = np.ndarray[Any, np.dtype[Any]]
_WIDE = (Role.ROW, Role.MASK, Role.INT_ROW, Role.TABLE)
COLUMNS = 80


@dataclass(frozen=True, slots=True)
class Named:
    """One line of the table."""

    name: str
    shape: str  # "row" or "row-constant"
    value: Array


@dataclass(frozen=True, repr=False)
class RowTrace:
    """The values of one row by name; `str()` is the table, and `trace["e"]` the whole of one value."""

    title: str
    lines: tuple[Named, ...]

    def __getitem__(self, name: str) -> Array:
        for line in self.lines:
            if line.name == name:
                return line.value
        raise KeyError(f"{name!r} is none of {', '.join(line.name for line in self.lines)}")

    def __iter__(self) -> Iterator[str]:
        return (line.name for line in self.lines)

    def __str__(self) -> str:
        width = min(max(len(line.name) for line in self.lines), 32)
        rows = [f"{line.name:{width}}  {line.shape:12}  {_values(line.value, width + 16)}" for line in self.lines]
        return "\n".join([self.title, f"{'name':{width}}  {'shape':12}  first values", *rows])

    __repr__ = __str__


def trace_row(kernel: Any, rows: tuple[Any, ...], settings: Mapping[str, Any]) -> RowTrace:
    """Runs the kernel on one row and its program, as traced, in float64; their values stand side by side.

    Raises what the call would raise, and ValueError when an argument is not one row.
    """
    checked = _checked(kernel, settings)
    arguments = [_argument(kernel.name, p, row) for p, row in zip(kernel.parameters, rows, strict=False)]
    results = kernel(*arguments, *rows[len(arguments) :], **settings)
    present = zip(kernel.parameters, arguments, strict=False)
    given: dict[str, Array] = {p.name: a for p, a in present if a is not None}
    program = _traced(kernel, given, checked)
    named = [(Ref(i), name) for i, name in enumerate(program.names) if name] + _unnamed_outputs(program)
    outputs = replace(program, outputs=tuple(Output(ref) for ref, _ in named))
    values = interpret(outputs, given, {p.name: float(checked[p.name]) for _, p in program.params})
    lines = [Named(n, program.shapes[r].value, np.asarray(v)) for (r, n), v in zip(named, values, strict=True)]
    names = [dict(named)[o.ref] for o in program.outputs]
    title = f"{kernel.name}: one row in float64, and what the kernel gives"
    return RowTrace(title, (*lines, *_beside(lines, names, results)))


def _checked(kernel: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every setting. Options of a call, such as axis=, mean nothing for one row."""
    known = {s.name: s for s in kernel.settings}
    for name in settings:
        if name not in known:
            raise TypeError(f"{kernel.name}.trace_row takes settings only ({', '.join(known) or 'none'}), not {name!r}")
    missing = [n for n, s in known.items() if n not in settings and s.default is MISSING]
    if missing:
        raise TypeError(f"{kernel.name} needs the setting {missing[0]!r}: it has no default")
    return {n: s.check(settings[n]) if n in settings else s.default for n, s in known.items()}


def _argument(label: str, parameter: Parameter, value: Any) -> Array | None:
    """One argument of one row; whole numbers typed at a prompt become floats where the row is one of floats."""
    if value is None:
        return None
    array = np.asarray(value)
    rank = 1 if parameter.role in _WIDE else 0
    if array.ndim != rank:
        what = "one row (1-d)" if rank else "one number"
        raise ValueError(f"{label}.trace_row takes {what} as {parameter.name!r}, not an array of shape {array.shape}")
    whole = parameter.role in (Role.ROW, Role.SCALAR) and array.dtype.kind in "iu"
    return array.astype(np.float64) if whole else array


def _traced(kernel: Any, given: Mapping[str, Array], settings: Mapping[str, Any]) -> Program:
    """The program before anything was simplified: there the user's own names still stand at what they named."""
    found: tuple[Parameter, ...] = kernel.parameters
    booleans = [p.name for p in found if p.role is Role.ROW and p.name in given and given[p.name].dtype == bool]
    optional = frozenset(p.name for p in found if p.optional and p.name in given)
    static = {name: settings[name] for name in kernel.static}
    kinds = dict.fromkeys(booleans, "bool")
    return trace(kernel.__wrapped__, name=kernel.name, settings=static, given=optional, kinds=kinds)


def _unnamed_outputs(program: Program) -> list[tuple[Ref, str]]:
    refs = [o.ref for o in program.outputs]
    many = len(refs) > 1
    unnamed = {ref: f"result {i + 1}" if many else "result" for i, ref in enumerate(refs) if not program.names[ref]}
    return list(unnamed.items())


def _beside(lines: list[Named], names: list[str], results: Any) -> Iterator[Named]:
    """The kernel's own outputs, and how far they are from the values in float64."""
    shown = {line.name: line for line in lines}
    for name, result in zip(names, results if isinstance(results, tuple) else (results,), strict=True):
        given, own = shown[name], np.asarray(result)
        yield Named(f"{name} (kernel)", given.shape, own)
        with np.errstate(all="ignore"):
            off = own.astype(np.float64) - given.value
        yield Named(f"{name} (off by)", given.shape, off)


def _values(value: Array, used: int) -> str:
    """As many of the first values as the line holds."""
    parts = [str(bool(v)) if value.dtype == bool else f"{v:.6g}" for v in value.reshape(-1)[:16]]
    text = ""
    for i, part in enumerate(parts):
        longer = f"{text}  {part}" if text else part
        rest = " ..." if i + 1 < value.size else ""
        if text and len(longer) + len(rest) > COLUMNS - used:
            return f"{text} ..."
        text = longer
    return text + (" ..." if value.size > len(parts) else "")
