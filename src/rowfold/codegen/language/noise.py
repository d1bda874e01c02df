"""Random rows in the row language: each number is a function of the seed and of its position, and of nothing else."""

from __future__ import annotations

from rowfold.codegen.ir import Input, Role
from rowfold.codegen.language.traced import Traced, Tracer


def uniform(t: Tracer, x: object, seed: object) -> Traced:
    """A map of the position and the key: the position is a row, so that a gather reaches it as any other map."""
    if not t.is_row(t.lift(x)):
        t.fail("random numbers for a number", "give a row: rf.uniform(x, seed) has one number for each element of x")
    place = t.leaf(Input("", Role.POSITIONS))
    return t.map("uniform", place, key(t, seed))


def gumbel(t: Tracer, x: object, seed: object) -> Traced:
    inner = t.map("negative", t.map("log", uniform(t, x, seed)))
    return t.map("negative", t.map("log", inner))


def key(t: Tracer, seed: object) -> Traced:
    node = t.node(seed) if isinstance(seed, Traced) else None
    if not isinstance(node, Input) or node.role not in (Role.SCALAR, Role.SEED):
        advice = "annotate a parameter `seed: rf.Scalar`, use it for nothing else, and give an integer at the call"
        t.fail("a seed that is not a parameter of its own", advice)
    assert isinstance(seed, Traced)
    if node.role is Role.SCALAR:
        t.builder.replace_input(seed.ref, Input(node.name, Role.SEED))
    return seed
