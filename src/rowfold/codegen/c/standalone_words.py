"""The vocabulary of C that stands alone: the words of an instruction set under names of their own, and no libm."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from ..isas import Isa, has_template
from ..lower.context import LIMIT, NEAR
from .standalone_merging import Merging
from .text import literal
from .words import definitions, group_definitions, identifiers

_SHARED = ("tables.c.j2", "common.c.j2", "narrow.c.j2", "selection.c.j2")
_CALLS = "fma sqrt rint floor copysign fabs nextafter logb ilogb scalbn".split()
_LIBM = re.compile(rf"\b({'|'.join(_CALLS)})(f?)\(")
_PLAIN = {"memcpy": "RF_COPY", "memmove": "RF_MOVE", "INFINITY": "RF_INFINITY", "NAN": "RF_NAN",
          "FLT_MAX": "0x1.fffffep+127", "DBL_MAX": "0x1.fffffffffffffp+1023"}  # fmt: skip
_OTHER = re.compile(rf"\b({'|'.join(_PLAIN)})\b")
_OURS = re.compile(r"\b(rf|num|rows)_(?=\w)")


ROOMS = ("small", "isa", "memory", "narrow", "steps", "together")


def files_of(isa: Isa) -> tuple[str, ...]:
    """The templates that define the words of an instruction set; the first definition of a name holds."""
    own = tuple(n for n in (f"{room}/{isa.name}.c.j2" for room in ROOMS) if has_template(n))
    shared = ("standalone/builtin.c.j2", "standalone/libm.c.j2", "standalone/small.c.j2", *_SHARED)
    if isa.arch == "x86_64" and isa.fma:
        return (*own, "standalone/fma_x86.c.j2", "x86.c.j2", *shared)
    if isa.header == "fenv.h":
        return (*own, "standalone/fma_builtin.c.j2", *shared)
    if isa.header == "":
        return (*own, *shared[1:])
    return (*own, *shared)


def keeps_flags(isa: Isa) -> bool:
    """Whether the floating-point flags of a caller are left as they were, which only x86 has a register for."""
    return isa.arch == "x86_64"


def section_words(isa: Isa, dtype: str, lines: Iterable[str]) -> list[str]:
    """The definitions that the lines need, each after those it needs itself."""
    flags = ["rf_enter", "rf_leave"] if keeps_flags(isa) else []
    made = _needed(_definitions(isa, dtype), [*flags, *identifiers(lines)])
    return [line for text in made for line in text.splitlines()]


def merging_words(dtype: str, prefix: str, merging: Merging) -> list[str]:
    """The definitions that statements which merge states need, and the functions that they call."""
    files = ("standalone/libm.c.j2", "common.c.j2")
    known = {name: _without_libm(text) for file in files for name, text in definitions((file,), dtype)}
    made = _needed(known, identifiers([*merging.functions, *merging.lines]))
    return renamed([*(line for text in made for line in text.splitlines()), *merging.functions], prefix)


def _needed(known: Mapping[str, str], names: Iterable[str]) -> Iterable[str]:
    made: dict[str, str] = {}

    def need(name: str) -> None:
        if name in known and name not in made:
            made[name] = ""  # a definition may name itself
            for other in identifiers([known[name]]):
                need(other)
            del made[name]
            made[name] = known[name]

    for name in names:
        need(name)
    return made.values()


@cache
def _definitions(isa: Isa, dtype: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files_of(isa):
        found = dict(definitions((file,), dtype)) | found  # the last of a file, the first of the files
    found = {name: _near(_without_libm(text), isa, dtype) for name, text in found.items() if name}
    if has_template(f"together/{isa.name}.c.j2"):
        found |= {_rows(name): _rows(text) for name, text in _group_words(isa, dtype).items()}
    return found


def _group_words(isa: Isa, dtype: str) -> dict[str, str]:
    """The vocabulary of eight doubles, one of each row of a group."""
    files = tuple(f for f in files_of(isa) if not f.startswith(("narrow/", "together/", "small/")))
    found: dict[str, str] = {}
    for name, text in group_definitions(files, dtype):
        found.setdefault(name, _without_libm(text))
    return found


def _rows(text: str) -> str:
    return re.sub(r"\brf_(?=\w)", "rows_", text)


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
    return [_OURS.sub(lambda m: prefix + ("" if m[1] == "rf" else f"{m[1]}_"), line) for line in lines]
