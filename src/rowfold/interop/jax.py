"""Kernels inside JAX: `rowfold.interop.jax.softmax(x, axis=-1)` and `rowfold.interop.jax.wrap(kernel)`.

On the CPU, under jit, vmap and grad, in float32, float64 where JAX has it, bfloat16 and float16. A kernel is a handler
of XLA's foreign functions, C compiled for the jaxlib that is installed; without a C compiler it is a callback. What
gradients read least for is kept (`k.with_saved`), by `custom_vjp`; gradients have gradients, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rowfold import library
from rowfold.api import Kernel
from rowfold.codegen.ir import Role
from rowfold.errors import DTypeError
from rowfold.interop import jax_ffi
from rowfold.interop.keeping import Keeper, Pattern
from rowfold.interop.operator import Operator
from rowfold.kernels.saved import FLOAT_ROLES, WIDE_ROLES

Settings = tuple[tuple[str, Any], ...]


def wrap(kernel: Kernel[..., Any]) -> Callable[..., Any]:
    """The kernel as a function of JAX arrays: `f(*arrays, axis=-1, **settings)`, under jit, vmap and grad.

    `axis` and the settings are known when tracing. What values decide (an index out of range) is an error where the
    result is used; everything else is raised at once: DTypeError, TypeError, ValueError, IndexError.
    """
    operator = Operator(kernel)
    names = tuple(p.name for p in operator.parameters)

    @functools.wraps(kernel)
    def function(*arrays: Any, axis: int = -1, **settings: Any) -> Any:
        if len(arrays) < len(names):
            arrays = (*arrays, *(settings.pop(name, None) for name in names[len(arrays) :]))
        given = [None if a is None else jnp.asarray(a) for a in arrays]
        _check(operator, given)
        places = tuple(i for i, a in enumerate(given) if a is not None)
        call = _function(_exact(operator, places), int(axis), tuple(sorted(settings.items())))
        results = call(*(a for a in given if a is not None))
        return results[0] if len(results) == 1 else results

    function.__doc__ = f"{kernel.__doc__}\n\nTakes up to {len(names)} JAX arrays."
    return function


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in library.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: Callable[..., Any] = wrap(getattr(library, name))
    globals()[name] = found  # found at once from now on
    return found


def __dir__() -> list[str]:
    return sorted([*library.__all__, "wrap"])


def _check(operator: Operator, arrays: Sequence[Any]) -> None:
    """What a call of the kernel would refuse, and JAX cannot leave to it: it runs when nobody can be told."""
    for p, a in zip(operator.parameters, arrays, strict=False):
        if a is not None and p.role in FLOAT_ROLES and not jnp.issubdtype(a.dtype, jnp.floating) and a.dtype != bool:
            what = f"{operator.kernel.name}: {p.name!r} has dtype {a.dtype}; expected floats"
            raise DTypeError(f"{what}; pass {p.name}.astype(jnp.float32)")


@functools.lru_cache(256)
def _exact(operator: Operator, places: tuple[int, ...]) -> Operator:
    """The kernel whose parameters are those that are there."""
    missing = [p.name for i, p in enumerate(operator.parameters) if i not in places and not p.optional]
    if missing or len(places) > len(operator.parameters):
        what = f"{missing[0]!r} is missing" if missing else f"takes {len(operator.parameters)} arrays"
        raise TypeError(f"{operator.kernel.name}: {what}")
    if not any(p.optional for p in operator.parameters):
        return operator
    return operator.with_all([operator.parameters[i].name for i in places])


@functools.lru_cache(1024)
def _function(operator: Operator, axis: int, settings: Settings) -> Callable[..., tuple[Any, ...]]:
    """The call with its gradients."""
    run = functools.partial(_results, operator, axis, dict(settings))
    return run if operator.vjp is None else _Differentiable(operator, operator.vjp, axis, settings, run).call


class _Differentiable:
    """A call, by `custom_vjp`: what it keeps, and its gradients from that."""

    def __init__(self, operator: Operator, backward: Operator, axis: int, settings: Settings, run: Any) -> None:
        self.operator, self.backward, self.axis, self.settings = operator, backward, axis, settings
        self.keeper = Keeper(operator)
        self.call: Any = jax.custom_vjp(run)
        self.call.__name__ = operator.kernel.name
        self.kept: Any = jax.custom_vjp(lambda *arrays: _kept(self.pattern(arrays), arrays, axis))
        self.call.defvjp(self.forward, self.gradients)
        self.kept.defvjp(self.keep, self.gradients)

    def pattern(self, arrays: Sequence[Any]) -> Pattern:
        return self.keeper.pattern(tuple(a.dtype == bool for a in arrays), dict(self.settings))

    def forward(self, *arrays: Any) -> Any:
        """The results, by what is differentiated again for a second derivative; and the residuals."""
        if not self.keeper.usable:
            return self.call(*arrays), (arrays, (), ())
        found, residuals = self.keep(*arrays)
        return found[: len(self.operator.results)], residuals

    def keep(self, *arrays: Any) -> Any:
        found, pattern = self.kept(*arrays), self.pattern(arrays)
        count = len(found) - pattern.numbers
        return found, (arrays, tuple(found[i] for i in pattern.results), found[count:])

    def gradients(self, residuals: Any, incoming: Any) -> Any:
        arrays, results, numbers = residuals
        floats = tuple(incoming[i] for i in self.operator.floats)
        if self.keeper.usable:
            pattern = self.pattern(arrays)
            found = _from_kept(self.operator, pattern, self.axis, self.settings)(arrays, results, numbers, floats)
            by_place = dict(zip(pattern.differentiated, found, strict=True))
        else:
            found = _function(self.backward, self.axis, self.settings)(*arrays, *floats)
            by_place = dict(zip(self.operator.differentiated, found, strict=True))
        return tuple(_cotangent(by_place.get(i), a) for i, a in enumerate(arrays))


def _cotangent(gradient: Any, array: Any) -> Any:
    """The gradient in the array's dtype; what JAX wants for an integer is nothing, of a type of its own."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return np.zeros(array.shape, jax.dtypes.float0)
    return jnp.zeros_like(array) if gradient is None else gradient.astype(array.dtype)


