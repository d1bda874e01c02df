"""How far a long call is: a line on stderr, at a terminal, from two seconds on."""

from __future__ import annotations

import sys
import time

_SECONDS, _WIDTH = 2.0, 30


class Progress:
    """Counts what is done of a whole."""

    def __init__(self, whole: int) -> None:
        self.whole, self.done, self.shown = max(whole, 1), 0, False
        self.next = time.monotonic() + _SECONDS

    def add(self, part: int) -> None:
        self.done += part
        if time.monotonic() < self.next or not _terminal():
            return
        self.next += 0.2
        self.shown = True
        share = min(self.done / self.whole, 1.0)
        filled = int(share * _WIDTH)
        sys.stderr.write(f"\rrowfold [{'#' * filled}{'.' * (_WIDTH - filled)}] {share:4.0%}")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line as it was."""
        if self.shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def _terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
