"""The words in which the maths library's functions are written, as operations of one builder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ..mathlib import FUNCTIONS
from .values import Builder, Value


class Library(ABC):
    """A word that is not written out is the builder's operation of that name; masks have the same operations."""

    b: Builder

    @abstractmethod
    def const(self, value: float) -> Value:
        """A number as an operand."""

    def let(self, name: str, value: Value) -> Value:
        return self.b.let(name, value)

    def call(self, function: str, *args: Value) -> Any:
        return FUNCTIONS[function].body(self, *args)

    def __getattr__(self, word: str) -> Any:
        if word.startswith("_"):
            raise AttributeError(word)
        return lambda *args: self.b.apply(word.removeprefix("mask_"), *args)

    def min(self, a: Any, b: Any) -> Value:
        return self.b.apply("select", self.b.apply("lt", a, b), a, b)

    def max(self, a: Any, b: Any) -> Value:
        return self.b.apply("select", self.b.apply("gt", a, b), a, b)
