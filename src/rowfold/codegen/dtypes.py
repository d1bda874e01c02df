"""Number formats of 16 and 8 bits: what their codes mean, and how a float32 becomes one, rounded to nearest even.

The same integer arithmetic is written in C (templates/narrow.c.j2), for LLVM (ssa/narrow.py) and here for NumPy, so
that every backend gives the same codes, NaN included, and subnormal results are never flushed, as the bfloat16
instructions of some CPUs do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..records import dataclass

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Format:
    """One sign bit, then exponent and `mantissa` bits. Codes without the sign rise with their numbers up to `top`."""

    name: str
    numpy: str  # its dtype's name in NumPy or ml_dtypes
    bits: int
    mantissa: int
    bias: int
    top: int  # the code of the largest number
    over: int  # the code of what is larger: infinity, or NaN where there is none
    nan: int
    char: str  # NumPy's character for what a loop takes: the codes, but float16 itself

    @property
    def normal(self) -> int:
        """The smallest normal number as the bits of a float32."""
        return (128 - self.bias) << 23

    @property
    def magic(self) -> int:
        """The bits of a float32 that is spaced as the format's subnormal numbers are: adding it rounds to them."""
        return (151 - self.bias - self.mantissa) << 23

    @property
    def drop(self) -> int:
        """The bits by which a float32 is longer."""
        return 23 - self.mantissa

    @property
    def ctype(self) -> str:
        return f"uint{self.bits}_t"


FORMATS = {
    f.name: f
    for f in (
        Format("f16", "float16", 16, 10, 15, 0x7BFF, 0x7C00, 0x7E00, "e"),
        Format("bf16", "bfloat16", 16, 7, 127, 0x7F7F, 0x7F80, 0x7FC0, "H"),
        Format("e4m3", "float8_e4m3fn", 8, 3, 7, 0x7E, 0x7F, 0x7F, "B"),
        Format("e5m2", "float8_e5m2", 8, 2, 15, 0x7B, 0x7C, 0x7E, "B"),
    )
}
NAMED = {f.numpy: f.name for f in FORMATS.values()}
CHARS = frozenset(f.char for f in FORMATS.values())


def narrow(values: Array, f: Format) -> Array:
    """The codes of float32 values: nearest, ties to even."""
    bits = values.view(np.uint32)
    a = bits & np.uint32(0x7FFFFFFF)
    odd = (a >> np.uint32(f.drop)) & np.uint32(1)
    code = (a - np.uint32((127 - f.bias) << 23) + np.uint32((1 << (f.drop - 1)) - 1) + odd) >> np.uint32(f.drop)
    if f.bias < 127:
        magic = np.uint32(f.magic)
        small = (a.view(np.float32) + magic.view(np.float32)).view(np.uint32) - magic
        code = np.where(a < f.normal, small, code)
    code = np.where(code > f.top, np.uint32(f.over), code)
    nan = np.uint32(f.nan) | ((a >> np.uint32(f.drop)) & np.uint32((1 << f.mantissa) - 1))
    code = np.where(a > 0x7F800000, nan, code) | ((bits >> np.uint32(31)) << np.uint32(f.bits - 1))
    return np.asarray(code, f"u{f.bits // 8}")


def widen(codes: Array, f: Format) -> Array:
    """The float32 that codes stand for."""
    whole = codes.astype(np.uint32)
    if f.bias == 127:
        return np.asarray(whole << np.uint32(f.drop)).view(np.float32)
    code = whole & np.uint32((1 << (f.bits - 1)) - 1)
    a = code << np.uint32(f.drop)
    one = np.uint32(f.normal)
    small = ((a + one).view(np.float32) - one.view(np.float32)).view(np.uint32)
    bits = np.where(a < 1 << 23, small, a + np.uint32((127 - f.bias) << 23))
    quiet = np.where(code == f.over, np.uint32(0), np.uint32(0x400000)) | np.uint32(f.over == f.nan) << np.uint32(22)
    bits = np.where(code > f.top, a | np.uint32(0x7F800000) | quiet, bits)
    return np.asarray(bits | ((whole >> np.uint32(f.bits - 1)) << np.uint32(31))).view(np.float32)


def rounded(values: Array, f: Format) -> Array:
    """The values as they come back from memory."""
    return widen(narrow(values, f), f)
