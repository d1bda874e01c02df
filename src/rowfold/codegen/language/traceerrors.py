"""Trace errors that show the user's own line, underline the expression, and say what to write instead."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from itertools import islice
from types import FrameType
from typing import Final, NoReturn

from rowfold.codegen.language.frames import user_frames
from rowfold.errors import TraceError

_SHOWN: Final = 3  # calls shown in full: with three lines each a message stays under 15 lines
_WIDTH: Final = 110


class MissingAttributeError(TraceError, AttributeError):
    """An attribute that rows do not have; `hasattr` sees it as absent."""


def fail(problem: str, advice: str, *, kind: type[TraceError] = TraceError) -> NoReturn:
    """Raises a TraceError that points at the user's current expression."""
    chain = list(reversed(list(islice(user_frames(), 1000))))
    lines = [problem, *_chain(chain), f"  Instead: {advice}"]
    raise kind("\n".join(lines)) from None


def fail_at_definition(problem: str, advice: str, fn: object) -> NoReturn:
    """Raises a TraceError about what a row function returned, pointing at its first line."""
    code = getattr(fn, "__code__", None)
    where = [] if code is None else [f'  File "{code.co_filename}", line {code.co_firstlineno}, in {code.co_name}']
    source = "" if code is None else linecache.getline(code.co_filename, code.co_firstlineno).strip()[:_WIDTH]
    lines = [problem, *where, *([f"    {source}"] if source else []), f"  Instead: {advice}"]
    raise TraceError("\n".join(lines)) from None


def _chain(chain: list[FrameType]) -> Iterator[str]:
    hidden = len(chain) - _SHOWN
    for i, frame in enumerate(chain):
        if i == 0 or i > hidden:
            yield from _place(frame)
        elif i == 1:
            yield f"  ... {hidden} more calls ..."


def _place(frame: FrameType) -> Iterator[str]:
    code = frame.f_code
    start, end = _columns(frame)
    yield f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}'
    linecache.checkcache(code.co_filename)
    source = linecache.getline(code.co_filename, frame.f_lineno, frame.f_globals).rstrip("\n")
    if source.strip():
        yield from _underlined(source, start, end)


def _columns(frame: FrameType) -> tuple[int | None, int | None]:
    """The first and last column, in bytes, of the expression that runs; None where Python does not keep them."""
    positions = getattr(frame.f_code, "co_positions", None)
    if positions is None:
        return None, None
    line, end_line, start, end = next(islice(positions(), frame.f_lasti // 2, None), (None, None, None, None))
    if line != frame.f_lineno:
        return None, None
    return start, end if end_line == line else None


def _underlined(source: str, start: int | None, end: int | None) -> Iterator[str]:
    indent = len(source) - len(source.lstrip())
    first = indent if start is None else _characters(source, start)
    last = len(source.rstrip()) if end is None else _characters(source, end)
    left = indent if len(source.strip()) <= _WIDTH else max(indent, first - _WIDTH // 3)
    shown = source[left : left + _WIDTH].replace("\t", " ").rstrip()
    width = max(1, min(last, left + len(shown)) - first)
    yield f"    {shown}"
    yield f"    {' ' * (first - left)}{'^' * width}"


def _characters(source: str, column: int) -> int:
    """A column in UTF-8 bytes as a column in characters."""
    return len(source.encode()[:column].decode(errors="ignore"))
