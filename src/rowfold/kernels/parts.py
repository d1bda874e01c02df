"""Rows in parts: `partial`, `merge`, `finish`, `identity` of a kernel, for rows that no one machine or moment holds.

A part of a row is walked over by the same carries as a whole one, and its state is merged with others in any tree.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import config as configuration
from ..building.host import host_isa
from ..errors import StateError, shown
from ..records import NamedTuple
from ..runtime import operands, outputs
from ..runtime.operands import How, Operands
from ..runtime.spec import ROW_LIKE, Argument, Array, CallSpec
from . import merging

if TYPE_CHECKING:
    from ..codegen.ir import Program
    from ..codegen.states import Layout

_NAMES = {"f": "f32", "d": "f64"}
_CHARS = {"f32": "f", "f64": "d"}


class Key(NamedTuple):
    """What decides a program and its states: settings, dtype, arguments that are present, boolean rows, a predicate."""

    settings: tuple[tuple[str, Any], ...]
    dtype: str
    given: frozenset[str]
    booleans: frozenset[str]
    has_where: bool


class Known(NamedTuple):
    key: Key
    program: Program
    layout: Layout
    dtype: np.dtype[Any]


class Parts:
    """The part of a kernel's surface that is about parts of rows. `Kernel` has all that is only declared here."""

    if TYPE_CHECKING:
        name: str
        masked: float

        @cached_property
        def static(self) -> Any: ...

        _chosen: dict[str, Any]
        _parts: dict[Any, Any]
        _caller: Any
        _spec: Any
        _static_values: Any
        _traced: Any
        _loop: Any

    def __init__(self) -> None:
        super().__init__()
        self._parts = {}

    @property
    def rounds(self) -> int:
        """How many rounds of `partial` and `merge` a row takes: more than one where walks wait for each other."""
        return self._known_for(np.dtype(np.float32), {}).layout.rounds

    def partial(
        self, *arrays: Any, axis: Any = -1, where: Any = None, offset: int = 0, given: Any = None, **settings: Any
    ) -> Array:
        """The states of parts of rows: an array of the batch's shape with one field for each carry.

        `arrays` are the kernel's arguments for this part; an Index counts in the whole row, of which the part begins
        at `offset`. `given` is the merged state of the round before, where `rounds` is more than one. Layout, and what
        each field means: `docs/states.md`; it depends on the program and the dtype alone. Raises StateError for a
        state of another kernel, dtype or round, and what a call raises for bad arguments.
        """
        call, key = self._part_call(arrays, How(axis, where), settings)
        known, done = self._layout_of(key), 0
        if given is not None:
            self._check_state(known, given)
            done = _round(given)
            if done >= known.layout.rounds:
                raise StateError(f"{self.name}: given has all {known.layout.rounds} rounds done; it is ready to finish")
        loop = self._part_loop(known, done)
        arguments = [*call.cast(), *([merging.doubles(given)] if done else []), _offset(self.name, offset)]
        with np.errstate(all="ignore"):
            raw = loop(*arguments)
        state: Array = np.ascontiguousarray(raw).view(known.dtype).reshape(np.shape(raw)[:-1])
        for name, value in self._kept(known, call, key).items():
            state[f"given_{name}"] = value
        return state

    def merge(self, a: Any, b: Any) -> Array:
        """The states of both parts as one. Any tree of merges is as accurate as any other.

        Raises StateError unless both are states of this kernel, with the same settings and dtype, after one round.
        """
        for state in (a, b):
            self._check_kernel(state)
        if a.dtype != b.dtype:
            raise StateError(
                f"{self.name}: states of {_told(a)} and {_told(b)} do not merge; they differ in dtype, settings or "
                "arguments; make both by the same kernel with the same settings and dtype"
            )
        rounds = {r for s in (a, b) for r in (_round(s),) if r}
        if len(rounds) > 1:
            raise StateError(f"{self.name}: a state after round {min(rounds)} and one after round {max(rounds)} differ")
        return merging.merge(np.asarray(a), np.asarray(b))

    def identity(self, batch_shape: Any, dtype: Any, **settings: Any) -> Array:
        """States of parts without elements: merging them with others changes nothing."""
        computing = operands.computing_dtype(np.dtype(dtype))
        known = self._known_for(computing, settings)
        shape = batch_shape if isinstance(batch_shape, tuple) else (operator.index(batch_shape),)
        return merging.identity(shape, known.dtype)

    def finish(
        self, state: Any, *chunk_arrays: Any, axis: Any = -1, offset: int = 0, where: Any = None, **settings: Any
    ) -> Any:
        """The results of rows whose parts are merged in `state`.

        Results that are numbers come from the state alone. Row results need the part's row arrays, and are written
        for that part, which begins at `offset`. Row-constant arguments and settings are in the state; settings that
        specialize are given here too, if this process made no such state. Raises StateError for other states.
        """
        self._check_kernel(state)
        known, call = self._finishing(state, chunk_arrays, How(axis, where), settings)
        if _round(state) not in (0, known.layout.rounds):
            raise StateError(
                f"{self.name}: the state is after round {_round(state)} of {known.layout.rounds}; "
                "go over the parts again with partial(..., given=state)"
            )
        loop = self._part_loop(known, known.layout.rounds)
        results = self._results(known.key, known.program)
        targets = outputs.prepare(self.name, results, call, None, keepdims=False)
        arguments = [*_arguments(known, call, state), merging.doubles(state), _offset(self.name, offset)]
        with np.errstate(all="ignore"):
            loop(*arguments, *(t.loop for t in targets))
            found = [t.finished(call.layout) for t in targets]
        return tuple(found) if len(found) > 1 else found[0]

    def pack(self, state: Any, **settings: Any) -> Array:
        """The states as few float32 numbers, for an exchange: shape (*batch, numbers), three for cross-entropy.

        Each number is rounded once: error bounds in `docs/states.md`. Raises StateError for kernels whose states have
        no small form: float64 rows, moments, top-k, positions, whatever counts elements.
        """
        from . import packing

        return packing.pack(self.name, state, self._program_of(state, settings))

    def unpack(self, packed: Any, like: Any, **settings: Any) -> Array:
        """The states that `pack` was given, rounded. `like` is any state of the same rows, arguments and settings.

        What parts have in common is taken from it, and so is its number of elements. Raises StateError for numbers
        that `pack` did not give for such states.
        """
        from . import packing

        return packing.unpack(self.name, packed, like, self._program_of(like, settings))

    def _program_of(self, state: Any, settings: dict[str, Any]) -> Program:
        self._check_kernel(state)
        computing = np.dtype(_CHARS[_dtype_of(state)])
        for known in self._possible(state, {}, has_where=False, settings=settings, computing=computing):
            return known.program
        raise StateError(f"{self.name}: the state {_told(state)} was made with other settings or arguments")

    # what is compiled

    def _layout_of(self, key: Key) -> Known:
        if key not in self._parts:
            from ..codegen.states import layout_of

            program, _ = self._traced(dict(key.settings), key.given, key.booleans, has_where=key.has_where)
            layout = layout_of(program, _NAMES[key.dtype])
            self._parts[key] = Known(key, program, layout, merging.state_dtype(layout.fields))
        found: Known = self._parts[key]
        return found

    def _part_loop(self, known: Known, done: int) -> Any:
        config = configuration.resolve(self._chosen)
        place = known.key, done, config
        if place not in self._parts:
            from ..codegen.states import state_plan

            plan = state_plan(known.program, known.layout, host_isa(config), done)
            self._parts[place] = self._loop(plan, config)[1].ufunc
        return self._parts[place]

    def _results(self, key: Key, program: Program) -> Any:
        from ..building.build import results_of

        return results_of(program)

    def _known_for(self, computing: np.dtype[Any], settings: Mapping[str, Any]) -> Known:
        """The layout for these settings with no optional argument; where settings lack, the last that was in use."""
        if any(s.required and s.name not in settings for s in self.static.values()):
            for found in reversed([k for k in self._parts.values() if isinstance(k, Known)]):
                return self._layout_of(found.key._replace(dtype=computing.char))
        return self._layout_of(Key(self._statics(settings), computing.char, frozenset(), frozenset(), False))

    def _statics(self, settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        given = {name: s.check(settings[name]) for name, s in self.static.items() if name in settings}
        return tuple(self._static_values(given).items())

    # what is called

    def _part_call(self, arrays: tuple[Any, ...], how: How, settings: dict[str, Any]) -> tuple[Operands, Key]:
        """The arguments of a part, checked as those of a call are; an Index may be outside this part."""
        static = self._statics(settings)
        floats = {k: v for k, v in settings.items() if k not in self.static}
        caller = self._caller(dict(static))
        values, numbers, _ = caller._bind(arrays, floats)  # noqa: SLF001 - the same house
        spec: CallSpec = self._spec()
        loose = [a._replace(role="scalar") if a.role == "index" else a for a in spec.arguments]
        floats_ = tuple(s._replace(length=False) for s in spec.settings)  # of the whole row, not of a part
        whole = spec._replace(arguments=tuple(loose), settings=floats_)
        call = operands.prepare(whole, values, numbers, how).wide()
        key = Key(static, call.computing.char, call.given, call.booleans, call.has_where)
        loop = self._part_loop(self._layout_of(key), 0)
        call = call.keyed(spec, values, loop.types[0])
        return _indexed(spec, values, call), key

    def _kept(self, known: Known, call: Operands, key: Key) -> dict[str, Any]:
        """The row-constant arguments, as the state keeps them: seeds by their bits."""
        names = [n.name for _, n in known.program.inputs] + [p.name for _, p in known.program.params]
        arrays = dict(zip(names, call.cast(), strict=True))
        return {n: arrays[n].view(np.float64) if arrays[n].dtype == np.uint64 else arrays[n] for n in known.layout.kept}

    def _finishing(
        self, state: Any, chunk: tuple[Any, ...], how: How, settings: dict[str, Any]
    ) -> tuple[Known, Operands]:
        """The program that a state belongs to, and its part's arrays; for results that are numbers any rows do."""
        spec: CallSpec = self._spec()
        rows = [a for a in spec.arguments if a.role in ROW_LIKE]
        named = rows if len(chunk) <= len(rows) else list(spec.arguments)
        values = {a.name: v for a, v in zip(named, chunk, strict=False) if v is not None}
        computing = np.dtype(_CHARS[_dtype_of(state)])
        for known in self._possible(state, values, how.where is not None, settings, computing):
            used = values
            if not values:
                if any(r.row for r in self._results(known.key, known.program)):
                    raise TypeError(f"{self.name}: its results are rows: give finish the arrays of the part to write")
                needed = [a for a in rows if not a.optional or a.name in known.key.given]
                used = {a.name: np.zeros((*np.shape(state), 1), _blank(a, computing)) for a in needed}
            own = tuple(a._replace(optional=a.name in known.key.given) for a in rows)
            call = operands.prepare(CallSpec(self.name, own, ()), used, {}, how).wide()
            if call.computing != computing:
                raise StateError(
                    f"{self.name}: the state is of {computing} rows, and the arrays of {call.computing}; cast one"
                )
            return known, call._replace(batch=_batch(self.name, call, state))
        raise StateError(
            f"{self.name}: the state {_told(state)} was made with other settings or arguments; "
            "give finish the same settings as partial"
        )

    def _possible(
        self, state: Any, values: Mapping[str, Any], has_where: bool, settings: dict[str, Any], computing: np.dtype[Any]
    ) -> Iterator[Known]:
        """The programs whose states these can be, the likeliest first."""
        optional = [a for a in self._spec().arguments if a.optional]
        inside = {a.name for a in optional if f"given_{a.name}" in state.dtype.names}
        loose = [a.name for a in optional if a.role in ROW_LIKE and a.name not in values] if not values else []
        booleans = frozenset(n for n, v in list(values.items())[1:] if getattr(v, "dtype", None) == np.bool_)
        known = [k.key.settings for k in self._parts.values() if isinstance(k, Known) and k.dtype == state.dtype]
        asked = [] if known and not settings else [self._statics(settings)]
        for static in dict.fromkeys([*asked, *known]):
            for count in range(len(loose) + 1):
                for more in itertools.combinations(loose, count):
                    given = frozenset({*inside, *more, *(a.name for a in optional if a.name in values)})
                    for where in (has_where,) if values else (False, True):
                        found = self._layout_of(Key(static, computing.char, given, booleans, where))
                        if found.dtype == state.dtype:
                            yield found

    # checks

    def _check_state(self, known: Known, state: Any) -> None:
        self._check_kernel(state)
        if state.dtype != known.dtype:
            raise StateError(f"{self.name}: {_told(state)} is not a state of these arguments; expected {known.dtype}")

    def _check_kernel(self, state: Any) -> None:
        names = getattr(getattr(state, "dtype", None), "names", None)
        if not names:
            raise StateError(f"{self.name}: {shown(state)} is no state; expected what partial, merge or identity gave")
        plain = "".join(c if c.isalnum() and c.isascii() else "_" for c in self.name)
        if names[0].rsplit("_", 2)[0] != plain:
            raise StateError(f"{self.name}: {_told(state)} is a state of another kernel")


def _round(state: Any) -> int:
    heads = np.asarray(state)[state.dtype.names[0]][..., 1]
    return int(heads.max()) if heads.size else 0


def _dtype_of(state: Any) -> str:
    return str(state.dtype.names[0].rsplit("_", 2)[1])


def _told(state: Any) -> str:
    return f"{state.dtype.names[0]!r}"


def _offset(kernel: str, offset: Any) -> Array:
    if isinstance(offset, bool) or not hasattr(offset, "__index__"):
        raise TypeError(f"{kernel}: offset is {shown(offset)}; expected where the part begins in its row, an int")
    if operator.index(offset) < 0:
        raise ValueError(f"{kernel}: offset is {offset}; expected 0 or more")
    return np.array(operator.index(offset), np.int64)


def _indexed(spec: CallSpec, values: Mapping[str, Any], call: Operands) -> Operands:
    """Indexes as the loop reads them. Whether one is within its row cannot be told from a part of it."""
    dtypes, present = list(call.dtypes), [a for a in spec.arguments if values.get(a.name) is not None]
    for k, argument in enumerate(present):
        if argument.role == "index":
            array = call.arrays[k]
            if array.dtype.kind not in "iu":
                raise TypeError(f"{spec.name}: {argument.name!r} has dtype {array.dtype}; expected an integer dtype")
            bad = (array < 0) & (True if argument.ignore is None else array != argument.ignore)
            if bad.any():
                raise IndexError(
                    f"{spec.name}: {argument.name!r} has the value {array[bad].flat[0]}; expected 0 or more"
                )
            dtypes[k] = np.dtype(np.int64)
    return call._replace(dtypes=tuple(dtypes))


def _arguments(known: Known, call: Operands, state: Any) -> list[Array]:
    """Inputs and settings in the loop's order: rows from the call, what is constant from the state."""
    rows = iter(call.cast())
    found: list[Array] = []
    for _, node in known.program.inputs:
        field = f"given_{node.name}"
        if node.name not in known.layout.kept:
            found.append(next(rows))
        elif node.role.value == "seed":
            found.append(np.ascontiguousarray(state[field]).view(np.uint64))
        else:
            found.append(state[field].astype(np.int64 if node.role.value == "index" else np.float64))
    return [*found, *(state[f"given_{p.name}"] for _, p in known.program.params)]


def _batch(kernel: str, call: Operands, state: Any) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(call.batch, np.shape(state))
    except ValueError:
        raise StateError(
            f"{kernel}: states of the batch shape {np.shape(state)} and arrays of {call.batch} do not belong together"
        ) from None


def _blank(argument: Argument, computing: np.dtype[Any]) -> Any:
    return {"mask": np.bool_, "int row": np.int64}.get(argument.role, computing)
