"""The user's side of the stack while a row function runs: which frames are theirs, and what they do with a result."""

from __future__ import annotations

import dis
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any, Final

USER_PACKAGES: Final = ("library", "gallery", "compat")  # the parts of rowfold that are written in the row language
_SKIPPED: Final = frozenset({"COPY", "DUP_TOP", "NOP", "CACHE", "EXTENDED_ARG", "NOT_TAKEN"})


def call_row_function(fn: Callable[..., object], args: list[Any], settings: dict[str, Any]) -> object:
    """Calls the row function; its frame marks where the user's frames of this trace end."""
    return fn(*args, **settings)


def user_frames() -> Iterator[FrameType]:
    """The frames of the user's code in this trace, innermost first."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to the caller
    while frame is not None and frame.f_code is not call_row_function.__code__:
        if not _is_internal(frame.f_globals.get("__name__", "")):
            yield frame
        frame = frame.f_back


def _is_internal(module: str) -> bool:
    package, _, rest = module.partition(".")
    return package in ("numpy", "scipy") or (package == "rowfold" and rest.partition(".")[0] not in USER_PACKAGES)


def assigned_name() -> str:
    """The variable that the value being computed is about to be assigned to, or "".

    A result that is returned at once takes the name that the caller gives it.
    """
    for frame in user_frames():
        opcode, variable = _next_step(frame.f_code, frame.f_lasti)
        if not opcode.startswith("RETURN"):
            return variable if opcode.startswith("STORE") else ""
    return ""


def local_values(frame: FrameType) -> Iterator[tuple[str, Any]]:
    """The local variables of a frame, without its parameters: those name a value for the callee only."""
    code = frame.f_code
    skipped = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    return ((name, value) for name, value in list(frame.f_locals.items()) if name not in skipped)


@lru_cache(maxsize=1024)
def _next_step(code: CodeType, offset: int) -> tuple[str, str]:
    """The operation after the one at `offset`, and the variable it stores to."""
    steps = _instructions(code)
    at = bisect_right([i.offset for i in steps], offset)
    while at < len(steps) and steps[at].opname in _SKIPPED:
        at += 1
    if at == len(steps):
        return "", ""
    step = steps[at]
    if step.opname in ("JUMP_FORWARD", "JUMP_ABSOLUTE") and isinstance(step.argval, int) and step.argval > offset:
        return _next_step(code, step.argval - 2)
    variable = step.argval[0] if isinstance(step.argval, tuple) else step.argval
    stores = step.opname.startswith(("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF"))
    return step.opname, variable if stores and isinstance(variable, str) else ""


@lru_cache(maxsize=256)
def _instructions(code: CodeType) -> tuple[dis.Instruction, ...]:
    return tuple(dis.get_instructions(code))
