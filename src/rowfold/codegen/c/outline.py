"""What only a rare row runs, as a function of its own: it costs the common row no registers, and is made small."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ...records import dataclass
from ..loops import Kernel, Kind, Port, Step, Sweep, Unless, Until, Var, statements, whole_row
from ..lower.overlap import GIVEN
from .text import CTYPES

PASSED = frozenset({Kind.NUM, Kind.FLAG, Kind.VEC, Kind.MASK})  # what is worth passing by value
CHANGED = frozenset({Kind.NUM, Kind.FLAG})  # and by a pointer


@dataclass(frozen=True, slots=True)
class Outlined:
    """A static function and its call."""

    comment: tuple[str, ...]
    name: str
    parameters: str
    arguments: str
    lines: tuple[str, ...]

    @property
    def call(self) -> str:
        return f"{self.name}({self.arguments});"


def walks(step: Unless) -> bool:
    """Whether it walks over the row for what is not a first look at it."""
    sweeps = [s for s in _inside(step.steps) if isinstance(s, Sweep)]
    return bool(sweeps) and all(s.peek is None for s in sweeps)


def outlined(kernel: Kernel, step: Unless, lines: Sequence[str], name: str) -> Outlined | None:
    """The steps, printed as `lines`, as a function; None where they touch what cannot be passed."""
    inner, text = statements(step.steps), re.sub(r"/\*.*?\*/", "", "\n".join(lines))
    words = set(re.findall(r"\b[A-Za-z]\w*", text))
    known = {v.name: v for s in statements(whole_row(kernel)) for v in _variables(s.results, s.args)}
    local = {v.name for s in inner if not s.assign for v in s.results}
    outer = [v for n, v in known.items() if n in words and n not in local | GIVEN]
    changed = {v.name for s in inner if s.assign for v in s.results} - local
    if any(v.kind not in (CHANGED if v.name in changed else PASSED) for v in outer):
        return None
    ports = [p for p in kernel.ports if p.name in words]
    parameters = ["intptr_t n", *(f"{_pointer(p)}{p.name}" for p in ports)]
    strides = [f"{p.name}_step" for p in ports if p.strided]
    strides += [f"{p.name}_length" for p in ports if p.table]
    parameters += [f"intptr_t {s}" for s in strides]
    parameters += [f"{CTYPES[v.kind]} {'*' if v.name in changed else ''}{v.name}" for v in outer]
    arguments = ["n", *(p.name for p in ports), *strides]
    arguments += [f"{'&' if v.name in changed else ''}{v.name}" for v in outer]
    return Outlined(step.comment, name, ", ".join(parameters), ", ".join(arguments), _through(lines, changed))


def _through(lines: Sequence[str], changed: Iterable[str]) -> tuple[str, ...]:
    """The lines with what they change behind pointers."""
    if not changed:
        return tuple(lines)
    pattern = re.compile(rf"\b({'|'.join(sorted(changed))})\b")
    return tuple(line if line.startswith("/*") else pattern.sub(r"*\1", line) for line in lines)


def _variables(*found: Iterable[object]) -> list[Var]:
    return [a for some in found for a in some if isinstance(a, Var)]


def _inside(steps: Iterable[Step]) -> list[Step]:
    return [s for step in steps for s in (step, *(_inside(step.steps) if isinstance(step, Unless | Until) else ()))]


def _pointer(port: Port) -> str:
    return f"{'' if port.output else 'const '}char *"
