"""A row and two numbers that it meets one after the other: their sum is rounded once."""

from __future__ import annotations

from ..loops import Code, Var

INF = float("inf")


def summed(c: Code, name: str, word: str, v: Var, parts: tuple[Var, Var | None], *, joint: bool) -> Var:
    """v plus or minus a number of one part or two, rounded once where it is two numbers."""
    hi, lo = parts
    if lo is None:
        return c.vec(name, word, v, hi)
    return _once_rounded(c, name, word, v, hi, lo) if joint else c.vec(name, word, c.vec(name, word, v, hi), lo)


def _once_rounded(c: Code, name: str, word: str, v: Var, hi: Var, lo: Var) -> Var:
    """v + (hi + lo), or less it: what the first sum loses joins lo. Nothing is lost of what is not finite."""
    total = c.vec(name, word, v, hi)
    moved = c.vec("moved", "sub", total, v)
    left = c.vec("left", "sub", v, c.vec("back", "sub", total, moved))
    right = c.vec("right", "sub", hi, moved) if word == "add" else c.vec("right", "add", hi, moved)
    lost = c.vec("lost", word, left, right)
    finite = c.mask("finite", "lt", c.vec("size", "abs", total), INF)
    return c.vec(name, "add", total, c.vec("rest", word, c.vec("lost", "select", finite, lost, 0.0), lo))
