"""The objects that stand for rows and numbers while a row function is traced.

A `Traced` answers NumPy's protocols (NEP 13, NEP 18), operators and `ndarray` methods by looking the request up in its
tracer's `Vocabulary`; each entry is a handler that adds nodes to the program. What is not in there is a `TraceError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from rowfold.codegen.ir import Builder, Const, Input, Node, Param, Ref, Type
from rowfold.codegen.language.frames import assigned_name, local_values, user_frames
from rowfold.codegen.language.traceerrors import MissingAttributeError, fail
from rowfold.errors import TraceError

from ...records import dataclass

MAX_NODES: Final = 10_000

Handler = Callable[..., Any]  # handler(tracer, *args, **kwargs) -> Traced


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every word of the row language, and advice for words of NumPy that are not in it."""

    ufuncs: Mapping[np.ufunc, Handler]
    reduces: Mapping[np.ufunc, Handler]  # ufunc.reduce
    functions: Mapping[Callable[..., Any], Handler]
    methods: Mapping[str, Handler]
    row_functions: Mapping[str, Handler]  # rowfold's own, by name
    item: Handler
    small_fold: Handler  # a reduction of a k-vector
    advice: Mapping[str, str]


class Tracer:
    """One trace: turns requests into nodes, and gives the nodes the user's names."""

    def __init__(self, name: str, vocabulary: Vocabulary) -> None:
        self.builder = Builder(name)
        self.vocabulary = vocabulary

    def leaf(self, node: Input | Param) -> Traced:
        return Traced(self, self.builder.add(node, node.name))

    def map(self, op: str, *args: object) -> Traced:
        refs = [self.ref(a) for a in args]
        sizes = {n for r in refs if (n := self.builder.entries(r))}
        if len(sizes) > 1 or (sizes and (op == "broadcast" or any(map(self.builder.is_row, refs)))):
            self.fail("a k-vector beside a row or one of another length", "reduce it first, or take an element: v[0]")
        return self._add(lambda refs: self.builder.map(op, *refs), args)

    def reduce(self, op: str, *args: object, where: object = None) -> Traced:
        if args and self.entries(self.lift(args[0])):
            found: Traced = self.vocabulary.small_fold(self, op, *args, where=where)
            return found
        predicate = None if where is None else self.ref(where)
        return self._add(lambda refs: self.builder.reduce(op, *refs, where=predicate), args)

    def _add(self, make: Callable[[list[Ref]], Ref], args: tuple[object, ...]) -> Traced:
        ref = make([self.ref(a) for a in args])
        if ref >= MAX_NODES:
            self.fail(f"more than {MAX_NODES:,} operations", "write a loop over fewer terms, or split the kernel")
        return Traced(self, ref)

    def ref(self, value: object) -> Ref:
        """The node of a traced value or of a constant number."""
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        match value:
            case Traced():
                return self._own(value)
            case bool() | np.bool_():
                return self.builder.const(bool(value))
            case int() | float() | np.integer() | np.floating():
                return self._number(value)
            case np.ndarray():
                advice = "pass the array as a parameter of the row function; only numbers are taken from outside"
                return self.fail("an array that is not a parameter", advice)
            case None:
                return self.fail("None in arithmetic", "test an optional parameter: `if w is not None`")
            case _:
                return self.fail(f"a {type(value).__name__} among the operands", "use rows and real numbers only")

    def _own(self, value: Traced) -> Ref:
        if value.tracer is not self:
            self.fail("a row of another trace", "use only values that this row function was given or computed")
        if value.cast is not None:
            advice = "compute first and convert in the return statement; `np.where(mask, 1.0, 0.0)` makes numbers"
            self.fail("a value is used after .astype()", advice)
        return value.ref

    def _number(self, value: float | np.integer[Any] | np.floating[Any]) -> Ref:
        try:
            return self.builder.const(float(value))
        except OverflowError:
            self.fail("an integer that no float can hold", "use a smaller constant")

    def const(self, value: float | bool) -> Traced:
        return Traced(self, self.builder.const(value))

    def lift(self, value: object) -> Traced:
        return Traced(self, self.ref(value))

    def is_row(self, value: Traced) -> bool:
        return self.builder.is_row(value.ref)

    def entries(self, value: Traced) -> int:
        """The length of a k-vector; 0 for what is none."""
        return self.builder.entries(value.ref)

    def has_elements(self, value: Traced) -> bool:
        """A row or a k-vector: what a reduction is about."""
        return self.is_row(value) or self.entries(value) > 0

    def kind(self, value: Traced) -> Type:
        return self.builder.types[value.ref]

    def node(self, value: Traced) -> Node:
        return self.builder.nodes[value.ref]

    def number(self, value: object) -> Traced:
        """The value as a number: true is 1."""
        found = self.lift(value)
        if self.kind(found) is not Type.BOOL:
            return found
        node = self.node(found)
        return self.const(float(node.value)) if isinstance(node, Const) else self.map("where", found, 1.0, 0.0)

    def truth(self, value: object) -> Traced:
        """The value as a boolean: a number is true unless it is 0."""
        found = self.lift(value)
        return found if self.kind(found) is Type.BOOL else self.map("not_equal", found, 0.0)

    def fail(self, problem: str, advice: str, *, kind: type[TraceError] = TraceError) -> NoReturn:
        fail(f"cannot trace {self.builder.name}: {problem}", advice, kind=kind)

    def unknown(self, word: str, name: str, *, kind: type[TraceError] = TraceError) -> NoReturn:
        """Fails for a word that is not in the row language; `name` finds the advice."""
        advice = self.vocabulary.advice.get(name, "use the elementwise functions and reductions of the row language")
        self.fail(f"{word} is not in the row language", advice, kind=kind)

    def dispatch(self, handler: Handler, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Runs one request of the user's code and names what comes out as the user does."""
        self._name_locals()
        result = handler(self, *args, **kwargs)
        if isinstance(result, Traced) and result.cast is None:
            self._name(result.ref, assigned_name())
        return result

    def _name(self, ref: Ref, name: str) -> None:
        free = not self.builder.names[ref] and not isinstance(self.builder.nodes[ref], Const)
        if free and name.strip("_"):
            self.builder.names[ref] = name

    def _name_locals(self) -> None:
        """Names what the last request could not: values that were unpacked or came through a container."""
        frame = next(user_frames(), None)
        for name, value in () if frame is None else local_values(frame):
            if isinstance(value, Traced) and value.tracer is self:
                self._name(value.ref, name)


class BatchTotal:
    """A row that is returned as its sum over the batch."""

    __slots__ = ("row",)

    def __init__(self, row: Traced) -> None:
        self.row = row


class Traced(NDArrayOperatorsMixin):
    """A row or a number of a row in the making. `cast` is set by .astype, after which only a return may follow."""

    __slots__ = ("cast", "ref", "tracer")
    __hash__ = None  # type: ignore[assignment]  # as ndarray

    def __init__(self, tracer: Tracer, ref: Ref, cast: str | None = None) -> None:
        self.tracer = tracer
        self.ref = ref
        self.cast = cast

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        t, words = self.tracer, self.tracer.vocabulary
        if method == "reduce" and ufunc in words.reduces:
            return t.dispatch(words.reduces[ufunc], inputs, kwargs)
        if method != "__call__":
            t.unknown(f"np.{ufunc.__name__}.{method}", method)
        if ufunc not in words.ufuncs:
            t.unknown(_label(ufunc), ufunc.__name__)
        if given := sorted(k for k, v in kwargs.items() if v is not None and not (k == "where" and v is True)):
            advice = "use np.where for a choice by element; leave out= and dtype= to the call of the kernel"
            t.fail(f"{_label(ufunc)} with {given[0]}=", advice)
        return t.dispatch(words.ufuncs[ufunc], inputs, {})

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        handler = self.tracer.vocabulary.functions.get(func)
        if handler is None:
            self.tracer.unknown(_label(func), func.__name__)
        return self.tracer.dispatch(handler, args, kwargs)

    def __row_function__(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The protocol of rowfold's own functions, as `__array_function__` is NumPy's."""
        return self.tracer.dispatch(self.tracer.vocabulary.row_functions[name], args, kwargs)

    def __array__(self, *_: Any, **__: Any) -> Any:
        advice = "use NumPy's functions on the row itself; rf.positions(x) is 0 .. n-1"
        self.tracer.fail("a row is converted to an array", advice)

    # What a row knows about itself

    @property
    def size(self) -> Any:
        return self.tracer.dispatch(_size, (self,), {})

    @property
    def shape(self) -> tuple[Any, ...]:
        return (self.size,) if self.tracer.has_elements(self) else ()

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def astype(self, dtype: Any, **_: Any) -> Traced:
        """Converts a result. Only a return may follow."""
        found = np.dtype(dtype)
        if found.kind not in "fiub" and found.name != "bfloat16" and not found.name.startswith("float8"):
            self.tracer.fail(f".astype({found.name})", "convert to a real number type or bool")
        return Traced(self.tracer, self.tracer.ref(self), found.name)

    def __getitem__(self, key: Any) -> Any:
        return self.tracer.dispatch(self.tracer.vocabulary.item, (self, key), {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        t = self.tracer
        handler = t.vocabulary.methods.get(name)
        if handler is None:
            t.unknown(f".{name}", name, kind=MissingAttributeError)
        return lambda *args, **kwargs: t.dispatch(handler, (self, *args), kwargs)

    def __repr__(self) -> str:
        name = self.tracer.builder.names[self.ref] or f"%{self.ref}"
        return f"<traced {self.tracer.builder.shapes[self.ref].value} {name} of {self.tracer.builder.name}>"

    # What Python asks for and a value that is not known yet cannot give

    def __bool__(self) -> bool:  # noqa: PLE0304 - always raises
        if isinstance(self.tracer.node(self), Param):
            name = self.tracer.builder.names[self.ref]
            advice = f"annotate the setting `{name}: rf.Static[float]`, or choose with np.where(condition, a, b)"
        else:
            advice = "choose with np.where(condition, a, b); join conditions with & | ~, not with and, or, not"
        self.tracer.fail("Python asks whether a traced value is true", advice)

    def __float__(self) -> float:
        advice = "use np.log, np.sqrt, ... instead of math.log, math.sqrt, ..., and no float()"
        self.tracer.fail("Python asks for the number of a traced value", advice)

    def __index__(self) -> int:  # noqa: PLE0305 - always raises
        advice = "np.rint or np.floor round; rf.positions(x) counts the elements; np.ones_like(x) makes a row"
        self.tracer.fail("Python asks for the integer of a traced value", advice)

    def __len__(self) -> int:
        if not self.tracer.entries(self):
            self.tracer.fail("len() of a row", "use x.size, the length of the row")
        return self.tracer.entries(self)

    def __iter__(self) -> Any:
        self.tracer.fail("iteration over a row", "work on the whole row: np.sum(x), np.max(x), np.where(...)")

    def __contains__(self, _: object) -> bool:
        self.tracer.fail("`in` on a row", "use np.any(x == value)")

    def __setitem__(self, key: object, value: object) -> None:
        self.tracer.fail("assignment to elements", "make a new row: np.where(condition, value, x)")

    def __round__(self, digits: int | None = None) -> Any:
        self.tracer.unknown("round()", "round")

    __int__ = __index__
    __complex__ = __float__
    __floor__ = __ceil__ = __trunc__ = __index__

    # `x -= m` makes a new value: an assignment, as any other
    __iadd__ = NDArrayOperatorsMixin.__add__
    __isub__ = NDArrayOperatorsMixin.__sub__
    __imul__ = NDArrayOperatorsMixin.__mul__
    __itruediv__ = NDArrayOperatorsMixin.__truediv__
    __ipow__ = NDArrayOperatorsMixin.__pow__
    __iand__ = NDArrayOperatorsMixin.__and__
    __ior__ = NDArrayOperatorsMixin.__or__
    __ixor__ = NDArrayOperatorsMixin.__xor__
    __imatmul__ = NDArrayOperatorsMixin.__matmul__
    __ifloordiv__ = NDArrayOperatorsMixin.__floordiv__
    __imod__ = NDArrayOperatorsMixin.__mod__


def _size(t: Tracer, x: Traced) -> Any:
    return t.reduce("count") if t.is_row(x) else t.entries(x) or 1


def _label(func: Any) -> str:
    module = getattr(func, "__module__", None) or ("numpy" if getattr(np, func.__name__, None) is func else "")
    return ".".join(filter(None, (module.replace("numpy", "np", 1), func.__name__)))
