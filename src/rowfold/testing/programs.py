"""Random row functions, as source text: so that a failing one can be printed, read and kept."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

T = TypeVar("T")

BEFORE = (
    "{x} * 0.5",
    "-{x}",
    "np.abs({x})",
    "np.tanh({x})",
    "np.maximum({x}, 0.0)",
    "{x} - {z}",
    "{x} * {z}",
    "{x} / t",
    "{x} * t",
    "{x} + s",
    "np.minimum({x}, {z})",
    "np.log1p(np.abs({x}))",
    "np.sqrt(np.abs({x}))",
    "rf.sigmoid({x})",
    "np.where(keep, {x}, -np.inf)",
    "np.where({x} > {z}, {x}, {z} * 0.25)",
)
REDUCTIONS = (
    "np.sum({a})",
    "np.max({a})",
    "np.min({a})",
    "np.mean({a})",
    "np.var({a})",
    "rf.logsumexp({a})",
    "np.sum(np.exp({a} - np.max({a})))",
    "np.log(np.sum(np.exp({a})))",
    "np.sum(np.exp({a} - np.max({a})) * {b}) / np.sum(np.exp({a} - np.max({a})))",
    "np.sum({a} * {b})",
    "np.sum({a}, where=keep)",
    "np.max({a}, where=keep, initial=-np.inf)",
    "np.mean({a}, where=keep)",
    "np.sum(np.abs({a} - {c}))",
    "np.sum(np.square({a} - {c}))",
    "np.max(np.abs({a}))",
    "np.sqrt(np.mean(np.square({a})) + 1e-6)",
    "np.sum(np.where({a} > {c}, {b}, 0.0))",
    "np.argmax({a})",
    "np.max({a} * {c})",
    "np.max(np.abs({a} - {c}))",
    "np.max(np.exp({a} - np.max({a})) / np.sum(np.exp({a} - np.max({a}))))",
    "np.sum((np.exp({a} - np.max({a})) / np.sum(np.exp({a} - np.max({a})))) ** 2)",
    "np.sum(np.sqrt(np.exp({a} - np.max({a})) / np.sum(np.exp({a} - np.max({a})))) * {b})",
    "np.log(np.sum(np.exp(np.minimum({a}, 50.0))) + np.exp(s))",
    "np.mean(({a} - np.mean({a})) ** 3)",
    "np.mean(({a} - np.mean({a})) ** 4)",
    "np.mean(({a} - np.mean({a})) * ({b} - np.mean({b})))",
    "np.mean(({a} - {c}) ** 3)",
    "np.sum({a}, where={a} > {a}[y])",
    "np.max({a}, where={b} < {b}[y], initial=0.0)",
    "np.sum({a} * {b}, where=rf.positions(x) != y)",
)
FURTHER_REDUCTIONS = (  # initial states, k-vectors and thresholds; not all of them have a derivative, or a row of one
    "np.argmin({a})",
    "np.count_nonzero({a} > {c})",
    "np.max({a}, initial=0.5)",
    "np.min({a}, initial=2.0, where=keep)",
    "np.sum({a}, initial=3.0)",
    "np.log(np.sum(np.exp({a} - np.max({a})), initial=1.0))",
    "rf.kth({a}, 3)",
    "np.sum(rf.topk({a}, 3)[0])",
    "np.sum(np.exp(rf.topk({a}, 3)[0] - rf.logsumexp({a})))",
    "np.cumsum(rf.topk({a}, 3)[0])[1]",
    "np.max(rf.topk({a}, 2)[1])",
    "rf.topk({a}, 2)[0][0] - rf.topk({a}, 2)[0][1]",
    "rf.threshold(lambda v, tau: np.maximum(v - tau, 0.0), 1.0, {a}, lo=-np.inf, hi=np.inf)",
    "rf.threshold(lambda v, tau: np.square(np.maximum(v - tau, 0.0)), 4.0, {a}, lo=-np.inf, hi=np.inf)",
    "np.average({a}, weights=np.exp({b} - np.max({b})))",
    "np.max({a} - {c}, where=keep, initial=-np.inf)",
    "np.linalg.norm({a})",
    "np.mean(({a} - {c}) ** 5)",
    "np.sum(np.exp({a} - np.max({a}))) ** 6",
    "np.sum(np.exp({a} - np.max({a})) * {b}) ** 5 / np.sum(np.exp({a} - np.max({a}))) ** 5",
    "np.ptp({a})",
)
ROW_RESULTS = (
    "{a} - {c}",
    "{a} * {c}",
    "{a} / (1.0 + np.abs({c}))",
    "np.exp({a} - np.max({a})) / np.sum(np.exp({a} - np.max({a})))",
    "np.exp({a}) / np.sum(np.exp({a}))",
    "{a} - rf.logsumexp({a})",
    "np.exp({a} - rf.logsumexp({a}))",
    "np.where({a} > {c}, {a}, 0.0)",
    "({a} - np.mean({a})) / np.sqrt(np.var({a}) + 1e-5)",
    "np.where(keep, {a} - {c}, 0.0)",
    "{a} + rf.positions(x) * 0.125",
)
FURTHER_RESULTS = (  # exponentials that meet factors of any size
    "{b} * np.exp({a} - rf.logsumexp({a}))",
    "np.exp({a} - rf.logsumexp({a})) * ({b} - {c})",
    "np.exp({a}) * {b}",
    "{b} / np.exp({a})",
    "{c} * np.exp({a} - np.max({a})) / np.sum(np.exp({a} - np.max({a})))",
    "np.maximum({a} - {c}, 0.0)",
    "({a} - {c}) ** -2",
    "np.where(rf.positions(x) == y, {a}, {b})",
    "np.where({a} >= rf.kth({a}, 2), np.exp({a} - rf.logsumexp({a})), 0.0)",
    "np.exp(({a} - {c}) / s)",
    "np.exp({c} - {a} / t) * {b}",
    "np.exp(({a} - {c}) * s + {d})",
    "np.exp(({a} - {c}) / t) / np.sum(np.exp(({a} - {c}) / t))",
    "{b} * rf.sigmoid(({a} - {c}) / t)",
    "np.expm1({a} * s)",
    "rf.softplus({c} - {a} / s)",
    "np.log1p(np.exp(({a} - np.max({a})) / s))",
    "np.tanh(({a} - {c}) / t) + {b}",
)
NUMBERS = ("{c}", "{c} - {d}", "{c} + 2.0 * {d}", "{c} * {d}", "{c} - {a}[y]", "{a}[y]", "{c} / x.size")
PARAMETERS = {"z": "z", "keep": "keep: rf.Mask", "s": "s: rf.Scalar", "y": "y: rf.Index"}


class Draws(Protocol):
    """Where random choices come from: a generator here, hypothesis in the tests."""

    def pick(self, options: Sequence[T], /) -> T:
        """One of the options."""
        ...


class Random:
    """Choices drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, options: Sequence[T], /) -> T:
        return options[int(self.rng.integers(len(options)))]


