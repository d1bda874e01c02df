"""Numbers of 16 and 8 bits in languages of values: the arithmetic of dtypes.py on one number or a vector."""

from __future__ import annotations

from ..dtypes import Format
from .values import Builder, Value


def widened(b: Builder, codes: Value, f: Format) -> Value:
    """The float32 that codes stand for."""
    whole = b.convert("extend", codes, "i32")
    if f.bias == 127:
        return b.convert("bits", b.apply("shl", whole, f.drop), "f32")
    code = b.apply("and", whole, (1 << (f.bits - 1)) - 1)
    sign = b.apply("shl", b.apply("shr", whole, f.bits - 1), 31)
    a = b.apply("shl", code, f.drop)
    one = b.const(float_of(f.normal), a.type.of("f32"))
    small = b.convert("bits", b.convert("bits", a + f.normal, "f32") - one, "i32")
    bits = b.apply("select", a < 1 << 23, small, a + ((127 - f.bias) << 23))
    special = b.apply("or", a, 0x7FC00000)
    if f.over != f.nan:
        special = b.apply("select", code.eq(f.over), b.apply("or", a, 0x7F800000), special)
    bits = b.apply("select", code > f.top, special, bits)
    return b.convert("bits", bits | sign, "f32")


def narrowed(b: Builder, values: Value, f: Format) -> Value:
    """The codes of float32 values: nearest, ties to even."""
    bits = b.convert("bits", values, "i32")
    a = b.apply("and", bits, 0x7FFFFFFF)
    last = b.apply("shr", a, f.drop)
    up = b.apply("and", last, 1) + ((1 << (f.drop - 1)) - 1 - ((127 - f.bias) << 23))
    code = b.apply("shr", a + up, f.drop)
    if f.bias < 127:
        magic = b.const(float_of(f.magic), values.type)
        small = b.convert("bits", b.convert("bits", a, "f32") + magic, "i32") - f.magic
        code = b.apply("select", a < f.normal, small, code)
    code = b.apply("select", code > f.top, f.over, code)
    nan = b.apply("or", b.apply("and", last, (1 << f.mantissa) - 1), f.nan)
    code = b.apply("select", a > 0x7F800000, nan, code)
    sign = b.apply("shl", b.apply("shr", bits, 31), f.bits - 1)
    return b.convert("truncate", code | sign, f"i{f.bits}")


def float_of(bits: int) -> float:
    """The float32 of these bits, which is a power of two."""
    return float(2.0 ** ((bits >> 23) - 127))
