"""Arithmetic that is written down: a program is evaluated on one block of rows, and replayed on the next ones.

The recorded steps are NumPy's functions on arrays that stay where they are, so a block costs neither a walk over the
program nor a new array. All numbers are doubles. An exponential is taken once for an exponent and its shift, and where
doubles reach far enough there is no shift (`bare`): rows whose sums of exponentials leave that range are found out, and
go through a recording with shifts.

Rows in which a reduction is not finite are left to `interpret`, which knows what special values mean. For float64
kernels (`lossless`), where a double has no digits to spare, sums are rounded as often as compiled ones (`halves`), and
`exact` says whether what was recorded keeps the bounds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..interpret import Plain, apply, fold
from ..ir import Role
from .halves import Elements, Summed, log_of_sum, log_parts
from .places import Places
from .steps import Step

Array = Any
ONE = np.ones(1)
_NONE = np.empty(0, np.int64)
_LEAST, _MOST = np.minimum.reduce, np.maximum.reduce
_FOLDS = {"sum": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}
_CHOICES = frozenset("max min count any all argmax argmin topk topk_at".split())  # they round nothing
_KEPT = frozenset("logical_and logical_or logical_not logical_xor stop_gradient broadcast where".split())
_EXACT = frozenset("sum mean m2 dot".split())  # what `_exactly` sums
_LONG = np.longdouble
_WIDER = np.finfo(np.longdouble).nmant >= 63
_NOTHING = np.zeros(1)  # the shift of exponentials that have none
_ZERO = np.zeros(1)
# Of their sums: beyond, what is lost may show in a result, and the fifth power of one may leave the range of doubles.
_RANGE = {True: (0.5, 1e60), False: (1e-60, 1e60)}
_NEAR = 1e-3  # a logarithm of a probability nearer to 0 than this is taken from the others' probabilities
_MANY = 8192  # elements: libraries share longer sums of products among threads


class Tape(Plain):
    """Records what is done to arrays of so many rows; `replay` does it again to what the inputs hold by then."""

    def __init__(self, rows: int, width: int, *, lossless: bool, bare: bool) -> None:
        super().__init__(np, np.float64, width, None)
        self.rows, self.lossless, self.exact, self.bare = rows, lossless, True, bare
        self.steps: list[Step] = []
        self.calls: list[Callable[[], object]] = []
        self.suspects: list[Array] = []
        self.ranged: list[Array] = []  # sums of exponentials without a shift
        self.close: list[tuple[Array, Array]] = []  # such sums and those of squares: no term may be all of a sum
        self.small: list[Array] = []  # numbers that have lost their digits where they are small
        self._of: dict[int, Array] = {}  # the exponents of exponentials
        self._products: dict[int, tuple[Array, Array]] = {}  # the factors of products of rows, which may be summed
        self._bare: set[int] = set()  # exponents that have no shift
        self._of_bare: set[int] = set()  # their exponentials
        self._known: dict[tuple[object, ...], tuple[Array, tuple[Array, ...]]] = {}  # results keep operands alive
        self._inputs: dict[int, Array] = {}
        self._shifted: dict[int, Array] = {}  # rows less a row-constant, with what the difference lost
        self._powers: set[int] = set()
        self._sums: dict[int, Array] = {}  # of these exponentials
        self._logs: dict[int, tuple[Array, Array]] = {}  # of such a sum and its exponentials
        self._totals: dict[int, tuple[Array, Array, Array]] = {}  # the same, to which its peak was added
        self._taken: set[int] = set()
        self._room: dict[tuple[int, ...], Array] = {}  # in which sums are made
        self._ones = np.ones(width if width <= _MANY else 0)

    def finish(self, results: Sequence[Array], own: Sequence[bool]) -> Places:
        """All is recorded: what must be there after a replay are these results, and what tells of special rows.

        `own` says which results have the kernel's own type. What the recording reads and writes is found in places.
        """
        told = {*self._bare, *(self._shifted if self.lossless else ())}  # what an infinite exponent lost is NaN
        for power in [self._known["power", d][0] for d in told if ("power", d) in self._known]:
            if not any(power is e for e in self._sums.values()):  # only sums of other terms were taken
                self._reduced("sum", [power], None)
        self.suspects = [s for s in self.suspects if not any(s is total for total in self.ranged)]
        read = (*self.suspects, *self.ranged, *(a for pair in self.close for a in pair), *self.small)
        places = Places(self.steps, results, read, self._inputs, None if self.lossless else own, self.width)
        self.calls = places.calls
        for made in (self._known, self._sums, self._logs, self._totals, self._shifted, self._inputs):
            made.clear()  # arrays that no call uses are given back
        for made in (self._of, self._products):
            made.clear()
        self.steps.clear()
        return places

    def replay(self) -> None:
        for call in self.calls:
            call()

    def special(self) -> Array:
        """The rows in which a reduction is not finite, or a sum of exponentials out of range."""
        if self._all_good():
            return _NONE
        low, high = _RANGE[self.lossless]
        good = [np.isfinite(number) for number in self.suspects]
        good += [(total >= low) & (total <= high) for total in self.ranged]
        good += [squares <= (1 - _NEAR) * total * total for total, squares in self.close]
        good += [abs(number) >= _NEAR for number in self.small]
        bad = [np.flatnonzero(np.broadcast_to(~rows.all(axis=-1), self.rows)) for rows in good if not rows.all()]
        return np.unique(np.concatenate(bad)) if bad else _NONE

    def _all_good(self) -> bool:
        """Whether no row is special, found in few calls: of a NaN nothing is true."""
        low, high = _RANGE[self.lossless]
        shapes = {s.shape for s in self.suspects}
        probe = functools.reduce(np.add, self.suspects) if len(shapes) == 1 else _NOTHING
        return (
            len(shapes) < 2
            and (probe is _NOTHING or bool(np.isfinite(probe).all()))
            and all(low <= _LEAST(total, axis=None) and _MOST(total, axis=None) <= high for total in self.ranged)
            and all((squares <= (1 - _NEAR) * total * total).all() for total, squares in self.close)
            and all(_LEAST(abs(number), axis=None) >= _NEAR for number in self.small)
        )

    # steps

    def _ufunc(self, f: Callable[..., Array], *args: Array, **how: Any) -> Array:
        """The result of a function that can write to a given place."""
        made = f(*args, **how)
        self.steps.append(Step(f, args, how, made, True))
        return made

    def _opaque(self, f: Callable[..., Array], *args: Array) -> Array:
        """The result of any other function."""
        made = np.array(f(*args))
        self.steps.append(Step(f, args, {}, made, False))
        return made

    def _once(self, name: str, args: tuple[Array, ...], make: Callable[[], Array]) -> Array:
        """What was made of these very arrays before, or is made now."""
        key = (name, *map(id, args))
        if key not in self._known:
            self._known[key] = make(), args
        return self._known[key][0]

    def _float(self, a: Array) -> Array:
        return self._opaque(super()._float, a) if a.dtype == bool else a

    def _is_row(self, a: Array) -> bool:
        return bool(a.shape[-1] == self.width and a.dtype == np.float64)

    # elementwise

    def lift(self, array: Array, role: Role) -> Array:
        self._inputs[id(array)] = array if role is Role.ROW else ONE
        return array

    def number(self, value: float | bool) -> Array:
        return _ZERO if repr(value) == "0.0" else super().number(value)

    def map(self, op: str, args: Sequence[Array]) -> Array:
        return self._once(op, tuple(args), lambda: self._mapped(op, args))

    def _mapped(self, op: str, args: Sequence[Array]) -> Array:
        args = args if op in _KEPT else [self._float(a) for a in args]
        match op, args:
            case ("multiply" | "divide"), [a, b] if _is_one(b) and a.dtype == np.float64:
                return a
            case "multiply", [a, b] if _is_one(a) and b.dtype == np.float64:
                return b
            case "divide", [a, b] if not self.lossless and a.shape[-1] > b.shape[-1]:
                return self._ufunc(np.multiply, a, self.map("divide", [ONE, b]))
            case "log", [a] if id(a) in self._sums:
                log = self._ufunc(np.log, a)
                self._logs[id(log)] = (a, self._sums[id(a)])
                return log
            case "add", [a, b] if id(a) in self._logs:
                total = a if b is _NOTHING else self._ufunc(np.add, a, b)
                self._totals[id(total)] = (*self._logs[id(a)], b)
                return total
            case "subtract", [a, b] if id(b) in self._totals and self._totals[id(b)][2] is _NOTHING:
                return self._from_bare(a, b)
            case "subtract", [a, b] if id(a) in self._totals and self._totals[id(a)][2] is _NOTHING:
                return self._from_bare(b, a, True)
            case "subtract", [a, b] if id(b) in self._totals and self._is_element(a):
                return self.map("subtract", [self.shift(a, self._totals[id(b)][2], -1), self._log(id(b))])
            case "subtract", [a, b] if id(a) in self._totals and self._is_element(b):
                return self.map("subtract", [self._log(id(a)), self.shift(b, self._totals[id(a)][2], -1)])
        if any(a.dtype == _LONG for a in args) and any(self._is_row(a) for a in args if a is not ONE):
            return self._beside(op, args)
        if op != "where" and isinstance(f := getattr(np, op, None), np.ufunc):
            made = self._ufunc(f, *args)
            if op == "multiply" and all(map(self._is_row, args)):
                self._products[id(made)] = args[0], args[1]
            return made
        return self._opaque(lambda *a: apply(np, op, a), *args)

    def _from_bare(self, element: Array, log: Array, negative: bool = False) -> Array:
        """element - log, or its negative: the digits are there unless the largest term is nearly all of the sum."""
        total, powers = self._totals[id(log)][:2]
        if self.lossless and id(element) not in self._totals:  # the difference of two such logs is 0 where they are one
            return self._from_parts(element, total, powers, negative)
        less = self._ufunc(np.subtract, *((log, element) if negative else (element, log)))
        if self.lossless:
            return less
        if self._is_row(element):
            self.close.append((total, self._squares(powers)))
        else:
            self.small.append(less)
        return less

    def _from_parts(self, element: Array, total: Array, powers: Array, negative: bool) -> Array:
        """element - log(total), or its negative, where a double has not the digits for the logarithm."""
        parts = self._once(
            "log_parts", (powers,),
            lambda: self._opaque(log_parts, total, powers, self._of[id(powers)], self._squares(powers)),
        )  # fmt: skip
        high = self._once("high_part", (parts,), lambda: parts[:, :1])
        low = self._once("low_part", (parts,), lambda: parts[:, 1:])
        if negative:
            return self._ufunc(np.add, self._ufunc(np.subtract, high, element), low)
        return self._ufunc(np.subtract, self._ufunc(np.subtract, element, high), low)

    def _squares(self, powers: Array) -> Array:
        return self._once("squares", (powers,), lambda: self._ufunc(np.vecdot, powers, powers)[..., None])

    def _beside(self, op: str, args: Sequence[Array]) -> Array:
        """An operation on a row and a row-constant of more digits, which is rounded once: a divisor's reciprocal is."""
        if op == "divide" and args[0].dtype == np.float64 and self._is_row(args[0]) and not self._is_row(args[1]):
            return self.map("multiply", [args[0], self._high(self.map("divide", [ONE, args[1]]))])
        return self.map(op, [self._high(a) if a.dtype == _LONG else a for a in args])

    def _high(self, a: Array) -> Array:
        return self._once("high", (a,), lambda: self._opaque(_double, a))

    def take(self, row: Array, index: Array) -> Array:
        one_each = index.shape == (self.rows, 1) and row.shape == (self.rows, self.width)
        taken = self._opaque(Elements(self.rows) if one_each else super().take, row, index)
        self._taken.add(id(taken))
        return taken

    def _is_element(self, a: Array) -> bool:
        return self._is_row(a) or id(a) in self._taken

    def _log(self, total: int) -> Array:
        """The log of a sum of exponentials beside which an element may stand that is nearly all of it."""
        parts = self._totals[total][:2]
        return self._once("log_of_sum", parts, lambda: self._opaque(log_of_sum, *parts))

    # reductions

    def reduce(self, op: str, args: Sequence[Array], where: Array) -> Array:
        return self._once(op, (*args, where), lambda: self._reduced(op, args, where))

    def _reduced(self, op: str, args: Sequence[Array], where: Array) -> Array:
        if op == "count" and where is None:
            return np.array([float(self.width)])
        of_powers = op == "sum" and id(args[0]) in self._powers and where is None
        exactly = _WIDER and op in _EXACT and where is None and all(map(self._is_row, args))
        self.exact &= of_powers or exactly or op in _CHOICES
        made = self._exactly(op, args) if self.lossless and exactly and not of_powers else self._folded(op, args, where)
        if of_powers:
            self._sums[id(made)] = args[0]
            if id(args[0]) in self._of_bare:
                self.ranged.append(made)
        if made.dtype.kind == "f":
            self.suspects.append(made)
        return made

    def _exactly(self, op: str, args: Sequence[Array]) -> Array:
        """A sum of rows within the bounds of the compiled kernels, which a double alone does not keep."""
        match op:
            case "mean":
                return self._ufunc(np.multiply, self.reduce("sum", args, None), np.array([_LONG(1) / self.width]))
            case "m2":
                d = self.map("subtract", [args[0], self.reduce("mean", args, None)])
                return self.reduce("sum", [self._ufunc(np.multiply, d, d)], None)
            case "dot":
                return self.reduce("sum", [self._ufunc(np.multiply, *args)], None)
        return self._opaque(Summed(self._room, self.width), args[0])

    def _folded(self, op: str, args: Sequence[Array], where: Array) -> Array:
        if where is None and all(map(self._is_row, args)):
            if op == "sum" and not self.lossless and self.width <= _MANY:
                return self._ufunc(np.vecdot, *self._products.get(id(args[0]), (args[0], self._ones)))[..., None]
            if op in _FOLDS:
                return self._ufunc(_FOLDS[op].reduce, args[0], axis=-1, keepdims=True)
            if op == "mean":
                return self._ufunc(np.multiply, self.reduce("sum", args, None), np.array([1 / self.width]))
            if op == "m2":
                d = self.map("subtract", [args[0], self.reduce("mean", args, None)])
                return self._ufunc(np.vecdot, d, d)[..., None]
            if op == "dot":
                return self._ufunc(np.vecdot, *args)[..., None]
        full = [self.full(a) for a in args]
        if where is None:
            return self._opaque(lambda *a: fold(np, op, list(a), self.select(None), np.float64), *full)
        return self._opaque(lambda w, *a: fold(np, op, list(a), self.select(w), np.float64), where, *full)

    # exponentials

    def split(self, exponent: Array) -> Array:
        return ONE

    def shift(self, left: Array, right: Array, sign: int) -> Array:
        if right is _NOTHING:
            return left
        if sign > 0 or not self._is_row(left):
            return self.map("add" if sign > 0 else "subtract", [left, right])
        return self._once("shift", (left, right), lambda: self._less(left, right))

    def _less(self, left: Array, right: Array) -> Array:
        d = self._ufunc(np.subtract, left, right)
        self._shifted[id(d)] = ONE
        if self.lossless:
            self.exact &= id(left) in self._inputs
            self._shifted[id(d)] = self._loss(left, right, d)
        return d

    def _loss(self, left: Array, right: Array, d: Array) -> Array:
        """What left - right lost when it was rounded to d (Knuth)."""
        back = self._ufunc(np.subtract, left, d)
        kept = self._ufunc(np.add, back, d)
        lost = self._ufunc(np.subtract, left, kept)
        rest = self._ufunc(np.subtract, back, right)
        return self._ufunc(np.add, lost, rest)

    def _power(self, d: Array) -> Array:
        return self._once("power", (d,), lambda: self._powered(d))

    def _powered(self, d: Array) -> Array:
        e = self._ufunc(np.exp, d)
        self._of[id(e)] = d
        if id(d) in self._bare:
            self._of_bare.add(id(e))
        elif self.lossless:
            e = self._ufunc(np.add, e, self._ufunc(np.multiply, e, self._shifted[id(d)]))
        self._powers.add(id(e))
        return e

    def join(self, mantissa: Array, log: Array) -> Array:
        if log is _NOTHING:
            return mantissa
        if id(log) in self._shifted or id(log) in self._bare:
            return self.map("multiply", [mantissa, self._power(log)])
        self.exact &= not self._is_row(log) or id(log) in self._inputs
        return self._opaque(super().join, mantissa, log)

    def peak(self, log: Array, where: Array) -> Array:
        if where is None and self.bare and id(log) in self._inputs and self._is_row(log):
            self._bare.add(id(log))
            return _NOTHING
        if where is None and self._is_row(log):
            return self.reduce("max", [log], None)
        peak = self._opaque(super().peak, log, where) if where is not None else self._opaque(self._highest, log)
        self.suspects.append(peak)
        return peak

    def _highest(self, log: Array) -> Array:
        return super().peak(log, None)

    def common(self, left: Array, right: Array) -> Array:
        if _is_nothing(left) and _is_nothing(right):
            return _NOTHING
        return self._opaque(super().common, left, right)

    def term(self, mantissa: Array, log: Array, peak: Array) -> Array:
        if _is_nothing(log) and _is_nothing(peak):
            return mantissa
        if not self._is_row(log):
            return self._opaque(super().term, mantissa, log, peak)
        return self.map("multiply", [mantissa, self._power(self.shift(log, peak, -1))])

    def settle(self, mantissa: Array, log: Array) -> tuple[Array, Array]:
        return mantissa, log

    def void(self, value: Array, infinite: Array) -> Array:
        return value

    def beside_log(self, value: Array, infinite: Array, element: bool) -> Array:
        return value


def _is_nothing(a: Array) -> bool:
    return a is _NOTHING or a is _ZERO


def _is_one(a: Array) -> bool:
    return a is ONE or (a.shape == (1,) and a.dtype == np.float64 and bool(a[0] == 1.0))


def _double(a: Array) -> Array:
    return a.astype(np.float64)
