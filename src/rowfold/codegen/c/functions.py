"""The maths library as C: records the words that a function applies, for vectors or for row-constant doubles."""

from __future__ import annotations

from typing import Any

from ...records import replace
from ..loops import Code, Kind, Names, Stmt, Var
from ..mathlib import FUNCTIONS, Function

Operand = "Value | float"


class Value:
    """An operand of words, with the operators that the functions are written in."""

    __slots__ = ("var", "words")

    def __init__(self, words: Recorder, var: Var | float) -> None:
        self.words, self.var = words, var

    def __add__(self, other: Value) -> Value:
        return self.words.word("add", self, other)

    def __sub__(self, other: Value) -> Value:
        return self.words.word("sub", self, other)

    def __mul__(self, other: Value) -> Value:
        return self.words.word("mul", self, other)

    def __truediv__(self, other: Value) -> Value:
        return self.words.word("div", self, other)

    def __neg__(self) -> Value:
        return Value(self.words, -self.var) if isinstance(self.var, float) else self.words.word("neg", self)


class Recorder:
    """A words object that writes down what is done. `kind` is VEC for vectors of `dtype`, NUM for doubles."""

    def __init__(self, kind: Kind, dtype: str, names: Names, *, fused: bool) -> None:
        self.kind, self._dtype, self.code, self.fused = kind, dtype, Code(names), fused

    @property
    def dtype(self) -> Any:
        return "f64" if self.kind is Kind.NUM else self._dtype

    def const(self, value: float) -> Value:
        return Value(self, float(value))

    def word(self, word: str, *args: Value) -> Value:
        return Value(self, self.code.let(self.kind, "t", word, *(a.var for a in args)))

    def test(self, word: str, *args: Value) -> Value:
        kind = Kind.FLAG if self.kind is Kind.NUM else Kind.MASK
        return Value(self, self.code.let(kind, "m", word, *(a.var for a in args)))

    def let(self, name: str, value: Value) -> Value:
        """Renames the newest result; a value that has been used keeps its first name."""
        last = self.code.stmts[-1] if self.code.stmts else None
        if last is None or not isinstance(value.var, Var) or last.results != (value.var,) or value.var.name == name:
            return value
        var = Var(self.code.names.fresh(name), value.var.kind)
        self.code.rename(last, var)
        value.var = var
        return value

    def call(self, function: str, *args: Value) -> Any:
        f = FUNCTIONS[function]
        made = self.code.call(self.kind, f.outputs, function, *(a.var for a in args))
        values = tuple(Value(self, v) for v in made)
        return values[0] if len(values) == 1 else values

    def select(self, mask: Value, a: Value, b: Value) -> Value:
        return self.word("choose" if self.kind is Kind.NUM else "select", mask, a, b)

    def __getattr__(self, word: str) -> Any:
        if word in ("lt", "le", "gt", "ge", "eq", "ne"):
            return lambda *args: self.test(word, *args)
        if word.startswith("mask_"):
            return lambda *args: self.test(word if self.kind is Kind.VEC else word.removeprefix("mask_"), *args)
        if word.startswith("_"):
            raise AttributeError(word)
        return lambda *args: self.word(word, *args)


def record(
    name: str, kind: Kind, dtype: str, *, fused: bool = True
) -> tuple[Function, tuple[Stmt, ...], tuple[Var | float, ...]]:
    """A function's statements, in order, and its results."""
    function = FUNCTIONS[name]
    names = Names()
    recorder = Recorder(kind, dtype, names, fused=fused)
    inputs = [Value(recorder, Var(names.fresh(n), kind)) for n in function.inputs]
    results = function.body(recorder, *inputs)
    values = results if isinstance(results, tuple) else (results,)
    return function, tuple(recorder.code.stmts), tuple(v.var for v in values)


def renamed(stmt: Stmt, var: Var) -> Stmt:
    return replace(stmt, results=(var,))
