"""The two halves of a differentiated kernel: a call that keeps numbers, and the gradients from what was kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codegen.role import Role
from ..records import NamedTuple
from .broadcasting import at_once, in_shapes, shared

if TYPE_CHECKING:
    from ..codegen.derivatives.saving import Saving
    from ..codegen.language.signature import Parameter

FLOAT_ROLES = (Role.ROW, Role.SCALAR)
WIDE_ROLES = (Role.ROW, Role.MASK, Role.INT_ROW)


class ForwardCall(NamedTuple):
    """A call of the kernel itself: its arrays by name, and what decides its program. `ones`: settings that are 1."""

    arrays: Mapping[str, Any]
    static: Mapping[str, Any]
    given: frozenset[str]
    booleans: frozenset[str] = frozenset()
    ones: frozenset[str] = frozenset()

    @property
    def key(self) -> object:
        settings = tuple((name, type(value).__name__, repr(value)) for name, value in self.static.items())
        return settings, *(tuple(sorted(names)) for names in (self.given, self.booleans, self.ones))


class Saved:
    """What a forward call kept for its gradients. `names` and `arrays` say what; `nbytes` how much is not the caller's.

    Rows are kept as they were given, and are not copied.
    """

    def __init__(
        self, kernel: Any, halves: Halves, arrays: Mapping[str, Any], shapes: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.kernel = kernel
        self.halves, self.shapes, self.options = halves, shapes, options
        self.names, self.arrays = tuple(arrays), tuple(arrays.values())

    @property
    def name(self) -> str:
        """The gradients' name."""
        return str(self.halves.backward.name)

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers a row; the rows are the caller's arrays and results."""
        own = set(self.halves.saving.numbers)
        return sum(np.asarray(a).nbytes for n, a in zip(self.names, self.arrays, strict=True) if n in own)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.arrays)

    def __repr__(self) -> str:
        return f"<saved for {self.name}: {', '.join(self.names)}>"


