"""A plan in words and bars: what each sweep reads and writes, what it costs, and why not otherwise."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from ..codegen.cost import inputs_of, sweep_reads, sweep_writes
from ..codegen.plan import Plan, SweepPlan, describe
from .stages import walks

COLUMNS, LINES = 80, 40
DTYPES = {"f32": "float32", "f64": "float64"}
_MOST_SWEEPS = 8
_LABEL = 50  # characters beside a bar


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one sweep moves, by name, and its bytes an element as the price counts them."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    read: int
    written: int
    memory: bool  # whether the row comes from memory rather than from cache

    def __str__(self) -> str:
        sides = [
            f"{verb} {', '.join(names)} ({size} bytes an element)"
            for verb, names, size in (("reads", self.reads, self.read), ("writes", self.writes, self.written))
            if names
        ]
        return f"{'; '.join(sides) or 'reads nothing'}; the row is in {'memory' if self.memory else 'cache'}"


@dataclass(frozen=True, repr=False)
class Explanation:
    """The plan for one shape: `str()` is at most 80 columns and 39 lines, `_repr_html_()` adds a picture."""

    plan: Plan
    shape: tuple[int, ...]

    def __str__(self) -> str:
        texts = [self._lines(depth) for depth in (3, 2, 1)]
        return "\n".join(next((t for t in texts if len(t) < LINES), texts[-1][: LINES - 1]))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<div><pre>{html.escape(str(self))}</pre>\n{_svg(self.plan)}</div>"

    def _lines(self, depth: int) -> list[str]:
        """The text, each statement in at most `depth` lines."""
        plan, (head, *notes) = self.plan, describe(self.plan)
        lines = [*_wrapped(head, 2, depth), *_wrapped(self._price(), 2, depth)]
        lines += _wrapped(walks(plan), 2, depth)
        for note, moved in list(zip(notes, traffic(plan), strict=True))[:_MOST_SWEEPS]:
            lines += _wrapped(note, 11, depth)
            lines += _wrapped(f"{'':11}{moved}", 13, depth)
        if len(notes) > _MOST_SWEEPS:
            lines.append(f"  and {len(notes) - _MOST_SWEEPS} more sweeps")
        lines.append("rejected:" if plan.rejected else "rejected: nothing, there was one candidate")
        for name, reason in plan.rejected:
            lines += _wrapped(f"  {name}: {reason}", 4, depth)
        return lines

    def _price(self) -> str:
        plan = self.plan
        where = f"shape {self.shape}, rows of {plan.n}, {DTYPES[plan.dtype]} on {plan.isa}"
        return f"price: {plan.ns:.3f} ns an element, {plan.bytes_per_element:g} bytes an element, at {where}"


def traffic(plan: Plan) -> list[Traffic]:
    """What each sweep reads and writes. A later sweep goes to memory only when the row does not stay in cache."""
    return [_traffic(plan, s, i == 0 or plan.memory_passes > 1) for i, s in enumerate(plan.sweeps)]


def _traffic(plan: Plan, sweep: SweepPlan, memory: bool) -> Traffic:
    program = plan.program
    reads = [program.names[ref] or f"%{ref}" for ref in sorted(inputs_of(program, sweep, plan.groups))]
    reads += [f"the exponentials in {_output(plan, o)}" for _, o in sweep.reloads]
    writes = [_output(plan, o) for o in sweep.writes]
    writes += [f"the exponentials to {_output(plan, o)}" for _, o in sweep.keeps]
    read, written = sweep_reads(program, sweep, plan.groups, plan.dtype), sweep_writes(program, sweep, plan.dtype)
    return Traffic(tuple(reads), tuple(writes), read, written, memory)


def _output(plan: Plan, position: int) -> str:
    outputs = plan.program.outputs
    number = f" {position + 1}" if len(outputs) > 1 else ""
    return plan.program.names[outputs[position].ref] or f"the result{number}"


def _wrapped(line: str, indent: int, most: int) -> Iterable[str]:
    return textwrap.wrap(line, COLUMNS, subsequent_indent=" " * indent, max_lines=most, placeholder=" ...")


# the picture


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with its label: where it stands and how long it is, so that the template has nothing to compute."""

    y: int
    width: int
    text_x: int
    text_y: int
    opacity: str
    label: str


@dataclass(frozen=True, slots=True)
class BarPair:
    """A sweep in the picture: what it reads above what it writes."""

    name: str
    y: int
    title: str
    bars: tuple[Bar, ...]


def _svg(plan: Plan) -> str:
    from jinja2 import Environment, StrictUndefined  # only a notebook needs it

    moved = traffic(plan)
    longest = max((max(t.read, t.written) for t in moved), default=0) or 1
    pairs = [_pair(i, t, longest, sweep.note) for i, (t, sweep) in enumerate(zip(moved, plan.sweeps, strict=True))]
    text = resources.files("rowfold").joinpath("templates/explain.svg.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    title = f"{plan.name}: bytes an element that each sweep of {plan.strategy} reads and writes"
    return environment.from_string(text).render(pairs=pairs, height=44 * len(pairs) + 8, title=title)


def _pair(i: int, moved: Traffic, longest: int, note: str) -> BarPair:
    top = 44 * i + 8
    reads = _bar("reads", moved.reads, moved.read, longest, top, "0.8")
    writes = _bar("writes", moved.writes, moved.written, longest, top + 17, "0.4")
    return BarPair(f"sweep {i + 1}", top + 20, note, (reads, writes))


def _bar(verb: str, names: tuple[str, ...], size: int, longest: int, y: int, opacity: str) -> Bar:
    width = 180 * size // longest
    label = f"{verb} {size}: {', '.join(names)}" if names else f"{verb} nothing"
    short = label if len(label) <= _LABEL else f"{label[: _LABEL - 3]}..."
    return Bar(y, width, 84 + width, y + 11, opacity, short)
