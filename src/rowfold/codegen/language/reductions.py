"""The reductions of the row language. A reduction of a row-constant is that constant, as NumPy has it for scalars."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from numpy import _NoValue  # NumPy's own mark of an argument that was not given

from rowfold.codegen.ir import Type
from rowfold.codegen.language.elementwise import logaddexp, mixed_map
from rowfold.codegen.language.traced import Handler, Traced, Tracer

from ...errors import shown
from ...records import dataclass

IDENTITIES: Final = {"sum": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf}
COMBINES: Final = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reduction with NumPy's parameters, in NumPy's order. The handler sees those that mean something for a row."""

    parameters: tuple[str, ...]
    handler: Handler

    def __call__(self, t: Tracer, *args: object, **kwargs: object) -> Any:
        if len(args) > len(self.parameters):
            raise TypeError(f"at most {len(self.parameters)} arguments are taken, and {len(args)} were given")
        given: dict[str, Any] = dict(zip(self.parameters, args, strict=False)) | kwargs
        given = {name: value for name, value in given.items() if value is not _NoValue}
        row = given.pop(self.parameters[0])
        given.pop("keepdims", None)  # a number of a row is the same number with and without
        check_axis(t, given.pop("axis", None))
        check_place(t, given.pop("dtype", None), given.pop("out", None))
        return self.handler(t, row, **given)


def numpy_order(parameters: str, handler: Handler) -> Reduction:
    return Reduction(tuple(parameters.split()), handler)


