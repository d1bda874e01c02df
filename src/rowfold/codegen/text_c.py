"""Pieces of C text: numbers, names and indentation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable


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
