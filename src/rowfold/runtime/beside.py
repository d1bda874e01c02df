"""Work that a first call asks for and does not wait for, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_PAUSE = 0.02  # seconds in which that call is mostly over, so that the two need not share Python's lock


def thread(job: Callable[..., Any], *given: Any) -> threading.Thread:
    """A thread that does this a little later, or when the program ends, which waits for it. It is not started."""

    def run() -> None:
        threading.main_thread().join(_PAUSE)
        job(*given)

    return threading.Thread(target=run, name="rowfold")
