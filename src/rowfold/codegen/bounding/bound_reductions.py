"""Reductions of values with error bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rowfold.codegen.bisect import COARSE, bisect
from rowfold.codegen.bounding.bounds import Bounded, ElementErrors, distance
from rowfold.codegen.extremes import constant, excess, largest
from rowfold.codegen.interpret import fold

Array = NDArray[Any]
SHIFT_SLACK = 1.5  # shifts are powers of two, so an exponential is carried at up to 1.42 times its own size
MOVED = 64.0  # terms of a fourth moment, times what their sums round
OWN = 8.0  # roundings of a sum in the oracle's numbers, which NumPy adds pairwise
SPREAD_ERROR = 6.0  # in u, of a sum of squared distances, beside that of its sum


class Errors(ElementErrors):
    """The whole arithmetic of values with bounds."""

    def reduce(self, op: str, args: Sequence[Bounded], where: Bounded | None) -> Bounded:
        return reduce(self, op, args, where)

    def solve(
        self,
        total: Callable[[Array], Bounded],
        target: Bounded,
        lo: Bounded,
        hi: Bounded,
        shape: tuple[int, ...],
    ) -> Bounded:
        return _solution(self, total, target, (lo, hi), shape)


def reduce(rules: ElementErrors, op: str, args: Sequence[Bounded], where: Bounded | None) -> Bounded:
    """A reduction along the last axis, which is kept. Elements that may or may not be selected widen the bound."""
    picked = _Picked(rules, args, where)
    match op, args:
        case "count", _:
            return _const(picked.count(), picked.doubt())
        case "sum", _:
            return _const(*_sum(rules, picked.values[0], picked.errors[0], picked))
        case "dot", [a, b]:
            return reduce(rules, "sum", [rules.map("multiply", [a, b])], where)
        case "mean", [a]:
            return rules.map("divide", [reduce(rules, "sum", [a], where), reduce(rules, "count", [], where)])
        case "m2", [a]:
            return _spread(rules, picked, reduce(rules, "mean", [a], where))
        case "comoment", _:
            return _comoment(rules, picked, [reduce(rules, "mean", [a], where).value for a in args])
        case "wcomoment", [w, *rows]:
            total = reduce(rules, "sum", [w], where).value
            means = [reduce(rules, "dot", [w, a], where).value / total for a in rows]
            return _comoment(rules, picked, [np.zeros((1,)), *means])
        case "prod", _:
            return _product(rules, picked)
        case (("max" | "min"), _):
            return _extreme(rules, op, picked)
        case (("any" | "all"), _):
            return _quantifier(op, picked)
        case "excess", [_, _, power]:
            return _excess(rules, picked, int(power.value.flat[0]))
        case (("topk" | "topk_at"), [_, k]):
            return _selection(op, picked, int(k.value.flat[0]))
        case (("argmax" | "argmin"), _):
            return _position(rules, op, picked)
        case _:
            raise AssertionError(f"{op} is not a reduction over {len(args)} rows")


class _Picked:
    """The operands over a full row, the unselected elements told apart."""

    def __init__(self, rules: ElementErrors, args: Sequence[Bounded], where: Bounded | None) -> None:
        full = rules.plain.full
        chosen = rules.plain.select(None if where is None else where.value | where.uncertain)
        unsure = np.zeros((1,), dtype=bool) if where is None else where.uncertain
        # a row-constant has been computed in float64 and is rounded when the row's sum takes it
        args = [rules.rounded(a) for a in args]
        shapes = [s for a in args for s in (full(a.value).shape, full(a.error).shape)]
        batch = np.broadcast_shapes(chosen.shape, full(unsure).shape, *shapes)
        self.chosen = np.broadcast_to(chosen, batch)
        self.unsure = self.chosen & unsure
        self.values = [np.broadcast_to(full(a.value), batch) for a in args]
        self.errors = [np.where(self.chosen, full(a.error), 0.0) for a in args]
        self.wide = rules.wide

    def count(self) -> Array:
        return np.asarray(np.sum(self.chosen & ~self.unsure, axis=-1, keepdims=True)).astype(self.wide)

    def doubt(self) -> Array:
        return np.asarray(np.sum(self.unsure, axis=-1, keepdims=True)).astype(self.wide)


def _const(value: Array, error: Array) -> Bounded:
    error = np.where(np.isnan(error), np.inf, error)
    return Bounded(value, error, error, True)


def _certain(rules: ElementErrors, values: Array) -> Array:
    """Whether a sum that is not finite is so in any order: NaN, or infinities that no overflow on the way can meet."""
    certain, endless = np.any(np.isnan(values), axis=-1, keepdims=True), []
    for sign in (1.0, -1.0):
        against = np.where(np.isfinite(values), np.maximum(-sign * values, 0.0), 0.0)
        endless.append(np.any(values == sign * np.inf, axis=-1, keepdims=True))
        safe = SHIFT_SLACK * np.sum(against, axis=-1, keepdims=True) <= rules.top
        certain = certain | (endless[-1] & safe)
    return np.asarray(certain | (endless[0] & endless[1]))


def _sum(rules: ElementErrors, values: Array, errors: Array, picked: _Picked) -> tuple[Array, Array]:
    sure = np.where(picked.chosen & ~picked.unsure, values.astype(rules.wide), 0.0)
    unsure = np.where(picked.unsure, values.astype(rules.wide), 0.0)
    value = np.sum(sure, axis=-1, keepdims=True)
    extra = np.sum(np.abs(unsure), axis=-1, keepdims=True)
    size = np.sum(np.abs(sure), axis=-1, keepdims=True) + extra
    own = np.sum(errors, axis=-1, keepdims=True)
    error = own + extra + (rules.sum_error + OWN * np.finfo(rules.wide).eps) * size
    special = np.any(~np.isfinite(sure), axis=-1, keepdims=True) & np.isfinite(own + extra)
    decided = special & _certain(rules, sure)
    spilled = ~(SHIFT_SLACK * size + error <= rules.top)
    return value, np.where(decided, 0.0, np.where(spilled, np.inf, error))


def _spread(rules: ElementErrors, picked: _Picked, mean: Bounded) -> Bounded:
    """Central moments are carried about a centre near the mean, so the error is relative to the spread itself."""
    distances = np.where(picked.chosen, picked.values[0].astype(rules.wide) - mean.value, 0.0)
    slips = picked.errors[0]
    each = np.where(slips > 0, 2 * np.abs(distances) * slips + slips**2, 0.0)
    value, error = _sum(rules, distances**2, each, picked)
    off = mean.error + rules.sum_error * np.abs(mean.value)
    n = picked.count()
    wider = error + SPREAD_ERROR * rules.unit * np.abs(value) + n * off**2
    odd = picked.doubt() > 0
    error = np.where(odd, np.inf, np.where(np.isfinite(value), wider, error))
    empty = n == 0
    return _const(np.where(empty, 0.0, value), np.where(empty & ~odd, 0.0, error))


def _comoment(rules: ElementErrors, picked: _Picked, centers: Sequence[Array]) -> Bounded:
    """Distances are taken from pivots in wide lanes: what counts is the error of the rows, and the largest terms."""
    product, above, reach = (np.ones((1,), rules.wide) for _ in range(3))
    for a, slips, center in zip(picked.values, picked.errors, centers, strict=True):
        apart = np.where(picked.chosen, a.astype(rules.wide) - center, 0.0)
        own = OWN * np.finfo(rules.wide).eps * np.abs(center)  # the oracle's own mean is rounded too
        product, above = product * apart, above * (np.abs(apart) + slips + own)
        reach = reach * np.max(np.abs(apart), axis=-1, keepdims=True, initial=0.0)
    value, error = _sum(rules, product, above - np.abs(product), picked)
    moved = MOVED * rules.const_unit * picked.count() * reach  # sums about a pivot, moved to the mean
    spilled = ~(MOVED * picked.count() * reach <= rules.top) & np.isfinite(value) | (picked.doubt() > 0)
    return _const(value, np.where(spilled, np.inf, np.where(np.isfinite(value), error + moved, error)))


def _product(rules: ElementErrors, picked: _Picked) -> Bounded:
    values = np.where(picked.chosen, picked.values[0].astype(rules.wide), 1.0)
    size, slips = np.abs(values), picked.errors[0]
    value = np.prod(values, axis=-1, keepdims=True)
    above = np.prod(np.where(picked.chosen, (size + slips) * (1 + 2 * rules.unit), 1.0), axis=-1, keepdims=True)
    highest = np.prod(np.maximum(size, 1.0), axis=-1, keepdims=True)
    lowest = np.prod(np.where(size == 0, 1.0, np.minimum(size, 1.0)), axis=-1, keepdims=True)
    risky = ~(highest < rules.top / 2) | (lowest < rules.normal * 2) | (picked.doubt() > 0)
    special = np.any(~np.isfinite(values), axis=-1, keepdims=True)
    vague = np.any(np.isinf(slips) | ((slips > 0) & (size <= slips)), axis=-1, keepdims=True)
    error = np.where(risky, np.inf, above - np.abs(value))
    return _const(value, np.where(special, np.where(vague, np.inf, 0.0), error))


def _extreme(rules: ElementErrors, op: str, picked: _Picked) -> Bounded:
    sign = 1.0 if op == "max" else -1.0
    values = sign * picked.values[0].astype(rules.wide)
    errors, sure = picked.errors[0], picked.chosen & ~picked.unsure

    def top(v: Array, among: Array) -> Array:
        return np.asarray(np.max(np.where(among, v, -np.inf), axis=-1, keepdims=True, initial=-np.inf))

    value = top(values, sure)
    above, below = top(values + errors, picked.chosen), top(values - errors, sure)
    undecided = np.any(np.isinf(errors), axis=-1, keepdims=True)
    error = np.maximum(distance(above, value), distance(value, below))
    return _const(sign * value, np.where(undecided, np.inf, error))


def _quantifier(op: str, picked: _Picked) -> Bounded:
    hits = (picked.values[0] != 0) ^ (op == "all")  # all is not any of the opposite
    vague = picked.chosen & (picked.unsure | (picked.errors[0] > 0))
    certain = np.any(picked.chosen & hits & ~vague, axis=-1, keepdims=True)
    doubtful = ~certain & np.any(vague, axis=-1, keepdims=True)
    return _const(certain ^ (op == "all"), np.where(doubtful, 1.0, 0.0))


def _position(rules: ElementErrors, op: str, picked: _Picked) -> Bounded:
    """The place of the extreme, undecided where another element may be as extreme."""
    values, errors = picked.values[0], picked.errors[0]
    place = np.asarray(fold(np, op, [values], picked.chosen, rules.wide))
    if values.shape[-1] == 0:
        return _const(place, np.zeros(place.shape))
    sign = 1.0 if op == "argmax" else -1.0
    at = np.maximum(place, 0)
    best, slack = (np.take_along_axis(a, at, axis=-1) for a in (sign * values, errors))
    rivals = picked.chosen & (sign * values + errors >= best - slack) & (errors + slack > 0)
    np.put_along_axis(rivals, at, False, axis=-1)
    vague = np.any(rivals | picked.unsure | np.isinf(errors), axis=-1, keepdims=True)
    return _const(place, np.where(vague, np.inf, 0.0))


def _selection(op: str, picked: _Picked, k: int) -> Bounded:
    """The k largest: each is off by no more than any element is, and its place is certain where no rival is near."""
    values, errors = picked.values[0], picked.errors[0]
    found, places = largest(values, min(k + 1, values.shape[-1]), picked.chosen)
    worst = np.max(np.where(picked.chosen, errors, 0.0), axis=-1, keepdims=True, initial=0.0)
    vague = np.any(picked.unsure, axis=-1, keepdims=True) | np.isinf(worst)
    if op == "topk":
        value = found[..., :k]
        return _const(value, np.where(vague, np.inf, np.where(np.isfinite(value), worst, 0.0)))
    close = np.any(np.diff(-found, axis=-1) <= 2 * worst, axis=-1, keepdims=True) & (worst > 0)
    return _const(places[..., :k], np.broadcast_to(np.where(vague | close, np.inf, 0.0), places[..., :k].shape))


def _excess(rules: ElementErrors, picked: _Picked, power: int) -> Bounded:
    """A threshold moves no further than any element does, and with the target by less than its root does."""
    values, target = picked.values[0].astype(rules.wide), constant(picked.values[1])
    value = excess(values, target, power, picked.chosen)
    worst = np.max(picked.errors[0], axis=-1, keepdims=True, initial=0.0)
    slack = np.max(picked.errors[1], axis=-1, keepdims=True, initial=0.0)
    n = picked.values[0].shape[-1]
    own = rules.const_unit * (np.abs(value) + (8 + n) * (1 + np.abs(target)))
    vague = np.any(picked.unsure, axis=-1, keepdims=True) | np.isinf(worst) | (slack > 0)
    return _const(value, np.where(vague, np.inf, np.where(np.isfinite(value), worst + own, 0.0)))


def _solution(
    rules: ElementErrors,
    total: Callable[[Array], Bounded],
    target: Bounded,
    ends: tuple[Bounded, Bounded],
    shape: tuple[int, ...],
) -> Bounded:
    """tau may be wherever a sum within its bound crosses a target within its own."""

    def at(side: float) -> Array:
        def moved(tau: Array) -> Array:
            found = total(tau)
            if not side:
                return found.value
            return np.where(np.isinf(found.error), side * np.inf, found.value + side * found.error)

        low, high = (np.where(np.isinf(e.value), e.value, e.value + side * e.error) for e in ends)
        return bisect(moved, target.value - side * target.error, low, high, shape)

    low, value, high = (at(side) for side in (-1.0, 0.0, 1.0))
    coarse = COARSE["f32" if rules.dtype == np.float32 else "f64"]
    own = (2.0 ** (coarse - 51) + 2 * rules.const_unit) * np.abs(value)
    error = np.maximum(value - low, high - value) + own
    nowhere = np.isnan(value) & np.isnan(high)
    return _const(value, np.where(nowhere, 0.0, error))
