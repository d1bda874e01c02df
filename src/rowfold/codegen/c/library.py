"""The functions of the maths library that a page calls, as C text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ...records import dataclass
from ..loops import ONE_OF, Arg, Kernel, Kind, Stmt, Var
from .functions import record
from .text import CTYPES


class Printer(Protocol):
    """What prints statements."""

    def stmt(self, s: Stmt) -> str: ...
    def arg(self, a: Arg, kind: Kind) -> str: ...


@dataclass(frozen=True, slots=True)
class FunctionText:
    doc: str
    head: str
    lines: tuple[str, ...]


def functions_of(kernel: Kernel, stmts: Iterable[Stmt], page: Printer, *, fused: bool) -> list[FunctionText]:
    """Every library function that is called, each after those it calls itself."""
    made: dict[tuple[str, Kind], FunctionText] = {}
    builtin = {"reciprocal2", "two_sum", "scale_log2e", "fold2"}

    def need(stmts: Iterable[Stmt]) -> None:
        for stmt in stmts:
            key = (stmt.word, ONE_OF.get(kind := stmt.results[0].kind, kind)) if stmt.call else None
            if key is None or key in made or stmt.word in builtin:
                continue
            function, inner, results = record(stmt.word, key[1], kernel.dtype, fused=fused)
            need(inner)
            made[key] = _function_text(page, function.doc, stmt.word, key[1], inner, results, function.inputs)

    need(stmts)
    return list(made.values())


def _function_text(
    page: Printer,
    doc: str,
    name: str,
    kind: Kind,
    inner: tuple[Stmt, ...],
    results: tuple[Var | float, ...],
    inputs: tuple[str, ...],
) -> FunctionText:
    ctype, prefix = CTYPES[kind], "rf_" if kind is Kind.VEC else "num_"
    lines = [page.stmt(s) for s in inner]
    values = [page.arg(r, kind) for r in results]
    parameters = [f"{ctype} {n}" for n in inputs]
    if len(values) == 1:
        return FunctionText(doc, f"{ctype} {prefix}{name}({', '.join(parameters)})", (*lines, f"return {values[0]};"))
    outs = [f"out_{i}" for i in range(len(values))]
    parameters += [f"{ctype} *{o}" for o in outs]
    stores = [f"*{o} = {v};" for o, v in zip(outs, values, strict=True)]
    return FunctionText(doc, f"void {prefix}{name}({', '.join(parameters)})", (*lines, *stores))
