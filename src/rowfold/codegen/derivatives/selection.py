"""The derivatives of selections: thresholds, the k largest, and what is computed of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..ir import Builder, Const, Input, Map, Reduce, Ref, Role, operands
from .rules import Rule, Send


def _excess(send: Send, node: Reduce) -> None:
    """tau with sum max(z - tau, 0)^p = target, by the implicit function theorem: f'(z_i) / sum f' to each z_i."""
    z, target, power = node.args
    b, m = send.b, send.maths
    exponent = b.nodes[power]
    assert isinstance(exponent, Const)  # 1 or 2
    over = b.map("subtract", z, send.out)
    inside = m.both(node.where, b.map("greater", over, b.const(0.0)))
    square = exponent.value == 2
    mass = b.reduce("sum", over, where=inside) if square else b.reduce("count", where=inside)
    share = m.over(send.value, mass)
    send(z, m.times(share, over) if square else share, inside)
    send(target, m.by(share, -0.5 if square else -1.0))


def _topk(send: Send, node: Reduce) -> None:
    """Each of the k largest gets what its entry received, at its place."""
    x, k = node.args
    b = send.b
    places = b.reduce("topk_at", x, k, where=node.where)
    position = b.add(Input("", Role.POSITIONS))
    value = send.maths.chosen(send.under, send.value)
    for j in range(b.entries(send.out)):
        entry = b.const(float(j))
        one = b.map("pick", value, entry) if b.entries(value) else value
        send.to.receive(x, one, b.map("equal", position, b.map("pick", places, entry)))


def _small_sum(send: Send, node: Map) -> None:
    send(node.args[0], send.value)


def _small_extremum(send: Send, node: Map) -> None:
    """The entries that reach it share the gradient."""
    (v,) = node.args
    b = send.b
    best = b.map("equal", v, send.out)
    count = b.map("small_sum", b.map("where", best, b.const(1.0), b.const(0.0)))
    send(v, send.maths.over(send.value, count), best)


def _everywhere(b: Builder, v: Ref, number: Ref) -> Ref:
    """A number at every entry of a k-vector: where that stands on the places of the selection that it comes from."""
    while not isinstance(node := b.nodes[v], Reduce):
        v = next(a for a in operands(node) if b.entries(a))
    places = b.reduce("topk_at", *node.args, where=node.where)
    return b.map("where", b.map("greater_equal", places, b.const(-1.0)), number, number)


def _pick(send: Send, node: Map) -> None:
    v, index = node.args
    b = send.b
    number = b.map("cumsum", _everywhere(b, v, b.const(1.0)))
    send(v, send.value, b.map("equal", number, send.maths.add(index, b.const(1.0))))


def _cumsum(send: Send, node: Map) -> None:
    """Each entry gets the sum of what it and those behind it received."""
    b, m = send.b, send.maths
    value = m.chosen(send.under, send.value)
    if not b.entries(value):
        value = _everywhere(b, node.args[0], value)
    behind = b.map("subtract", b.map("small_sum", value), b.map("cumsum", value))
    send.to.receive(node.args[0], m.add(behind, value))


RULES: Final[Mapping[str, Rule]] = {
    "excess": _excess,
    "topk": _topk,
    "small_sum": _small_sum,
    "small_max": _small_extremum,
    "small_min": _small_extremum,
    "pick": _pick,
    "cumsum": _cumsum,
}
