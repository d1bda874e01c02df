"""Pieces of C text: tables of words, numbers, names and indentation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from ..loops import Kind, Port

CTYPES = {Kind.VEC: "rf_vec", Kind.MASK: "rf_mask", Kind.ACC: "rf_acc", Kind.NUM: "double", Kind.FLAG: "int",
          Kind.WIDE: "rf_wide", Kind.SMALL: "double", Kind.FLAGS: "int"}  # fmt: skip
INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
         "ne": "!=", "and": "&&", "or": "||", "xor": "!="}  # fmt: skip
EXTENT = {"best_take": ("i", "count"), "best_take_where": ("i", "count"),
          "pool_take": ("count",), "pool_add": ("count",)}  # fmt: skip
WHOLE = {"cumsum": "num_cumsum", "best_values": "rf_best_values", "best_places": "rf_best_places"}
FOLDS = frozenset({"fold", "fold_max", "fold_min", "fold_mul", "fold_first"})
WITH_COUNT = {"acc_add_tree": 2, "parts_max": 1, "acc_add_pairs": 3}
ELEMENT = {"T": "", "mask": "_mask", "int": "_int"}
TURNS = 4  # accumulators of a maximum: its latency over its throughput
POINTERS = {"T": "", "mask": "_mask", "int": "_int"}
RESULTS = {"T": "", "mask": "_mask", "index": "_int", "double": "_double"}


def suffix(port: Port, endings: Mapping[str, str]) -> str:
    """The ending of a word on this port's memory."""
    return f"_{port.narrow}" if port.narrow else endings[port.element]


def turn_name(name: str, turn: int) -> str:
    """A further accumulator's name; no variable of a program is called so."""
    return f"turn_{turn}_of_{name}"


def half_name(parts: str) -> str:
    """Half a block's vectors, on their way into a sum; no variable of a program is called so."""
    return f"half_of_{parts}"


def eight_name(name: str) -> str:
    """Vectors that are loaded before they are needed; no variable of a program is called so."""
    return f"eight_of_{name}"


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
