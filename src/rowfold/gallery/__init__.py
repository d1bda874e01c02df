"""The rest of the catalogue: every kernel that a paper of it describes, written in the row language.

`rowfold.gallery.<name>`, one module a group; `entries()` says which row of the catalogue and which paper a kernel comes
from. What all of them share: a row `x`, `z`, ... has shape (..., n), an `rf.Index` `y`, or an `rf.Scalar`, (...); a
result is a row (..., n) or a number (...), as the docstring says; float32 and float64, each computed in its own type.
Special values are those of the formula read literally, NaN going through everything but a selection, except that -inf
contributes nothing to a sum of exponentials. The error of each is bounded by what `k.check(*arrays)` derives for it.
An index outside [0, n) is an IndexError, a setting outside its bounds a ValueError, before anything is written.
"""

from importlib import import_module
from typing import Any

from .entries import ENTRIES, Entry, place

__all__ = ["GROUPS", "Entry", "entries"]

GROUPS = (
    "core normalizers losses divergences margins sampling scores gating selection normalization attention weighting "
    "matrices statistics thresholds"
).split()


def entries() -> list[Entry]:
    """Every kernel of the catalogue, in its order; under no row of it (id "") the library's others."""
    for group in GROUPS:
        import_module(f"{__name__}.{group}")
    return sorted(ENTRIES, key=lambda entry: place(entry.id))


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for entry in entries():
            if entry.name == name:
                return entry.made
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({entry.name for entry in entries()} | {"entries"})
