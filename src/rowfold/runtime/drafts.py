"""A kernel of LLVM runs at once: compiled first without any effort, and as it shall be beside its first calls.

At level 0 LLVM takes a sixth of the time, and the loop up to twice as long, with the same bits. Whoever has the loop's
address keeps it: behind it stands a jump to the draft, and later to the loop that replaces it (docs/decisions/0028).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import CompileError, LoadError
from . import load_llvm
from .load_llvm import Library

_PAUSE = 0.02  # seconds in which the call that asks is mostly over, so that it need not share Python's lock
_JUMP = """
@{symbol}.loop = global ptr @{symbol}.draft
define void @{symbol}(ptr %args, ptr %dims, ptr %steps, ptr %data) nounwind {{
  %loop = load atomic ptr, ptr @{symbol}.loop acquire, align 8
  call void %loop(ptr %args, ptr %dims, ptr %steps, ptr %data)
  ret void
}}
"""


def drafted(key: str, text: str, symbol: str, finish: Callable[[], Any]) -> Library:
    """The draft of this text. A thread of its own has `finish` compile what takes its place, for others too."""
    with _coming.lock:
        if key in _coming.drafts:
            return _coming.drafts[key].library
        library, place = _draft(text, symbol)
        run = threading.Timer(_PAUSE, _replace, (key, place, finish))
        _coming.drafts[key] = _Draft(library, run, [])
    if threading.main_thread().is_alive():
        with contextlib.suppress(RuntimeError):  # no thread is to be had
            run.start()
            return library
    _replace(key, place, finish)
    return library


def after(key: str, job: Callable[[], None]) -> None:
    """Do this behind what takes the place of a draft; now, if nothing does."""
    with _coming.lock:
        draft = _coming.drafts.get(key)
        if draft is not None:
            draft.jobs.append(job)
            return
    job()


def wait() -> None:
    """Until no draft is in use any more."""
    for draft in list(_coming.drafts.values()):
        with contextlib.suppress(RuntimeError):  # it has not begun, or it is this one
            draft.run.join()


def _draft(text: str, symbol: str) -> tuple[Library, int]:
    """The library, and where the address is that its function jumps to."""
    inner = text.replace(f"define void @{symbol}(", f"define internal void @{symbol}.draft(", 1)
    data = load_llvm.build(inner + _JUMP.format(symbol=symbol), level=0)
    library = load_llvm.load(data, None, symbol, f"{symbol}.loop")
    return library, load_llvm.address(library, f"{symbol}.loop")


def _replace(key: str, place: int, finish: Callable[[], Any]) -> None:
    try:
        library = finish()
        (symbol,) = library.symbols
        ctypes.c_void_p.from_address(place).value = load_llvm.address(library, symbol)
        _kept.append(library)
    except (CompileError, LoadError, MemoryError, OSError, Warning):
        pass  # the draft gives the same
    with _coming.lock:
        draft = _coming.drafts.pop(key)
    _kept.append(draft.library)
    for job in draft.jobs:
        job()


class _Draft(NamedTuple):
    library: Library
    run: threading.Timer
    jobs: list[Callable[[], None]]


class _Coming:
    """The drafts for which better is being compiled, by the key of the library."""

    def __init__(self) -> None:
        self.drafts: dict[str, _Draft] = {}
        self.lock = threading.Lock()
        if hasattr(os, "register_at_fork"):  # else a child has llvmlite's lock, and nobody who opens it
            os.register_at_fork(before=wait)


_coming = _Coming()
_kept: list[Library] = []  # who jumps lives as long as the process, and so does what is jumped to
