"""What a reader of C that stands alone need not see: words that are only another name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ...records import dataclass

_FORWARDER = re.compile(
    r"^static inline [\w ]*?\*?(?P<name>\w+)\((?P<parameters>[^()]*)\) "
    r"\{ (?:return )?(?P<other>\w+)\((?P<arguments>[\w, ]*)\); \}(?: /\*.*\*/)?$"
)
_TYPE = re.compile(r"^typedef (?P<other>\w+) (?P<name>\w+);$")
_KINDS = "inline |RF_INLINE |RF_APART |(?=void )"
_FUNCTION = re.compile(rf"^((?:RF_COLD )?static (?:{_KINDS})|void (?=rowfold_))", re.MULTILINE)
_PLAIN = re.compile(r"\bRF_(?:INFINITY|NAN|COPY|MOVE)\b")


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


@dataclass(frozen=True, slots=True)
class Reader:
    """A section as it is read: without those names, its functions for one instruction set, GCC's builtins by name."""

    names: Mapping[str, str]
    macro: str  # what says for which instruction set a function is
    builtins: Mapping[str, str]  # macro -> what it stands for, where no other compiler sees the section

    def definitions(self, lines: Iterable[str]) -> tuple[str, ...]:
        """Words without those that are only another name."""
        kept = [line for line in lines if not self._renames(line)]
        return tuple(self.text("\n".join(kept)).splitlines())

    def text(self, text: str) -> str:
        text = re.sub(r"\b\w+\b", lambda m: self.names.get(m[0], m[0]), text)
        text = _FUNCTION.sub(rf"\1{self.macro} ", text) if self.macro else text
        return _PLAIN.sub(lambda m: self.builtins[m[0]].strip(), text) if self.builtins else text

    def _renames(self, line: str) -> bool:
        match = _FORWARDER.match(line) or _TYPE.match(line)
        return match is not None and match["name"] in self.names
