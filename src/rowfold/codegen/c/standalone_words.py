"""The vocabulary of C that stands alone: the words of an instruction set under names of their own, and no libm."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from ..isas import Isa, has_template
from ..lower.context import LIMIT, NEAR
from .text import literal
from .words import definitions, identifiers

_SHARED = ("tables.c.j2", "common.c.j2", "narrow.c.j2", "selection.c.j2")
_CALLS = "fma sqrt rint floor copysign fabs nextafter logb ilogb scalbn".split()
_LIBM = re.compile(rf"\b({'|'.join(_CALLS)})(f?)\(")
_PLAIN = {"memcpy": "RF_COPY", "memmove": "RF_MOVE", "INFINITY": "RF_INFINITY", "NAN": "RF_NAN"}
_OTHER = re.compile(rf"\b({'|'.join(_PLAIN)})\b")
_OURS = re.compile(r"\b(rf|num)_(?=\w)")


def files_of(isa: Isa) -> tuple[str, ...]:
    """The templates that define the words of an instruction set; the first definition of a name holds."""
    own = tuple(n for n in (f"{room}/{isa.name}.c.j2" for room in ("isa", "memory", "narrow")) if has_template(n))
    if isa.arch == "x86_64" and isa.fma:
        return (*own, "standalone/fma_x86.c.j2", "x86.c.j2", "standalone/libm.c.j2", *_SHARED)
    if isa.header == "fenv.h":
        return ("standalone/quiet.c.j2", *own, "standalone/fma_builtin.c.j2", "standalone/libm.c.j2", *_SHARED)
    if isa.header == "":
        return ("standalone/quiet.c.j2", *own, "standalone/libm.c.j2", *_SHARED)
    return (*own, "standalone/libm.c.j2", *_SHARED)


def section_words(isa: Isa, dtype: str, lines: Iterable[str]) -> list[str]:
    """The definitions that the lines need, each after those it needs itself."""
    known, made = _definitions(isa, dtype), dict[str, str]()

    def need(name: str) -> None:
        if name in known and name not in made:
            made[name] = ""  # a definition may name itself
            for other in identifiers([known[name]]):
                need(other)
            del made[name]
            made[name] = known[name]

    for name in ("rf_enter", "rf_leave", *identifiers(lines)):
        need(name)
    return [line for text in made.values() for line in text.splitlines()]


@cache
def _definitions(isa: Isa, dtype: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files_of(isa):
        found = dict(definitions((file,), dtype)) | found  # the last of a file, the first of the files
    return {name: _near(_without_libm(text), isa, dtype) for name, text in found.items() if name}


def _without_libm(text: str) -> str:
    return _LIBM.sub(r"rf_libm_\1\2(", text)


def _near(text: str, isa: Isa, dtype: str) -> str:
    """Without fma a float32 exponent is exact in a smaller reach (3-numerics, section 6)."""
    if isa.fma or dtype == "f64":
        return text
    return text.replace(literal(LIMIT), literal(NEAR)).replace(literal(LIMIT - 1), literal(NEAR - 1))


def renamed(lines: Iterable[str], prefix: str) -> list[str]:
    """The lines with every word and every number's word under a prefix, and without names that libc defines."""
    lines = (_OTHER.sub(lambda m: _PLAIN[m[1]], line.rstrip()) for line in lines)
    return [_OURS.sub(lambda m: prefix + ("num_" if m[1] == "num" else ""), line) for line in lines]
