"""Evaluates a program on whole batches with an array module: what every plan and every backend must agree with.

Rows lie along the last axis. Row-constants keep that axis with length 1, so that they broadcast against rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from rowfold import philox
from rowfold.codegen.bisect import bisect
from rowfold.codegen.bounding.scaled import Arithmetic, ScaledRules, Value
from rowfold.codegen.extremes import constant, excess, largest, position
from rowfold.codegen.found import found_in
from rowfold.codegen.ir import Const, Input, Map, Param, Program, Reduce, Ref, Role, Type, elements_of, operands

Array = Any  # numpy.ndarray, or the array of another module that has NumPy's names
_NEAR = 30.0  # e to this power is far from where doubles end
V = TypeVar("V")


def interpret(
    program: Program,
    inputs: Mapping[str, ArrayLike],
    settings: Mapping[str, float],
    *,
    xp: ModuleType = np,
    dtype: Any = np.float64,
    where: ArrayLike | None = None,
    masked: float = 0.0,
) -> tuple[Array, ...]:
    """The outputs of `program` on a batch of rows, row outputs with the rows' shape and numbers with the batch's.

    `where` restricts every reduction to the selected elements; row outputs are `masked` elsewhere. Rows whose index
    is the one to ignore give 0. Programs are accepted as traced and as simplified. Nothing warns.
    """
    with np.errstate(all="ignore"):
        batch = Batch(program, inputs, xp, dtype, where)
        plain = Plain(xp, dtype, batch.width, batch.where)
        values = evaluate(program, batch, settings, plain)
        results = [batch.fit(values[o.ref], program, o.ref, masked) for o in program.outputs]
        results = [_total(xp, r) if o.total else r for r, o in zip(results, program.outputs, strict=True)]
        return tuple(r if o.dtype is None else r.astype(o.dtype) for r, o in zip(results, program.outputs, strict=True))


def _total(xp: ModuleType, rows: Array) -> Array:
    """The sum over the batch."""
    return xp.sum(rows.reshape(-1, rows.shape[-1]), axis=0)


def evaluate(program: Program, batch: Batch, settings: Mapping[str, float], plain: Arithmetic[V]) -> list[V]:
    """The plain value of every node, in the numbers of `plain`."""
    rules = ScaledRules(plain)
    return [rules.collapse(v) for v in walk(program, batch, settings, rules)]


def walk(program: Program, batch: Batch, settings: Mapping[str, float], rules: ScaledRules[V]) -> list[Value[V]]:
    """The value of every node as the rules have it."""
    values: list[Value[V]] = []
    elements = elements_of(program)
    for i, node in enumerate(program.nodes):
        values.append(_value(program, Ref(i), node, values, batch, settings, rules, elements))
    return values


def _value(
    program: Program,
    ref: Ref,
    node: Input | Param | Const | Map | Reduce,
    values: Sequence[Value[V]],
    batch: Batch,
    settings: Mapping[str, float],
    rules: ScaledRules[V],
    elements: Sequence[bool],
) -> Value[V]:
    match node:
        case Input(_, Role.UNKNOWN):
            return rules.plain.number(np.nan)  # until the reduction that binds it
        case Input():
            return rules.plain.lift(batch.array(node), node.role)
        case Param(name):
            return rules.plain.number(float(settings[name]))
        case Const(value):
            return rules.plain.number(value)
        case Map("take", (row, index)):
            return rules.take(values[row], rules.collapse(values[index]))
        case Map(op, args):
            return rules.map(op, [values[a] for a in args], program.is_row(ref), [elements[a] for a in args])
        case Reduce("threshold"):
            return _threshold(program, node, values, batch, settings, rules, elements)
        case Reduce(op, args, where):
            rows = [rules.collapse(values[a]) if program.types[a] is Type.BOOL else values[a] for a in args]
            return rules.reduce(op, rows, None if where is None else rules.collapse(values[where]))


def _threshold(
    program: Program,
    node: Reduce,
    values: Sequence[Value[V]],
    batch: Batch,
    settings: Mapping[str, float],
    rules: ScaledRules[V],
    elements: Sequence[bool],
) -> Value[V]:
    """The tau that is bound, by bisection: what hangs on it is computed again for each."""
    f, leaf, *ends = node.args
    depends = {leaf}
    for i in range(leaf + 1, f + 1):
        if depends & set(operands(program.nodes[i])):
            depends.add(Ref(i))

    def total(tau: Array) -> V:
        again = list(values)
        again[leaf] = rules.plain.lift(tau, Role.SCALAR)
        for i in sorted(depends - {leaf}):
            again[i] = _value(program, i, program.nodes[i], again, batch, settings, rules, elements)
        where = None if node.where is None else rules.collapse(again[node.where])
        return rules.collapse(rules.reduce("sum", [again[f]], where))

    target, lo, hi = (rules.collapse(values[e]) for e in ends)
    return rules.plain.solve(total, target, lo, hi, (*batch.shape[:-1], 1))


class Batch:
    """The inputs of a program, broadcast against each other: rows to (batch, n), numbers to (batch, 1)."""

    def __init__(
        self,
        program: Program,
        inputs: Mapping[str, ArrayLike],
        xp: ModuleType,
        dtype: Any,
        where: ArrayLike | None,
    ) -> None:
        self.xp, self.dtype, self.inputs = xp, dtype, inputs
        shapes = [self._shape(node) for _, node in program.inputs]
        if where is not None:
            shapes.append(np.shape(where))
        self.shape: tuple[int, ...] = np.broadcast_shapes(*shapes)
        self.width = self.shape[-1]
        self.where: Array = None if where is None else xp.broadcast_to(xp.asarray(where, dtype=bool), self.shape)
        self.ignored: Array = None
        for _, node in program.inputs:
            if node.ignore is not None:
                hit = xp.asarray(self.inputs[node.name])[..., None] == node.ignore
                self.ignored = hit if self.ignored is None else self.ignored | hit

    def array(self, node: Input) -> Array:
        """One input, its row-constants with a last axis of length 1."""
        xp = self.xp
        match node.role:
            case Role.POSITIONS:
                return xp.arange(self.width).astype(self.dtype)
            case Role.ROW | Role.INT_ROW | Role.TABLE:
                return xp.asarray(self.inputs[node.name]).astype(self.dtype)
            case Role.MASK:
                return xp.asarray(self.inputs[node.name]).astype(bool)
            case Role.SEED:
                return philox.keys_of(self.inputs[node.name], self.shape[:-1])[..., None]
            case Role.SCALAR:
                return xp.asarray(self.inputs[node.name]).astype(self.dtype)[..., None]
            case Role.INDEX:
                index = xp.asarray(self.inputs[node.name])[..., None]
                return index if node.ignore is None else xp.where(index == node.ignore, 0, index)

    def fit(self, value: Array, program: Program, ref: Ref, masked: float) -> Array:
        """An output in the shape that a kernel gives it."""
        xp, row, size = self.xp, program.is_row(ref), program.entries(ref)
        shape = self.shape if row else (*self.shape[:-1], size or 1)
        value = xp.broadcast_to(value, shape)
        if row and self.where is not None:
            value = xp.where(self.where, value, masked)
        if self.ignored is not None:
            value = xp.where(self.ignored, xp.zeros_like(value), value)
        return value if row or size else value[..., 0]

    def _shape(self, node: Input) -> tuple[int, ...]:
        shape = np.shape(self.inputs[node.name])
        if node.role is Role.TABLE:
            return (*shape[:-1], 1)
        return (*shape, 1) if node.role in (Role.SCALAR, Role.INDEX, Role.SEED) else shape


class Plain:
    """The arithmetic of an array module, with no errors carried."""

    def __init__(self, xp: ModuleType, dtype: Any, width: int, where: Array) -> None:
        self.xp, self.dtype, self.width, self.where = xp, dtype, width, where

    def lift(self, array: Array, role: Role) -> Array:
        return array

    def number(self, value: float | bool) -> Array:
        return self.xp.asarray([value], dtype=bool if isinstance(value, bool) else self.dtype)

    def map(self, op: str, args: Sequence[Array]) -> Array:
        return apply(self.xp, op, [self._float(a) if _arithmetic(op) else a for a in args])

    def reduce(self, op: str, args: Sequence[Array], where: Array) -> Array:
        selected = self.select(where)
        rows = [self.full(a) for a in args]
        return fold(self.xp, op, rows, selected, self.dtype)

    def take(self, row: Array, index: Array) -> Array:
        xp, row = self.xp, self.full(row)
        if self.where is not None:
            row = xp.where(self.where, row, -np.inf)  # a target that is masked out has no probability
        if row.shape[-1] == 0:
            return xp.full((*row.shape[:-1], 1), np.nan, dtype=row.dtype)
        batch = np.broadcast_shapes(row.shape[:-1], index.shape[:-1])
        row = xp.broadcast_to(row, (*batch, row.shape[-1]))
        return xp.take_along_axis(row, xp.broadcast_to(index, (*batch, 1)), axis=-1)

    def solve(
        self, total: Callable[[Array], Array], target: Array, lo: Array, hi: Array, shape: tuple[int, ...]
    ) -> Array:
        return bisect(total, target, lo, hi, shape)

    def split(self, exponent: Array) -> Array:
        return self.xp.ones_like(exponent)

    def shift(self, left: Array, right: Array, sign: int) -> Array:
        return left + right if sign > 0 else left - right

    def join(self, mantissa: Array, log: Array) -> Array:
        """In two factors, so that a large mantissa meets a small exponential before it is rounded away."""
        half = self.xp.exp(log / 2)
        return self.xp.where(_endless(self.xp, mantissa, log), mantissa, mantissa * half * half)

    def peak(self, log: Array, where: Array) -> Array:
        xp, log = self.xp, self.full(log)
        seen = xp.where(self.select(where) & ~xp.isnan(log), log, -np.inf)
        top = xp.max(seen, axis=-1, keepdims=True, initial=-np.inf)
        return xp.where(top == -np.inf, 0.0, top)

    def common(self, left: Array, right: Array) -> Array:
        """None where the larger one is near 1: then nothing is rounded on the way there and back."""
        top = self.xp.maximum(left, right)
        return self.xp.where(self.xp.abs(top) < _NEAR, 0.0, top)

    def term(self, mantissa: Array, log: Array, peak: Array) -> Array:
        xp = self.xp
        inside = xp.where(_endless(xp, mantissa, log), mantissa, mantissa * xp.exp(log - peak))
        inside = xp.where(peak == np.inf, xp.where(log == np.inf, mantissa, xp.where(xp.isnan(log), log, 0.0)), inside)
        return xp.where(log == -np.inf, 0.0, inside)

    def settle(self, mantissa: Array, log: Array) -> tuple[Array, Array]:
        gone = log == -np.inf
        return self.xp.where(gone, 0.0 * mantissa, mantissa), self.xp.where(gone, 0.0, log)

    def void(self, value: Array, infinite: Array) -> Array:
        return self.xp.where(infinite == np.inf, np.nan, value)

    def beside_log(self, value: Array, infinite: Array, element: bool) -> Array:
        return self.void(value, infinite) if element else value

    def select(self, where: Array) -> Array:
        """The elements that a reduction runs over."""
        every = self.xp.ones(self.width, dtype=bool) if self.where is None else self.where
        return every if where is None else every & where

    def full(self, row: Array) -> Array:
        """A row-shaped value that a row-constant stands for."""
        return self.xp.broadcast_to(row, (*row.shape[:-1], self.width))

    def _float(self, a: Array) -> Array:
        return a.astype(self.dtype) if a.dtype == bool else a


def _endless(xp: ModuleType, mantissa: Array, log: Array) -> Array:
    """Where a factor is infinite: an exponential is never 0 beside it, unless its exponent is -inf."""
    return xp.isinf(mantissa) & xp.isfinite(log)


def _arithmetic(op: str) -> bool:
    return op not in ("where", "logical_and", "logical_or", "logical_not", "logical_xor", "stop_gradient", "broadcast")


def apply(xp: ModuleType, op: str, args: Sequence[Array]) -> Array:
    """One elementwise operation in an array module's own functions."""
    match op, args:
        case "rsqrt", [a]:
            return 1 / xp.sqrt(a)
        case "sigmoid", [a]:
            e = xp.exp(-xp.abs(a))
            return xp.where(a >= 0, 1 / (1 + e), e / (1 + e))
        case "softplus", [a]:
            return xp.maximum(a, 0) + xp.log1p(xp.exp(-xp.abs(a)))
        case "uniform", [position, key]:
            return philox.uniform(position, key)
        case "lookup", [places, table]:
            return found_in(xp, places, table)
        case "pick", [a, index]:
            return a[..., int(index[0]), None]
        case (("small_sum" | "small_prod" | "small_max" | "small_min"), [a]):
            return getattr(xp, op.removeprefix("small_"))(a, axis=-1, keepdims=True)
        case "cumsum", [a]:
            return xp.cumsum(a, axis=-1)
        case ("stop_gradient", [a]) | ("broadcast", [_, a]):
            return a if op == "broadcast" else getattr(xp, op, xp.asarray)(a)  # NumPy knows no gradients
        case _:
            return getattr(xp, op)(*args)


