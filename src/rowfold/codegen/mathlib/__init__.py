"""The mathematical functions, each written once against `Words` and with its measured error beside it.

The same body is emitted as C, as LLVM and as MLIR, and is run by NumPy (`rowfold.codegen.running.numpywords`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rowfold.codegen.mathlib import exponential, logarithm, logistic, power, trigonometric
from rowfold.codegen.mathlib.words import Function, Words

__all__ = ["FUNCTIONS", "Function", "Words"]

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {f.name: f for family in (exponential, logarithm, logistic, power, trigonometric) for f in family.FAMILY}
)