def check_axis(t: Tracer, axis: Any) -> None:
    """A row has one axis."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    if len(axes) != 1 or isinstance(axes[0], bool) or axes[0] not in (None, 0, -1):
        t.fail(f"axis={shown(axis)}", "a row has one axis: leave axis= out here and give it when the kernel is called")


def check_place(t: Tracer, dtype: object, out: object) -> None:
    if out is not None:
        t.fail("a reduction with out=", "use the result; out= belongs to the call of the kernel")
    if dtype is not None:
        t.fail("a reduction with dtype=", "leave it out: sums are more exact than the row's type as they are")


def predicate(t: Tracer, x: Traced, where: object) -> Traced | None:
    """The row of booleans that selects the elements, or None for all of them."""
    if where is True or where is None:
        return None
    found = t.lift(where)
    if t.kind(found) is not Type.BOOL:
        t.fail("where= that is not a mask", "compare first: where=w > 0")
    if not t.has_elements(x):
        t.fail("where= in the reduction of a number", "reduce a row, or use np.where(mask, number, 0.0)")
    return found if t.has_elements(found) else t.map("broadcast", x, found)


def accumulate(op: str, t: Tracer, a: object, *, initial: object = None, where: object = True) -> Traced:
    """One of sum, prod, max and min."""
    found = t.lift(a)
    if op in ("max", "min") and t.kind(found) is Type.BOOL and initial is None:
        return decide("any" if op == "max" else "all", t, found, where=where)
    x = t.number(found)
    mask = predicate(t, x, where)
    if mask is not None and op in ("max", "min") and initial is None:
        t.fail(f"np.{op} with where= and no initial=", f"add initial={'-' * (op == 'max')}np.inf, the {op} of nothing")
    result = t.reduce(op, x, where=mask) if t.has_elements(x) else x
    if initial is None or is_constant(initial, IDENTITIES[op]):
        return result
    return t.map(COMBINES[op], result, t.number(initial))


def is_constant(value: object, number: float) -> bool:
    return isinstance(value, int | float) and value == number


def decide(op: str, t: Tracer, a: object, *, where: object = True) -> Traced:
    """One of any and all."""
    x = t.truth(a)
    mask = predicate(t, x, where)
    return t.reduce(op, x, where=mask) if t.has_elements(x) else x


def locate(op: str, t: Tracer, a: object) -> Traced:
    """One of argmax and argmin."""
    x = t.number(a)
    return t.reduce(op, x) if t.has_elements(x) else t.const(0.0)


def total(t: Tracer, x: Traced, mask: Traced | None = None) -> Traced:
    """The sum of a row; of a row-constant, that constant."""
    return t.reduce("sum", x, where=mask) if t.has_elements(x) else x


def count(t: Tracer, x: Traced, mask: Traced | None = None) -> Traced:
    if t.is_row(x):
        return t.reduce("count", where=mask)
    return t.const(float(t.entries(x) or 1)) if mask is None else t.reduce("sum", t.number(mask))


def mean(t: Tracer, a: object, *, where: object = True) -> Traced:
    x = t.number(a)
    mask = predicate(t, x, where)
    return t.map("divide", total(t, x, mask), count(t, x, mask)) if t.has_elements(x) else x


def var(
    t: Tracer, a: object, *, ddof: object = 0, where: object = True, mean: object = None, correction: object = None
) -> Traced:
    """The sum of squared distances from the mean, over count - ddof."""
    x = t.number(a)
    mask = predicate(t, x, where)
    center = _center(t, x, mask) if mean is None else mean
    squares = t.map("square", t.map("subtract", x, center))
    return t.map("divide", total(t, squares, mask), _freedom(t, x, mask, ddof if correction is None else correction))


def _center(t: Tracer, x: Traced, mask: Traced | None) -> Traced:
    return t.map("divide", total(t, x, mask), count(t, x, mask)) if t.has_elements(x) else x


def _freedom(t: Tracer, x: Traced, mask: Traced | None, ddof: object) -> Traced:
    """Count - ddof, and 0 where that would be negative, as NumPy has it."""
    n = count(t, x, mask)
    if is_constant(ddof, 0):
        return n
    return t.map("maximum", t.map("subtract", n, t.number(ddof)), 0.0)


def std(t: Tracer, a: object, **kwargs: Any) -> Traced:
    return t.map("sqrt", var(t, a, **kwargs))


def ptp(t: Tracer, a: object) -> Traced:
    x = t.number(a)
    return t.map("subtract", accumulate("max", t, x), accumulate("min", t, x))


def count_nonzero(t: Tracer, a: object) -> Traced:
    return total(t, t.number(t.truth(a)))


def dot(t: Tracer, a: object, *, b: object) -> Traced:
    """The inner product of two rows; a number scales, as in NumPy."""
    product: Traced = mixed_map("multiply", "logical_and")(t, a, b)
    if not (t.has_elements(t.lift(a)) and t.has_elements(t.lift(b))):
        return product
    return t.reduce("any", product) if t.kind(product) is Type.BOOL else total(t, product)


def matmul(t: Tracer, a: object, b: object) -> Traced:
    if not (t.has_elements(t.lift(a)) and t.has_elements(t.lift(b))):
        t.fail("`@` with a number", "use `*`; `@` is the inner product of two rows")
    return dot(t, a, b=b)


def average(t: Tracer, a: object, *, weights: object = None, returned: bool = False) -> Any:
    x = t.number(a)
    w = None if weights is None else t.number(weights)
    weight = count(t, x) if w is None else total(t, w)
    weighted = x if w is None else t.map("multiply", x, w)
    result = t.map("divide", total(t, weighted), weight)
    return (result, weight) if returned else result


def norm(t: Tracer, x: object, *, ord: Any = None) -> Traced:  # noqa: A002 - NumPy's name
    row = t.number(x)
    if ord in (None, 2):
        return t.map("sqrt", total(t, t.map("square", row)))
    if ord in (1, math.inf):
        return accumulate("sum" if ord == 1 else "max", t, t.map("absolute", row))
    return t.fail(f"np.linalg.norm with ord={shown(ord)}", "take ord=None, 1, 2 or np.inf, or write the sum out")


def logsumexp(t: Tracer, a: object, *, initial: object = None, where: object = True) -> Traced:
    """Written plainly; the simplifier makes every log of a sum of exponentials stable."""
    x = t.number(a)
    mask = predicate(t, x, where)
    result = t.map("log", t.reduce("sum", t.map("exp", x), where=mask)) if t.has_elements(x) else x
    return result if initial is None or is_constant(initial, -math.inf) else logaddexp(t, result, initial)


_UFUNC_ORDER: Final = "a axis dtype out keepdims initial where"
_EXTREMUM_ORDER: Final = "a axis out keepdims initial where"
_VAR_ORDER: Final = "a axis dtype out ddof keepdims"

MAX, MIN = (numpy_order(_EXTREMUM_ORDER, partial(accumulate, op)) for op in ("max", "min"))

REDUCES: Final[Mapping[np.ufunc, Handler]] = {
    np.add: numpy_order(_UFUNC_ORDER, partial(accumulate, "sum")),
    np.multiply: numpy_order(_UFUNC_ORDER, partial(accumulate, "prod")),
    np.maximum: numpy_order(_UFUNC_ORDER, partial(accumulate, "max")),
    np.minimum: numpy_order(_UFUNC_ORDER, partial(accumulate, "min")),
    np.logaddexp: numpy_order(_UFUNC_ORDER, logsumexp),
    np.logical_or: numpy_order(_UFUNC_ORDER, partial(decide, "any")),
    np.logical_and: numpy_order(_UFUNC_ORDER, partial(decide, "all")),
}

FUNCTIONS: Final[Mapping[Callable[..., Any], Handler]] = {
    np.sum: REDUCES[np.add],
    np.prod: REDUCES[np.multiply],
    np.max: MAX,
    np.amax: MAX,
    np.min: MIN,
    np.amin: MIN,
    np.any: numpy_order("a axis out keepdims", partial(decide, "any")),
    np.all: numpy_order("a axis out keepdims", partial(decide, "all")),
    np.argmax: numpy_order("a axis out", partial(locate, "argmax")),
    np.argmin: numpy_order("a axis out", partial(locate, "argmin")),
    np.mean: numpy_order("a axis dtype out keepdims", mean),
    np.var: numpy_order(_VAR_ORDER, var),
    np.std: numpy_order(_VAR_ORDER, std),
    np.ptp: numpy_order("a axis out keepdims", ptp),
    np.count_nonzero: numpy_order("a axis", count_nonzero),
    np.dot: numpy_order("a b out", dot),
    np.vdot: numpy_order("a b", dot),
    np.average: numpy_order("a axis weights returned", average),
    np.linalg.norm: numpy_order("x ord axis keepdims", norm),
}

ROW_LOGSUMEXP: Final = numpy_order("x axis keepdims", logsumexp)
