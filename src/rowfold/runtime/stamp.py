"""Whether this is still the package that was imported: names, sizes and times of its files, as Python checks .pyc."""

from __future__ import annotations

import os
from collections.abc import Iterator

from .store import digest

_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_READ = (".py", ".pyc", ".j2")
_ASIDE = ("__pycache__", "testing")


def now() -> str | None:
    """The stamp of the files as they are; None where they are not plain files, as in a zip archive."""
    try:
        return digest("\n".join([_FOLDER, *sorted(_lines(_FOLDER))]).encode())
    except OSError:
        return None


def _lines(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_READ):
                status = entry.stat()
                yield f"{entry.path} {status.st_size} {status.st_mtime_ns}"
            elif entry.is_dir() and entry.name not in _ASIDE:
                yield from _lines(entry.path)


IMPORTED = now()
"""The stamp when this process began to use the package. Files that changed since then are not what it runs."""
