"""A loop as a handler of XLA's foreign function interface: one more function after the loop's C text.

    Source of a loop, its program  ->  Source of a handler, `XLA_FFI_Error *symbol(XLA_FFI_CallFrame *)`

The handler takes the present arguments as buffers, the settings as attributes (float64) beside `axis`, the row's place
from the end, and gives a buffer for each output of the program, sums over the batch in their place among them.
"""

from __future__ import annotations

from typing import Any

from ..errors import CompileError
from ..records import dataclass, replace
from .c.words import environment
from .ir import Program, Role
from .source import Source

_WHOLE = (Role.ROW, Role.MASK, Role.INT_ROW)


@dataclass(frozen=True, slots=True)
class Operand:
    """What the handler knows of one operand of the loop. `length`: which core dimension it has, -1 for none."""

    type: str
    length: int
    at_end: int = 0
    index: int = 0
    ignored: int | str = "INT64_MIN"
    label: str = "NULL"


def with_handler(source: Source, program: Program, header: str, jaxlib: str, dtype: str) -> Source:
    """The loop's text and a handler after it. `header` is the path of xla/ffi/api/c_api.h, of this jaxlib.

    CompileError for what a handler cannot take: noise, which needs to know a row's number.
    """
    if any(node.role is Role.SEED for _, node in program.inputs):
        raise CompileError(f"{program.name}: random rows have no handler")
    if any(c in '"\\\n' for c in header):
        raise CompileError(f"{header!r}: not a path that a C text can name")
    labels: dict[str, int] = {}
    operands = _operands(source, program, labels)
    first = len(program.inputs) + len(program.params)
    sums = sum(o.total for o in program.outputs)
    places = {True: iter(range(first, first + sums)), False: iter(range(first + sums, len(operands)))}
    handler = f"{source.symbol}_jax"
    text = environment().get_template("jax_ffi.c.j2").render(
        handler=handler, symbol=source.symbol, jaxlib=jaxlib, header=f'"{header}"', name=_quoted(program.name),
        operands=operands, inputs=len(program.inputs), settings=[p.name for _, p in program.params], sums=sums,
        results=[next(places[o.total]) for o in program.outputs], row=labels.get("n", 0),
        lengths=[int(label) if label.isdigit() else 0 for label in labels] or [0], lane={"f32": 16, "f64": 8}[dtype],
    )  # fmt: skip
    return replace(source, symbol=handler, text=source.text + text, header="")


def _operands(source: Source, program: Program, labels: dict[str, int]) -> list[Operand]:
    """The operands in the loop's order; the names of core dimensions go to `labels`, in order of appearance."""
    cores = [core for side in source.signature.split("->") for core in side[1:-1].split("),(")]
    inputs: list[Any] = [node for _, node in program.inputs]
    found = []
    for k, (core, type_) in enumerate(zip(cores, source.types, strict=True)):
        length = labels.setdefault(core, len(labels)) if core else -1
        node = inputs[k] if k < len(inputs) else None
        index = node is not None and node.role is Role.INDEX
        ignored = "INT64_MIN" if node is None or node.ignore is None else node.ignore
        label = _quoted(node.name) if node is not None else "NULL"
        at_end = node is not None and node.role not in _WHOLE
        found.append(Operand(type_, length, int(at_end), int(index), ignored, label))
    return found


def _quoted(name: str) -> str:
    """A name of the user's as a C string: whatever is no plain letter becomes an underscore."""
    return '"' + "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name[:60]) + '"'
