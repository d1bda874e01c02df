"""What another library has to know of a kernel to make an operator of it: shapes, kinds of results, and the call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from rowfold.api import Kernel, Vjp
from rowfold.codegen.ir import Role
from rowfold.codegen.language.signature import Parameter, Setting
from rowfold.errors import NotDifferentiableError, TraceError
from rowfold.kernels.saved import FLOAT_ROLES, WIDE_ROLES

Shape = tuple[Any, ...]  # sizes may be symbols of the other library
_PLACEHOLDERS: Mapping[type, object] = {int: 1, bool: False, float: 1.0, str: ""}


class Operator:
    """One kernel as an operator with a fixed number of results: a gradient for every float parameter, absent or not."""

    def __init__(self, kernel: Kernel[..., Any]) -> None:
        self.kernel = kernel
        self.parameters: tuple[Parameter, ...] = kernel.parameters
        self.settings: tuple[Setting, ...] = kernel.settings
        self.reason = f"{kernel.name} has no gradient"

    @cached_property
    def vjp(self) -> Operator | None:
        """The gradients as an operator; None where there are none, or where their number depends on a call."""
        if isinstance(self.kernel, Vjp) and any(self.parameters[i].optional for i in self.differentiated):
            return None
        try:
            return Operator(self.kernel.vjp)
        except (NotDifferentiableError, TraceError) as error:
            self.reason = str(error)
            return None

    def with_all(self, names: Sequence[str]) -> Operator:
        """The kernel whose parameters are these, none of them optional: so many gradients has every call."""
        own, fn = inspect.signature(self.kernel.__wrapped__).parameters, self.kernel.__wrapped__

        def function(*arrays: Any, **settings: Any) -> Any:
            return fn(**dict(zip(names, arrays, strict=True)), **settings)

        function.__name__ = function.__qualname__ = self.kernel.name
        function.__module__, vars(function)["__wrapped__"] = fn.__module__, fn  # where annotations are looked up
        kept = [p.replace(default=p.empty) for n, p in own.items() if n in names]
        settings = [p for p in own.values() if p.kind is p.KEYWORD_ONLY]
        vars(function)["__signature__"] = inspect.Signature([*kept, *settings])
        return Operator(self.kernel.beside(function, self.kernel.name, self.kernel.masked, {}))

    @cached_property
    def differentiated(self) -> tuple[int, ...]:
        """The places of the parameters that have a gradient."""
        return tuple(i for i, p in enumerate(self.parameters) if p.role in FLOAT_ROLES)

    @cached_property
    def floats(self) -> tuple[int, ...]:
        """The places of the results that a gradient comes in for."""
        return tuple(i for i, (_, _, kind) in enumerate(self.results) if kind is None or np.dtype(kind).kind == "f")

    @cached_property
    def results(self) -> tuple[tuple[Parameter | None, bool, str | None], ...]:
        """For each result: the parameter whose gradient it is, whether it is a row, and its dtype if that is fixed."""
        if isinstance(self.kernel, Vjp):
            own = [p for p in self.kernel.forward.parameters if p.role in FLOAT_ROLES]
            return tuple((p, p.role is Role.ROW, None) for p in own)
        from rowfold.building.build import results_of

        static = {s.name: _PLACEHOLDERS[s.type] for s in self.settings if s.static and s.required}
        program = self.kernel.program(static, frozenset(), frozenset())
        return tuple((None, r.row, r.dtype) for r in results_of(program))

    def shapes(self, given: Sequence[Shape | None], axis: int, broadcast: Any) -> list[Shape | None]:
        """The shape of each result from those of the arguments; None for the gradient of an absent one."""
        by_name = {p.name: s for p, s in zip(self.parameters, given, strict=True) if s is not None}
        wide = [by_name[p.name] for p in self.parameters if p.name in by_name and p.role in WIDE_ROLES]
        whole, batch = extent(wide, axis, broadcast)
        return [by_name.get(p.name) if p else (whole if row else batch) for p, row, _ in self.results]

    def __call__(self, arrays: Sequence[Any], axis: int, settings: Mapping[str, Any]) -> tuple[Any, ...]:
        """The results for NumPy arrays, absent ones None; None for the gradient of an absent parameter."""
        last = len(arrays)
        while arrays[last - 1] is None:
            last -= 1
        found = self.kernel(*arrays[:last], axis=axis, **settings)
        results = list(found) if isinstance(found, tuple) else [found]
        if not isinstance(self.kernel, Vjp):
            return tuple(results)
        named = zip(self.parameters, arrays, strict=True)
        present = {p.name for p, a in named if a is not None and a.dtype != bool}
        own = [p for p, _, _ in self.results]
        return tuple(np.asarray(results.pop(0)) if p and p.name in present else None for p in own)


def extent(wide: Sequence[Shape], axis: int, broadcast: Any) -> tuple[Shape, Shape]:
    """The shape of all rows of a call, from those of its row arguments, the first first; and that of its batch."""
    rank = len(wide[0])
    axis = axis if axis < 0 else axis - rank
    places = [s if len(s) < rank else _last(s, axis) for s in wide]
    batch = tuple(broadcast(*(s[:-1] for s in places)))
    whole = (*batch, wide[0][axis])
    return (*whole[: len(whole) + axis], whole[-1], *whole[len(whole) + axis : -1]), batch


def _last(shape: Shape, axis: int) -> Shape:
    place = len(shape) + axis
    return (*shape[:place], *shape[place + 1 :], shape[place])
