"""The elementwise words of the row language: NumPy's ufuncs, and the functions that choose or make a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from rowfold.codegen.ir import Const, Input, Role, Type
from rowfold.codegen.language import selection
from rowfold.codegen.language.traced import Handler, Traced, Tracer


def number_map(op: str) -> Handler:
    """A word that takes numbers; booleans act as 0 and 1."""
    return lambda t, *args: t.map(op, *(t.number(a) for a in args))


def truth_map(op: str) -> Handler:
    """A word that takes booleans; a number is true unless it is 0."""
    return lambda t, *args: t.map(op, *(t.truth(a) for a in args))


def mask_map(op: str, symbol: str) -> Handler:
    """A bitwise operator, which is for booleans only."""

    def handler(t: Tracer, *args: object) -> Traced:
        if any(t.kind(t.lift(a)) is not Type.BOOL for a in args):
            t.fail(f"`{symbol}` on numbers", f"`{symbol}` joins masks: compare first, as in (x > 0) {symbol} (x < 1)")
        return t.map(op, *args)

    return handler


def _all_booleans(t: Tracer, args: tuple[object, ...]) -> bool:
    return all(t.kind(t.lift(a)) is Type.BOOL for a in args)


def mixed_map(op: str, on_masks: str) -> Handler:
    """Arithmetic that NumPy defines on two masks as a logical operation."""

    def handler(t: Tracer, *args: object) -> Traced:
        numbers = not _all_booleans(t, args)
        return t.map(op, *(t.number(a) for a in args)) if numbers else t.map(on_masks, *args)

    return handler


def no_mask_map(op: str, advice: str) -> Handler:
    """Arithmetic that NumPy refuses on masks."""

    def handler(t: Tracer, *args: object) -> Traced:
        if _all_booleans(t, args):
            t.fail(f"np.{op} of masks", advice)
        return t.map(op, *(t.number(a) for a in args))

    return handler


def absolute(t: Tracer, x: object) -> Traced:
    found = t.lift(x)
    return found if t.kind(found) is Type.BOOL else t.map("absolute", found)


def positive(t: Tracer, x: object) -> Traced:
    return t.lift(x)


def square(t: Tracer, x: object) -> Traced:
    found = t.lift(x)
    return found if t.kind(found) is Type.BOOL else t.map("square", found)


def power(t: Tracer, base: object, exponent: object) -> Traced:
    """A constant exponent; 2, 1/2, 1, 0 and -1 are the operations that NumPy takes for them too."""
    b, e = t.node(t.number(base)), t.node(t.number(exponent))
    if not isinstance(e, Const):
        if isinstance(b, Const) and b.value == 2.0:
            return t.map("exp2", t.number(exponent))
        advice = "np.exp(exponent * np.log(base)), or a setting that is compiled in: rf.Static[float]"
        t.fail("a power whose exponent is not a constant", advice)
    return _constant_power(t, t.number(base), float(e.value))


def _constant_power(t: Tracer, base: Traced, exponent: float) -> Traced:
    if exponent == 1.0:
        return base
    if exponent == 0.0:
        return like(t, base, 1.0)
    if op := {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}.get(exponent):
        return t.map(op, base)
    return t.map("power", base, exponent)


def ceil(t: Tracer, x: object) -> Traced:
    return t.map("negative", t.map("floor", t.map("negative", t.number(x))))


def logaddexp(t: Tracer, a: object, b: object) -> Traced:
    """As NumPy: equal arguments first, which keeps two equal infinities."""
    a, b = t.number(a), t.number(b)
    gap = t.map("negative", t.map("absolute", t.map("subtract", a, b)))
    far = t.map("add", t.map("maximum", a, b), t.map("softplus", gap))
    return t.map("where", t.map("equal", a, b), t.map("add", a, float(np.log(2.0))), far)


def where(t: Tracer, condition: object, *choices: object) -> Traced:
    if len(choices) != 2:
        t.fail("np.where with one argument", "give both choices: np.where(condition, a, b)")
    return choose(t, t.truth(condition), *choices)


def choose(t: Tracer, condition: Traced, a: object, b: object) -> Traced:
    as_number = not _all_booleans(t, (a, b))
    return t.map("where", condition, t.number(a) if as_number else a, t.number(b) if as_number else b)


def clip(t: Tracer, a: object, a_min: object = None, a_max: object = None, out: None = None, **named: object) -> Traced:
    """minimum(maximum(a, low), high); NumPy spells the bounds `min` and `max` too."""
    if out is not None or named.keys() - {"min", "max"}:
        t.fail("np.clip with more than its bounds", "use the result, and np.where for a choice by element")
    low, high = named.get("min", a_min), named.get("max", a_max)
    result = t.number(a)
    result = result if low is None else t.map("maximum", result, t.number(low))
    return result if high is None else t.map("minimum", result, t.number(high))


def like(t: Tracer, prototype: Traced, value: object) -> Traced:
    """`value` at every element of `prototype`."""
    fill = t.lift(value)
    if t.entries(prototype) and not t.entries(fill):
        return t.map("add", t.map("multiply", selection.places(t, prototype), 0.0), t.number(fill))
    return t.map("broadcast", prototype, fill) if t.is_row(prototype) and not t.is_row(fill) else fill


def full_like(t: Tracer, a: object, fill_value: object, dtype: Any = None, **kwargs: object) -> Traced:
    if kwargs.get("shape") is not None:
        t.fail("another shape than the row's", "a row keeps its length; leave shape= out")
    prototype = t.lift(a)
    as_bool = t.kind(prototype) is Type.BOOL if dtype is None else np.dtype(dtype) == np.bool_
    return like(t, prototype, t.truth(fill_value) if as_bool else t.number(fill_value))


def zeros_like(t: Tracer, a: object, dtype: Any = None, **kwargs: object) -> Traced:
    return full_like(t, a, 0.0, dtype, **kwargs)


def ones_like(t: Tracer, a: object, dtype: Any = None, **kwargs: object) -> Traced:
    return full_like(t, a, 1.0, dtype, **kwargs)


def polyval(t: Tracer, p: Any, x: object) -> Traced:
    """Horner's rule from the leading coefficient."""
    if isinstance(p, Traced):
        t.fail("np.polyval with a row of coefficients", "give a list of numbers, highest power first")
    at = t.number(x)
    coefficients = [t.number(c) for c in p] or [t.const(0.0)]
    result = like(t, at, coefficients[0])
    for c in coefficients[1:]:
        result = t.map("add", t.map("multiply", result, at), c)
    return result


