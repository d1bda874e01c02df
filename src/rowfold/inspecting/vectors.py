"""What a kernel must return on a few rows, with how far it may be off: the self-test of C that stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..codegen.bounding.oracle import Expected, oracle
from ..codegen.dtypes import FORMATS, narrow, widen
from ..codegen.interpret import interpret
from ..codegen.ir import Input, Program, Role
from ..records import dataclass

Array = Any  # numpy.ndarray
WIDTHS = (1, 2, 16, 17, 100, 300)
KINDS = ("plain", "wide", "far", "nan", "inf", "minus inf")
SPECIAL: Mapping[str, tuple[float, ...]] = {
    "nan": (1.0, float("nan"), 2.0),
    "inf": (1.0, float("inf"), 2.0),
    "-inf": (1.0, -float("inf"), 1.0),
    "only -inf": (-float("inf"), -float("inf")),
    "one element": (3.0,),
}


@dataclass(frozen=True, slots=True)
class Vector:
    """One row: the values of each argument, and each result with its bound."""

    kind: str
    n: int
    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]
    bound: tuple[Array, ...]


def uniform(count: int, seed: int) -> Array:
    """Numbers in [0, 1), the same everywhere: a splitmix of the positions."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint64) + np.uint64(1 + 1000003 * seed)
        x = (x * np.uint64(0x9E3779B97F4A7C15)) ^ (x >> np.uint64(7))
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = x ^ (x >> np.uint64(27))
    return (x >> np.uint64(40)).astype(np.float64) * 2.0**-24


def vectors(program: Program, dtype: str, settings: Mapping[str, float], shortest: int) -> list[Vector]:
    widths = sorted({max(w, shortest) for w in WIDTHS})
    cases = [(kind, n) for kind in KINDS for n in (widths if kind == "plain" else (max(37, shortest),))]
    return [_vector(program, dtype, settings, kind, n, i) for i, (kind, n) in enumerate(cases)]


def _vector(program: Program, dtype: str, settings: Mapping[str, float], kind: str, n: int, seed: int) -> Vector:
    real: Any = np.float32 if dtype == "f32" else np.float64
    nodes = [node for _, node in program.inputs]
    given = [_argument(node, kind, n, seed + 50 * k, real) for k, node in enumerate(nodes)]
    stored = [narrow(x, FORMATS[node.narrow]) if node.narrow else x for node, x in zip(nodes, given, strict=True)]
    read = [widen(x, FORMATS[node.narrow]) if node.narrow else x for node, x in zip(nodes, stored, strict=True)]
    batch = {node.name: value[None] for node, value in zip(nodes, read, strict=True)}
    found = [_once(e, o.narrow) for e, o in zip(oracle(program, batch, settings, real), program.outputs, strict=True)]
    return Vector(kind, n, tuple(stored), tuple(np.asarray(e.value)[0] for e in found),
                  tuple(np.broadcast_to(e.bound, np.shape(e.value))[0] for e in found))  # fmt: skip


def _once(e: Expected, stored: str) -> Expected:
    """The same result when it is rounded once more, to a format of 16 bits."""
    if not stored:
        return e
    f, far = FORMATS[stored], np.abs(np.where(np.isfinite(e.value), e.value, 0.0)) + e.bound
    top = float(widen(np.asarray([f.top], f"u{f.bits // 8}"), f)[0])
    exponent = np.maximum(np.frexp(far)[1] - 1, 1 - f.bias)
    bound = np.where(far > top, np.inf, e.bound + 0.5 * np.ldexp(1.0, exponent - f.mantissa))
    return Expected(e.value, np.where(np.isfinite(e.value), bound, e.bound))


def _argument(node: Input, kind: str, n: int, seed: int, real: Any) -> Array:
    u = uniform(3 * n + 3, seed)
    match node.role:
        case Role.ROW | Role.TABLE:
            return _row(kind, n, u).astype(real)
        case Role.MASK:
            return u[:n] < 0.7
        case Role.INT_ROW:
            return np.floor(u[:n] * 20).astype(np.int64)
        case Role.SCALAR:
            return np.asarray(0.5 + u[0])
        case Role.INDEX:
            return np.asarray(int(u[0] * n), dtype=np.int64)
        case Role.SEED:
            return np.asarray(int(u[0] * 2**24), dtype=np.uint64)
        case Role.POSITIONS | Role.UNKNOWN:
            return np.arange(n, dtype=real)  # no program takes them


def _row(kind: str, n: int, u: Array) -> Array:
    x = (u[:n] + u[n : 2 * n] + u[2 * n : 3 * n] - 1.5) * {"wide": 150.0}.get(kind, 4.0)
    x += {"far": 70000.0}.get(kind, 0.0)
    if kind in ("nan", "inf", "minus inf"):
        x[n // 3] = {"nan": np.nan, "inf": np.inf, "minus inf": -np.inf}[kind]
    return x


def special_values(program: Program, settings: Mapping[str, float]) -> list[str]:
    """What special rows give, as sentences: for programs of one row."""
    if [node.role for _, node in program.inputs] != [Role.ROW]:
        return []
    lines = []
    for name, row in SPECIAL.items():
        try:
            results = interpret(program, {program.inputs[0][1].name: np.array([row])}, settings)
        except (IndexError, ValueError):  # too short for this kernel
            continue
        lines.append(f"({', '.join(map(_number, row))}) -> {'; '.join(_tuple(r[0]) for r in results)}   [{name}]")
    return lines


def _tuple(value: Any) -> str:
    if np.ndim(value) == 0:
        return _number(float(value))
    return f"({', '.join(_number(float(v)) for v in value)})"


def _number(value: float) -> str:
    return f"{value:.4g}"
