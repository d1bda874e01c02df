"""Derives every polynomial of `rowfold.codegen.mathlib` and prints `coefficients.py`.

    python tools/derive_coefficients.py            print the module
    python tools/derive_coefficients.py --check    compare with the checked-in one, and fail if they differ

Each polynomial is a weighted minimax fit (Remez' exchange in 40 digits) of the part of a function that is left when its
leading terms are taken out exactly, so that the weighted error is the relative error of the whole function. The
coefficients are then rounded to the format one by one, lowest degree first, and the others fitted again each time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath  # type: ignore[import-untyped]

Real = Any  # mpmath has no types
Fn = Callable[[Real], Real]
mp: Any = mpmath.mp
mpf: Any = mpmath.mpf
mp.dps = 40
FORMATS = ("f32", "f64")
MODULE = Path(__file__).parents[1] / "src/rowfold/codegen/mathlib/coefficients.py"


@dataclass(frozen=True)
class Fit:
    """`target` ~ a polynomial with this many `terms`, on [low, high], the error weighted by `weight`."""

    name: str
    meaning: str
    target: Fn
    weight: Fn
    low: Real
    high: Real
    terms: dict[str, int]


def odd(name: str, f: Fn, high: Real, terms: dict[str, int], meaning: str) -> Fit:
    """f(x) = x + x^3 q(x^2), fitted in z = x^2."""

    def target(z: Real) -> Real:
        x = mp.sqrt(z)
        return (f(x) - x) / (x * z)

    return Fit(name, meaning, target, lambda z: mp.sqrt(z) * z / f(mp.sqrt(z)), mpf(10) ** -14, high**2, terms)


HALF_LN2 = mp.log(2) / 2 * mpf("1.0001")
QUARTER_PI = mp.pi / 4 * mpf("1.03")  # the quotient is rounded, so the remainder may be a little past pi/4
FITS = (
    Fit(
        "EXP2",
        "2^f = 1 + f q(f), abs(f) <= 1/2",
        lambda f: (mpf(2) ** f - 1) / f,
        lambda f: abs(f) / mpf(2) ** f,
        -mpf("0.50001"),
        mpf("0.50001"),
        {"f32": 6, "f64": 11},
    ),
    Fit(
        "EXP2_NEAR",
        "2^f = 1 + f q(f), abs(f) <= 1/32",
        lambda f: (mpf(2) ** f - 1) / f,
        lambda f: abs(f) / mpf(2) ** f,
        -mpf("0.031251"),
        mpf("0.031251"),
        {"f32": 3, "f64": 6},
    ),
    Fit(
        "EXP",
        "e^t = 1 + t q(t), abs(t) <= ln2/2",
        lambda t: mp.expm1(t) / t,
        lambda t: abs(t) / mp.exp(t),
        -HALF_LN2,
        HALF_LN2,
        {"f32": 6, "f64": 11},
    ),
    Fit(
        "EXPM1",
        "e^t = 1 + t + t^2 q(t), abs(t) <= 1/2",
        lambda t: (mp.expm1(t) - t) / t**2,
        lambda t: abs(t**2 / mp.expm1(t)),
        -mpf("0.50001"),
        mpf("0.50001"),
        {"f32": 6, "f64": 12},
    ),
    Fit(
        "LOG",
        "log((1 + s) / (1 - s)) = 2 s + s^3 q(s^2), abs(s) <= 3 - sqrt(8)",
        lambda z: 2 * (mp.atanh(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3,
        lambda z: mp.sqrt(z) ** 3 / (2 * mp.atanh(mp.sqrt(z))),
        mpf(10) ** -14,
        (3 - mp.sqrt(8)) ** 2,
        {"f32": 4, "f64": 8},
    ),
    odd("TANH", mp.tanh, mpf("1.0001"), {"f32": 8, "f64": 16}, "tanh x = x + x^3 q(x^2), abs(x) <= 1"),
    odd("SIN", mp.sin, QUARTER_PI, {"f32": 4, "f64": 7}, "sin t = t + t^3 q(t^2), abs(t) <= pi/4"),
    Fit(
        "COS",
        "cos t = 1 - t^2 / 2 + t^4 q(t^2), abs(t) <= pi/4",
        lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2,
        lambda z: z**2 / mp.cos(mp.sqrt(z)),
        mpf(10) ** -14,
        QUARTER_PI**2,
        {"f32": 3, "f64": 6},
    ),
    odd("ARCTAN", mp.atan, mpf(1), {"f32": 9, "f64": 21}, "arctan x = x + x^3 q(x^2), abs(x) <= 1"),
    odd("ARCSIN", mp.asin, mpf("0.5"), {"f32": 6, "f64": 13}, "arcsin x = x + x^3 q(x^2), abs(x) <= 1/2"),
)
CONSTANTS: tuple[tuple[str, str, Real], ...] = (
    ("LOG2E", "log2 e", 1 / mp.log(2)),
    ("LN2", "ln 2", mp.log(2)),
    ("HALF_PI", "pi / 2", mp.pi / 2),
)
# c such that all c 2^(j/16) lie near numbers of the format: the best float32 below 2^(1/16), of 2 million float64
UNIT = {"f32": "0x1.067aa2p+0", "f64": "0x1.028f5c29d9eb6p+0"}


def main() -> int:
    text = module()
    if "--check" in sys.argv:
        return int(text != MODULE.read_text())
    print(text, end="")
    return 0


def module() -> str:
    """The text of `coefficients.py`."""
    lines = [
        '"""The numbers of the mathematical functions. Printed by tools/derive_coefficients.py: change them there."""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final",
    ]
    for name, meaning, value in CONSTANTS:
        lines += ["", f"# {meaning} as a sum of three numbers of the format."]
        lines += table(name, {d: expansion(value, d, 3) for d in FORMATS})
    lines += ["", "# ln 2 in two parts, the first so short that its product with any exponent is exact."]
    lines += table("LN2_SHORT", {d: short(mp.log(2), d) for d in FORMATS})
    sixteenths = {d: tuple(nearest(v, d) for v in scaled_sixteenths(d)) for d in FORMATS}
    far = {
        d: max(abs(mpf(r) / v - 1) for r, v in zip(sixteenths[d], scaled_sixteenths(d), strict=True)) for d in FORMATS
    }
    errors = ", ".join(f"{d} {float(far[d] * 2 ** (24 if d == 'f32' else 53)):.2f} u" for d in FORMATS)
    lines += ["", f"# c 2^(j/16); c, the first, is a number of the format. Largest relative error: {errors}."]
    lines += table("SIXTEENTHS", sixteenths)
    for fit in FITS:
        rounded = {d: rounded_fit(fit, d) for d in FORMATS}
        errors = ", ".join(f"{d} {float(mp.log(worst(fit, c), 2)):.1f}" for d, c in rounded.items())
        lines += ["", f"# {fit.meaning}.", f"# Relative error of the whole, as a power of two: {errors}."]
        lines += table(fit.name, rounded)
    return "\n".join(lines) + "\n"


def table(name: str, values: Mapping[str, Sequence[float]]) -> list[str]:
    lines = [f"{name}: Final = {{"]
    for dtype, row in values.items():
        lines += [f'    "{dtype}": (', *(f"        {v!r}," for v in row), "    ),"]
    return [*lines, "}"]


def nearest(value: Real, dtype: str) -> float:
    """The number of the format that is nearest (mpmath rounds to 53 bits, and the exponents here are ordinary)."""
    digits = 24 if dtype == "f32" else 53
    with mp.workprec(digits):
        return float(+value)


def expansion(value: Real, dtype: str, parts: int) -> tuple[float, ...]:
    found: list[float] = []
    for _ in range(parts):
        found.append(nearest(value - sum(map(mpf, found)), dtype))
    return tuple(found)


def scaled_sixteenths(dtype: str) -> list[Real]:
    return [mpf(float.fromhex(UNIT[dtype])) * mpf(2) ** (mpf(j) / 16) for j in range(16)]


def short(value: Real, dtype: str) -> tuple[float, float]:
    with mp.workprec(24 - 8 if dtype == "f32" else 53 - 11):
        high = float(+value)
    return high, nearest(value - mpf(high), dtype)


def rounded_fit(fit: Fit, dtype: str) -> tuple[float, ...]:
    """The coefficients, lowest degree first, all numbers of the format."""
    fixed: list[Real] = []
    terms = fit.terms[dtype]
    grid = [Sample(x, fit.target(x), fit.weight(x)) for x in chebyshev(fit.low, fit.high, 16 * (terms + 2))]
    for _ in range(terms):
        fixed.append(mpf(nearest(remez(grid, terms, fixed)[0], dtype)))
    return tuple(map(float, fixed))


@dataclass(frozen=True)
class Sample:
    x: Real
    target: Real
    weight: Real


def remez(grid: Sequence[Sample], terms: int, fixed: Sequence[Real]) -> list[Real]:
    """The coefficients after the `fixed` ones of the best polynomial that begins with those.

    The exchange is of one point at a time, as a step of the simplex method, because with a zero of the weight inside
    the interval and some coefficients fixed the signs at the extreme points need not alternate.
    """
    free = terms - len(fixed)
    rows = [[g.weight * g.x ** (len(fixed) + k) for k in range(free)] for g in grid]
    right = [g.weight * (g.target - polynomial(fixed, g.x)) for g in grid]
    points = [round((i + 0.5) * (len(grid) - 1) / (free + 1)) for i in range(free + 1)]
    signs = first_signs([rows[i] for i in points])
    for _ in range(200):
        system = mp.matrix([[*rows[i], s] for i, s in zip(points, signs, strict=True)])
        *coefficients, level = list(mp.lu_solve(system, mp.matrix([right[i] for i in points])))
        if level < 0:
            signs, level = [-s for s in signs], -level
        errors = [r - mp.fdot(coefficients, row) for r, row in zip(right, rows, strict=True)]
        enter = max(range(len(grid)), key=lambda i: abs(errors[i]))
        if abs(errors[enter]) <= level * mpf("1.0001"):
            return coefficients
        exchange(rows, points, signs, enter, 1 if errors[enter] > 0 else -1)
    raise ArithmeticError("the exchange did not settle")


def first_signs(rows: list[list[Real]]) -> list[int]:
    """The signs of the weights with which these rows, one more than their length, sum to zero."""
    free = len(rows) - 1
    columns = mp.matrix([[rows[i][k] for i in range(free)] for k in range(free)])
    weights = mp.lu_solve(columns, mp.matrix([-rows[free][k] for k in range(free)]))
    return [1 if v > 0 else -1 for v in [*weights, 1]]


def exchange(rows: list[list[Real]], points: list[int], signs: list[int], enter: int, sign: int) -> None:
    """Put the point `enter` in the place of the one that keeps all weights positive (the ratio test)."""
    free = len(points) - 1
    columns = [[*(s * a for a in rows[i]), 1] for i, s in zip(points, signs, strict=True)]
    basis = mp.matrix(columns).T
    weights = mp.lu_solve(basis, mp.matrix([0] * free + [1]))
    change = mp.lu_solve(basis, mp.matrix([sign * a for a in rows[enter]] + [1]))
    ratios = [(weights[j] / change[j], j) for j in range(free + 1) if change[j] > 0]
    leave = min(ratios)[1]
    points[leave], signs[leave] = enter, sign


def chebyshev(low: Real, high: Real, count: int) -> list[Real]:
    return [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / (count - 1)) for i in range(count)]


def polynomial(coefficients: Sequence[Real], x: Real) -> Real:
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def worst(fit: Fit, coefficients: Sequence[float]) -> Real:
    whole = [mpf(c) for c in coefficients]
    return max(abs(fit.weight(x) * (fit.target(x) - polynomial(whole, x))) for x in chebyshev(fit.low, fit.high, 500))


if __name__ == "__main__":
    sys.exit(main())
