"""A plan in words and bars: what each sweep reads and writes, what it costs, and why not otherwise."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..codegen.machine import Machine
from ..codegen.plan import Plan, describe
from . import pictures
from .changes import changes
from .pretty import styled
from .stages import walks
from .traffic import sources, traffic

COLUMNS, LINES = 80, 40
DTYPES = {"f32": "float32", "f64": "float64"}
_MOST_SWEEPS = 8


@dataclass(frozen=True, repr=False)
class Explanation:
    """The plan for one shape: `str()` is at most 80 columns and 39 lines, `_repr_html_()` adds a picture."""

    plan: Plan
    shape: tuple[int, ...]
    machine: Machine
    notes: tuple[str, ...] = ()

    def noting(self, note: str) -> Explanation:
        """The same with one more line."""
        return replace(self, notes=(*self.notes, note))

    def __str__(self) -> str:
        texts = [self._lines(depth) for depth in (3, 2, 1)]
        return "\n".join(next((t for t in texts if len(t) < LINES), texts[-1][: LINES - 1]))

    __repr__ = __str__

    def __rich__(self) -> object:
        """What `rich.print` shows."""
        return styled(str(self))

    def _repr_html_(self) -> str:
        picture = pictures.svg(self.plan, traffic(self.plan), self._rows(), self.machine)
        return f"<div><pre>{html.escape(str(self))}</pre>\n{picture}</div>"

    def _lines(self, depth: int) -> list[str]:
        """The text, each statement in at most `depth` lines."""
        plan, (head, *notes) = self.plan, describe(self.plan)
        lines = [*_wrapped(head, 2, depth), *_wrapped(self._price(), 2, depth)]
        lines += _wrapped(walks(plan), 2, depth)
        for note in self.notes:
            lines += _wrapped(note, 2, depth)
        sweeps, others = notes[: len(plan.sweeps)], notes[len(plan.sweeps) :]
        moved = traffic(plan)
        places = sources(plan, moved, self._rows(), self.machine)
        for note, what, place in list(zip(sweeps, moved, places, strict=True))[:_MOST_SWEEPS]:
            lines += _wrapped(note, 11, depth)
            lines += _wrapped(f"{'':11}{what}; the row comes from {place}", 13, depth)
        if len(sweeps) > _MOST_SWEEPS:
            lines.append(f"  and {len(sweeps) - _MOST_SWEEPS} more sweeps")
        for note in others:
            lines += _wrapped(note, 4, depth)
        lines.append("rejected:" if plan.rejected else "rejected: nothing, there was one candidate")
        for name, reason in plan.rejected:
            lines += _wrapped(f"  {name}: {reason}", 4, depth)
        lines.append("what would change it:")
        for change in changes(self.plan, self._rows(), self.machine):
            lines += _wrapped(f"  {change}", 4, depth)
        return lines

    def _rows(self) -> int:
        return math.prod(self.shape) // max(self.plan.n, 1)

    def _price(self) -> str:
        plan = self.plan
        where = f"shape {self.shape}, rows of {plan.n}, {DTYPES[plan.dtype]} on {plan.isa}"
        return f"price: {plan.ns:.3f} ns an element, {plan.bytes_per_element:g} bytes an element, at {where}"


def _wrapped(line: str, indent: int, most: int) -> Iterable[str]:
    return textwrap.wrap(line, COLUMNS, subsequent_indent=" " * indent, max_lines=most, placeholder=" ...")
