"""Several threads for one call: which loop to call for how many, and the team that stands behind it.

Workers are Python threads parked in one C function (templates/team.c), made when a call first wants them, once in each
process. The loop that hands rows to them has the ABI of a kernel's loop, so that NumPy and `quick` call it as any
other. Without a C compiler a pool of threads takes slices of the batch. A row's bits do not depend on who computes it.
"""

from __future__ import annotations

import contextvars
import ctypes
import functools
import mmap
import os
import threading
from typing import Any

from .. import __version__, config
from ..codegen.source import Source
from ..errors import RowfoldError
from ..records import NamedTuple
from . import beside, cache, load_c
from . import ufunc as ufuncs
from ._abi import ffi
from .cutrows import CHUNK, Hands, Resumed, uneven, whole
from .slices import SLICE, Pooled, Sliced
from .spec import AWAKE, Results

ASLEEP = 400_000  # the elements from which a team pays that has to be woken
_SYMBOLS = ("rowfold_team_loop", "rowfold_team_work", "rowfold_team_start", "rowfold_team_share",
            "rowfold_team_fold")  # fmt: skip
_SHARED = 8 * CHUNK  # of a single row: the form that threads share takes a tenth longer at half as many
_MOST = (64, 16)  # operands and sizes that team.c has room for
_kept: list[Any] = []


class Spread(NamedTuple):
    """A kernel's loop for several threads, with what a call needs to know of it."""

    ufunc: Any
    pointer: int
    data: int
    apart: bool
    results: Results
    grain: int = 1  # rows that are walked together
    lasting: bool = True  # whether the next call is to have the same; not while the team is being compiled


def available() -> int:
    """The CPUs that this process may use: its affinity, and the quota of its container."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        count = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return max(1, min(count, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return count


def counted(wanted: int | None) -> int:
    """How many threads a call is to have: as many as were asked for, or CPUs; one when Python ends: none can start."""
    if not threading.main_thread().is_alive():
        return 1
    return min(wanted or _default(), 1024)


def spread(found: Any, asked: int | None, elements: int, rows: int) -> Any:
    """What to call for this many elements: `found` itself where one thread does, and no pause for Ctrl-C is due."""
    if elements < AWAKE or (rows < 2 and elements < _SHARED):
        return found
    wanted = asked or getattr(found, "threads", None)
    count = counted(wanted)
    if count > 1 and wanted is None and bool(getattr(found, "pointer", 0)) and _coming(elements):
        one = _spread(found, 1, elements, rows)
        if not isinstance(one, Spread):
            one = Spread(one.ufunc, one.pointer, 0, one.apart, one.results, one.grain)
        return one._replace(lasting=False)
    return _spread(found, count, elements, rows)


def _spread(found: Any, count: int, elements: int, rows: int) -> Any:
    long = elements > SLICE
    if count == 1 and not long:
        return found
    n = elements // max(rows, 1)
    if n > SLICE or (n >= 4 * CHUNK and uneven(rows, count)):
        shared = _cut(found, count, long=long)
        if shared is not None:
            return shared
    if rows < 2:
        return found
    spread_over = _several(found, count) if count > 1 else found
    if not long or isinstance(spread_over.ufunc, Pooled):
        return spread_over
    apart, grain = bool(getattr(found, "apart", False)), getattr(found, "grain", 1)
    return Spread(Sliced(spread_over.ufunc), 0, 0, apart, found.results, grain)


@functools.cache
def _default() -> int:
    return available()


def _several(found: Any, count: int) -> Any:
    apart = bool(getattr(found, "apart", False))
    pointer, grain = getattr(found, "pointer", 0), getattr(found, "grain", 1)
    team = _team(count) if pointer else None
    if team is None:
        return Spread(Pooled(found.ufunc, count), 0, 0, apart, found.results, grain)
    loop, data = _handed(pointer, team, count, found.ufunc, grain)
    return Spread(loop, team.loop, data, apart, found.results, grain) if data else found


def _cut(found: Any, count: int, *, long: bool) -> Any:
    """What to call where a row is to be shared, or to be walked a bit at a time; None where its loop is whole."""
    formed = getattr(found, "formed", None)
    cut = formed("cut") if formed is not None else None
    if cut is None:
        return None
    team = _team(count) if count > 1 else None
    hands = Hands() if team is None else Hands(team.share, team.address, count, ASLEEP)
    loop, data = _whole(cut.pointer, hands, cut.ufunc)
    if long:
        return Spread(Resumed(loop, cut.pointer, hands), 0, 0, cut.apart, found.results)
    return Spread(loop, cut.pointer, data, cut.apart, found.results)


@functools.lru_cache(512)
def _whole(pointer: int, hands: Hands, loop: Any) -> tuple[Any, int]:
    return whole(pointer, hands, loop)


@functools.lru_cache(512)
def _handed(pointer: int, team: _Team, count: int, loop: Any, grain: int) -> tuple[Any, int]:
    """The loop that hands this kernel's rows to the team, and its data."""
    left, right = (ufuncs.cores_of(side) for side in loop.signature.split("->"))
    sizes = 1 + len(dict.fromkeys(label for core in (*left, *right) for label in core))
    operands = len(left) + len(right)
    if operands > _MOST[0] or sizes > _MOST[1]:
        return loop, 0
    kind = (ctypes.c_int64 * 8)(pointer, team.address, count, operands, sizes, AWAKE, ASLEEP, grain)
    _kept.append(kind)
    data = ctypes.addressof(kind)
    types = loop.types[0].replace("->", "")
    return ufuncs.make(team.loop, f"{loop.__name__}_{count}", loop.signature, types, data), data


