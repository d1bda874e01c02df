"""What an instruction set's vocabulary file states at its head."""

from __future__ import annotations

import os
import re
from functools import cache

from ..records import dataclass

TEMPLATES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "templates")


@dataclass(frozen=True, slots=True)
class Isa:
    name: str
    features: tuple[str, ...]
    flags: tuple[str, ...]
    header: str
    arch: str = ""  # in LLVM's word; "" for every machine
    fma: bool = True  # whether a b + c is rounded once
    target: str = ""  # what GCC and Clang have to be told in a function's attribute
    probe: str = ""  # how the CPU tells beyond its architecture: "hwcap BIT" of Linux
    guard: str = ""  # a condition of the preprocessor beyond the architecture's
    vectors: int = 0  # how many of a kernel's vectors its registers hold, where eight more than it works with find room


@cache
def template_text(name: str) -> str:
    with open(os.path.join(TEMPLATES, name), encoding="utf-8") as file:
        return file.read()


def has_template(name: str) -> bool:
    return os.path.exists(os.path.join(TEMPLATES, name))


def steps_exponents(name: str) -> bool:
    """Whether a power of two is cheapest added to a number's exponent, where nothing can be subnormal."""
    return has_template(f"steps/{name}.c.j2")


@cache
def isa_of(name: str) -> Isa:
    """The metadata of a vocabulary."""
    text = template_text(f"isa/{name}.c.j2")
    found = dict(re.findall(r"\{# (\w+): (.*?) ?#\}", text))
    arch = found.get("arch", "x86_64" if found["header"] == "immintrin.h" else "")
    features, flags = tuple(found["features"].split()), tuple(found["flags"].split())
    target, probe, guard = (found.get(key, "") for key in ("target", "probe", "guard"))
    fma, vectors = found.get("fma", "yes") == "yes", int(found.get("vectors", "0"))
    return Isa(name, features, flags, found["header"], arch, fma, target, probe, guard, vectors)
