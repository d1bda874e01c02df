"""Why the constants of emitted C are what they are: a line for each that stands in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..lower.context import BIAS, BIASED_DROP, DROP, LIMIT, NEAR
from ..lower.expsums import TOP
from ..lower.hints import FADING, PEEK, WHOLE
from ..mathlib.coefficients import EXP2_NEAR, SIXTEENTHS
from ..mathlib.exponential import FINE_MAGIC, MAGIC
from .text import literal

_SPACING = {"f32": "2^19", "f64": "2^48"}
_NEARLY = {"f32": "2^-29", "f64": "2^-56"}


def notes(text: str, dtypes: frozenset[str]) -> list[str]:
    """The lines for the constants that are in the text. `dtypes` are those that are computed in."""
    known = [note for dtype in ("f32", "f64") if dtype in dtypes for note in _of_dtype(dtype)]
    found = [f"{', '.join(c)}: {why}" for c, why in (*known, *_of_rows()) if all(_stands(name, text) for name in c)]
    return list(dict.fromkeys(found))


def _stands(constant: str, text: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(constant)}(?![\w.])", text) is not None


def _of_dtype(dtype: str) -> Iterator[tuple[list[str], str]]:
    """The exponential's."""
    fine, whole = literal(FINE_MAGIC[dtype]), literal(MAGIC[dtype])  # type: ignore[index]
    yield [fine], f"1.5 {_SPACING[dtype]}; adding it rounds to a sixteenth, which numbers the table's entry."
    yield [whole], "adding it rounds to an integer."
    unit = SIXTEENTHS[dtype][0]
    yield ["sixteenths"], f"{unit:.4f} 2^(k/16). With this factor, which cancels, all 16 are nearly exact (0.28 u)."
    yield [literal(c) for c in EXP2_NEAR[dtype]], f"(2^f - 1)/f for abs(f) <= 1/32, to {_NEARLY[dtype]} of 2^f."
    yield (
        [literal(BIASED_DROP[dtype])],
        "octaves below the guess from which on an exponential is 0.",
    )
    yield [literal(DROP[dtype])], "octaves below the maximum from which on an exponential counts for nothing."
    yield ["0x1p+56", literal(2.0 ** TOP[dtype])], "a sum between them did not overflow, and lost nothing that counts."


def _of_rows() -> Iterator[tuple[list[str], str]]:
    """What rows are told apart by."""
    yield [literal(LIMIT)], "2^16 log2 e. Exponents are exact up to there; beyond, the row's maximum is subtracted."
    yield [literal(NEAR)], "without fma exponents are exact up to there; beyond, the row's maximum is subtracted."
    yield [literal(BIAS)], "octaves that exponentials are raised by, so that small ones are no subnormal numbers."
    hints = [literal(PEEK), literal(WHOLE), literal(FADING)]
    yield hints, "doubts that make a row look for its maximum itself, in part or all over; what a row takes off."
    yield ["0x1.71547652b82fep+0", "0x1.777d0ffda0d24p-56"], "log2 e, and the rest of it."
