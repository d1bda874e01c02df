"""What the families of rewritings share: the program being rebuilt, and the way back to every operation."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..ir import Builder, Const, Input, Map, Param, Reduce, Ref
from .algebra import Levels


class Rewriter(ABC):
    """A builder, and one method for each kind of node that simplifies it on the way in."""

    def __init__(self, b: Builder) -> None:
        self.b = b
        self.level = Levels(b)
        self.summed: frozenset[Ref] | None = None  # the exponents that are summed, as a run before this one found
        self.selected: Ref | None = None  # the predicate of the call

    @abstractmethod
    def map(self, op: str, args: tuple[Ref, ...]) -> Ref:
        """An elementwise operation."""

    @abstractmethod
    def reduce(self, op: str, args: tuple[Ref, ...], where: Ref | None) -> Ref:
        """A reduction."""

    def scales(self, ref: Ref) -> bool:
        """Exponentials and their sums: the factors whose range is unbounded, and which therefore have to cancel."""
        match self.b.nodes[ref]:
            case Map("exp") | Reduce("expsum"):
                return True
            case Input() | Param() | Const() | Map() | Reduce():
                return False
