"""Row functions that are programs: a kernel's gradients, and the two halves of it that share what was saved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from rowfold.annotations import Ignore, Index, Mask, Row, Scalar, Table
from rowfold.codegen.interpret import interpret
from rowfold.codegen.ir import Builder, Input, Param, Program, Ref, Role, Type, renumber
from rowfold.codegen.language.noise import key
from rowfold.codegen.language.signature import Parameter, Setting
from rowfold.codegen.language.traced import BatchTotal, Traced, Tracer
from rowfold.codegen.trace import is_traced, trace
from rowfold.codegen.vjp import differentiable, gradient_names, vjp, with_gradients, with_totals

_PLACEHOLDERS: Mapping[type, object] = {int: 1, bool: False, float: 1.0, str: ""}


def gradient_function(
    kernel: Any, *, valued: bool = False, summed: frozenset[str] = frozenset()
) -> Callable[..., tuple[Any, ...]]:
    """The row function of the gradients: the kernel's parameters, one gradient for each float output, its settings.

    On traced rows it adds the derived program to the trace; on arrays it interprets that program. `valued` gives the
    kernel's own results before the gradients; those of `summed` parameters are summed over the batch.
    """
    settings: tuple[Setting, ...] = kernel.settings
    incoming = incoming_gradients(kernel)
    names = [p.name for p in (*kernel.parameters, *incoming)]

    def gradients(*args: Any, **given: Any) -> tuple[Any, ...]:
        bound = dict(zip(names, args, strict=False)) | given
        values = {n: bound[n] for n in names if bound.get(n) is not None}
        static = {s.name: given.get(s.name, s.default) for s in settings if s.static}
        floats = {s.name: given.get(s.name, s.default) for s in settings if not s.static}
        program = traced_program(kernel, values, static)
        derived = with_gradients(program) if valued else vjp(program)
        return _run(with_totals(derived, program, summed), values, floats)

    what = "results and gradients" if valued else "gradients"
    gradients.__doc__ = f"The {what} of {kernel.name} in its float parameters, from those of its results."
    kinds = [_parameter(p) for p in incoming]
    return _named(gradients, f"{kernel.name}_vjp", kernel, [*_own(kernel), *kinds, *_own(kernel, settings=True)])


def program_function(kernel: Any, program: Program) -> Callable[..., tuple[Any, ...]]:
    """A row function that is this program, in the settings of a kernel that it belongs to."""
    names = [node.name for _, node in program.inputs]

    def function(*args: Any, **given: Any) -> tuple[Any, ...]:
        values = dict(zip(names, args, strict=False)) | given
        floats = {p.name: given.get(p.name, defaults[p.name]) for _, p in program.params}
        return _run(program, {n: values[n] for n in names}, floats)

    defaults = {s.name: s.default for s in kernel.settings}
    params = {p.name for _, p in program.params}
    settings = [p for p in _own(kernel, settings=True) if p.name in params]
    parameters = [_parameter(Parameter(n.name, n.role, n.ignore)) for _, n in program.inputs]
    return _named(function, program.name, kernel, [*parameters, *settings])


def _run(program: Program, values: Mapping[str, Any], floats: Mapping[str, Any]) -> tuple[Any, ...]:
    traced = [a for a in (*values.values(), *floats.values()) if is_traced(a)]
    if traced:
        return _replayed(traced[0].tracer, program, {**values, **floats})
    wide = {n: np.asarray(a) for n, a in values.items()}
    return interpret(program, wide, {n: float(v) for n, v in floats.items()})


def _named(
    function: Callable[..., Any], name: str, kernel: Any, parameters: Sequence[inspect.Parameter]
) -> Callable[..., tuple[Any, ...]]:
    function.__name__ = function.__qualname__ = name
    function.__module__ = kernel.__wrapped__.__module__
    function.__wrapped__ = kernel.__wrapped__  # type: ignore[attr-defined]  # where annotations are looked up
    # a gradient may follow an optional parameter: a call that leaves that out gives the gradients last all the same
    function.__signature__ = inspect.Signature(parameters, __validate_parameters__=False)  # type: ignore[attr-defined]
    return function


def _own(kernel: Any, *, settings: bool = False) -> list[inspect.Parameter]:
    own = inspect.signature(kernel.__wrapped__).parameters.values()
    return [p for p in own if (p.kind is p.KEYWORD_ONLY) is settings]


def _parameter(p: Parameter) -> inspect.Parameter:
    kinds: dict[Role, Any] = {Role.ROW: Row, Role.MASK: Mask, Role.INT_ROW: Row[int], Role.SCALAR: Scalar,
                              Role.INDEX: Index, Role.TABLE: Table, Role.SEED: Scalar}  # fmt: skip
    annotation = kinds[p.role] if p.ignore is None else Annotated[kinds[p.role], Ignore(p.ignore)]
    return inspect.Parameter(p.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation)


def count_of_results(kernel: Any) -> int:
    """How many results the kernel has."""
    return len(_example(kernel).outputs)


def seeds_of(kernel: Any) -> frozenset[str]:
    """The names of the parameters that are keys of random numbers."""
    return frozenset(node.name for _, node in _example(kernel).inputs if node.role is Role.SEED)


def _example(kernel: Any) -> Program:
    static = {s.name: _PLACEHOLDERS[s.type] if s.required else s.default for s in kernel.settings if s.static}
    return trace(kernel.__wrapped__, name=kernel.name, settings=static)


def incoming_gradients(kernel: Any) -> tuple[Parameter, ...]:
    """The parameters that the gradients of the results come in by. Raises NotDifferentiableError."""
    program = _example(kernel)
    refs = [ref for ref, _ in differentiable(program)]
    roles = [Role.ROW if program.is_row(ref) else Role.SCALAR for ref in refs]
    return tuple(Parameter(n, role) for n, role in zip(gradient_names(program), roles, strict=True))


def traced_program(kernel: Any, values: Mapping[str, Any], static: Mapping[str, object]) -> Program:
    """The kernel's program, as traced, for the arguments that are present."""
    found = [p for p in kernel.parameters if p.name in values]
    given = frozenset(p.name for p in found if p.optional)
    kinds = {p.name: "bool" for p in found if p.role is Role.ROW and _is_boolean(values[p.name])}
    return trace(kernel.__wrapped__, name=kernel.name, settings=static, given=given, kinds=kinds)


def _is_boolean(value: Any) -> bool:
    if isinstance(value, Traced):
        return value.tracer.kind(value) is Type.BOOL
    return bool(np.asarray(value).dtype == bool)


def _replayed(tracer: Tracer, program: Program, values: Mapping[str, Any]) -> tuple[Traced | BatchTotal, ...]:
    """The program's outputs, its nodes added to a running trace with these values for its inputs and settings."""
    b: Builder = tracer.builder
    new: dict[Ref, Ref] = {}
    for i, node in enumerate(program.nodes):
        if isinstance(node, Input) and node.role is Role.UNKNOWN:  # what a threshold binds, apart from those of others
            new[Ref(i)] = b.add(Input(f"{node.name}_{len(b.nodes)}", node.role))
        elif isinstance(node, Param) or (isinstance(node, Input) and node.name):
            new[Ref(i)] = tracer.ref(values[node.name])
            if isinstance(node, Input) and node.role is Role.SEED:  # only what draws from it can tell
                key(tracer, Traced(tracer, new[Ref(i)]))
        else:
            new[Ref(i)] = b.add(renumber(node, new), program.names[i])
    results = [(Traced(tracer, new[o.ref], o.dtype), o.total) for o in program.outputs]
    return tuple(BatchTotal(row) if total else row for row, total in results)
