"""A block of rows whose evaluation by NumPy was recorded, to be done again with other rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ..codegen.bounding.scaled import ScaledRules
from ..codegen.interpret import Batch, walk
from ..codegen.ir import Input, Program, Role
from ..codegen.running.tape import Tape
from ..records import dataclass

Array = Any
_ROWS = (Role.ROW, Role.MASK, Role.INT_ROW, Role.TABLE)


@dataclass(frozen=True, slots=True)
class Given:
    """What a call reads, with one axis for the batch, which has length 1 where all rows share it."""

    program: Program
    real: Any
    types: Sequence[Any]  # of the results
    arrays: Mapping[str, Array]
    settings: Mapping[str, float]
    rows: int
    width: int

    def part(self, rows: Any, *, kept: Collection[str] = ()) -> dict[str, Array]:
        """These rows of every input; an input of one row is that of all, and stays one row if its name is `kept`."""
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        return {
            name: a[rows] if len(a) == self.rows else a if name in kept else np.broadcast_to(a, (count, *a.shape[1:]))
            for name, a in self.arrays.items()
        }


class Recorded(Batch):
    """A block whose evaluation was recorded. Its inputs are read where they lie, or copied to arrays of its own."""

    def __init__(self, call: Given, some: Any, rows: int, bare: bool) -> None:
        program = call.program
        rowed = [i.name for _, i in program.inputs if i.role is Role.ROW]
        super().__init__(program, call.part(some, kept=rowed), np, np.float64, None)
        self.shape = (rows, call.width)
        self.rows, self.ignored = rows, None  # such rows are written over
        self.made: list[tuple[Array, Input]] = []
        self.tape = Tape(rows, call.width, lossless=call.real is np.float64, bare=bare)
        rules = ScaledRules(self.tape)
        values = walk(program, self, call.settings, rules)
        results = [self.fit(rules.collapse(values[o.ref]), program, o.ref, 0.0) for o in program.outputs]
        self.exact = self.tape.exact or not self.tape.lossless  # an output may be all that is not
        self.places = self.tape.finish(results, [t is call.real for t in call.types])
        self.results = self.places.results
        self.inputs = {}  # a recording outlives the call
        self.held = [(a if node.role in _ROWS else a[..., 0], node, id(a)) for a, node in self.made]

    def array(self, node: Input) -> Array:
        array = np.array(super().array(node), order="C")  # ours to fill, and summed in the order of memory
        if node.role is not Role.POSITIONS:
            self.made.append((array, node))
        return array

    def again(self, call: Given, some: Any, out: Sequence[Array | None], *, first: bool) -> None:
        """The same for other rows; what all rows share is read the first time in a call. `out` is where results go,
        None where an array of ours has to do.
        """
        for slot, place in zip(self.places.outputs, out, strict=True):
            if slot is not None:
                slot.array = slot.own if place is None else place
        for held, node, key in self.held:
            source = call.arrays[node.name]
            if len(source) == call.rows:
                self._read(held, node, key, source[some])
            elif first:
                self._read(held, node, key, source)
        self.tape.replay()

    def _read(self, held: Array, node: Input, key: int, source: Array) -> None:
        twin, direct = self.places.twins.get(key), self.places.direct.get(key)
        if twin is not None:
            twin.array = source if source.dtype == np.float32 else source.astype(np.float32)
        if direct is not None:
            as_it_lies = source.dtype == held.dtype and source.flags.c_contiguous and source.flags.aligned
            direct.array = source if as_it_lies else held
            if as_it_lies:
                return
        if key in self.places.held:
            np.copyto(held, source, casting="unsafe")
            if node.ignore is not None:
                held[held == node.ignore] = 0

    def left(self) -> None:
        """Nothing of the call is kept."""
        for slot in (*self.places.twins.values(), *self.places.direct.values(), *self.places.outputs):
            if slot is not None:
                slot.array = slot.own