def fold(pointer: int, sizes: tuple[str, int, int, int], folds: list[int], first: int, rows: int, count: int) -> bool:
    """Has rows from the first on packed, computed and put where they belong by team.c; False if it cannot.

    `sizes`: the loop's signature, outer and inner elements of a row, bytes of one. `folds`: five words an operand.
    """
    signature, outer, inner, size = sizes
    cores = [core for side in signature.split("->") for core in ufuncs.cores_of(side)]
    team = _team(count)
    if team is None or any(core not in ((), ("n",)) for core in cores) or len(cores) > _MOST[0]:
        return False
    share = [pointer, team.address, count, len(cores), sum(map(len, cores)), outer, inner, size, AWAKE, ASLEEP]
    words = (ctypes.c_int64 * (len(share) + 2 + 5 * _MOST[0]))(*share, first, 0, *folds)
    call, data = ffi.cast("rowfold_loop", team.fold), ffi.cast("void *", ctypes.addressof(words))
    step = max(1, SLICE // (outer * inner))
    for start in range(first, rows, step):  # Python looks in between at Ctrl-C
        words[len(share)] = start
        call(ffi.NULL, ffi.new("intptr_t[]", [min(step, rows - start)]), ffi.NULL, data)
    if words[len(share) + 1]:
        raise MemoryError(f"{count} threads could not have a row of {outer * inner} elements each")
    return True


# the team


class _Team:
    """The workers of this process. In a child that was forked the memory is a copy, and its workers are made anew."""

    def __init__(self, loop: int, work: int, start: int, share: int, fold: int) -> None:
        self.loop, self.share, self.fold = loop, share, fold
        self._work, self._start = (ffi.cast("rowfold_loop", address) for address in (work, start))
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._memory))  # the workers outlive the interpreter's last words
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._lock = threading.Lock()
        self._made = 0
        self._call(self._start)
        os.register_at_fork(after_in_child=self._forked)

    def grow(self, workers: int) -> None:
        """At least so many workers."""
        with self._lock:
            while self._made < workers:
                threading.Thread(target=self._call, args=(self._work,), name="rowfold", daemon=True).start()
                self._made += 1

    def _call(self, function: Any) -> None:
        function(ffi.NULL, ffi.NULL, ffi.NULL, ffi.cast("void *", self.address))

    def _forked(self) -> None:
        made, self._made, self._lock = self._made, 0, threading.Lock()
        self._call(self._start)
        self.grow(made)


def _team(count: int) -> _Team | None:
    """The team, with workers for so many threads; None where it cannot be compiled."""
    with _making.lock:
        team = _made()
    if team is not None:
        team.grow(count - 1)
    return team


def _coming(elements: int) -> bool:
    """Whether the team is still being made, beside the calls of those who did not ask for threads."""
    if _made.cache_info().currsize:
        return False
    if _making.thread is None:
        if elements > SLICE and cache.find(_key(), config.resolve()):  # it is but loaded, for a call that gains by it
            _team(1)
            return False
        own = contextvars.copy_context()  # the configuration is the caller's
        _making.thread = beside.thread(own.run, _team, 1)
        _making.thread.start()
    return _making.thread.is_alive()


class _Making:
    """Who makes the team. A child that was forked meanwhile has neither that thread nor its lock."""

    def __init__(self) -> None:
        self.forked()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forked)

    def forked(self) -> None:
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None


_making = _Making()


@functools.cache
def _made() -> _Team | None:
    try:
        return _Team(*_addresses())
    except (AttributeError, OSError, RowfoldError, ValueError):
        return None


@functools.cache
def _text() -> str:
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "templates", "team.c")
    with open(path, encoding="utf-8") as file:
        return file.read()


def _key() -> str:
    return f"team {__version__} {_text()}"


def _addresses() -> list[int]:
    """Where the functions of team.c are."""
    chosen = config.resolve()
    if chosen.backend not in ("auto", "c"):
        raise RowfoldError("the team is written in C")
    source = Source(_SYMBOLS[0], _text(), "", "any", ("-O1",), (), "", "")  # it waits and copies
    loaded = cache.find(_key(), chosen) or cache.load(source, _key(), chosen)
    if not isinstance(loaded.library, load_c.Library):
        raise RowfoldError("the team is written in C")
    _kept.append(loaded)
    return [load_c.address(loaded.library, symbol) for symbol in _SYMBOLS]
