"""What the catalogue says of each kernel: its row's id, its paper, and the walks that the row states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ..api import Kernel
    from ..codegen.plan import Plan

T = TypeVar("T")
SHAPE = (64, 4096)  # the walks that fusion allows depend on no shape; a plan needs one


@dataclass(frozen=True, slots=True)
class Entry:
    """A kernel, or a function on matrices that is made of kernels (`parts`), under one row of the catalogue."""

    name: str
    id: str
    paper: str
    walks_stated: int
    made: Any
    parts: tuple[Kernel[..., Any], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kernels(self) -> tuple[Kernel[..., Any], ...]:
        """The kernels whose walks count."""
        return self.parts or (self.made,)

    def walks(self) -> int:
        """The fewest walks that fusion allows: of a function, those of the kernel that takes most."""
        return max(self._plan(kernel).walks for kernel in self.kernels)

    def _plan(self, kernel: Kernel[..., Any]) -> Plan:
        taken = {s.name for s in kernel.settings}
        return kernel.plan(SHAPE, **{name: value for name, value in self.settings.items() if name in taken})


@dataclass(frozen=True, slots=True)
class Paper:
    """A row of the catalogue: `@L7(walks=1)` enters the kernel below it."""

    id: str
    title: str

    def __call__(
        self, *, walks: int, parts: tuple[Kernel[..., Any], ...] = (), name: str = "", **settings: Any
    ) -> Callable[[T], T]:
        """Enters a kernel (`settings`: those without a default, for its plan) or a function made of `parts`."""

        def enter(made: T) -> T:
            known = name or getattr(made, "name", "") or made.__name__  # type: ignore[attr-defined]
            ENTRIES.append(Entry(known, self.id, self.title, walks, made, parts, settings))
            return made

        return enter


ENTRIES: list[Entry] = []


def place(row: str) -> tuple[int, list[int]]:
    """Where the catalogue has a row: C1 before C2, N1, L1, ... B3, 2.1, and none at the end."""
    section = row[:1] if row[:1].isalpha() else "#"
    numbers = [int(part) for part in row.lstrip("CNLSOGPB").split(".") if part]
    return ("CNLSOGPB#".index(section), numbers) if row else (9, [])
