"""What earlier calls and processes found out about a kernel, under its definition: its results, and its plans by key.

So a call in a new process reads one small file where it would trace, simplify and plan. A program that was traced
while something that it reads was changing is never noted, nor is one when the files of the package have changed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from ..config import Config
from ..records import NamedTuple
from . import cache, cpu, stamp
from .spec import Formats, Result, Results
from .store import digest

_FORMAT = 1
_MOST_PLANS = 256  # of one definition: the oldest makes room
_MOST_NOTES = 64  # of one definition in one process: programs that see ever new shapes do not write for ever


class Call(NamedTuple):
    """What a kernel is compiled for. `settings` are the specializing ones as `exactly` gives them."""

    settings: tuple[tuple[type, object], ...]
    dtype: str
    n: int
    rows: int
    given: frozenset[str]
    has_where: bool
    booleans: frozenset[str]
    narrow: Formats = ()
    form: str = ""  # as in Plan


class Known(NamedTuple):
    """The key of the plan that a call takes, and the results of the kernel."""

    plan: str
    results: Results


class Memory:
    """What is known of one definition under some settings and with some arguments present."""

    def __init__(self, definition: str, key: str, config: Config) -> None:
        self.definition = definition
        self._key = key
        self._config = config
        self._notes = 0
        self._results, self._plans = _read(cache.recall(key, config))

    def find(self, place: str) -> Known | None:
        plan = self._plans.get(place)
        return Known(plan, self._results) if plan and self._results is not None else None

    def note(self, place: str, known: Known) -> None:
        """Keep what a trace and the planner said; whatever other processes noted meanwhile stays."""
        if self._notes >= _MOST_NOTES or stamp.now() != stamp.IMPORTED:
            return
        self._notes += 1
        _, others = _read(cache.recall(self._key, self._config))
        self._results, self._plans = known.results, {**others, **self._plans, place: known.plan}
        kept = dict(list(self._plans.items())[-_MOST_PLANS:])
        cache.note(self._key, {"results": [list(r) for r in known.results], "plans": kept}, self._config)


def exactly(settings: Mapping[str, object]) -> tuple[tuple[type, object], ...]:
    """Specializing settings as a part of a key: 0.0 is not -0.0 there, and True is not 1."""
    return tuple((type(value), _exact(value)) for value in settings.values())


def usable(config: Config) -> bool:
    """Whether kernels may be recalled: not when someone wants to see or to change the stages, or has no cache."""
    open_to_view = config.debug or config.dump or config.override
    return config.cache and not open_to_view and config.backend != "numpy" and stamp.IMPORTED is not None


def key_of(definition: str, call: Call) -> str:
    """The key of the memory: all but what `place_of` tells."""
    settings = [(kind.__name__, value) for kind, value in call.settings]
    parts = ("recall", _FORMAT, stamp.IMPORTED, definition, settings, sorted(call.given), sorted(call.booleans))
    return digest(repr(parts).encode())


def place_of(call: Call, isa: str, config: Config) -> str:
    """What else the planner looks at: shape, constraint and machine."""
    stored = (call.dtype, *(f"{name}:{narrow}" for name, narrow in call.narrow))
    parts = (*stored, call.n, call.rows, call.has_where, isa, config.strategy, call.form or "rows", *cpu.caches())
    return " ".join(map(str, parts))


def _exact(value: object) -> object:
    return struct.pack("<d", value) if isinstance(value, float) else value


def _read(body: dict[str, Any]) -> tuple[Results | None, dict[str, str]]:
    """What is in a record; it is sealed, and its format is in its key."""
    if not body:
        return None, {}
    return tuple(Result(*r) for r in body["results"]), body["plans"]
