"""What an instruction set's vocabulary file states at its head."""

from __future__ import annotations

import os
import re
from functools import cache

from ..records import dataclass

_TEMPLATES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "templates")


@dataclass(frozen=True, slots=True)
class Isa:
    name: str
    features: tuple[str, ...]
    flags: tuple[str, ...]
    header: str
    arch: str = ""  # in LLVM's word; "" for every machine
    fma: bool = True  # whether a b + c is rounded once


@cache
def template_text(name: str) -> str:
    with open(os.path.join(_TEMPLATES, name), encoding="utf-8") as file:
        return file.read()


@cache
def isa_of(name: str) -> Isa:
    """The metadata of a vocabulary."""
    text = template_text(f"isa/{name}.c.j2")
    found = dict(re.findall(r"\{# (features|flags|header|arch|fma): (.*?) ?#\}", text))
    arch = found.get("arch", "x86_64" if found["header"] == "immintrin.h" else "")
    features, flags = tuple(found["features"].split()), tuple(found["flags"].split())
    return Isa(name, features, flags, found["header"], arch, found.get("fma", "yes") == "yes")
