"""The row function of a kernel's gradients: its signature, and what it does with traced rows and with arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rowfold.annotations import Row, Scalar
from rowfold.codegen.interpret import interpret
from rowfold.codegen.ir import Builder, Input, Param, Program, Ref, Role, Type, renumber
from rowfold.codegen.signature import Parameter, Setting
from rowfold.codegen.trace import is_traced, trace
from rowfold.codegen.traced import Traced, Tracer
from rowfold.codegen.vjp import differentiable, gradient_names, vjp

_PLACEHOLDERS: Mapping[type, object] = {int: 1, bool: False, float: 1.0, str: ""}


def gradient_function(kernel: Any) -> Callable[..., tuple[Any, ...]]:
    """The row function of the gradients: the kernel's parameters, one gradient for each float output, its settings.

    On traced rows it adds the derived program to the trace; on arrays it interprets that program.
    """
    parameters: tuple[Parameter, ...] = kernel.parameters
    settings: tuple[Setting, ...] = kernel.settings
    incoming = incoming_gradients(kernel)
    names = [p.name for p in parameters] + [p.name for p in incoming]

    def gradients(*args: Any, **given: Any) -> tuple[Any, ...]:
        bound = dict(zip(names, args, strict=False)) | given
        values = {n: bound[n] for n in names if bound.get(n) is not None}
        traced = [a for a in (*args, *given.values()) if is_traced(a)]
        static = {s.name: given.get(s.name, s.default) for s in settings if s.static}
        floats = {s.name: given.get(s.name, s.default) for s in settings if not s.static}
        program = gradient_program(kernel, values, static)
        if traced:
            return _replayed(traced[0].tracer, program, values | floats)
        wide = {n: np.asarray(a) for n, a in values.items()}
        return interpret(program, wide, {n: float(v) for n, v in floats.items()})

    gradients.__name__ = gradients.__qualname__ = f"{kernel.name}_vjp"
    gradients.__doc__ = f"The gradients of {kernel.name} in its float parameters, from those of its results."
    gradients.__module__ = kernel.__wrapped__.__module__
    gradients.__wrapped__ = kernel.__wrapped__  # type: ignore[attr-defined]  # where annotations are looked up
    gradients.__signature__ = _signature(kernel, incoming)  # type: ignore[attr-defined]
    return gradients


def incoming_gradients(kernel: Any) -> tuple[Parameter, ...]:
    """The parameters that the gradients of the results come in by. Raises NotDifferentiableError."""
    static = {s.name: _PLACEHOLDERS[s.type] if s.required else s.default for s in kernel.settings if s.static}
    program = trace(kernel.__wrapped__, name=kernel.name, settings=static)
    refs = [ref for ref, _ in differentiable(program)]
    roles = [Role.ROW if program.is_row(ref) else Role.SCALAR for ref in refs]
    return tuple(Parameter(n, role) for n, role in zip(gradient_names(program), roles, strict=True))


def gradient_program(kernel: Any, values: Mapping[str, Any], static: Mapping[str, object]) -> Program:
    """The derived program for the arguments that are present."""
    found = [p for p in kernel.parameters if p.name in values]
    given = frozenset(p.name for p in found if p.optional)
    kinds = {p.name: "bool" for p in found if p.role is Role.ROW and _is_boolean(values[p.name])}
    return vjp(trace(kernel.__wrapped__, name=kernel.name, settings=static, given=given, kinds=kinds))


def _is_boolean(value: Any) -> bool:
    if isinstance(value, Traced):
        return value.tracer.kind(value) is Type.BOOL
    return bool(np.asarray(value).dtype == bool)


def _signature(kernel: Any, incoming: Sequence[Parameter]) -> inspect.Signature:
    kinds: dict[Role, Any] = {Role.ROW: Row, Role.SCALAR: Scalar}
    own = inspect.signature(kernel.__wrapped__).parameters.values()
    positional = [p for p in own if p.kind is not p.KEYWORD_ONLY]
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    more = [inspect.Parameter(p.name, either, annotation=kinds[p.role]) for p in incoming]
    settings = [p for p in own if p.kind is p.KEYWORD_ONLY]
    # a gradient may follow an optional parameter: a call that leaves that out gives the gradients last all the same
    return inspect.Signature([*positional, *more, *settings], __validate_parameters__=False)


def _replayed(tracer: Tracer, program: Program, values: Mapping[str, Any]) -> tuple[Traced, ...]:
    """The program's outputs, its nodes added to a running trace with these values for its inputs and settings."""
    b: Builder = tracer.builder
    new: dict[Ref, Ref] = {}
    for i, node in enumerate(program.nodes):
        if isinstance(node, Param) or (isinstance(node, Input) and node.name):
            new[Ref(i)] = tracer.ref(values[node.name])
        else:
            new[Ref(i)] = b.add(renumber(node, new), program.names[i])
    return tuple(Traced(tracer, new[o.ref]) for o in program.outputs)
