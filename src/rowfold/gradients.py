"""Derivatives of kernels as kernels, and what a call of one needs beyond a call of any kernel.

A gradient has the shape of its parameter: where that was broadcast (the weight of a layer norm), it is summed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .codegen.role import Role
from .errors import OutputError
from .runtime.quick import kind_of

if TYPE_CHECKING:
    from .api import Vjp
    from .codegen.signature import Parameter

Array = np.ndarray[Any, np.dtype[Any]]
FLOAT_ROLES = (Role.ROW, Role.SCALAR)
WIDE_ROLES = (Role.ROW, Role.MASK, Role.INT_ROW)


class Differentiable:
    """What a kernel knows of its derivative."""

    _kernel_of: Callable[[Callable[..., Any]], Vjp]  # in `api`, above this module

    @cached_property
    def vjp(self) -> Vjp:
        """The kernel of the gradients: `k.vjp(*arrays, *gradients, **settings)`.

        It takes a gradient for each float result after the kernel's own arrays, and gives a tuple: one for each float
        parameter that is present, in order and in its shape. NotDifferentiableError where there is none.
        """
        from .codegen.gradient_function import gradient_function

        return self._kernel_of(gradient_function(self))

    def defvjp(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `fn(*arrays, *gradients, **settings)`, a row function, gives the gradients from now on."""
        vars(self)["vjp"] = self._kernel_of(fn)
        return fn


class Gradients:
    """How a gradient kernel is called; stands before `Kernel` among the bases of `api.Vjp`."""

    name: str
    parameters: Any
    tupled = True

    def __init__(self, forward: Any, fn: Callable[..., Any], chosen: Mapping[str, Any]) -> None:
        self.forward = forward  # the kernel whose gradients these are
        super().__init__(fn, name=f"{forward.name}_vjp", chosen=chosen)  # type: ignore[call-arg]

    def _with(self, chosen: dict[str, Any]) -> Any:
        return kind_of(self)(self.forward, self.__wrapped__, chosen)  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.forward, self._chosen)  # type: ignore[attr-defined]

    def __call__(self, *arrays: Any, out: Any = None, **options: Any) -> Any:
        """The gradients, always a tuple: one for each float parameter that is present, in order, in its shape."""
        found = super().__call__(*arrays, out=out, **options)  # type: ignore[misc]
        return found if isinstance(found, tuple) else (found,)

    def careful(self, arrays: tuple[Any, ...], out: Any, options: dict[str, Any]) -> tuple[Any, Any]:
        """A call that is not known yet: the last arrays are the gradients, whichever optional ones are left out."""
        arrays = self._own_arrays(arrays, options)
        run = super().careful  # type: ignore[misc]
        values = dict(zip((p.name for p in self.parameters), arrays, strict=False)) | options
        if any(hasattr(type(v), "__row_function__") for v in values.values()) or self._same_shapes(values):
            return run(arrays, out, options)  # type: ignore[no-any-return]
        found, _ = run(arrays, None, options)
        whole = found if isinstance(found, tuple) else (found,)
        shapes = [np.shape(values[p.name]) for p in self._differentiated(values)]
        summed = tuple(_summed(r, s, options.get("axis", -1)) for r, s in zip(whole, shapes, strict=True))
        return (summed if out is None else _written(self.name, out, summed)), None

    def _own_arrays(self, arrays: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
        """The arrays that stand in their places; gradients after a place that is left empty go to the options."""
        count = len(self.parameters) - len(self.forward.parameters)
        names = [p.name for p in self.parameters[-count:]]
        if len(arrays) in (len(self.parameters), 0) or any(name in options for name in names):
            return arrays
        options.update(zip(names, arrays[-count:], strict=False))
        return arrays[:-count]

    def _differentiated(self, values: Mapping[str, Any]) -> list[Parameter]:
        own = (p for p in self.forward.parameters if p.role in FLOAT_ROLES and values.get(p.name) is not None)
        return [p for p in own if np.asarray(values[p.name]).dtype != bool]

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


def _summed(gradient: Array, shape: tuple[int, ...], axis: Any) -> Array:
    """The gradient of a parameter that was broadcast from `shape`, summed in float64."""
    if gradient.shape == shape:
        return gradient
    if len(shape) < gradient.ndim:  # a lower-rank row lies on its last axis
        gradient = _row_last(gradient, axis)
    leading = gradient.ndim - len(shape)
    ones = [k for k, size in enumerate(shape, leading) if size == 1 and gradient.shape[k] != 1]
    total = np.sum(gradient, axis=(*range(leading), *ones), keepdims=True, dtype=np.float64)
    return np.asarray(total.reshape(shape).astype(gradient.dtype))


def _row_last(gradient: Array, axis: Any) -> Array:
    axes = range(gradient.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    moved = np.moveaxis(gradient, tuple(axes), range(-len(axes), 0))
    return moved.reshape(*moved.shape[: moved.ndim - len(axes)], -1)


def _written(name: str, out: Any, gradients: tuple[Array, ...]) -> tuple[Array, ...]:
    """Copies summed gradients to where the caller wants them."""
    places: tuple[Array, ...] = out if isinstance(out, tuple) else (out,)
    for place, gradient in zip(places, gradients, strict=True):
        if place.shape != gradient.shape or place.dtype != gradient.dtype:
            expected = f"{gradient.dtype} of shape {gradient.shape}"
            raise OutputError(f"{name}: out is {place.dtype} of shape {place.shape}; expected {expected}")
    for place, gradient in zip(places, gradients, strict=True):
        np.copyto(place, gradient)
    return places


def _restore(forward: Any, chosen: Mapping[str, Any]) -> Any:
    """A pickled gradient kernel, found again by the kernel that it belongs to."""
    return forward.vjp.using(**chosen)
