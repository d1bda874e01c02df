"""What `rowfold bench` measured as pictures: a chart, and a page that stands alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from . import UsageError

_MOST = 20  # times the length of the first bar
_LEFT, _WIDE = 214, 400  # where bars begin, and the longest of them, in pixels


@dataclass(frozen=True)
class Bar:
    """One contestant: the bar ends at its median, the line runs from its minimum to its maximum."""

    name: str
    title: str
    label: str
    y: int
    width: float
    low: float
    high: float
    text_x: float
    opacity: str


def chart(facts: Mapping[str, Any]) -> str:
    """The rows of a result as SVG, in the colour of the text around it; the bound is a dashed line.

    A bar of more than `_MOST` times the first one's length is cut there, and says so.
    """
    rows: Sequence[Mapping[str, Any]] = facts["rows"]
    most = min(max(row["max_ns"] for row in rows), _MOST * rows[0]["median_ns"])
    scale = _WIDE / most
    bars = [_bar(i, row, scale) for i, row in enumerate(rows)]
    bound = facts["bound_ns"]
    return _rendered(
        "bench.svg.j2",
        title=f"{_title(facts)}, nanoseconds an element",
        bars=bars,
        height=26 * len(bars) + 34,
        bound_x=round(_LEFT + bound * scale, 1),
        bound_label=f"the bound, {bound:.3f}",
    )


def plot(facts: Mapping[str, Any], path: str) -> None:
    """The same chart drawn by matplotlib, in the format that the name of the file ends with. Raises UsageError."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(f"{path}: matplotlib draws what is no .svg: pip install 'rowfold[plot]'") from None
    rows: Sequence[Mapping[str, Any]] = facts["rows"][::-1]
    low, middle, high = ([row[key] for row in rows] for key in ("min_ns", "median_ns", "max_ns"))
    figure = Figure(figsize=(8, 1 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    spread = [[m - a for m, a in zip(middle, low, strict=True)], [b - m for m, b in zip(middle, high, strict=True)]]
    colours = ["C0" if row["name"] == "rowfold" else "C7" for row in rows]
    axes.barh([row["name"] for row in rows], middle, xerr=spread, color=colours)
    axes.axvline(facts["bound_ns"], linestyle="--", color="black", label="the bound")
    axes.set(title=f"{_title(facts)}, nanoseconds an element")
    axes.legend()
    try:
        figure.savefig(path)
    except ValueError as error:  # a format that matplotlib does not know; it lists those that it does
        raise UsageError(f"{path}: {error}") from None


def page(facts: Mapping[str, Any], plan: str, machine: str) -> str:
    """A page with the table, the chart and the plan; `plan` is HTML. Nothing in it is fetched from anywhere."""
    from markupsafe import Markup  # which jinja2 stands on

    columns = ("", "min", "median", "max", "rowfold /")
    keys = ("min_ns", "median_ns", "max_ns", "rowfold_share")
    rows = [(row["name"], *(f"{row[key]:.3f}" for key in keys)) for row in facts["rows"]]
    return _rendered(
        "report.html.j2",
        title=_title(facts),
        machine=machine,
        chart=Markup(chart(facts)),  # noqa: S704 - our own template, escaped when it was rendered
        columns=columns,
        rows=rows,
        bound=bound_in_words(facts),
        others=others_in_words(facts),
        plan=Markup(plan),  # noqa: S704 - as above
    )


def bound_in_words(facts: Mapping[str, Any]) -> str:
    """What cannot be beaten, and how near rowfold came."""
    bound, share = facts["bound_ns"], facts["share_of_bound"]
    return f"The bound is {bound:.3f} ({facts['bound_by']}); rowfold reaches {share:.0%} of it."


def others_in_words(facts: Mapping[str, Any]) -> list[str]:
    """What of other libraries was timed, and which were not, and why."""
    lines = [f"it is {facts['same_as']}: the others are timed by their own functions"] if facts["same_as"] else []
    lines += [f"not installed: {', '.join(facts['not_installed'])}"] if facts["not_installed"] else []
    return lines + [f"{name} {why}" for name, why in facts["not_run"].items()]


def _title(facts: Mapping[str, Any]) -> str:
    return f"{facts['kernel']} {'x'.join(map(str, facts['shape']))} {facts['dtype']}"


def _bar(i: int, row: Mapping[str, Any], scale: float) -> Bar:
    ends = (row[key] * scale for key in ("min_ns", "median_ns", "max_ns"))
    low, middle, high = (round(_LEFT + min(end, _WIDE), 1) for end in ends)
    cut = row["median_ns"] * scale > _WIDE
    label = f"{row['median_ns']:.3f}{' (cut)' if cut else ''}"
    title = f"{row['name']}: {row['min_ns']:.3f} to {row['max_ns']:.3f}, median {label}"
    opacity = "0.8" if row["name"] == "rowfold" else "0.35"
    return Bar(row["name"], title, label, 26 * i + 6, round(middle - _LEFT, 1), low, high, high + 6, opacity)


def _rendered(template: str, **values: object) -> str:
    from jinja2 import Environment, StrictUndefined  # only pictures need it

    text = resources.files("rowfold").joinpath(f"templates/{template}").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text).render(**values)
