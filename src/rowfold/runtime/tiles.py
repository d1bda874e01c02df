"""Rows beside each other: which calls take the form of a kernel that walks a tile of rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .spec import Array

_LEAST = (8, 4)  # rows beside each other, and elements of a row


def arranged(found: Any, operands: Sequence[Array]) -> Any:
    """The loop for operands that lie so: `found` itself, or its tiles, where the first row's neighbour is nearer."""
    signature = found.ufunc.signature
    first = next((a for a, core in zip(operands, signature[1:].split("),("), strict=False) if core[:1] == "n"), None)
    formed = getattr(found, "formed", None)
    if first is None or formed is None or not beside(first):
        return found
    return formed("tiles") or found


def beside(rows: Array) -> bool:
    """Whether rows (along the last axis) have gaps, and other rows in them."""
    size = rows.itemsize
    if rows.ndim < 2 or rows.strides[-1] == size or rows.shape[-1] < _LEAST[1]:
        return False
    return any(s == size and k >= _LEAST[0] for s, k in zip(rows.strides[:-1], rows.shape[:-1], strict=True))
