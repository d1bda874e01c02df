"""Recorded steps of NumPy's functions, made ready to be done again: without what nobody reads, in few arrays.

A step whose operand is read for the last time writes over it. Arrays that something else looks into (views, what is
given back) keep their place. What lies elsewhere for every block of rows is a `Slot`: an input that is read where it
is, an output that is written where it belongs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...records import dataclass

Array = Any


class Slot:
    """A place that is told before a replay. `own` is the array for those that no other memory serves."""

    __slots__ = ("array", "own")

    def __init__(self, own: Array) -> None:
        self.array = self.own = own


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


@dataclass(frozen=True, slots=True)
class Reads:
    """Who reads what among the steps that make the wanted arrays."""

    live: Sequence[Step]
    last: Mapping[int, int]  # the step, by the id of what it makes, that reads an array last
    pinned: frozenset[int]  # arrays that something else looks into


@dataclass(frozen=True, slots=True)
class Short:
    """What is rounded to the kernel's own type, by the id of what is made: results, and what only they are made of."""

    dtype: Any
    rounded: frozenset[int] = frozenset()
    narrow: frozenset[int] = frozenset()  # among these, what is made of such numbers alone


NO_SHORT = Short(np.float64)


def reads(steps: Sequence[Step], wanted: Sequence[Array], inputs: Iterable[int]) -> Reads:
    """The steps that are needed for the wanted arrays, and who reads whose result."""
    made = {id(s.made) for s in steps} | set(inputs)
    roots = [[_root(a, made) for a in s.args] for s in steps]
    live = {_root(a, made) for a in wanted}
    for k in reversed(range(len(steps))):
        if id(steps[k].made) in live:
            live.update(roots[k])
    kept = [(s, r) for s, r in zip(steps, roots, strict=True) if id(s.made) in live]
    last: dict[int, int] = {}
    for s, read in kept:
        last.update(dict.fromkeys(read, id(s.made)))
    pinned = {_root(a, made) for a in wanted}
    pinned |= {_root(a, made) for s, _ in kept for a in s.args if id(a) not in made}  # what is looked into
    return Reads([s for s, _ in kept], last, frozenset(pinned))


def placed(
    known: Reads, slots: Mapping[int, Slot], short: Short, twins: Mapping[int, Slot]
) -> list[Callable[[], object]]:
    """The steps as calls, in as few arrays as will do. `twins` are the inputs in the kernel's own type."""
    places: dict[int, Any] = {**slots}
    free: dict[tuple[object, ...], list[Array]] = defaultdict(list)
    calls = []
    for s in known.live:
        mine = {**places, **twins} if id(s.made) in short.narrow else places
        args = tuple(mine.get(id(a), a) for a in s.args)
        over = [a for a in s.args if known.last.get(id(a)) == id(s.made) and _ours(a, places, slots, known)]
        ended = list({id(a): places[id(a)] for a in over}.values())
        if s.elementwise:  # may write over what it reads
            _release(free, ended)
        place: Any = places.get(id(s.made), s.made)
        rounded = id(s.made) in short.rounded
        if id(s.made) not in known.pinned and place is s.made:
            kind = (s.made.shape, short.dtype if rounded else s.made.dtype)
            place = free[kind].pop() if free[kind] else np.empty(*kind) if rounded else s.made
        places[id(s.made)] = place
        if not s.elementwise:
            _release(free, ended)
        calls.append(_call(s, args, place, {**s.how, "casting": "unsafe"} if rounded else s.how))
    return calls


def _ours(a: Array, places: Mapping[int, Array], slots: Mapping[int, Slot], known: Reads) -> bool:
    return id(a) in places and id(a) not in slots and id(a) not in known.pinned


def _release(free: dict[tuple[object, ...], list[Array]], ended: Iterable[Array]) -> None:
    for a in ended:
        free[a.shape, a.dtype].append(a)


def _call(s: Step, args: tuple[Any, ...], place: Any, how: Mapping[str, Any]) -> Callable[[], object]:
    f = s.f
    if any(isinstance(a, Slot) for a in (*args, place)):
        return _moving(s, args, place, how)
    if s.plain:
        return lambda: f(*args, **how, out=place)
    return lambda: np.copyto(place, f(*args, **how), casting="unsafe")


def _moving(s: Step, args: tuple[Any, ...], place: Any, how: Mapping[str, Any]) -> Callable[[], object]:
    """A step some of whose arrays are told for every block."""
    f, slots = s.f, [a if isinstance(a, Slot) else Slot(a) for a in args]
    to = place if isinstance(place, Slot) else Slot(place)
    if s.plain:
        return lambda: f(*[a.array for a in slots], **how, out=to.array)
    return lambda: np.copyto(to.array, f(*[a.array for a in slots], **how), casting="unsafe")


def _root(a: Array, made: Container[int]) -> int:
    """The recorded array that this one is, or looks into."""
    while id(a) not in made and getattr(a, "base", None) is not None:
        a = a.base
    return id(a)
