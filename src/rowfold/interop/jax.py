"""Kernels inside JAX: `rowfold.interop.jax.softmax(x, axis=-1)` and `rowfold.interop.jax.wrap(kernel)`.

They run by `jax.pure_callback` on the CPU, under jit, vmap and grad; gradients are the kernel's own, by `custom_vjp`,
and have gradients themselves where no parameter is optional.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rowfold import library
from rowfold.api import Kernel
from rowfold.interop.operator import Operator


def wrap(kernel: Kernel[..., Any]) -> Callable[..., Any]:
    """The kernel as a function of JAX arrays: `f(*arrays, axis=-1, **settings)`, under jit, vmap and grad.

    `axis` and the settings are known when tracing. Errors of the call are raised where the result is used.
    """
    operator = Operator(kernel)
    count = len(operator.parameters)

    @functools.wraps(kernel)
    def function(*arrays: Any, axis: int = -1, **settings: Any) -> Any:
        given = [None if a is None else jnp.asarray(a) for a in arrays]
        places = tuple(i for i, a in enumerate(given) if a is not None)
        call = _differentiable(operator, places, axis, tuple(sorted(settings.items())))
        results = call(*(a for a in given if a is not None))
        return results[0] if len(operator.results) == 1 else results

    function.__doc__ = f"{kernel.__doc__}\n\nTakes up to {count} JAX arrays."
    return function


@functools.cache
def _of_the_library(name: str) -> Callable[..., Any]:
    return wrap(getattr(library, name))


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in library.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _of_the_library(name)


def __dir__() -> list[str]:
    return sorted([*library.__all__, "wrap"])


@functools.lru_cache(256)
def _differentiable(
    operator: Operator, places: tuple[int, ...], axis: int, settings: tuple[tuple[str, Any], ...]
) -> Callable[..., Any]:
    """The call with the arguments at these places present, with its gradients."""
    run = functools.partial(_run, operator, places, axis, settings)
    backward = operator.vjp
    if backward is None:
        return run
    function: Any = jax.custom_vjp(run)
    count = len(operator.parameters)

    def forward(*arrays: Any) -> Any:
        return function(*arrays), arrays  # not `run`: this is differentiated again for a second derivative

    def gradients(arrays: Any, incoming: Any) -> Any:
        floats = [g for g, (_, _, kind) in zip(incoming, operator.results, strict=True) if kind is None]
        where = (*places, *range(count, count + len(floats)))
        found = _differentiable(backward, where, axis, settings)(*arrays, *floats)
        by_place = dict(zip(operator.differentiated, found, strict=True))
        return tuple(_cotangent(by_place.get(i), a) for i, a in zip(places, arrays, strict=True))

    function.defvjp(forward, gradients)
    result: Callable[..., Any] = function
    return result


def _cotangent(gradient: Any, array: Any) -> Any:
    """The gradient in the array's dtype; what JAX wants for an integer is nothing, of a type of its own."""
    if gradient is None or not jnp.issubdtype(array.dtype, jnp.floating):
        return np.zeros(array.shape, jax.dtypes.float0)
    return gradient.astype(array.dtype)


def _run(
    operator: Operator, places: tuple[int, ...], axis: int, settings: tuple[tuple[str, Any], ...], *arrays: Any
) -> tuple[Any, ...]:
    dtype = jnp.result_type(*(a.dtype for a in arrays if jnp.issubdtype(a.dtype, jnp.floating)))
    shapes = operator.shapes(_placed(operator, places, [a.shape for a in arrays]), axis, np.broadcast_shapes)
    kinds = [np.dtype(kind or dtype) for _, _, kind in operator.results]
    made = [jax.ShapeDtypeStruct(s or (), k if s is not None else dtype) for s, k in zip(shapes, kinds, strict=True)]

    def call(*values: Any) -> tuple[Any, ...]:
        given = _placed(operator, places, [np.asarray(v) for v in values])
        results = operator(given, axis, dict(settings))
        return tuple(np.zeros(m.shape, m.dtype) if r is None else np.asarray(r, m.dtype)
                     for r, m in zip(results, made, strict=True))  # fmt: skip

    return tuple(jax.pure_callback(call, tuple(made), *arrays, vmap_method="sequential"))


def _placed(operator: Operator, places: tuple[int, ...], values: list[Any]) -> list[Any]:
    """The values at their parameters' places, None elsewhere."""
    given = dict(zip(places, values, strict=True))
    return [given.get(i) for i in range(len(operator.parameters))]