class _Writer:
    """Writes a row function line by line, and knows the rows and numbers that a further line may use."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.rows, self.numbers, self.lines = ["x"], list[str](), list[str]()

    def line(self, prefix: str, template: str) -> str:
        expression = self.fill(template)
        name = f"{prefix}{len(self.lines)}"
        self.lines.append(f"    {name} = {expression}")
        return name

    def fill(self, template: str) -> str:
        """The template with names put in; a number it asks for is there, or is made."""
        pick = self.draws.pick
        if any(key in template for key in ("{c}", "{d}")) and not self.numbers:
            self.numbers.append(self.line("r", "np.max({a})"))
        latest = self.numbers[-1:] or [""]  # used more often than the others, so that few lines are dead
        c, d = pick(latest * 2 + self.numbers), pick(self.numbers or latest)
        rows = self.rows[-1:] + self.rows
        if "{d}" in template and c == d:  # what a number is minus itself is decided by algebra, not by arithmetic
            c = "x.size"
        return template.format(x=pick(self.rows), z="z", a=pick(rows), b=pick([*rows, "z"]), c=c, d=d)


def random_source(draws: Draws, *, every: bool = False) -> str:
    """The text of a row function `fuzzed`: maps, one to three reductions, and one or two results.

    `every`: of the further kinds too, of which some have no derivative and some need rows of three.
    """
    writer = _Writer(draws)
    reductions = REDUCTIONS + (FURTHER_REDUCTIONS if every else ())
    rows = ROW_RESULTS + (FURTHER_RESULTS if every else ())
    for _ in range(draws.pick((0, 0, 1, 2))):
        writer.rows.append(writer.line("v", draws.pick(BEFORE)))
    for _ in range(draws.pick((1, 1, 2, 3))):
        writer.numbers.append(writer.line("r", draws.pick(reductions)))
    kinds = draws.pick((("row",), ("row",), ("number",), ("row", "number"), ("number", "number")))
    results = [writer.fill(draws.pick(rows if kind == "row" else NUMBERS)) for kind in kinds]
    body = "\n".join([*writer.lines, f"    return {', '.join(results)}"])
    return f"def fuzzed({_parameters(body)}):\n{body}\n"


def _parameters(body: str) -> str:
    """The parameters that the body uses."""
    words = set("".join(c if c.isalnum() or c == "_" else " " for c in body).split())
    positional = ["x", *(text for name, text in PARAMETERS.items() if name in words)]
    return ", ".join([*positional, *(["*", "t: rf.Positive = 0.75"] if "t" in words else [])])


def load(source: str) -> Callable[..., Any]:
    """The row function of a source text; its lines are there for tracebacks."""
    import rowfold as rf

    file = f"<fuzzed {abs(hash(source)):x}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope: dict[str, Any] = {"np": np, "rf": rf}
    exec(compile(source, file, "exec"), scope)  # noqa: S102 - the text was made here
    function: Callable[..., Any] = scope["fuzzed"]
    return function
