"""What a reader of C that stands alone need not see: words that are only another name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_FORWARDER = re.compile(
    r"^static inline [\w ]*?\*?(?P<name>\w+)\((?P<parameters>[^()]*)\) "
    r"\{ (?:return )?(?P<other>\w+)\((?P<arguments>[\w, ]*)\); \}(?: /\*.*\*/)?$"
)
_TYPE = re.compile(r"^typedef (?P<other>\w+) (?P<name>\w+);$")
_KINDS = "inline |RF_INLINE |RF_APART |(?=void )"
_FUNCTION = re.compile(rf"^((?:RF_COLD )?static (?:{_KINDS})|void (?=rowfold_))", re.MULTILINE)


def other_names(lines: Iterable[str]) -> dict[str, str]:
    """The functions that only hand their arguments on, and the types that only rename: name -> what it stands for."""
    found: dict[str, str] = {}
    for line in lines:
        if match := _FORWARDER.match(line):
            parameters = [p.rsplit(" ", 1)[-1].lstrip("*") for p in match["parameters"].split(", ")]
            if parameters == match["arguments"].split(", ") or match["parameters"] == "void":
                found[match["name"]] = match["other"]
        elif match := _TYPE.match(line):
            found[match["name"]] = match["other"]
    return {name: _last(name, found) for name in found}


def _last(name: str, found: Mapping[str, str]) -> str:
    while name in found:
        name = found[name]
    return name


def without(names: Mapping[str, str], lines: Sequence[str]) -> list[str]:
    """The lines without those definitions, and with what they stand for in their place."""
    kept = [line for line in lines if not _defines(line, names)]
    return renamed_by(names, "\n".join(kept)).splitlines()


def renamed_by(names: Mapping[str, str], text: str) -> str:
    return re.sub(r"\b\w+\b", lambda m: names.get(m[0], m[0]), text)


def _defines(line: str, names: Mapping[str, str]) -> bool:
    match = _FORWARDER.match(line) or _TYPE.match(line)
    return match is not None and match["name"] in names


def targeted(macro: str, text: str) -> str:
    """The text with its functions compiled for an instruction set, which a macro names."""
    return _FUNCTION.sub(rf"\1{macro} ", text) if macro else text
