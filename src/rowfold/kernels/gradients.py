"""Derivatives of kernels as kernels, and what a call of one needs beyond a call of any kernel.

A gradient has the shape of its parameter: where that was broadcast (the weight of a layer norm), it is summed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codegen.role import Role
from ..errors import NotDifferentiableError
from ..runtime.quick import kind_of
from .broadcasting import check_gradients, in_shapes, shared
from .saved import WIDE_ROLES, ForwardCall, Halves, Saved, differentiated, known_by, split_call

if TYPE_CHECKING:
    from ..api import Vjp



class Differentiable:
    """What a kernel knows of its derivative."""

    name: str
    static: Any
    _kernel_of: Callable[..., Vjp]  # in `api`, above this module
    _chosen: Any

    @property
    def chosen(self) -> Mapping[str, Any]:
        """The options that were chosen for this kernel."""
        return dict(self._chosen)

    @cached_property
    def vjp(self) -> Vjp:
        """The kernel of the gradients: `k.vjp(*arrays, *gradients, **settings)`.

        It takes a gradient for each float result after the kernel's own arrays, and gives a tuple: one for each float
        parameter that is present, in order and in its shape. NotDifferentiableError where there is none.
        """
        from ..codegen.derivatives.functions import gradient_function

        return self._kernel_of(gradient_function(self))

    def defvjp(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `fn(*arrays, *gradients, **settings)`, a row function, gives the gradients from now on."""
        vars(self)["vjp"] = self._kernel_of(fn, own=True)
        return fn

    def with_saved(self, *arrays: Any, **options: Any) -> tuple[Any, Saved]:
        """`(outputs, saved)`: what a call gives, and what `k.vjp.from_saved(saved, *gradients)` needs of it.

        Kept are rows that the call was given or gave (not copied: leave them alone until then) and float64 numbers
        a row, whichever the gradients read least for; `k.vjp.explain()` says which. NotDifferentiableError where there
        are no gradients, and where `@k.defvjp` gives them: then nobody knows what they need.
        """
        return self.vjp.with_saved(*arrays, **options)