# forward


def _results(operator: Operator, axis: int, settings: Mapping[str, Any], *arrays: Any) -> tuple[Any, ...]:
    """What the kernel gives: by its handler, or by a callback."""
    found = jax_ffi.call(operator.kernel, arrays, axis, settings)
    if found is None:
        return _called_back(operator, axis, settings, arrays)
    gradients = [p for p, _, _ in operator.results if p is not None]
    shapes = dict(zip((p.name for p in operator.parameters), (a.shape for a in arrays), strict=True))
    if not gradients:
        return found
    return tuple(_in_shape(g, shapes[p.name], p.role, axis) for g, p in zip(found, gradients, strict=True))


def _kept(pattern: Pattern, arrays: Sequence[Any], axis: int) -> tuple[Any, ...]:
    """The results, and the numbers that its gradients need."""
    forward, own = pattern.halves.forward, [arrays[i] for i in pattern.places]
    found = jax_ffi.call(forward, own, axis, pattern.floats, doubles=pattern.numbers)
    return _called_back(Operator(forward), axis, pattern.floats, own) if found is None else found


# backward


@functools.lru_cache(1024)
def _from_kept(operator: Operator, pattern: Pattern, axis: int, settings: Settings) -> Callable[..., Any]:
    """The gradients from what was kept. Their own gradients are those of the whole call, in its arguments."""

    def run(arrays: Any, results: Any, numbers: Any, incoming: Any) -> tuple[Any, ...]:
        return _gradients(pattern, axis, arrays, results, numbers, incoming)

    def forward(arrays: Any, results: Any, numbers: Any, incoming: Any) -> Any:
        return function(arrays, results, numbers, incoming), (arrays, results, numbers, incoming)

    def again(residuals: Any, along: Any) -> Any:
        arrays, results, numbers, incoming = residuals
        whole = operator.vjp
        assert whole is not None  # there was a first derivative
        floats = [i for i, a in enumerate(arrays) if jnp.issubdtype(a.dtype, jnp.floating)]

        def of_floats(own: Any, gradients: Any) -> Any:
            placed = {**dict(enumerate(arrays)), **dict(zip(floats, own, strict=True))}
            return _function(whole, axis, settings)(*(placed[i] for i in range(len(arrays))), *gradients)

        _, pull = jax.vjp(of_floats, tuple(arrays[i] for i in floats), incoming)
        own, gradients = pull(tuple(along))
        by_place = dict(zip(floats, own, strict=True))
        zeros = (tuple(map(_nothing, results)), tuple(map(_nothing, numbers)))
        return tuple(_cotangent(by_place.get(i), a) for i, a in enumerate(arrays)), *zeros, gradients

    function: Any = jax.custom_vjp(run)
    function.defvjp(forward, again)
    result: Callable[..., Any] = function
    return result


