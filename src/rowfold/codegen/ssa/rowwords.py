"""Words that need the row where they stand: loads, positions, noise, and what selection keeps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, cast

from ..loops import VECTORS, Arg, Kernel, Kind, Port, Stmt
from .philox import uniform, uniform_at, uniform_from
from .pool import Pool, pool
from .small import Best, best
from .state import StateWords
from .values import DOUBLE, INDEX, Type, Value
from .words import Vectors


class RowWords(StateWords, ABC):
    """What a walk over a kernel knows beside arithmetic: `_word` makes the value of a statement."""

    kernel: Kernel
    vectors: Vectors
    words: Mapping[tuple[Kind, str], Any]
    env: dict[str, Any]

    @abstractmethod
    def arg(self, arg: Arg, kind: Kind) -> Any: ...

    def _load(self, s: Stmt) -> Value:
        assert self.place is not None
        live = self.place.live if "tail" in s.word else None
        return self.b.load(self.ports[str(s.args[0])], self.place.at, live)

    _load_tail: Any = _load
    _load_mask: Any = _load
    _load_mask_tail: Any = _load

    def _positions(self, s: Stmt) -> Value:
        places = self.b.lanes_from(self.place_in_row(s.args), self.kernel.lanes)
        return self.b.convert("from_int", places, self.kernel.dtype)

    def _at_position(self, s: Stmt) -> Value:
        number, lanes = self.arg(s.args[0], Kind.NUM), self.b.lanes_from(self.b.const(0, INDEX), self.kernel.lanes)
        whole = self.b.apply("select", number.eq(self.b.apply("rint", number)), number, -1.0)
        lane = whole - self.b.convert("from_int", self.place_in_row(s.args[1:]), "f64")
        return self.b.convert("from_int", lanes, self.kernel.dtype).eq(self.vectors.set(lane))

    def _vector_number(self, s: Stmt) -> Value:
        assert self.place is not None
        lanes = self.kernel.lanes
        number = self.b.apply("shr", self.place.start + self.place.at, lanes.bit_length() - 1)
        return self.vectors.set(self.b.convert("from_int", number, "f64"))

    def _uniform(self, s: Stmt) -> Value:
        key = self.b.key(self.ports[str(s.args[-1])])
        if s.results[0].kind is Kind.NUM:
            return uniform_at(self.b, self.arg(s.args[0], Kind.NUM), key)
        draw = uniform if len(s.args) == 1 else uniform_from  # a part may begin anywhere
        return draw(self.b, self.place_in_row(s.args[:-1]), key, self.kernel.lanes, self.kernel.dtype)

    def _scalar(self, s: Stmt) -> Value:
        return self.b.number(self.ports[str(s.args[0])])

    def _apart(self, s: Stmt) -> Value:
        """Whether two arrays of the call are not one."""
        return ~self.b.same(*(self.ports[str(a)] for a in s.args))

    def _element(self, s: Stmt) -> Value:
        """One element of a row as a double; 0 outside the row."""
        at: Value = self.arg(s.args[1], Kind.NUM)
        port = self.ports[str(s.args[0])]

        def read() -> list[Value]:
            return [self.b.element(port, self.b.convert("to_int", at, "index"))]

        inside = (at >= 0.0) & (at < self.env["row_length"])
        return self.b.branch(inside, read, [self.b.const(0.0, DOUBLE)], rare=False)[0]

    def _lookup(self, s: Stmt) -> Value:
        """What a table has at each place, lane by lane."""
        b, port, lanes, dtype = self.b, self.ports[str(s.args[1])], self.kernel.lanes, Type(self.kernel.dtype)
        if s.results[0].kind is Kind.NUM:
            return self._found(port, self.arg(s.args[0], Kind.NUM))
        room, first = b.array("places", dtype, lanes), self.index(0)
        b.store_array(room, first, self.arg(s.args[0], Kind.VEC))

        def one(at: Value, _: list[Value]) -> list[Value]:
            place = b.load_array(room, at, dtype)
            found = self._found(port, place if dtype == DOUBLE else b.convert("widen", place, "f64"))
            b.store_array(room, at, found if dtype == DOUBLE else b.convert("narrow", found, "f32"))
            return []

        b.loop((first, self.index(lanes), 1), [], one)
        return b.load_array(room, first, Type(self.kernel.dtype, lanes))

    def _found(self, port: Port, at: Value) -> Value:
        """What a table has at one place, NaN where it has none."""
        b = self.b
        length = b.convert("from_int", b.length(port), "f64") if port.table else self.env["row_length"]
        near = (at >= 0.0) & (at < length)
        place = b.convert("to_int", b.apply("select", near, at, 0.0), "index")
        inside = near & b.convert("from_int", place, "f64").eq(at)
        return b.branch(inside, lambda: [b.element(port, place)], [b.const(math.nan, DOUBLE)], rare=False)[0]

    def _parts(self, s: Stmt) -> Value:
        return self.b.array(s.results[0].name, Type(self.kernel.dtype), VECTORS * self.kernel.lanes)

    def _get(self, s: Stmt) -> Value:
        """What a block's parts hold where the vectors are."""
        assert self.place is not None
        return self.b.load_array(self.arg(s.args[0], Kind.VEC), self.place.at, self.vectors.type)

    def _best(self, s: Stmt) -> Best:
        return best(self.b, s.results[0].name, Type(self.kernel.dtype), s.results[0].size)

    def _best_bar(self, s: Stmt) -> Value:
        return self.b.splat(self.arg(s.args[0], Kind.VEC).bar(), self.kernel.lanes)

    def _pool(self, s: Stmt) -> Pool:
        target, power = self.arg(s.args[0], Kind.NUM), cast(float, s.args[1])
        return pool(self.b, s.results[0].name, Type(self.kernel.dtype), target, power)

    def _pool_number(self, s: Stmt) -> Value:
        held: Pool = self.arg(s.args[0], Kind.NUM)
        return held.get("solved") if s.word == "pool_solved" else held.high() if s.word == "pool_high" else held.low()

    _pool_bar: Any = _best_bar
    _pool_high: Any = _pool_number
    _pool_low: Any = _pool_number
    _pool_solved: Any = _pool_number

    def _pick(self, s: Stmt) -> Value:
        assert isinstance(s.args[1], float)
        return cast(Value, self.words[Kind.NUM, "pick"](self.arg(s.args[0], Kind.NUM), s.args[1]))
