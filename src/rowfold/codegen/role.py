"""What an array parameter is. Apart from `ir`, whose classes a call from a warm cache need not pay for."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """What one element of an input is."""

    ROW = "row"  # n floats
    MASK = "mask"  # n booleans
    INT_ROW = "int row"  # n integers
    SCALAR = "scalar"  # one float a row
    INDEX = "index"  # one integer a row, in [0, n)
    TABLE = "table"  # floats of a number of their own, the same for every element: what rf.lookup reads
    SEED = "seed"  # one 64-bit key a row, of random numbers
    UNKNOWN = "unknown"  # a number that a reduction solves for, and binds
    POSITIONS = "positions"  # 0 .. n-1, made by the kernel itself
