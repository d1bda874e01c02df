"""What a parameter of a row function is, said by its annotation.

    def loss(x: rf.Row, keep: rf.Mask, s: rf.Scalar, y: rf.Index, *, temperature: rf.Positive = 1.0): ...

A plain parameter is a row. To a type checker these are arrays and numbers, so row functions check as NumPy code.
Checkers refuse a call in an annotation; `Annotated[rf.Index, rf.Ignore(-100)]` says `rf.Index(ignore=-100)` to both.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, SupportsIndex, TypeAlias, TypeVar

import numpy as np

from .records import NamedTuple

_T = TypeVar("_T")
_Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Between(NamedTuple):
    """Bounds of a setting, float or int, or of an `rf.Scalar`: `Annotated[float, rf.Between(0, 1)]`.

    `open` excludes the lower bound. With `length` a float setting is at most the length of the rows, too.
    """

    low: float = -math.inf
    high: float = math.inf
    open: bool = False
    length: bool = False


class Ignore(NamedTuple):
    """The index value that marks a row to be ignored: such a row gives 0 and no gradient."""

    value: int


class Mark(Enum):
    """What an array parameter or a setting is. The names of roles are those of `ir.Role`, which is slow to import."""

    ROW = "row"
    MASK = "mask"
    INT_ROW = "int row"
    SCALAR = "scalar"
    INDEX = "index"
    TABLE = "table"
    STATIC = "static"  # a setting whose value is compiled into the kernel


Mask: TypeAlias = Annotated[np.ndarray[Any, np.dtype[np.bool_]], Mark.MASK]
"""A row of booleans."""

Table: TypeAlias = Annotated[np.ndarray[Any, np.dtype[Any]], Mark.TABLE]
"""A row of floats with a length of its own, for `rf.lookup` to read; its batch shape broadcasts as a row's does."""

Scalar: TypeAlias = Annotated[float | _Array, Mark.SCALAR]
"""One number a row; at the call an array of the batch's shape."""

Static = Annotated[_T, Mark.STATIC]
"""`rf.Static[float]`: a float setting that is compiled into the kernel, so that the row function may branch on it."""

Positive: TypeAlias = Annotated[float, Between(0.0, math.inf, open=True)]
"""A float setting above 0, checked at the call."""

NonNegative: TypeAlias = Annotated[float, Between(0.0)]
"""A float setting of at least 0, checked at the call."""

if TYPE_CHECKING:
    from typing_extensions import TypeAliasType
    from typing_extensions import TypeVar as DefaultingTypeVar

    _Element = DefaultingTypeVar("_Element", default=float)
    Row = TypeAliasType("Row", _Array, type_params=(_Element,))
    Index: TypeAlias = SupportsIndex | _Array
else:

    class Row:
        """A row of floats, the meaning of a plain parameter too; `rf.Row[int]` is a row of integers."""

        def __class_getitem__(cls, element: type) -> Any:
            roles = {float: Mark.ROW, int: Mark.INT_ROW, bool: Mark.MASK}
            if element not in roles:
                raise TypeError(f"rf.Row[...] takes float, int or bool, not {element!r}")
            return Annotated[_Array, roles[element]]

    class Index:
        """One integer a row, in [0, n). `rf.Index(ignore=-100)`: rows with that value give 0 and no gradient."""

        def __new__(cls, *, ignore: int) -> Any:
            return Annotated[_Array, Mark.INDEX, Ignore(ignore)]
