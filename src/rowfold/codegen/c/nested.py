"""Numbers of a row in fewer lines: what is read once stands where it is read, and what is equal is worked out once.

Sums and products are never put into each other, so that no compiler finds a multiply-add. Vectors keep a line each,
but for those without a name of their own, which functions of the maths library have: one may stand in another's word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_DEFINED = re.compile(r"^( *)const (double|int|rf_vec|rf_mask) (\w+) = (.+);$")
_STATEMENT = re.compile(r"^ *(?:(?:const )?\w+ |\*)?(\w+) = .+;$")
_NAME = re.compile(r"(?<![.\w])[A-Za-z_]\w*\b")  # of a variable, not of a member
_CALL = re.compile(r"^\w+\([^()]*(?:\([^()]*\)[^()]*)*\)$")
_NUMBER = re.compile(r"^-?[\w.+-]+$")
_COMPARED = re.compile(r"^[^()&|?]+(?:\([^()]*\))?[^()&|?]* (?:<|<=|>|>=|==|!=) [^()&|?]+$")
_VARIABLE = re.compile(r"^( *(?:double|float|uint16_t|uint8_t|int64_t) )((?:\w+(?:\[\d+\]| = [\d.-]+),? ?)+);$")
_UNNAMED = re.compile(r"^const rf_vec (t(?:_\d+)?) = (.+);$")
_KEPT = re.compile(r"^( *)(held\.\w+) = (\w+);$")
_SET = re.compile(r"^( *const rf_vec )(\w+ = rf_set(?:_lo)?\([^()]*\)(?:, \w+ = rf_set(?:_lo)?\([^()]*\))*);$")
_BOTH = re.compile(r"^( *)(double [\w, ]+;) (num_.+)$")
_ZERO = re.compile(r"^( *rf_acc )(\w+ = rf_acc_zero\(\)(?:, \w+ = rf_acc_zero\(\))*);$")
_CHOICE = re.compile(r"^( *(?:const double )?\w+ = )num_(choose|nan_if)\((.+)\);$")
_LONGEST = 100  # before its words have their prefix


def once(lines: Iterable[str], *bodies: Iterable[str]) -> list[list[str]]:
    """Lines that work out constants, each value once, and bodies that read them by the first name."""
    names: dict[str, str] = {}
    values: dict[tuple[str, str], str] = {}
    kept = []
    for line in lines:
        text = _renamed(names, line)
        found = _DEFINED.match(text)
        if found and (found[2], found[4]) in values:
            names[found[3]] = values[found[2], found[4]]
            continue
        kept.append(text)
        if found:
            values[found[2], found[4]] = found[3]
    return [kept, *([_renamed(names, line) for line in body] for body in bodies)]


def _renamed(names: dict[str, str], line: str) -> str:
    return _NAME.sub(lambda m: names.get(m[0], m[0]), line) if names else line


def nested(lines: Sequence[str]) -> list[str]:
    """The lines with numbers that are read once put where they are read, as long as a line stays readable."""
    lines = [part for line in lines for part in _BOTH.sub(r"\1\2\n\1\3", line).split("\n")]
    made = [line for before, line in zip(["", *lines], lines, strict=False) if line or not before.endswith("{")]
    at = 0
    while at < len(made):
        found = _DEFINED.match(made[at])
        place = _read_once(made, at, found) if found and found[2] in ("double", "int") else None
        if place is None or found is None or (text := _put(made[place], found[3], found[4])) is None:
            at += 1
            continue
        made[place] = text
        del made[at]
    return made


def unnamed(lines: Sequence[str]) -> list[str]:
    """The lines of a function with vectors that have no name put where they are read, one word deep."""
    made = list(lines)
    for line in lines:
        found = _UNNAMED.match(line)
        uses = [k for k, text in enumerate(made) if found and re.search(rf"\b{found[1]}\b", text) and text != line]
        if not found or len(uses) != 1 or len(re.findall(rf"\b{found[1]}\b", made[uses[0]])) != 1:
            continue
        at, deep = uses[0], re.sub(r"rf_set\([^()]*\)", "", found[2]).count("(") > 1
        text = re.sub(rf"\b{found[1]}\b", lambda m, value=found[2]: value, made[at])  # type: ignore[misc]
        if line in made and len(text) <= _LONGEST and (not deep or made[at].startswith("return")):
            made[at] = text
            made.remove(line)
    return made


def kept(lines: Sequence[str]) -> list[str]:
    """Vectors that a row only keeps for its last sweep, made where they are kept."""
    made = list(lines)
    for line in lines:
        if not (found := _KEPT.match(line)):
            continue
        name, to = re.compile(rf"(?<![.\w]){found[3]}\b"), made.index(line)
        head = f"{found[1]}const rf_vec {found[3]} = "
        at = next((k for k, text in enumerate(made[:to]) if text.startswith(head)), None)
        if at is None or sum(len(name.findall(text)) for text in made) > 2:
            continue
        value = made[at].removeprefix(head)
        changed = {match[1] for text in made[at + 1 : to] if (match := _STATEMENT.match(text))}
        if not changed & set(_NAME.findall(value)):
            made[to] = f"{found[1]}{found[2]} = {value}"
            del made[at]
    return made


def chosen(lines: Sequence[str]) -> list[str]:
    """Numbers that are one or the other, as C says it."""
    made = []
    for line in lines:
        found = _CHOICE.match(line)
        given = _arguments(found[3]) if found else []
        if found and len(given) == 3 and found[2] == "choose" and "?" not in found[3]:
            line = f"{found[1]}{given[0]} ? {given[1]} : {given[2]};"
        elif found and len(given) == 2 and "?" not in found[3]:
            line = f"{found[1]}{given[0]} ? NAN : {given[1]};"
        made.append(line)
    return made


def _arguments(text: str) -> list[str]:
    """What stands between the commas of a call."""
    found, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        found = [*found, ""] if letter == "," and not depth else [*found[:-1], found[-1] + letter]
    return [part.strip() for part in found]


def together(lines: Sequence[str]) -> list[str]:
    """Declarations behind each other of one type, with all their variables in a line."""
    made: list[str] = []
    for line in lines:
        kind = next((kind for kind in (_SET, _ZERO) if kind.match(line)), _VARIABLE)
        found, before = kind.match(line), kind.match(made[-1]) if made else None
        if found and before and found[1] == before[1] and len(made[-1]) + len(found[2]) < _LONGEST:
            made[-1] = f"{before[1]}{before[2]}, {found[2]};"
        else:
            made.append(line)
    return made


def _read_once(lines: Sequence[str], at: int, found: re.Match[str]) -> int | None:
    """Where a variable is read, if that is once, in the same run of statements, and nothing that it needs changes."""
    name, needed = re.compile(rf"\b{found[3]}\b"), set(_NAME.findall(found[4]))
    uses = [k for k in range(at + 1, len(lines)) if name.search(lines[k])]
    if len(uses) != 1 or len(name.findall(lines[uses[0]])) != 1:
        return None
    inside = [line for line in lines[at + 1 : uses[0] + 1] if line]
    if any(len(line) - len(line.lstrip()) != len(found[1]) or line.endswith("}") for line in inside):
        return None
    if any(line.endswith("{") for line in inside[:-1]) or (inside[-1].endswith("{") and "if (!" not in inside[-1]):
        return None
    between = [line for line in inside[:-1] if not line.lstrip().startswith("/*")]
    changed = [_STATEMENT.match(line) for line in between]
    return uses[0] if all(match and match[1] not in needed for match in changed) else None


def _put(line: str, name: str, value: str) -> str | None:
    """The line with the value in the variable's place."""
    place = re.search(rf"\b{name}\b", line)
    assert place is not None
    before, after = line[: place.start()], line[place.end() :]
    argument = before.endswith(("(", ", ")) and after.startswith((",", ")")) and re.search(r"\w\($|, $", before)
    whole = re.search(r"^ *(?:const \w+ |\*)?\w+ = $", before) and after == ";"
    joined = "&&" in line and "||" not in line and re.search(r"(= |&& )$", before) and re.match(r";| &&", after)
    if re.search(r" if \(!$", before) and after == ") {" and _COMPARED.match(value):
        return f"{before}({value}){after}"
    simple = bool(_CALL.match(value) or _NUMBER.match(value))
    logical = bool(_COMPARED.match(value)) or ("&&" in value and "||" not in value and "?" not in value)
    if not (argument or whole or (joined and (simple or logical)) or (simple and _CALL.match(value))):
        return None
    text = before + value + after
    return text if len(text) <= _LONGEST else None
