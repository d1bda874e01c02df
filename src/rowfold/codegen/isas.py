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


@cache
def template_text(name: str) -> str:
    with open(os.path.join(_TEMPLATES, name), encoding="utf-8") as file:
        return file.read()


@cache
def isa_of(name: str) -> Isa:
    """The metadata of a vocabulary."""
    text = template_text(f"isa/{name}.c.j2")
    found = dict(re.findall(r"\{# (features|flags|header): (.*?) ?#\}", text))
    return Isa(name, tuple(found["features"].split()), tuple(found["flags"].split()), found["header"])