class Halves(NamedTuple):
    """The kernels of one program: `forward` gives the results and then the numbers to keep."""

    saving: Saving
    forward: Any
    backward: Any
    summers: dict[frozenset[str], Any]

    @classmethod
    def of(cls, vjp: Any, call: ForwardCall) -> Halves:
        """The halves for a call. NotDifferentiableError where there are none."""
        from ..codegen.derivatives.functions import program_function
        from ..codegen.derivatives.saving import saving
        from ..codegen.trace import trace

        kernel, kinds = vjp.forward, dict.fromkeys(call.booleans, "bool")
        program = trace(kernel.__wrapped__, name=kernel.name, settings=call.static, given=call.given, kinds=kinds)
        found = saving(program, call.ones)
        chosen = vjp.chosen
        forward = kernel.beside(program_function(kernel, found.forward), kernel.name, kernel.masked, chosen)
        backward = kernel.beside(program_function(kernel, found.backward), vjp.name, 0.0, chosen)
        known_by(forward, vjp.known_as, f"kept {call.key}")
        known_by(backward, vjp.known_as, f"from what was kept {call.key}")
        return cls(found, forward, backward, {})

    def run(self, kernel: Any, call: ForwardCall, options: Mapping[str, Any]) -> tuple[Any, Saved]:
        """The results of a call, and what was kept."""
        names = [p.name for p in self.forward.parameters]
        rest = {n: v for n, v in options.items() if n not in call.arrays and n not in call.static}
        if rest.get("out") is not None and self.saving.numbers:
            place = rest["out"]
            rest["out"] = (*(place if isinstance(place, tuple) else (place,)), *(None for _ in self.saving.numbers))
        call = self._apart(call, rest.get("out"))
        found = self.forward(*(call.arrays[n] for n in names), **rest)
        whole = found if isinstance(found, tuple) else (found,)
        count = len(whole) - len(self.saving.numbers)
        kept = dict(zip(self.saving.numbers, whole[count:], strict=True))
        kept |= {name: whole[i] for name, i in self.saving.results.items()}
        own = [p.name for p in self.backward.parameters]
        arrays = {n: kept[n] if n in kept else call.arrays[n] for n in own if n in kept or n in call.arrays}
        seeds = {node.name for _, node in self.saving.forward.inputs if node.role is Role.SEED}
        of = [p for p in differentiated(kernel.parameters, call.arrays) if p.name not in seeds]
        shapes = {p.name: np.shape(call.arrays[p.name]) for p in of}
        floats = {s.name for s in self.backward.settings} - call.ones
        lasting = {n: v for n, v in rest.items() if n in floats or n in ("axis", "where", "threads", "dtype")}
        return (whole[:count] if count > 1 else whole[0]), Saved(kernel, self, arrays, shapes, lasting)

    def words(self, name: str, plan: Any) -> str:
        """What is kept, and what the gradients then cost."""
        own, numbers = [n for n, _ in _kept(self)], len(self.saving.numbers)
        rows = f"its {' and '.join(own)}" if own else "no row"
        more = f" and {numbers} float64 numbers a row" if numbers else ""
        cost = f"{len(plan.sweeps)} sweep{'s' if len(plan.sweeps) > 1 else ''}, {plan.bytes_per_element:g} bytes"
        return f"saved: {name}.with_saved keeps {rows}{more}; from that {cost} an element"

    def _apart(self, call: ForwardCall, out: Any) -> ForwardCall:
        """The call with copies of the rows that are kept, where `out` is their memory."""
        places = [p for p in (out if isinstance(out, tuple) else (out,)) if isinstance(p, np.ndarray)]
        kept = {p.name for p in self.backward.parameters if p.name in call.arrays}
        lost = {n for n in kept if any(np.may_share_memory(call.arrays[n], p) for p in places)}
        return call._replace(arrays={n: np.array(a) if n in lost else a for n, a in call.arrays.items()})

    def gradients(self, saved: Saved, gradients: Sequence[Any], out: Any) -> tuple[Any, ...]:
        """The gradients in the shapes of the call's arrays."""
        incoming = [p.name for p in self.backward.parameters if p.name not in saved.names]
        if len(gradients) != len(incoming):
            raise TypeError(
                f"{saved.name}.from_saved: expected {len(incoming)} gradients ({', '.join(incoming)}), "
                f"one for each float result, not {len(gradients)}"
            )
        by_name = dict(zip((*saved.names, *incoming), (*saved.arrays, *gradients), strict=True))
        arrays = tuple(by_name[p.name] for p in self.backward.parameters)
        if self._plain(saved, gradients):
            found = self.backward(*arrays, out=out, **saved.options)
            return found if isinstance(found, tuple) else (found,)
        axis = saved.options.get("axis", -1)
        wide = [np.shape(a) for a, p in zip(arrays, self.backward.parameters, strict=True) if p.role in WIDE_ROLES]
        into = at_once(out, saved.shapes, wide)
        found = self.summing(saved.kernel, saved.shapes, wide, axis)(*arrays, out=into, **saved.options)
        whole = found if isinstance(found, tuple) else (found,)
        return in_shapes(saved.name, whole, list(saved.shapes.values()), axis, out)

    def summing(self, kernel: Any, shapes: Mapping[str, Any], wide: Sequence[Any], axis: Any) -> Any:
        """The kernel of the gradients that sums those of what all of the batch shares, by the shapes of its call."""
        own = {p.name for p in self.forward.parameters if p.role is Role.ROW}
        names = shared({n: s for n, s in shapes.items() if n in own}, wide, axis)
        if not names or len(names) == len(shapes):
            return self.backward
        if names not in self.summers:
            from ..codegen.derivatives.functions import program_function
            from ..codegen.vjp import with_totals

            fn = program_function(kernel, with_totals(self.saving.backward, self.saving.forward, names))
            made = kernel.beside(fn, self.backward.name, 0.0, kernel.vjp.chosen)
            known_by(made, self.backward.known_as, f"summed {sorted(names)}")
            self.summers[names] = made
        return self.summers[names]

    def _plain(self, saved: Saved, gradients: Sequence[Any]) -> bool:
        """Whether nothing was broadcast: every gradient comes out in its parameter's shape."""
        wide = {np.shape(a) for a in (*saved.arrays, *gradients) if np.ndim(a)}
        return len(wide | set(saved.shapes.values())) == 1


def _kept(halves: Halves) -> list[tuple[str, Role]]:
    """The rows and indexes that are kept."""
    own = {p.name for p in halves.forward.parameters} | set(halves.saving.results)
    return [(p.name, p.role) for p in halves.backward.parameters if p.name in own]


def known_by(kernel: Any, definition: Callable[[], str | None], what: str) -> None:
    """Lets other processes recall a kernel that follows from another one's definition."""

    def own() -> str | None:
        found = definition()
        return found and f"{what} of {found}"

    vars(kernel)["known_as"] = own


def differentiated(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> list[Parameter]:
    """The parameters that have a gradient in a call: floats that are present."""
    own = (p for p in parameters if p.role in FLOAT_ROLES and values.get(p.name) is not None)
    return [p for p in own if np.asarray(values[p.name]).dtype != bool]


def split_call(kernel: Any, arrays: tuple[Any, ...], options: Mapping[str, Any]) -> ForwardCall:
    """A call's arguments sorted by what they are. The kernel's own call says what is wrong with them."""
    names = [p.name for p in kernel.parameters]
    values = dict(zip(names, arrays, strict=False)) | {n: options[n] for n in names if n in options}
    present = {n: v for n, v in values.items() if v is not None}
    required = [p.name for p in kernel.parameters if not p.optional and p.name not in present]
    if required or len(arrays) > len(names):
        kernel(*arrays, **options)  # raises
    static = {n: s.check(options[n]) if n in options else s.default for n, s in kernel.static.items()}
    given = frozenset(p.name for p in kernel.parameters if p.optional and p.name in present)
    ones = frozenset(s.name for s in kernel.settings if not s.static and options.get(s.name, s.default) == 1.0)
    booleans = frozenset(n for n, v in present.items() if np.asarray(v).dtype == bool)
    return ForwardCall({n: present[n] for n in names if n in present}, static, given, booleans, ones)
