"""What a peer is."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from problem import Array, Problem


@dataclass(frozen=True, slots=True)
class Job:
    """One prepared computation; only `run` is timed."""

    run: Callable[[], object]
    result: Callable[[], Array]


@dataclass(frozen=True, slots=True)
class Peer:
    """A row of the table: the module whose version is reported, and how to prepare it. `slow`: only where asked for."""

    name: str
    module: str
    prepare: Callable[[Problem], Job | None]
    slow: bool = False
    version: str = ""  # the one that the figures are quoted for, where that is fixed

    def found(self) -> str | None:
        """The installed version, or None where there is none. SystemExit for another than the fixed one."""
        try:
            module = importlib.import_module(self.module)
        except ImportError:
            return None
        found = str(getattr(module, "__version__", "unknown"))
        if self.version and found.partition("+")[0] != self.version:
            raise SystemExit(f"{self.module} is {found}; the benchmark is for {self.version}: see install-peers")
        return found


def fresh(run: Callable[[], Any], show: Callable[[Any], Array]) -> Job:
    """A job whose library allocates its result."""
    return Job(run, lambda: show(run()))
