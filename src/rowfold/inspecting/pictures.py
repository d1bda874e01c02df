"""The picture of an explanation: what each sweep moves, and a roofline of this machine with the kernel on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from ..codegen.machine import Machine
from ..codegen.plan import Plan
from ..codegen.planning.cost import arithmetic
from .traffic import LEVELS, Traffic, sources

_LABEL = 50  # characters beside a bar
_LEFT, _WIDE, _HIGH = 76, 300, 120  # of the roofline, in pixels
_DECADES = 3  # of arithmetic a byte, along the roofline


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
    place: str  # where its row comes from
    y: int
    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Roof:
    """The share of the arithmetic units that a level of the memory can keep busy, by arithmetic a byte."""

    name: str
    points: str
    text_x: int
    text_y: int


@dataclass(frozen=True, slots=True)
class Roofline:
    """Logarithmic: across, nanoseconds of arithmetic a byte moved; up, the share of the units that is busy."""

    top: int
    bottom: int
    left: int
    right: int
    roofs: tuple[Roof, ...]
    x: float
    y: float
    label: str
    caption: str


def svg(plan: Plan, moved: Sequence[Traffic], rows: int, machine: Machine) -> str:
    """Both pictures, one above the other, in the colour of the text around them."""
    from jinja2 import Environment, StrictUndefined  # only a notebook needs it

    longest = max((max(t.read, t.written) for t in moved), default=0) or 1
    places = sources(plan, moved, rows, machine)
    sweeps = zip(moved, places, plan.sweeps, strict=True)
    pairs = [_pair(i, what, place, longest, sweep.note) for i, (what, place, sweep) in enumerate(sweeps)]
    text = resources.files("rowfold").joinpath("templates/explain.svg.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    title = f"{plan.name}: bytes an element that each sweep of {plan.strategy} reads and writes, and a roofline"
    roofline = _roofline(plan, moved, rows, machine, 44 * len(pairs) + 40)
    height = roofline.bottom + 44
    return environment.from_string(text).render(pairs=pairs, roofline=roofline, height=height, title=title)


def _pair(i: int, moved: Traffic, place: str, longest: int, note: str) -> BarPair:
    top = 44 * i + 8
    reads = _bar("reads", moved.reads, moved.read, longest, top, "0.8")
    writes = _bar("writes", moved.writes, moved.written, longest, top + 17, "0.4")
    return BarPair(f"sweep {i + 1}", f"from {place}", top + 13, note, (reads, writes))


def _bar(verb: str, names: tuple[str, ...], size: int, longest: int, y: int, opacity: str) -> Bar:
    width = 180 * size // longest
    label = f"{verb} {size}: {', '.join(names)}" if names else f"{verb} nothing"
    short = label if len(label) <= _LABEL else f"{label[: _LABEL - 3]}..."
    return Bar(y, width, 84 + width, y + 11, opacity, short)


def _roofline(plan: Plan, moved: Sequence[Traffic], rows: int, machine: Machine, top: int) -> Roofline:
    """The kernel is a point under the roof of the level that its arrays lie in; the price model puts it there."""
    work = arithmetic(plan, machine)
    outside = [t for t in moved if t.memory]  # the others find the row in a cache
    read, written = sum(t.read for t in outside), sum(t.written for t in outside)
    traffic = max(read + written, 1)
    pairs = zip(machine.read, machine.write, strict=True)
    costs = [(r * read + w * written) / traffic or r for r, w in pairs]  # ns a byte, as many read and written as here
    middle = math.sqrt(costs[0] * costs[-1])
    place = sources(plan, moved, rows, machine)[0] if moved else LEVELS[0]
    busy = min(1.0, work / max(plan.ns, 1e-9))
    named = enumerate(zip(LEVELS, costs, strict=True))
    roofs = tuple(_roof(name, cost, middle, top, 6 + 11 * (i % 2)) for i, (name, cost) in named)  # labels in two lines
    caption = f"across: arithmetic a byte moved, here {work / traffic:.3f} ns; up: the share of the units that is busy"
    label = f"{plan.name} in {place}: {busy:.0%}"
    x, y = _across(work / traffic, middle), _up(busy, top)
    return Roofline(top, top + _HIGH, _LEFT, _LEFT + _WIDE, roofs, x, y, label, caption)


def _roof(name: str, cost: float, middle: float, top: int, above: int) -> Roof:
    """Rising until the arithmetic of a byte takes as long as the byte, then level."""
    low = middle * 10 ** (-_DECADES / 2)
    points = [(low, low / cost), (cost, 1.0), (middle * 10 ** (_DECADES / 2), 1.0)]
    drawn = [(_across(i, middle), _up(share, top)) for i, share in points]
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
    return Roof(name, text, round(drawn[1][0]) - 4, top - above)


def _across(intensity: float, middle: float) -> float:
    place = math.log10(max(intensity, 1e-12) / middle) / _DECADES + 0.5
    return round(_LEFT + _WIDE * min(max(place, 0.0), 1.0), 1)


def _up(share: float, top: int) -> float:
    place = math.log10(max(share, 1e-12)) / 2  # two decades
    return round(top + _HIGH * min(-place, 1.0), 1)
