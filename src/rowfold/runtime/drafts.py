"""A kernel of LLVM runs at once, as a draft, while what shall take its place is compiled beside its first calls.

A draft is a shorter text, at a level at which LLVM takes a sixth of the time; it computes the same bits, more slowly.
Whoever has its address keeps it: there stands a jump to the draft, and later to the loop that replaces it
(docs/decisions/0028).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any

from ..errors import CompileError, LoadError
from ..records import NamedTuple
from . import beside, load_llvm
from .load_llvm import Library


class _Draft(NamedTuple):
    library: Library
    run: threading.Thread
    jobs: list[Callable[[], None]]  # what is to be done then


def drafted(key: str, text: str, symbol: str, finish: Callable[[], Any]) -> Library:
    """The draft of this text. A thread of its own has `finish` compile what takes its place, for others too."""
    with _coming.lock:
        if key in _coming.drafts:
            return _coming.drafts[key].library
        library = load_llvm.load(load_llvm.build(text, level=0), None, symbol, f"{symbol}.loop")
        run = beside.thread(_replace, key, symbol, finish)
        _coming.drafts[key] = _Draft(library, run, [])
        if threading.main_thread().is_alive():
            with contextlib.suppress(RuntimeError):  # no thread is to be had
                run.start()
                return library
    _replace(key, symbol, finish)
    return library


def after(key: str, job: Callable[[], None]) -> None:
    """Do this when a draft has been replaced; now, if that is not to come."""
    with _coming.lock:
        draft = _coming.drafts.get(key)
        if draft is not None:
            draft.jobs.append(job)
            return
    job()


def wait() -> None:
    """Until no draft is in use any more."""
    for draft in list(_coming.drafts.values()):
        with contextlib.suppress(RuntimeError):  # it is this thread, or there is none
            draft.run.join()


def _replace(key: str, symbol: str, finish: Callable[[], Any]) -> None:
    draft = _coming.drafts[key]
    _kept.append(draft.library)
    try:
        library = finish()
        _kept.append(library)
        place = load_llvm.address(draft.library, f"{symbol}.loop")
        ctypes.c_void_p.from_address(place).value = load_llvm.address(library, symbol)
    except (CompileError, LoadError, MemoryError, OSError, Warning):
        pass  # the draft gives the same
    with _coming.lock:
        del _coming.drafts[key]
    for job in draft.jobs:
        job()


class _Coming:
    """The drafts that are to be replaced, by the key of the plan."""

    def __init__(self) -> None:
        self.forked()
        if hasattr(os, "register_at_fork"):  # else a child has llvmlite's lock, and nobody who opens it
            os.register_at_fork(before=wait, after_in_child=self.forked)

    def forked(self) -> None:
        self.drafts: dict[str, _Draft] = {}
        self.lock = threading.Lock()


_coming = _Coming()
_kept: list[Library] = []  # who jumps lives as long as the process, and so does what is jumped to
