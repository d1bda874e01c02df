"""States as few float32 numbers as they can be: for exchanges between processes that all know the rows' constants.

A number is rounded once for each part that is packed; merging goes on in doubles. What every part has in common (how
far rounds are, row-constant arguments, settings, units) is not packed: `unpack` takes it from a state at hand.

Error bound of cross-entropy's three numbers (the largest logit m, the sum r of e^(x-m) over the others, the target's
logit t): m and t are exact, each r is off by at most 2^-24 of itself, so the merged r is, and log(1 + r) by at most
2^-24 r / (1 + r), less than 2^-24 of itself. A sum of parts s is off by at most 2^-24 times the sum of abs(s).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codegen.lower.mergewords import LN2_HI, LN2_LO, LOG2E
from ..codegen.lower.merging import SHIFT, kind_of
from ..errors import StateError
from ..runtime.spec import Array

if TYPE_CHECKING:
    from ..codegen.ir import Program

_WIDTHS = {"sum": 1, "prod": 1, "max": 1, "min": 1, "take": 1, "lse": 2}
_EXACT = 1 << 16  # exponents up to here are a power of two, beyond it the largest element is the shift
_ABSENT = np.uint32(0xFFFFFFFF)  # the NaN that says that a part has no x[y]; other NaNs are made another one
_LENGTHS = frozenset({"count", "mean", "m2", "comoment", "wcomoment"})


def pack(kernel: str, state: Array, program: Program) -> Array:
    """float32 numbers of the states: shape (*batch, numbers). StateError for kernels that have no small form."""
    refuse(kernel, state, program)
    with np.errstate(all="ignore"):
        columns = [c for name in units(state) for c in _PACKED.get(kind_of(name), _plain)(state[name])]
    packed: Array = np.stack(columns, axis=-1).astype(np.float32)
    places = np.cumsum([0, *(width(state, name) for name in units(state))])
    for name, at in zip(units(state), places, strict=False):
        if kind_of(name) == "take":
            bits = packed.view(np.uint32)[..., at]
            bits[np.isnan(packed[..., at])] = np.float32(np.nan).view(np.uint32)
            bits[np.asarray(state[name][..., 1] == 0)] = _ABSENT
    return packed


def unpack(kernel: str, packed: Any, like: Array, program: Program) -> Array:
    """The states that were packed, with all that parts have in common as it is in `like`."""
    refuse(kernel, like, program)
    names = units(like)
    widths = [width(like, name) for name in names]
    if not isinstance(packed, np.ndarray) or packed.dtype != np.float32 or packed.shape[-1:] != (sum(widths),):
        found = f"{packed.dtype} of shape {packed.shape}" if isinstance(packed, np.ndarray) else repr(packed)[:80]
        raise StateError(f"{kernel}: packed is {found}; expected float32 of shape (..., {sum(widths)}), as pack gives")
    try:
        shape = np.broadcast_shapes(packed.shape[:-1], like.shape)
    except ValueError:
        raise StateError(
            f"{kernel}: packed states of batch shape {packed.shape[:-1]} and `like` of {like.shape} differ"
        ) from None
    state: Array = np.broadcast_to(like, shape).copy()
    at = 0
    with np.errstate(all="ignore"):
        for name, count in zip(names, widths, strict=True):
            numbers = np.broadcast_to(packed[..., at : at + count], (*shape, count))
            _UNPACKED.get(kind_of(name), _put)(state[name], numbers)
            at += count
    return state


def units(state: Array) -> list[str]:
    """The fields that are packed."""
    return [n for n in state.dtype.names or () if n.startswith("round")]


def width(state: Array, name: str) -> int:
    """How many numbers a field becomes."""
    size: int = state.dtype[name].shape[0] if state.dtype[name].shape else 1
    return 2 + size - SHIFT if kind_of(name) == "exp" else _WIDTHS[kind_of(name)]


def refuse(kernel: str, state: Array, program: Program) -> None:
    """StateError unless each number of these states may be rounded, and none counts elements."""
    reasons = list(_reasons(state, program))
    if reasons:
        raise StateError(f"{kernel}: its states have no small form: {reasons[0]}; send the state itself")


def _reasons(state: Array, program: Program) -> Iterator[str]:
    names = state.dtype.names or ("",)
    if "_f64_" in names[0]:
        yield "they are of float64 rows"
    if any(not n.startswith(("round1_", "given_")) for n in names[1:]):
        yield "there is more than one round"
    for name in units(state):
        if kind_of(name) not in (*_WIDTHS, "exp"):
            yield f"float32 is too narrow for {kind_of(name)}"
        elif kind_of(name) == "exp" and width(state, name) > 3:
            yield "sums of exponentials may cancel each other"
    if any(getattr(node, "op", "") in _LENGTHS for node in program.nodes):
        yield "they count elements"


# what each kind of field becomes


def _plain(numbers: Array) -> list[Array]:
    return [numbers[..., 0]]


def _lse(numbers: Array) -> list[Array]:
    """The largest term's place on the axis, and the sum of the others over it."""
    n, shift, factor, unit, m, rest = np.moveaxis(numbers, -1, 0)
    finite = np.isfinite(m)
    apart = np.where(finite, factor * (shift - m), 0.0)
    scale = np.exp(apart + np.where(finite, n, 0.0) * LN2_HI + np.where(finite, n, 0.0) * LN2_LO)
    return [m, np.where(rest == 0, 0.0, np.where(finite | np.isnan(rest), rest / unit * scale, 0.0))]


def _exp(numbers: Array) -> list[Array]:
    unit = numbers[..., 3]
    return [numbers[..., 0], numbers[..., 1], *(numbers[..., k] / unit for k in range(SHIFT, numbers.shape[-1]))]


_PACKED = {"lse": _lse, "exp": _exp}


def _put(field: Array, numbers: Array) -> None:
    field[...] = numbers if field.ndim == numbers.ndim else numbers[..., 0]


def _put_take(field: Array, numbers: Array) -> None:
    has = np.ascontiguousarray(numbers).view(np.uint32) != _ABSENT
    field[..., :1], field[..., 1:] = np.where(has, numbers, 0.0), has


def _put_lse(field: Array, numbers: Array) -> None:
    m, rest = numbers[..., 0].astype(np.float64), numbers[..., 1].astype(np.float64)
    factor, unit = field[..., 2], field[..., 3]
    near = np.abs(factor * m) <= _EXACT
    n = np.where(near, np.rint(np.where(near, factor * m, 0.0) * LOG2E), 0.0)
    shift = np.where(near, 0.0, np.clip(m, -np.finfo(np.float32).max, np.finfo(np.float32).max))
    apart = np.where(near, (np.where(near, factor * m, 0.0) - n * LN2_HI) - n * LN2_LO, 0.0)
    field[..., 0], field[..., 1], field[..., 4] = n, shift, m
    field[..., 5] = rest * unit * np.exp(apart)


def _put_exp(field: Array, numbers: Array) -> None:
    field[..., :2] = numbers[..., :2]
    field[..., SHIFT:] = numbers[..., 2:] * field[..., 3:4]


_UNPACKED = {"take": _put_take, "lse": _put_lse, "exp": _put_exp}