class Gradients:
    """How a gradient kernel is called; stands before `Kernel` among the bases of `api.Vjp`.

    `forward` is the kernel whose gradients these are; `leading` results stand before them. `own`: by `@k.defvjp`.
    """

    name: str
    parameters: Any
    tupled = True
    _chosen: Any

    def __init__(
        self, forward: Any, fn: Callable[..., Any], chosen: Mapping[str, Any], *, own: bool = False, leading: int = 0
    ) -> None:
        self.forward, self.own, self.leading = forward, own, leading
        self._halves: dict[object, Halves] = {}
        self._summers: dict[frozenset[str], Any] = {}
        super().__init__(fn, name=f"{forward.name}_vjp", chosen=chosen)  # type: ignore[call-arg]

    def _with(self, chosen: dict[str, Any]) -> Any:
        fn = self.__wrapped__  # type: ignore[attr-defined]
        return kind_of(self)(self.forward, fn, chosen, own=self.own, leading=self.leading)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.forward, self._chosen)

    def __call__(self, *arrays: Any, out: Any = None, **options: Any) -> Any:
        """The gradients, always a tuple: one for each float parameter that is present, in order, in its shape."""
        found = super().__call__(*arrays, out=out, **options)  # type: ignore[misc]
        return found if isinstance(found, tuple) else (found,)

    def with_value(self, *arrays: Any, out: Any = None, **options: Any) -> tuple[Any, tuple[Any, ...]]:
        """`(value, gradients)` in one call: what the kernel gives (several results as a tuple), and `k.vjp`'s tuple.

        The arguments are those of `k.vjp`; `out` is one tuple, for the results and then the gradients. Each row is
        read as often as the gradients alone would have it.
        """
        kernel = self._valued
        found = kernel(*arrays, out=out, **options)
        value, gradients = found[: kernel.leading], found[kernel.leading :]
        return (value if len(value) > 1 else value[0]), gradients

    @cached_property
    def _valued(self) -> Any:
        from ..codegen.derivatives.functions import count_of_results, gradient_function

        if self.own:
            raise NotDifferentiableError(f"{self.name}: @{self.forward.name}.defvjp gives the gradients alone")
        fn = gradient_function(self.forward, valued=True)
        return kind_of(self)(self.forward, fn, self._chosen, leading=count_of_results(self.forward))

    def with_saved(self, *arrays: Any, **options: Any) -> tuple[Any, Saved]:
        """As `k.with_saved`."""
        if self.own:
            raise NotDifferentiableError(f"{self.name}: @{self.forward.name}.defvjp does not say what to keep")
        call = split_call(self.forward, arrays, options)
        return self.halves_for(call).run(self.forward, call, options)

    def from_saved(self, saved: Saved, *gradients: Any, out: Any = None) -> tuple[Any, ...]:
        """The gradients, from what `k.with_saved` kept: as `k.vjp(*arrays, *gradients)` gives them.

        TypeError: `saved` is not from this kernel, or a gradient for each float result is not there.
        """
        if not isinstance(saved, Saved) or saved.name != self.name:
            found = f"what {saved.name} kept" if isinstance(saved, Saved) else f"a {type(saved).__name__}"
            raise TypeError(f"{self.name}.from_saved: expected what {self.forward.name}.with_saved gave, not {found}")
        return saved.halves.gradients(saved, gradients, out)

    def explain(self, shape: tuple[int, ...] = (1, 4096), dtype: Any = np.float32, axis: int = -1, **more: Any) -> Any:
        """The plan in words, and what `with_saved` keeps with settings at their defaults, and saves."""
        found = super().explain(shape, dtype, axis, **more)  # type: ignore[misc]
        if self.own or self.leading:
            return found
        given = frozenset(more.get("given", ()))
        static = {n: more.get(n, s.default) for n, s in self.forward.static.items()}
        ones = frozenset(s.name for s in self.forward.settings if not s.static and s.default == 1.0)
        halves = self.halves_for(ForwardCall({}, static, given, ones=ones))
        return found.noting(halves.words(self.forward.name, halves.backward.plan(shape, dtype, axis)))

    def halves_for(self, call: ForwardCall) -> Halves:
        """The two halves that a call of these arguments and settings is made of. NotDifferentiableError."""
        if call.key not in self._halves:
            self._halves[call.key] = Halves.of(self, call)
        return self._halves[call.key]

    def careful(self, arrays: tuple[Any, ...], out: Any, options: dict[str, Any]) -> tuple[Any, Any]:
        """A call that is not known yet: the last arrays are the gradients, whichever optional ones are left out."""
        arrays = self._own_arrays(arrays, options)
        values = dict(zip((p.name for p in self.parameters), arrays, strict=False)) | options
        traced = any(hasattr(type(v), "__row_function__") for v in values.values())
        if traced or self._same_shapes(values):
            return super().careful(arrays, out, options)  # type: ignore[misc,no-any-return]
        self._check_gradients(values, options.get("axis", -1))
        floats = (p for p in differentiated(self.forward.parameters, values) if p.name not in self._seeds)
        shapes = {p.name: np.shape(values[p.name]) for p in floats}
        wide = [np.shape(values[p.name]) for p in self.parameters if p.role in WIDE_ROLES and _there(values, p.name)]
        rows = {p.name: shapes[p.name] for p in self.forward.parameters if p.role is Role.ROW and p.name in shapes}
        summed = shared(rows, wide, options.get("axis", -1))
        summed = summed if self.leading or len(summed) < len(shapes) else frozenset()  # a loop has a plain result
        found, _ = self._summing(summed)(arrays, None, options)
        whole = found if isinstance(found, tuple) else (found,)
        return in_shapes(self.name, whole, list(shapes.values()), options.get("axis", -1), out), None

    @cached_property
    def _seeds(self) -> frozenset[str]:
        """The keys of random numbers among the parameters: they are declared as numbers a row, and have no gradient."""
        from ..codegen.derivatives.functions import seeds_of

        return seeds_of(self.forward)

    def _check_gradients(self, values: Mapping[str, Any], axis: Any) -> None:
        wide = [p for p in self.parameters if p.role in WIDE_ROLES and _there(values, p.name)]
        own = {p.name for p in self.forward.parameters}
        incoming = {p.name: np.shape(values[p.name]) for p in wide if p.name not in own}
        rows = [np.shape(values[p.name]) for p in wide if p.name in own]
        if rows and isinstance(axis, int | tuple | None) and not isinstance(axis, bool):
            check_gradients(self.name, rows, incoming, axis)

    def known_as(self) -> str | None:
        """What other processes know these gradients by: the kernel's own definition, from which they follow."""
        own = None if self.own else self.forward.known_as()
        return own and f"{'results and ' * bool(self.leading)}gradients of {own}"

    def _summing(self, names: frozenset[str]) -> Any:
        """What calls the kernel that sums these gradients over the batch."""
        if not names or self.own:
            return super().careful  # type: ignore[misc]
        if names not in self._summers:
            from ..codegen.derivatives.functions import gradient_function

            fn = gradient_function(self.forward, valued=self.leading > 0, summed=names)
            made = self.forward.beside(fn, self.name, 0.0, self._chosen)
            known_by(made, self.known_as, f"summed {sorted(names)}")
            self._summers[names] = made
        return self._summers[names].careful

    def _own_arrays(self, arrays: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
        """The arrays that stand in their places; gradients after a place that is left empty go to the options."""
        count = len(self.parameters) - len(self.forward.parameters)
        names = [p.name for p in self.parameters[-count:]]
        required = count + sum(not p.optional for p in self.forward.parameters)
        if not required <= len(arrays) < len(self.parameters) or any(name in options for name in names):
            return arrays
        options.update(zip(names, arrays[-count:], strict=False))
        return arrays[:-count]

    def _same_shapes(self, values: Mapping[str, Any]) -> bool:
        """Whether nothing is broadcast: rows have one shape, numbers that without the row's axis."""
        shapes = {p.name: np.shape(values[p.name]) for p in self.parameters if values.get(p.name) is not None}
        wide = {shapes[p.name] for p in self.parameters if p.name in shapes and p.role in WIDE_ROLES}
        numbers = {shapes[p.name] for p in self.parameters if p.name in shapes and p.role is Role.SCALAR}
        axis = values.get("axis", -1)
        if len(wide) != 1 or not isinstance(axis, int):
            return False
        rest = list(wide.pop())
        del rest[axis : axis + 1 or None]
        return numbers <= {tuple(rest)}


def _there(values: Mapping[str, Any], name: str) -> bool:
    return values.get(name) is not None


def _restore(forward: Any, chosen: Mapping[str, Any]) -> Any:
    """A pickled gradient kernel, found again by the kernel that it belongs to."""
    return forward.vjp.using(**chosen)
