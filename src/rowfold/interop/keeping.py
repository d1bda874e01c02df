"""What a call inside another library keeps for its gradients, and the gradients from it: `kernels.saved`, by places.

A call is known by which arguments it has and by its settings: its pattern. Programs are derived once for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from rowfold.api import Vjp
from rowfold.codegen.ir import Role
from rowfold.errors import NotDifferentiableError, TraceError
from rowfold.interop.operator import Operator
from rowfold.kernels.saved import FLOAT_ROLES, WIDE_ROLES, Halves, Saved, split_call

Absent = bool | None  # of an argument: None where it is absent, else whether it is boolean
_STANDINS: Mapping[Role, Any] = {Role.INDEX: np.zeros(1, np.int64), Role.MASK: np.ones((1, 1), bool),
                                 Role.INT_ROW: np.zeros((1, 1), np.int64), Role.SCALAR: np.zeros(1)}  # fmt: skip


class Keeper:
    """The patterns of one operator's calls."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self._patterns: dict[object, Pattern] = {}

    @cached_property
    def usable(self) -> bool:
        """Whether the kernel has gradients that say what they need."""
        kernel = self.operator.kernel
        try:
            return not isinstance(kernel, Vjp) and not kernel.vjp.own
        except (NotDifferentiableError, TraceError):
            return False

    def pattern(self, present: tuple[Absent, ...], settings: Mapping[str, Any]) -> Pattern:
        """What is known of calls with these arguments and settings."""
        key = present, *settings.items()
        if key not in self._patterns:
            self._patterns[key] = Pattern(self.operator, present, settings)
        return self._patterns[key]


class Pattern:
    """One way of calling a kernel: the halves of its differentiated program, and which arrays go where.

    `parameters`, `results`: the places of what is kept; `numbers`: how many float64 numbers a row. `places`: the
    arguments of the forward half; `later`: the kernel of the gradients, whose arguments `order` finds.
    """

    def __init__(self, operator: Operator, present: tuple[Absent, ...], settings: Mapping[str, Any]) -> None:
        kernel, own = operator.kernel, operator.parameters
        standins = {p.name: _standin(p.role, boolean=found) for p, found in zip(own, present, strict=True)
                    if found is not None}  # fmt: skip
        call = split_call(kernel, (), {**standins, **settings})
        self.kernel = kernel
        self.halves: Halves = kernel.vjp.halves_for(call)
        floats = {n: v for n, v in settings.items() if n not in call.static}
        saving, names = self.halves.saving, [p.name for p in own]
        self.numbers = len(saving.numbers)
        self.differentiated = tuple(
            i for i, (p, found) in enumerate(zip(own, present, strict=True)) if p.role in FLOAT_ROLES and found is False
        )
        self.results = tuple(saving.results.values())
        self.later: Any = self.halves.backward
        read = {p.name for p in self.later.parameters}
        optional = {p.name for p, found in zip(own, present, strict=True) if found or (found is False and p.optional)}
        self.parameters = tuple(i for i, n in enumerate(names) if n in read | optional)
        self.names, self.floats = names, floats
        self.places = tuple(names.index(p.name) for p in self.halves.forward.parameters)
        self.later_settings = {n: v for n, v in floats.items() if n in {s.name for s in self.later.settings}}
        self._sort()

    def _sort(self) -> None:
        """Where each argument of `later` comes from: arrays, results, numbers or gradients, and its place there."""
        saving, names, own = self.halves.saving, self.names, self.later.parameters
        known = {n: (0, i) for i, n in enumerate(names)} | {n: (1, i) for n, i in saving.results.items()}
        known |= {n: (2, i) for i, n in enumerate(saving.numbers)}
        self._incoming = [p.name for p in own if p.name not in known]
        known |= {n: (3, i) for i, n in enumerate(self._incoming)}
        self.order = [known[p.name] for p in own]
        self._wide = [i for i, p in enumerate(own) if p.role in WIDE_ROLES]
        roles = [self.kernel.parameters[i].role for i in self.differentiated]
        self._rows = [k for k, role in enumerate(roles) if role in WIDE_ROLES]
        self._plain = len(self._rows) == len(roles)

    @property
    def whole(self) -> bool:
        """Whether the gradients are a function of kept results and arguments alone, and no number was kept."""
        return not self.numbers and bool(self.results)

    def forward(self, arrays: Sequence[Any], axis: int) -> tuple[Any, ...]:
        """The kernel's results, and then the numbers to keep."""
        found = self.halves.forward(*[arrays[i] for i in self.places], axis=axis, **self.floats)
        return found if isinstance(found, tuple) else (found,)

    def backward(
        self, arrays: Mapping[int, Any], results: Mapping[int, Any], numbers: Sequence[Any], incoming: Sequence[Any],
        shapes: Sequence[Any], axis: int,
    ) -> tuple[Any, ...]:  # fmt: skip
        """The gradients of the differentiated parameters, whose shapes these are."""
        given = self.ordered(arrays, results, incoming, numbers)
        wide = {given[i].shape for i in self._wide}
        if len(wide) == 1 and wide.issuperset([shapes[i] for i in self._rows]) and self._plain:
            found = self.later(*given, axis=axis, **self.later_settings)
            return found if isinstance(found, tuple) else (found,)
        held = dict(zip((p.name for p in self.later.parameters), given, strict=True))
        rest = [held.pop(n) for n in self._incoming]
        of = {self.names[i]: s for i, s in zip(self.differentiated, shapes, strict=True)}
        saved = Saved(self.kernel, self.halves, held, of, {**self.later_settings, "axis": axis})
        return self.halves.gradients(saved, rest, None)

    def ordered(
        self, arrays: Mapping[int, Any], results: Mapping[int, Any], incoming: Sequence[Any],
        numbers: Sequence[Any] = (),
    ) -> list[Any]:  # fmt: skip
        """The arguments of `later`, the kernel of the gradients from what was kept."""
        sources = (arrays, results, numbers, incoming)
        return [sources[kind][place] for kind, place in self.order]


def _standin(role: Role, *, boolean: bool | None) -> Any:
    return np.ones((1, 1), bool) if boolean else _STANDINS.get(role, np.zeros((1, 1)))