IDENTITIES = {"sum": 0.0, "prod": 1.0, "max": -np.inf, "min": np.inf}


def fold(xp: ModuleType, op: str, rows: Sequence[Array], chosen: Array, dtype: Any) -> Array:
    """One reduction along the last axis, which is kept."""
    match op, rows:
        case "count", _:
            return xp.sum(chosen, axis=-1, keepdims=True).astype(dtype)
        case (("sum" | "prod" | "max" | "min"), [a]):
            a = xp.where(chosen, a.astype(dtype), IDENTITIES[op])
            return getattr(xp, op)(a, axis=-1, keepdims=True, initial=IDENTITIES[op])
        case "any", [a]:
            return xp.any(chosen & (a != 0), axis=-1, keepdims=True)
        case "all", [a]:
            return xp.all(~chosen | (a != 0), axis=-1, keepdims=True)
        case (("argmax" | "argmin"), [a]):
            return position(xp, op, a, chosen)
        case "excess", [a, target, power]:
            return excess(a, constant(target, xp), int(np.max(power, initial=0)), chosen, xp)
        case (("topk" | "topk_at"), [a, k]):
            values, places = largest(a, int(k.reshape(-1)[0]), chosen, xp)
            return values if op == "topk" else places
        case "dot", [a, b]:
            return fold(xp, "sum", [xp.asarray(a * b)], chosen, dtype)
        case "mean", [a]:
            return fold(xp, "sum", [a], chosen, dtype) / fold(xp, "count", [], chosen, dtype)
        case "m2", [a]:
            return fold(xp, "comoment", [a, a], chosen, dtype)
        case "comoment", _:
            return fold(xp, "sum", [_distances(xp, None, rows, chosen, dtype)], chosen, dtype)
        case "wcomoment", [w, *factors]:
            return fold(xp, "sum", [w * _distances(xp, w, factors, chosen, dtype)], chosen, dtype)
        case _:
            raise AssertionError(f"{op} is not a reduction over {len(rows)} rows")


def _distances(xp: ModuleType, weight: Array, rows: Sequence[Array], chosen: Array, dtype: Any) -> Array:
    """The product of the rows, each from its mean."""
    result: Array = 1.0
    for a in rows:
        if weight is None:
            mean = fold(xp, "mean", [a], chosen, dtype)
        else:
            mean = fold(xp, "dot", [weight, a], chosen, dtype) / fold(xp, "sum", [weight], chosen, dtype)
        result = result * (a - mean)
    return result
