"""The table of sixteenths where a register holds a half or a quarter of it: AVX2's words, as in the vocabularies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..mathlib.coefficients import SIXTEENTHS
from ..mathlib.exponential import FINE_MAGIC
from ..mathlib.words import Dtype
from .values import Type, Value

if TYPE_CHECKING:
    from .llvm_text import LlvmText

HALF = Type("f32", 8)
QUARTER = Type("f64", 4)
REACH = {"f32": (-254.0, 127.9375), "f64": (-2046.0, 1023.9375)}  # the exponents of results that are not 0 or infinite


def eights(b: LlvmText, word: str, z: Value, shift: Value | None = None) -> Value | None:
    """The entries that the low four bits of z choose, or these times two to the rest of z less the shift."""
    places, text = b.convert("bits", z, "i32"), [b.typed(b.const(entry, Type("f32"))) for entry in SIXTEENTHS["f32"]]
    tables = [Value(b, f"<{', '.join(text[k : k + 8])}>", HALF) for k in (0, 8)]
    if word == "sixteenth":
        parts = [chosen(b, tables, b.half(places, k)) for k in (0, 1)]
    elif word == "scaled_sixteenth" and shift is not None:
        tables, kept = lacking(b, tables, shift), within(b, z, shift)
        parts = [stepped(b, chosen(b, tables, b.half(places, k)), b.half(kept, k)) for k in (0, 1)]
    else:
        return None
    return b.shuffle(parts[0], parts[1], range(16))


def chosen(b: LlvmText, tables: list[Value], at: Value) -> Value:
    low, high = (b.line(f"call <8 x float> @llvm.x86.avx2.permps({b.typed(t)}, {b.typed(at)})", HALF) for t in tables)
    return b.operation("select", [b.apply("shl", at, 28) < 0, high, low], HALF)


def lacking(b: LlvmText, tables: list[Value], shift: Value) -> list[Value]:
    """Tables whose entries lack in their exponents what z has in its lowest bits, its own place and all."""
    places = [b.const(1.5 * 2.0**23 + k, Type("f32")) for k in range(16)]
    counted = Value(b, f"<{', '.join(map(b.typed, places))}>", shift.type)
    steps = b.apply("shl", b.convert("bits", b.apply("fma", shift, 16.0, counted), "i32"), 19)
    less = [b.convert("bits", t, "i32") - b.half(steps, k) for k, t in enumerate(tables)]
    return [b.convert("bits", v, "f32") for v in less]


def within(b: LlvmText, z: Value, shift: Value) -> Value:
    """z where results are neither 0 nor beyond the largest number, as bits. It comes second: a NaN stays."""
    of: Dtype = "f32" if z.type.element == "f32" else "f64"
    zero, (lowest, highest) = shift + FINE_MAGIC[of], REACH[of]
    least, most = zero + lowest, zero + highest
    kept = b.apply("select", least > z, least, z)
    return b.convert("bits", b.apply("select", most < kept, most, kept), "i32" if of == "f32" else "i64")


def stepped(b: LlvmText, entry: Value, kept: Value) -> Value:
    raised = b.convert("bits", entry, "i32") + b.apply("shl", kept, 19)
    return b.convert("bits", b.intrinsic("smax.v8i32", [raised, raised ^ raised], raised.type), "f32")


def fours(b: LlvmText, word: str, z: Value, shift: Value | None = None) -> Value | None:
    """The same for float64, whose table is read from memory: chosen by halves it took half of an exponential's time."""
    if word == "sixteenth":
        return read(b, z)
    if word != "scaled_sixteenth" or shift is None:
        return None
    places = within(b, z, shift) - b.convert("bits", shift + FINE_MAGIC["f64"], "i64")
    steps = b.apply("shl", b.apply("shr", places, 4), 52)
    raised = b.convert("bits", read(b, z), "i64") + steps
    return b.apply("select", raised < 0, b.const(0.0, z.type), b.convert("bits", raised, "f64"))


def read(b: LlvmText, z: Value) -> Value:
    entries = ", ".join(b.typed(b.const(entry, Type("f64"))) for entry in SIXTEENTHS["f64"])
    b.shared["sixteenths"] = [f"@sixteenths = private unnamed_addr constant [16 x double] [{entries}], align 64"]
    places = b.apply("and", b.convert("bits", z, "i64"), 15)
    every = "<4 x double> splat (double 0xFFFFFFFFFFFFFFFF)"
    parts = []
    for k in (0, 1):
        given = f"<4 x double> zeroinitializer, ptr @sixteenths, {b.typed(b.half(places, k))}, {every}, i8 8"
        parts.append(b.line(f"call <4 x double> @llvm.x86.avx2.gather.q.pd.256({given})", QUARTER))
    return b.shuffle(parts[0], parts[1], range(8))
