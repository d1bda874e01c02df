"""A simulated kernel, which rounds wherever a kernel may round, stays within the bounds that the oracle derives."""

from typing import NamedTuple

import numpy as np
import pytest

from rowfold.codegen.bounding.oracle import judge
from rowfold.codegen.interpret import Batch, Plain, evaluate
from rowfold.codegen.ir import Role
from rowfold.testing import Random, cases, load, random_case, random_source


class Number(NamedTuple):
    """A value, what it is as an exponent, and whether it has the row's own type."""

    value: np.ndarray
    exponent: np.ndarray
    row: bool


class Rounded:
    """Rows in float32, one rounding an operation; row-constants in float64, rounded once when they meet a row."""

    def __init__(self, width, where):
        self.plain = Plain(np, np.float64, width, where)

    def make(self, value, row, exponent=None):
        value = np.asarray(value)
        if row and value.dtype == np.float64:
            value = value.astype(np.float32).astype(np.float64)
        return Number(value, value if exponent is None else exponent, row)

    def lift(self, array, role):
        return self.make(array, role not in (Role.SCALAR, Role.INDEX))

    def number(self, value):
        return self.make(self.plain.number(value), row=False)

    def map(self, op, args):
        row = any(a.row for a in args)
        values = [self.make(a.value, row).value for a in args]
        exponent = None
        if op in ("add", "subtract", "multiply", "divide") and args[0].row != args[1].row:
            exponent = self.plain.map(op, [a.exponent for a in args])
        if op in ("negative", "where"):
            exponent = self.plain.map(op, [a.exponent for a in args])
        return self.make(self.plain.map(op, values), row, exponent)

    def reduce(self, op, args, where):
        rows = [self.make(a.value, row=True).value for a in args]
        return self.make(self.plain.reduce(op, rows, None if where is None else where.value), row=False)

    def take(self, row, index):
        exponent = self.plain.take(row.exponent, index.value)
        return self.make(self.plain.take(row.value, index.value), row=False, exponent=exponent)

    def split(self, exponent):
        return self.make(np.ones((1,)), exponent.row)

    def shift(self, left, right, sign):
        value = self.plain.shift(left.exponent, right.exponent, sign)
        return Number(value, value, left.row or right.row)

    def join(self, mantissa, log):
        return self.make(self.plain.join(mantissa.value, log.exponent), mantissa.row or log.row)

    def peak(self, log, where):
        return self.make(self.plain.peak(log.exponent, None if where is None else where.value), row=False)

    def common(self, left, right):
        return self.map("maximum", [left, right])

    def term(self, mantissa, log, peak):
        return self.make(self.plain.term(mantissa.value, log.exponent, peak.value), mantissa.row or log.row)

    def settle(self, mantissa, log):
        value, exponent = self.plain.settle(mantissa.value, log.exponent)
        return self.make(value, mantissa.row), self.make(exponent, log.row)

    def void(self, value, infinite):
        return self.make(self.plain.void(value.value, infinite.value), value.row)

    def beside_log(self, value, infinite, element):
        return self.make(self.plain.beside_log(value.value, infinite.value, element), value.row, value.exponent)


def simulate(case, fn):
    """What the simulated kernel returns."""
    program, values = cases.judged_by(case, fn)
    batch = Batch(program, values, np, np.float64, None)
    with np.errstate(all="ignore"):
        values = evaluate(program, batch, case.settings, Rounded(batch.width, batch.where))
        return [
            batch.fit(values[o.ref].value, program, o.ref, masked=0.0).astype(np.float32) for o in program.outputs
        ]


@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_a_simulated_kernel_keeps_the_bounds(seed):
    """No rounding that a kernel is allowed takes a result beyond its bound."""
    wrong = []
    for one in range(seed, seed + 10):
        draws = Random(one)
        fn = load(random_source(draws))
        case = random_case(draws, fn, ("auto",), widths=(1, 2, 5, 17, 100))
        case = cases.Case(**{**vars(case), "dtype": "float32"})
        wrong += [
            (one, i, judge(got, want).worst)
            for i, (got, want) in enumerate(zip(simulate(case, fn), cases.expected(case, fn), strict=True))
            if judge(got, want).worst > 1
        ]
    assert wrong == []