def stop_gradient(t: Tracer, x: object) -> Traced:
    return t.map("stop_gradient", x)


def positions(t: Tracer, x: Traced) -> Traced:
    if not t.is_row(x):
        t.fail("rf.positions of a number", "give a row: rf.positions(x) is 0 .. n-1 along it")
    return t.leaf(Input("", Role.POSITIONS))


def item(t: Tracer, x: Traced, key: object) -> Traced:
    """x[y] with one index a row; x[...] and x[:] are x."""
    if key is Ellipsis or (isinstance(key, slice) and key == slice(None)):
        return x
    if t.entries(x):
        return selection.pick(t, x, key)
    if not isinstance(key, Traced):
        t.fail("indexing with anything but an rf.Index", "annotate the parameter `y: rf.Index` and write x[y]")
    if t.is_row(key):
        advice = "a row of places: rf.lookup(places, x); a mask: np.where(mask, x, other), or where=mask in a reduction"
        t.fail("indexing with a row", advice)
    if t.kind(key) is not Type.INT:
        t.fail("indexing with a number that is not an index", "annotate the parameter rf.Index")
    if not t.is_row(x):
        t.fail("indexing a number", "only rows have elements")
    return t.map("take", x, key)


NO_MASK_SUBTRACT: Final = "use a ^ b, or a & ~b; np.where(mask, 1.0, 0.0) makes numbers"

UFUNCS: Final[Mapping[np.ufunc, Handler]] = {
    **{
        getattr(np, name): number_map(name)
        for name in (
            "sign reciprocal sqrt exp exp2 expm1 log log2 log1p tanh sin cos arcsin arccos arctan rint floor "
            "divide isnan isfinite equal not_equal less less_equal greater greater_equal"
        ).split()
    },
    **{getattr(np, f"logical_{name}"): truth_map(f"logical_{name}") for name in ("and", "or", "not", "xor")},
    np.add: mixed_map("add", "logical_or"),
    np.multiply: mixed_map("multiply", "logical_and"),
    np.maximum: mixed_map("maximum", "logical_or"),
    np.minimum: mixed_map("minimum", "logical_and"),
    np.subtract: no_mask_map("subtract", NO_MASK_SUBTRACT),
    np.negative: no_mask_map("negative", "`~mask` is the opposite of a mask"),
    np.positive: positive,
    np.absolute: absolute,
    np.fabs: absolute,
    np.square: square,
    np.power: power,
    np.float_power: power,
    np.ceil: ceil,
    np.logaddexp: logaddexp,
    np.bitwise_and: mask_map("logical_and", "&"),
    np.bitwise_or: mask_map("logical_or", "|"),
    np.bitwise_xor: mask_map("logical_xor", "^"),
    np.invert: mask_map("logical_not", "~"),
}

FUNCTIONS: Final[Mapping[Callable[..., Any], Handler]] = {
    np.where: where,
    np.clip: clip,
    np.zeros_like: zeros_like,
    np.ones_like: ones_like,
    np.full_like: full_like,
    np.polyval: polyval,
    np.size: lambda _, a: a.size,
    np.shape: lambda _, a: a.shape,
    np.ndim: lambda _, a: a.ndim,
}
