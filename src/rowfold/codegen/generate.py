"""Plan -> Source: the last stages of the code generator, in order, for each language."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

from .. import __version__
from ..errors import CompileError
from ..records import replace
from .dtypes import FORMATS
from .ir import Map, Program, Ref, Role, Type
from .loops import with_banner
from .lower.kernel import lower
from .plan import Plan, describe
from .source import Source
from .targets import Target

P = ParamSpec("P")
T = TypeVar("T")


def _not_too_deep(make: Callable[P, T]) -> Callable[P, T]:
    """Lowering follows a program's operations by recursion: Python's limit of it becomes an error that says so."""

    @functools.wraps(make)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return make(*args, **kwargs)
        except RecursionError:
            limit = sys.getrecursionlimit()
            raise CompileError(
                f"the program's operations are nested more deeply than Python's recursion limit of {limit} lets us "
                "follow; raise it with sys.setrecursionlimit(), or split the kernel"
            ) from None

    return limited


@_not_too_deep
def source_of(plan: Plan) -> Source:
    """The C of a plan."""
    from .emit_c import emit  # brings Jinja, which the other emitters do without

    signature, types = gufunc(plan)
    banner = tuple(describe(plan, brief=True))
    kernel = with_banner(lower(plan), banner)
    if plan.form:
        from .emit_form import emit_form

        source = emit_form(kernel, plan.form, plan.isa, plan.strategy, __version__, signature, types)
    else:
        grouped = plan.together if plan.state is None else 0
        source = emit(kernel, plan.isa, plan.strategy, __version__, signature, types, grouped=grouped)
    return replace(source, apart=plan.apart)


@_not_too_deep
def llvm_of(plan: Plan, target: Target, *, draft: bool = False) -> Source:
    """The LLVM IR of a plan, or what computes the same with less text."""
    from .emit_llvm import emit as emit_llvm

    banner = tuple(describe(plan, brief=True))
    kernel, grouped = with_banner(lower(plan), banner), plan.together if plan.state is None else 0
    source = emit_llvm(kernel, target, plan.strategy, __version__, *gufunc(plan), grouped=grouped, draft=draft)
    return replace(source, apart=plan.apart)


@_not_too_deep
def mlir_of(plan: Plan) -> str:
    """The MLIR of a plan."""
    from .emit_mlir import emit as emit_mlir

    if any(i.narrow for _, i in plan.program.inputs) or any(o.narrow for o in plan.program.outputs):
        raise CompileError(f"{plan.name}: rows of 16 and 8 bits have no MLIR yet")
    if any(isinstance(n, Map) and n.op == "lookup" for n in plan.program.nodes):
        raise CompileError(f"{plan.name}: rf.lookup has no MLIR yet")
    return emit_mlir(with_banner(lower(plan), tuple(describe(plan, brief=True))), plan.strategy, __version__)


def gufunc(plan: Plan) -> tuple[str, str]:
    """The signature and type characters of the loop: inputs, settings, outputs."""
    program = plan.program
    real = {"f32": "f", "f64": "d"}[plan.dtype]
    kinds = {Role.ROW: real, Role.MASK: "?", Role.INT_ROW: "l", Role.SCALAR: "d", Role.INDEX: "l"}
    kinds[Role.TABLE] = real
    kinds[Role.SEED] = np.dtype(np.uint64).char
    wide = (Role.ROW, Role.MASK, Role.INT_ROW)
    cores: dict[Role, str] = dict.fromkeys(wide, "(n)")
    inputs = [
        (f"(m{k})" if i.role is Role.TABLE else cores.get(i.role, "()"), code(i.narrow, kinds[i.role]))
        for k, (_, i) in enumerate(program.inputs)
    ]
    inputs += [("()", "d") for _ in program.params]
    part = plan.state
    if part is not None:
        inputs += [(f"({part.size})", "d")] * bool(part.done) + [("()", "l")]
    stored = {Type.FLOAT: real, Type.INT: "l", Type.BOOL: "?", Type.DOUBLE: "d"}
    inputs += [("(t)", "d") for o in program.outputs if o.total]  # what the loop adds to: docs/decisions/0013
    made = [o for o in program.outputs if not o.total]
    outputs = [(_core(program, o.ref), code(o.narrow, stored[program.stored(o)])) for o in made]
    outputs = [(f"({part.size})", "d")] if part is not None and not part.last else outputs
    shape = f"{','.join(s for s, _ in inputs)}->{','.join(s for s, _ in outputs)}"
    return shape, "".join(c for _, c in (*inputs, *outputs))


def code(narrow: str, whole: str) -> str:
    """NumPy's character for the elements of an operand."""
    return FORMATS[narrow].char if narrow else whole


def _core(program: Program, ref: Ref) -> str:
    """The core dimensions of an output: n, the size of a k-vector, or none."""
    return "(n)" if program.is_row(ref) else f"({program.entries(ref) or ''})"