def _nothing(array: Any) -> Any:
    return _cotangent(None, array)


def _gradients(
    pattern: Pattern, axis: int, arrays: Any, results: Any, numbers: Any, incoming: Any
) -> tuple[Any, ...]:
    kept = dict(zip(pattern.results, results, strict=True))
    given = pattern.ordered(dict(enumerate(arrays)), kept, incoming, numbers)
    wide = [a.shape for a, p in zip(given, pattern.later.parameters, strict=True) if p.role in WIDE_ROLES]
    shapes = {pattern.names[i]: arrays[i].shape for i in pattern.differentiated}
    summing = pattern.halves.summing(pattern.kernel, shapes, wide, axis)
    found = jax_ffi.call(summing, given, axis, pattern.later_settings)
    if found is None:
        found = _gradients_called_back(pattern, axis, arrays, kept, numbers, incoming)
    roles = [pattern.kernel.parameters[i].role for i in pattern.differentiated]
    return tuple(_in_shape(g, s, role, axis) for g, s, role in zip(found, shapes.values(), roles, strict=True))


def _in_shape(gradient: Any, shape: tuple[int, ...], role: Role, axis: int) -> Any:
    """The gradient of a parameter that was broadcast from this shape, summed to it."""
    if gradient.shape == shape:
        return gradient
    if gradient.ndim == 1 and gradient.size == np.prod(shape):  # over the batch already
        return gradient.reshape(shape)
    if role in WIDE_ROLES and len(shape) < gradient.ndim:
        gradient = jnp.moveaxis(gradient, axis, -1)  # a lower-rank row lies on its last axis
    leading = gradient.ndim - len(shape)
    ones = [k for k, size in enumerate(shape, leading) if size == 1 and gradient.shape[k] != 1]
    return jnp.sum(gradient, axis=(*range(leading), *ones), keepdims=True).reshape(shape)


# where there is no handler


def _called_back(
    operator: Operator, axis: int, settings: Mapping[str, Any], arrays: Sequence[Any]
) -> tuple[Any, ...]:
    shapes = operator.shapes([a.shape for a in arrays], axis, np.broadcast_shapes)
    found = [(a.dtype, p.role) for a, p in zip(arrays, operator.parameters, strict=True)]
    dtype = jnp.result_type(*(t for t, role in found if role is Role.ROW and jnp.issubdtype(t, jnp.floating)))
    kinds = [jax.dtypes.canonicalize_dtype(np.dtype(kind or dtype)) for _, _, kind in operator.results]
    made = [jax.ShapeDtypeStruct(s or (), k) for s, k in zip(shapes, kinds, strict=True)]

    def call(*values: Any) -> tuple[Any, ...]:
        found = operator([np.asarray(v) for v in values], axis, settings)
        return tuple(np.asarray(r, m.dtype) for r, m in zip(found, made, strict=True))

    return tuple(jax.pure_callback(call, tuple(made), *arrays, vmap_method="sequential"))


def _gradients_called_back(
    pattern: Pattern, axis: int, arrays: Any, kept: Any, numbers: Any, incoming: Any
) -> tuple[Any, ...]:
    places, count = tuple(kept), len(arrays)
    shapes = [arrays[i].shape for i in pattern.differentiated]
    made = [jax.ShapeDtypeStruct(arrays[i].shape, arrays[i].dtype) for i in pattern.differentiated]

    def call(own: Any, results: Any, doubles: Any, gradients: Any) -> tuple[Any, ...]:
        given = {i: np.asarray(own[i]) for i in range(count)}
        held = {i: np.asarray(r) for i, r in zip(places, results, strict=True)}
        found = pattern.backward(given, held, [np.asarray(d) for d in doubles], [np.asarray(g) for g in gradients],
                                 shapes, axis)  # fmt: skip
        return tuple(np.asarray(r, m.dtype) for r, m in zip(found, made, strict=True))

    operands = (tuple(arrays), tuple(kept.values()), tuple(numbers), tuple(incoming))
    return tuple(jax.pure_callback(call, tuple(made), *operands, vmap_method="sequential"))


