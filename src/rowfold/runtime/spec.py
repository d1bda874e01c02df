"""How a kernel is called, as plain values: its arguments, its run-time settings and its results.

These and the other values of this room are named tuples: making such a class takes a seventh of the time that a frozen
dataclass takes (0.9 ms), and a first call from a warm cache imports a dozen of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np

from ..records import NamedTuple

Array = np.ndarray[Any, np.dtype[Any]]
DType = np.dtype[Any]
Names = frozenset[str]
Formats = tuple[tuple[str, str], ...]  # of narrow rows, by parameter; that of the float results under ""
Role = Literal["row", "mask", "int row", "scalar", "index", "table"]

ROW_LIKE: tuple[Role, ...] = ("row", "mask", "int row")
"""The roles whose arrays have one element per element of the row."""

WITH_AXIS: tuple[Role, ...] = (*ROW_LIKE, "table")
"""The roles whose arrays have an axis beside those of the batch."""


AWAKE = 1 << 15
"""The elements of a call from which several threads pay, if they are spinning: 6 us of work."""


class Argument(NamedTuple):
    """One array parameter of a kernel."""

    name: str
    role: Role
    ignore: int | None = None  # index only: the value that marks a row to be left out
    optional: bool = False  # may be absent: its default is None
    low: float = -math.inf  # scalar only: what its values lie in; `open` excludes `low` itself
    high: float = math.inf
    open: bool = False

    @property
    def bounded(self) -> bool:
        """Whether its values are to be looked at: a NaN is in no bounds."""
        return self.low != -math.inf or self.high != math.inf


class FloatSetting(NamedTuple):
    """One float that is passed at run time. `default` None: it must be given. `open` excludes `low` itself.

    `length`: it is at most the length of the rows, too.
    """

    name: str
    default: float | None
    low: float = -math.inf
    high: float = math.inf
    open: bool = False
    length: bool = False


class Result(NamedTuple):
    """One result: a row, `entries` numbers a row, or one. `dtype` None is the dtype of the call.

    `total`: a row that is summed over the batch.
    """

    row: bool
    dtype: str | None = None
    entries: int = 0
    total: bool = False


Results = tuple[Result, ...]


class CallSpec(NamedTuple):
    """All that a caller must know of a kernel.

    `results` None: they depend on the arguments that are present, and what is compiled for a call tells them.
    `masked` is what the loop writes to unselected elements; it stands here for those who describe the kernel.
    """

    name: str
    arguments: tuple[Argument, ...]
    settings: tuple[FloatSetting, ...] = ()
    results: Results | None = (Result(row=True),)
    masked: float = 0.0


class HasLoop(Protocol):
    """What a call needs of a loaded kernel."""

    @property
    def ufunc(self) -> Any: ...


class Bound:
    """A loop with the results that it gives, for specs that do not tell them."""

    __slots__ = ("apart", "formed", "grain", "pointer", "results", "threads", "ufunc")

    def __init__(
        self, loop: HasLoop, results: Results, threads: int | None = None,
        formed: Callable[[str], Bound | None] | None = None,
    ) -> None:  # fmt: skip
        self.ufunc = loop.ufunc
        self.pointer = getattr(loop, "pointer", 0)  # of the compiled function, where there is one
        self.apart = bool(getattr(loop, "apart", False))  # no output may be the memory of an input
        self.results = results
        self.threads = threads  # of a call that does not say how many
        self.grain = 1  # rows that are walked together
        self.formed = formed  # the same in another form of C; none where there is no such thing


class Compiled(Protocol):
    """Gives the compiled kernel for a call; the api makes and remembers it.

    `given` are the optional arguments that are present, `booleans` the "row" arguments that are boolean arrays.
    `narrow` are formats that the loop may read and write itself; its types tell whether it does.
    The loop takes the present arguments as declared, then `where` if `has_where`, then the settings, then the outputs.
    """

    def __call__(self, dtype: DType, n: int, rows: int, given: Names, has_where: bool, booleans: Names,
                 narrow: Formats) -> HasLoop: ...
