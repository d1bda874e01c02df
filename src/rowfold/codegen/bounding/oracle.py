"""What a kernel must return and how far it may be off: the interpreter with running error bounds.

It is fed the simplified program, decides the special values (numerics, section 5), and is exact enough to judge:
float64 for float32 kernels, long double for float64 kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from rowfold.codegen.bounding.bound_reductions import Errors
from rowfold.codegen.bounding.bounds import Bounded, distance
from rowfold.codegen.interpret import Batch, evaluate
from rowfold.codegen.ir import Output, Program

from ...records import NamedTuple

Array = NDArray[Any]
SAFETY = 1.02  # the analysis is first order


class Expected(NamedTuple):
    """A result and its absolute bound: 0 at a decided special value, `inf` where anything may come out."""

    value: Array
    bound: Array


def oracle(
    program: Program,
    inputs: Mapping[str, ArrayLike],
    settings: Mapping[str, float],
    dtype: DTypeLike,
    where: ArrayLike | None = None,
    masked: float = 0.0,
) -> list[Expected]:
    """Every output of `program` with the bound that a kernel computing in `dtype` must keep."""
    kind = np.dtype(dtype)
    with np.errstate(all="ignore"):
        wide = np.float64 if kind == np.float32 else np.longdouble
        batch = Batch(program, inputs, np, wide, where)
        errors = Errors(kind, batch.width, batch.where)
        values = evaluate(program, batch, settings, errors)
        return [_expected(program, o, values[o.ref], batch, errors, masked) for o in program.outputs]


def _expected(
    program: Program, output: Output, result: Bounded, batch: Batch, errors: Errors, masked: float
) -> Expected:
    result = errors.rounded(result, returned=True) if result.value.dtype.kind == "f" else result
    value, bound = np.broadcast_arrays(result.value, result.error * SAFETY)
    if value.dtype.kind == "f":
        spilled = np.isfinite(value) & (np.abs(value) - bound > errors.top * (1 + errors.unit))
        value = np.where(spilled, np.copysign(np.inf, value), value)
        edge = np.isfinite(value) & (np.abs(value) + bound > errors.top)
        bound = np.where(spilled, 0.0, np.where(edge, np.inf, bound))
    return Expected(batch.fit(value, program, output.ref, masked), batch.fit(bound, program, output.ref, 0.0))


class Verdict(NamedTuple):
    """How a result compares with what was expected."""

    worst: float  # largest error over bound; inf at a wrong special value
    place: tuple[int, ...] | None  # of the worst element
    decided: float  # the part of the elements that had a finite bound


def judge(got: ArrayLike, expected: Expected) -> Verdict:
    """The worst error of `got`, as a part of its bound."""
    value, bound = expected
    with np.errstate(all="ignore"):
        error = distance(np.asarray(got, dtype=value.dtype), value)
        ratio = np.where(np.isinf(bound) | (error == 0), 0.0, error / bound)
    if ratio.size == 0:
        return Verdict(0.0, None, 1.0)
    place = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    return Verdict(float(ratio[place]), tuple(map(int, place)), float(np.mean(np.isfinite(bound))))
