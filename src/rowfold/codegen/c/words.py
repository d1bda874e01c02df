"""The vocabulary as text: templates, and the definitions that a page uses."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, FunctionLoader, StrictUndefined
from jinja2.bccache import Bucket

from ..bisect import COARSE
from ..dtypes import FORMATS
from ..isas import TEMPLATES, Isa, has_template, template_text
from ..mathlib.coefficients import SIXTEENTHS
from .text import literal

PLACES = ("isa", "memory", "narrow", "steps", "together")  # folders of templates with words of single instruction sets


class Kept(FileSystemBytecodeCache):
    """What Jinja made of the templates, kept beside them as Python keeps what it made of its modules, where it may be.

    Jinja takes longer over them than over all else that emission does (80 ms of a first call).
    """

    def load_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        with contextlib.suppress(OSError):  # a directory of somebody else
            os.makedirs(self.directory, exist_ok=True)
            super().dump_bytecode(bucket)


@cache
def environment() -> Environment:
    return Environment(
        loader=FunctionLoader(template_text),
        bytecode_cache=Kept(os.path.join(TEMPLATES, "__pycache__")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the output is C
    )


def words_of(isa: str, dtype: str, lines: Iterable[str]) -> list[str]:
    """The definitions of the vocabulary that the lines need, and what those need, in the order of the files."""
    used = ["rf_enter", "rf_leave", *identifiers(lines)]
    own = [name for name in (f"{place}/{isa}.c.j2" for place in PLACES) if has_template(name)]
    files = ("tables.c.j2", "x86.c.j2", *own, "common.c.j2", "narrow.c.j2", "selection.c.j2")
    return _needed(definitions(files, dtype), used)


def group_words(isa: str, dtype: str, lines: Iterable[str]) -> list[str]:
    """The definitions of `rows_` words that the lines need: the vocabulary of eight doubles under that name."""
    used = [f"rf_{name.removeprefix('rows_')}" for name in identifiers(lines) if name.startswith("rows_")]
    return [re.sub(r"\brf_(?=\w)", "rows_", line) for line in _needed(_group_definitions(isa, dtype), used)]


def has_group_words(isa: str, dtype: str, words: Iterable[str]) -> bool:
    """Whether every word can be applied to the numbers of a group of rows, where vectors hold as many."""
    if not has_template(f"together/{isa}.c.j2"):
        return False
    known = {name for name, _ in _group_definitions(isa, dtype)}
    return all(f"rf_{word}" in known for word in words)


@cache
def _group_definitions(isa: str, dtype: str) -> tuple[tuple[str, str], ...]:
    return group_definitions(("tables.c.j2", "x86.c.j2", f"isa/{isa}.c.j2", "common.c.j2"), dtype)


def group_definitions(files: tuple[str, ...], dtype: str) -> tuple[tuple[str, str], ...]:
    """A number's own words (num_) are the kernel's: what rounds to its dtype must know which one that is."""
    plain = (d for d in definitions(files, "f64") if not d[0].startswith("num_"))
    return (*plain, *definitions(("together/words.c.j2",), dtype))


def builtins_of(isa: str, lines: Iterable[str]) -> list[str]:
    """GCC's builtins for the intrinsics that the lines use."""
    return _needed(definitions(("builtins/x86.c.j2", f"builtins/{isa}.c.j2"), "f32"), identifiers(lines))


def heading(isa: Isa, version: str, words: list[str]) -> dict[str, Any]:
    """What a translation unit for an instruction set begins with: who wrote it, its flags and its vocabulary."""
    return {
        "version": version,
        "isa": isa.name,
        "flags": " ".join(isa.flags) or "no flags",
        "header": isa.header,
        "words": words,
        "builtins": builtins_of(isa.name, words) if isa.header == "immintrin.h" else [],
        "export": '__attribute__((visibility("default")))',
    }


def _needed(definitions: tuple[tuple[str, str], ...], queue: list[str]) -> list[str]:
    used: set[str] = set()
    by_name: dict[str, str] = {}
    for name, text in definitions:
        by_name.setdefault(name, text)  # an instruction set's own word comes before the shared one
    while queue:
        name = queue.pop()
        if name not in used and name in by_name:
            used.add(name)
            queue += identifiers([by_name[name]])
    kept = [text for name, text in definitions if name in used and text is by_name[name]]
    return [line for text in kept for line in text.splitlines()]


@cache
def definitions(templates: tuple[str, ...], dtype: str) -> tuple[tuple[str, str], ...]:
    """(name, text) of each typedef, macro and function in the templates."""
    entries = [literal(t) + ("f" if dtype == "f32" else "") for t in SIXTEENTHS[dtype]]
    given = {"dtype": dtype, "sixteenths": entries, "coarse": COARSE[dtype], "formats": list(FORMATS.values())}
    text = "".join(environment().get_template(t).render(given) for t in templates)
    parts = re.split(r"^(?=static inline|static const|static RF_|typedef|#define)", text, flags=re.MULTILINE)
    return tuple((_defined(part), part.rstrip("\n")) for part in parts if part.strip())


def _defined(text: str) -> str:
    head = text.split("\n", 1)[0]
    if head.startswith("typedef"):
        return re.sub(r" __attribute__.*", "", head).rsplit(" ", 1)[1].rstrip(";")
    if head.startswith("#define"):
        return re.split(r"[ (]", head)[1]
    found = re.search(r"\b(\w+)[(\[]", head)
    return found[1] if found else ""


def identifiers(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(re.findall(r"\b\w+", "\n".join(lines))))
