"""Recorded steps of NumPy's functions, made ready to be done again: without what nobody reads, in few arrays.

A step whose operand is read for the last time writes over it. Arrays that something else looks into (views, what is
given back) keep their place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...records import dataclass

Array = Any


@dataclass(frozen=True, slots=True)
class Step:
    """made = f(*args, **how). `plain`: f is a ufunc, which can write to a given place, even over its operand."""

    f: Callable[..., Array]
    args: tuple[Array, ...]
    how: Mapping[str, Any]
    made: Array
    plain: bool

    @property
    def elementwise(self) -> bool:
        return self.plain and isinstance(self.f, np.ufunc) and self.f.signature is None


def ready(steps: Sequence[Step], wanted: Sequence[Array]) -> list[Callable[[], object]]:
    """The steps that make the wanted arrays, as calls."""
    made = {id(s.made): k for k, s in enumerate(steps)}
    reads = [[_root(a, made) for a in s.args] for s in steps]
    live = {_root(a, made) for a in wanted}
    for k in reversed(range(len(steps))):
        if id(steps[k].made) in live:
            live.update(reads[k])
    last: dict[int, int] = {}
    for k, s in enumerate(steps):
        if id(s.made) in live:
            last.update(dict.fromkeys(reads[k], k))
    pinned = {_root(a, made) for a in wanted}
    pinned |= {_root(a, made) for s in steps for a in s.args if id(a) not in made}  # what is looked into
    return _placed([s for s in steps if id(s.made) in live], {id(s.made): k for k, s in enumerate(steps)}, last, pinned)


def _placed(
    steps: Sequence[Step], number: Mapping[int, int], last: Mapping[int, int], pinned: set[int]
) -> list[Callable[[], object]]:
    places: dict[int, Array] = {}
    free: dict[tuple[object, ...], list[Array]] = defaultdict(list)
    calls = []
    for s in steps:
        args = tuple(places.get(id(a), a) for a in s.args)
        over = [a for a in s.args if last.get(id(a)) == number[id(s.made)] and id(a) in places and id(a) not in pinned]
        ended = list({id(a): places[id(a)] for a in over}.values())
        if s.elementwise:  # may write over what it reads
            _release(free, ended)
        place = s.made
        if id(s.made) not in pinned:
            kind = (s.made.shape, s.made.dtype)
            place = free[kind].pop() if free[kind] else s.made
        places[id(s.made)] = place
        if not s.elementwise:
            _release(free, ended)
        calls.append(_call(s, args, place))
    return calls


def _release(free: dict[tuple[object, ...], list[Array]], ended: Iterable[Array]) -> None:
    for a in ended:
        free[a.shape, a.dtype].append(a)


def _call(s: Step, args: tuple[Array, ...], place: Array) -> Callable[[], object]:
    f, how = s.f, s.how
    if s.plain:
        return lambda: f(*args, **how, out=place)
    return lambda: np.copyto(place, f(*args, **how), casting="unsafe")


def _root(a: Array, made: Mapping[int, int]) -> int:
    """The recorded array that this one is, or looks into."""
    while id(a) not in made and getattr(a, "base", None) is not None:
        a = a.base
    return id(a)
