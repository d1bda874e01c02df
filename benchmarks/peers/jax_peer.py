"""JAX: `jax.jit` of its own functions; XLA allocates the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from problem import EPS, TEMPERATURE, Problem

from .base import Job, Peer, fresh


def jax_jit(p: Problem) -> Job | None:
    """One jitted function of device arrays."""
    import jax

    if p.dtype == np.float64:
        jax.config.update("jax_enable_x64", True)
    found = _functions().get(p.operator)
    if found is None:
        return None
    cpu = jax.devices("cpu")[0]
    function, given = found
    arguments = [jax.device_put(a, cpu) for a in given(p)]
    compiled = jax.jit(function)
    return fresh(lambda: jax.block_until_ready(compiled(*arguments)), lambda y: np.asarray(_last(y)))


def _last(y: Any) -> Any:
    """What is compared of several results: probabilities before their places, a gradient behind its loss."""
    return y[1] if isinstance(y, tuple) else y[0] if isinstance(y, list) else y


Function = tuple[Callable[..., Any], Callable[[Problem], tuple[Any, ...]]]


def _functions() -> dict[str, Function]:
    import jax
    from jax import nn
    from jax import numpy as jnp

    def picked(x: Any, t: Any) -> Any:
        return nn.logsumexp(x, -1) - jnp.take_along_axis(x, t[:, None], -1)[:, 0]

    def entropy(x: Any) -> Any:
        logs = nn.log_softmax(x)
        return -jnp.sum(jnp.exp(logs) * logs, -1)

    def kl(x: Any, z: Any) -> Any:
        a, b = nn.log_softmax(x), nn.log_softmax(z)
        return jnp.sum(jnp.exp(a) * (a - b), -1)

    def norm(x: Any, w: Any, b: Any) -> Any:
        return (x - jnp.mean(x, -1, keepdims=True)) * jax.lax.rsqrt(jnp.var(x, -1, keepdims=True) + EPS) * w + b

    def rms(x: Any, w: Any) -> Any:
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + EPS) * w

    def row(p: Problem) -> tuple[Any, ...]:
        return (p.x,)

    return {
        "softmax": (nn.softmax, row),
        "log_softmax": (nn.log_softmax, row),
        "logsumexp": (lambda x: nn.logsumexp(x, -1), row),
        "cross_entropy": (picked, lambda p: (p.x, p.target)),
        "entropy": (entropy, row),
        "kl_div": (kl, lambda p: (p.x, p.z)),
        "softmax_topk5": (lambda x: list(jax.lax.top_k(nn.softmax(x), 5)), row),
        "softmax_topk50": (lambda x: list(jax.lax.top_k(nn.softmax(x), 50)), row),
        "masked_softmax": (lambda x, m: nn.softmax(x, where=m), lambda p: (p.x, p.mask)),
        "temperature_softmax": (lambda x: nn.softmax(x / TEMPERATURE), row),
        "layer_norm": (norm, lambda p: (p.x, p.weight, p.bias)),
        "rms_norm": (rms, lambda p: (p.x, p.weight)),
        "softmax_backward": (lambda y, g: y * (g - jnp.sum(y * g, -1, keepdims=True)), lambda p: (p.saved, p.z)),
        "layer_norm_backward": (
            lambda x, w, b, g: list(jax.vjp(norm, x, w, b)[1](g)),
            lambda p: (p.x, p.weight, p.bias, p.z),
        ),
        "cross_entropy_gradient": (
            lambda x, t: (picked(x, t), jax.grad(lambda a: jnp.sum(picked(a, t)))(x)),
            lambda p: (p.x, p.target),
        ),
    }


PEERS = (Peer("jax", "jax", jax_jit),)
