"""Pieces of C text: numbers, names and indentation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from .loops import Kind

CTYPES = {Kind.VEC: "rf_vec", Kind.MASK: "rf_mask", Kind.ACC: "rf_acc", Kind.NUM: "double", Kind.FLAG: "int",
          Kind.WIDE: "rf_wide", Kind.SMALL: "double", Kind.FLAGS: "int"}  # fmt: skip
INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
         "ne": "!=", "and": "&&", "or": "||", "xor": "!="}  # fmt: skip
POINTERS = {"T": "", "mask": "_mask", "int": "_int"}
RESULTS = {"T": "", "mask": "_mask", "index": "_int"}


def turn_name(name: str, turn: int) -> str:
    """A further accumulator's name; no variable of a program is called so."""
    return f"turn_{turn}_of_{name}"


def literal(value: float) -> str:
    """A double as C text, exact: small integers in decimal, the rest in hexadecimal."""
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    if value == int(value) and abs(value) < 2**31:
        return f"{'-' if math.copysign(1.0, value) < 0 else ''}{abs(int(value))}.0"
    return re.sub(r"\.?0*p", "p", value.hex())


def indented(lines: Iterable[str]) -> Iterable[str]:
    return (f"    {line}" if line else line for line in lines)
