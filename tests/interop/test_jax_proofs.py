"""Compiled gradients are what jax.grad makes of the program, interpreted with jax.numpy: all kernels, all kinds of row.

The kernel that is checked is the one that users call, in float64. The program is the one that was traced, before any
rule of ours has touched it. JAX cannot differentiate a bisection: sparsemax is simplified first, and for what stays one
central differences stand in. Rows that JAX itself answers with NaN, or whose result is not finite, prove nothing.
"""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from rowfold import library
from rowfold.api import Kernel
from rowfold.codegen.interpret import interpret
from rowfold.codegen.ir import Reduce, Role
from rowfold.codegen.simplify import simplify
from rowfold.codegen.vjp import FLOAT_ROLES, differentiable, gradient_names
from rowfold.testing.values import FINITE, row

jax = pytest.importorskip("jax")
sys.path.insert(0, str(Path(__file__).parents[1] / "gallery"))
from test_gallery_gradients import FAMILIES, INFINITE, WITHOUT, kernels, program_of  # noqa: E402 - beside this folder

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("float64")]
jnp = jax.numpy
N, SETTING = 9, 0.75
# In float64, squares and products of the other kinds (huge, any bits, tiny) leave its range, in JAX's way before ours.
KINDS = [k for k in FINITE if k not in ("huge", "random_bits", "tiny", "outlier_far_up")]


TIED = ("zeros", "all_equal")  # every element is an extreme, or has the sign 0: JAX's rule for that is not ours
KINKS = ("ramp_up", "ramp_down", "sorted_up", "all_equal", "zeros")  # elements may lie where a threshold's slope jumps
STEP = 1e-6


class Numbers(types.ModuleType):
    """jax.numpy, and the one function of the row language that JAX keeps elsewhere."""

    stop_gradient = staticmethod(jax.lax.stop_gradient)

    def __getattr__(self, name):
        return getattr(jnp, name)


def arguments(program):
    """A row of every kind for each row; masks, positions and numbers that go with them."""
    rng, m = np.random.default_rng(0), len(KINDS)

    def zoo():
        """Two rows of one kind are never the same: |x - z| has no slope at 0."""
        return np.stack([row(k, np.float64, N, rng) for k in KINDS]) + rng.normal(size=(m, 1)) * 1e-3

    makers = {
        Role.ROW: zoo,
        Role.MASK: lambda: rng.random((m, N)) < 0.6,
        Role.INDEX: lambda: rng.integers(0, N, m),
        Role.INT_ROW: lambda: rng.integers(0, N, (m, N)),
        Role.SEED: lambda: np.arange(m, dtype=np.uint64),
        Role.SCALAR: lambda: rng.uniform(0.1, 0.9, m),
        Role.TABLE: lambda: rng.uniform(0.1, 0.9, (m, N)),
    }
    return {n.name: makers[n.role]() for _, n in program.inputs}


def jaxs(program, inputs, incoming, settings):
    """The gradients by jax.grad, by name. What is not finite of a result has no part in it."""
    floats = [n.name for _, n in program.inputs if n.role in FLOAT_ROLES]
    places = [i for _, i in differentiable(program)]

    def total(*rows):
        results = interpret(program, inputs | dict(zip(floats, rows, strict=True)), settings, xp=Numbers("numbers"))
        return sum(jnp.sum(jnp.where(jnp.isfinite(results[i]), results[i], 0.0) * g)
                   for i, g in zip(places, incoming.values(), strict=True))  # fmt: skip

    if bisects(program):
        return differences(program, inputs, incoming, settings)
    found = jax.grad(total, tuple(range(len(floats))))(*(jnp.asarray(inputs[n]) for n in floats))
    return dict(zip(floats, map(np.asarray, found), strict=True))


def bisects(program):
    """Whether a threshold has no closed form."""
    return any(isinstance(n, Reduce) and n.op == "threshold" for n in program.nodes)


def differences(program, inputs, incoming, settings):
    """The gradients by central differences, one element of all rows at a time."""
    places = [i for _, i in differentiable(program)]

    def total(name, rows):
        results = interpret(program, inputs | {name: rows}, settings)
        weighted = (results[i] * g for i, g in zip(places, incoming.values(), strict=True))
        return np.sum([w.reshape(len(KINDS), -1).sum(axis=1) for w in weighted], axis=0)

    def slope(name, j):
        way = STEP * (np.arange(N) == j)
        return (total(name, inputs[name] + way) - total(name, inputs[name] - way)) / (2 * STEP)

    floats = [n.name for _, n in program.inputs if n.role in FLOAT_ROLES]
    return {name: np.stack([slope(name, j) for j in range(N)], axis=1) for name in floats}


def compared(kernel, without=()):
    """(what differs, how many rows were compared) for a kernel, by argument and kind of row."""
    program = program_of(kernel)
    solved = bisects(program)
    program = simplify(program) if solved else program
    inputs, settings = arguments(program), {p.name: SETTING for _, p in program.params}
    results = interpret(program, inputs, settings)
    rng = np.random.default_rng(1)
    incoming = {n: rng.normal(size=results[i].shape)
                for n, (_, i) in zip(gradient_names(program), differentiable(program), strict=True)}  # fmt: skip
    stands = {int: 3, bool: False, str: ""}
    given = {s.name: stands.get(s.type, 0.5) for s in kernel.settings if s.static and s.required}
    found = kernel.vjp(**inputs, **incoming, **settings, **given)
    wrong, count = [], 0
    places = [i for _, i in differentiable(program)]
    sound = np.all([np.isfinite(results[i].reshape(len(KINDS), -1)).all(axis=1) for i in places], axis=0)
    for (name, want), got in zip(jaxs(program, inputs, incoming, settings).items(), found, strict=True):
        rows = zip(KINDS, sound, got.reshape(len(KINDS), -1), want.reshape(len(KINDS), -1), strict=True)
        for kind, finite, mine, theirs in rows:
            if finite and np.isfinite(theirs).all() and kind not in without and not (solved and kind in KINKS):
                count += 1
                room = (1e-5 if bisects(program) else 1e-6) * np.max(np.abs(theirs)) + 1e-9
                wrong += [] if np.max(np.abs(mine - theirs)) <= room else [(name, kind)]
    return wrong, count


# What central differences in long double say where JAX and we differ (all other kernels and kinds agree).
DIFFER = {
    "acceptance": "ramp_down: both softmaxes are one, so that min(log p/q, 0) is at its kink up to rounding",
    "alpha_divergence": "outlier_up: two slopes of 2^85 cancel, and ours leaves their rounding, 2^32",
    "control_variate_estimate": "ours is wrong where one weight is nearly all: second moments about 0 cancel, as in b",
    "jensen_shannon": "ramp_down: where p = q both are wrong; the larger one and the sign of p - q are rounded apart",
}

LIBRARY = {n: k for n in library.__all__ if isinstance(k := getattr(library, n), Kernel)}


@pytest.mark.parametrize("name", [n for n in LIBRARY if n not in WITHOUT])
def test_gradients_of_the_library_are_jaxs(name):
    """All float arguments, over the zoo."""
    wrong, count = compared(LIBRARY[name])
    assert (wrong, count > 0) == ([], True)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_of_the_gallery_are_jaxs(family):
    """The same for every kernel of a family that has gradients."""
    found = {n: compared(k, TIED) for n, k in kernels(family).items() if n not in WITHOUT | INFINITE}
    wrong = {n: pairs for n, (pairs, _) in found.items() if pairs}
    assert set(wrong) == set(DIFFER) & set(found), wrong
