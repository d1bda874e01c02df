"""Exponentials and their sums without their common scale: e^a / sum e^a is written e^(a - L), L = log sum e^a.

A sum of exponentials has no number that could be kept: it overflows. Its logarithm has one, and so has the ratio of two
sums. Where a program is of degree 0 in the scale of each exponent, as every stable one is, e^a may be replaced by
e^(a - L) and sum e^a by 1 throughout; log sum e^a becomes L.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ...records import dataclass
from ..derivatives.rules import Maths
from ..ir import COMPARISONS, Builder, Const, Input, Map, Node, Param, Program, Reduce, Ref, operands, renumber

Powers = Mapping[Ref, int]
NONE: Final[Powers] = MappingProxyType({})
SAME: Final = frozenset("add subtract maximum minimum".split())


class ScaleError(Exception):
    """A value hangs on the scale of its exponentials."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value without the scales, and the power of each exponent's scale that was left out of it."""

    ref: Ref
    powers: Powers


class Unscaled:
    """Adds programs to a builder with their scales left out. `fixed` says which nodes do not hang on a gradient."""

    def __init__(self, b: Builder, fixed: Callable[[Ref], bool]) -> None:
        self.b, self.maths, self.fixed = b, Maths(b), fixed
        self.sums: dict[Ref, Ref] = {}  # an exponent -> its sum of weight 1

    def add(self, program: Program) -> list[Ref]:
        """The nodes of its outputs. Raises ScaleError when one hangs on a scale."""
        plain: dict[Ref, Ref] = {}
        for i, node in enumerate(program.nodes):
            plain[Ref(i)] = self.b.add(renumber(node, plain), program.names[i])
            self._note(plain[Ref(i)])
        parts: list[Part] = []
        for i, node in enumerate(program.nodes):
            part = self._part(node, parts, plain, plain[Ref(i)])
            parts.append(Part(part.ref, {a: p for a, p in part.powers.items() if p}))
        found = [parts[o.ref] for o in program.outputs]
        if any(part.powers for part in found):
            raise ScaleError
        return [part.ref for part in found]

    def _note(self, ref: Ref) -> None:
        node = self.b.nodes[ref]
        if isinstance(node, Reduce) and node.op == "expsum" and self.maths.is_number(node.args[0], 1.0):
            if self.fixed(ref):
                self.sums.setdefault(node.args[1], ref)

    def log(self, exponent: Ref) -> Ref:
        """L of an exponent."""
        return self.b.map("log", self.sums[exponent])

    def _exp(self, exponent: Ref) -> Ref:
        return self.b.map("exp", self.b.map("subtract", exponent, self.log(exponent)))

    def _part(self, node: Node, parts: list[Part], plain: Mapping[Ref, Ref], own: Ref) -> Part:
        same = all(parts[a] == Part(plain[a], NONE) for a in operands(node))
        match node:
            case Input() | Param() | Const():
                return Part(own, NONE)
            case Map(op) | Reduce(op) if same and op not in ("exp", "expsum"):
                return Part(own, NONE)
            case Map(op, args):
                return self._map(op, [parts[a] for a in args])
            case Reduce(op, args, where):
                return self._reduce(op, [parts[a] for a in args], None if where is None else _none(parts[where]))

    def _map(self, op: str, args: list[Part]) -> Part:
        m = self.maths
        match op, args:
            case "exp", [a] if _none(a) in self.sums:
                return Part(self._exp(a.ref), {a.ref: 1})
            case "log", [x]:
                return Part(self._log(x), NONE)
            case "multiply", [x, y]:
                return Part(m.times(x.ref, y.ref), _sum(x.powers, y.powers, 1))
            case "divide", [x, y]:
                ref = x.ref if m.is_number(y.ref, 1.0) else m.over(x.ref, y.ref)
                return Part(ref, _sum(x.powers, y.powers, -1))
            case "square", [x]:
                return Part(m.times(x.ref, x.ref) if m.is_number(x.ref, 1.0) else self.b.map(op, x.ref),
                            _sum(x.powers, x.powers, 1))  # fmt: skip
            case "reciprocal", [x]:
                return Part(x.ref if m.is_number(x.ref, 1.0) else self.b.map(op, x.ref), _sum(NONE, x.powers, -1))
            case (("negative" | "absolute"), [x]):
                return Part(self.b.map(op, x.ref), x.powers)
            case "where", [c, x, y]:
                return Part(self.b.map(op, _none(c), x.ref, y.ref), self._common(x, y))
            case "broadcast", [x, c]:
                return Part(self.b.map(op, _none(x), c.ref), c.powers)
        if op in SAME:
            return Part(self.b.map(op, *(a.ref for a in args)), self._common(*args))
        if op in COMPARISONS:
            self._common(*args)
            return Part(self.b.map(op, *(a.ref for a in args)), NONE)
        return Part(self.b.map(op, *map(_none, args)), NONE)

    def _log(self, x: Part) -> Ref:
        total = self.b.const(0.0) if self.maths.is_number(x.ref, 1.0) else self.b.map("log", x.ref)
        for exponent, power in x.powers.items():
            total = self.maths.add(total, self.maths.by(self.log(exponent), float(power)))
        return total

    def _reduce(self, op: str, args: list[Part], where: Ref | None) -> Part:
        refs = [a.ref for a in args]
        if op == "expsum" and _none(args[1]) in self.sums:
            return Part(self._expsum(_none(args[0]), refs[1], where), {refs[1]: 1})
        if op in ("sum", "mean", "max", "min"):
            return Part(self.b.reduce(op, *refs, where=where), args[0].powers)
        if op == "dot":
            return Part(self.b.reduce(op, *refs, where=where), _sum(args[0].powers, args[1].powers, 1))
        return Part(self.b.reduce(op, *map(_none, args), where=where), NONE)

    def _expsum(self, weight: Ref, exponent: Ref, where: Ref | None) -> Ref:
        """The ratio to the sum of weight 1. What an exponential of 0 is multiplied by counts nothing."""
        whole, b = self.sums[exponent], self.b
        this = b.reduce("expsum", weight, exponent, where=where)
        if this == whole:
            return b.const(1.0)
        if self.fixed(this):
            return b.map("divide", this, whole)
        p = self._exp(exponent)
        alive = self.maths.both(where, b.map("greater", p, b.const(0.0)))
        return b.reduce("dot", weight, p, where=alive)

    def _common(self, *parts: Part) -> Powers:
        """The powers that terms share; 0 has any."""
        others = [p for p in parts if not self.maths.is_number(p.ref, 0.0)] or [*parts]
        if any(p.powers != others[0].powers for p in others):
            raise ScaleError
        return others[0].powers


def _none(part: Part) -> Ref:
    if part.powers:
        raise ScaleError
    return part.ref


def _sum(x: Powers, y: Powers, sign: int) -> Powers:
    return {a: x.get(a, 0) + sign * y.get(a, 0) for a in (*x, *(a for a in y if a not in x))}
