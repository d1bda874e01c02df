"""The kernels under test, called as a user would: through Python, with `out=`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from problem import EPS, TEMPERATURE, Problem

from .base import Job, Peer

STRATEGIES = ("three_pass_recompute", "three_pass_reload", "two_pass", "online", "speculative", "one_pass")


def rowfold(p: Problem, out: Any = None, **chosen: Any) -> Job | None:
    """The library's kernel under these options; None where it has no such plan. `out`: where the result goes."""
    import rowfold as rf
    from rowfold.runtime import drafts

    name, arrays, options = _call(p)
    kernel = getattr(rf.library, name).using(**chosen)
    if p.operator in _BACKWARD:
        return _BACKWARD[p.operator](kernel, p)
    try:
        out = kernel(*arrays, out=out, **options)
    except rf.PlanError:
        return None
    drafts.wait()
    return Job(lambda: kernel(*arrays, out=out, **options), lambda: out[0] if isinstance(out, tuple) else out)


def _call(p: Problem) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    match p.operator:
        case "cross_entropy" | "cross_entropy_gradient":
            return "cross_entropy", (p.x, p.target), {}
        case "kl_div":
            return "kl_div", (p.x, p.z), {}
        case "softmax_topk5" | "softmax_topk50":
            return "softmax_topk", (p.x,), {"k": p.k}
        case "masked_softmax":
            return "softmax", (p.x,), {"where": p.mask}
        case "temperature_softmax":
            return "softmax", (p.x,), {"temperature": TEMPERATURE}
        case "layer_norm" | "layer_norm_backward":
            return "layer_norm", (p.x, p.weight, p.bias), {"eps": EPS}
        case "rms_norm":
            return "rms_norm", (p.x, p.weight), {"eps": EPS}
        case "softmax_backward":
            return "softmax", (p.x,), {}
    return p.operator, (p.x,), {}


def _softmax_backward(kernel: Any, p: Problem) -> Job:
    _, saved = kernel.with_saved(p.x)
    out = (np.empty_like(p.x),)
    return Job(lambda: kernel.vjp.from_saved(saved, p.z, out=out), lambda: out[0])


def _layer_norm_backward(kernel: Any, p: Problem) -> Job:
    _, saved = kernel.with_saved(p.x, p.weight, p.bias, eps=EPS)
    out = (np.empty_like(p.x), np.empty_like(p.weight), np.empty_like(p.bias))
    return Job(lambda: kernel.vjp.from_saved(saved, p.z, out=out), lambda: out[0])


def _cross_entropy(kernel: Any, p: Problem) -> Job:
    ones = np.ones(p.shape[0], p.dtype)
    out = (np.empty_like(ones), np.empty_like(p.x))
    return Job(lambda: kernel.vjp.with_value(p.x, p.target, ones, out=out), lambda: out[1])


_BACKWARD: dict[str, Callable[[Any, Problem], Job]] = {
    "softmax_backward": _softmax_backward,
    "layer_norm_backward": _layer_norm_backward,
    "cross_entropy_gradient": _cross_entropy,
}


def forced(strategy: str) -> Peer:
    return Peer(f"rowfold:{strategy}", "rowfold", lambda p: rowfold(p, strategy=strategy), slow=True)


PEERS = (
    Peer("rowfold", "rowfold", rowfold),
    *map(forced, STRATEGIES),
    Peer("rowfold:avx2", "rowfold", lambda p: rowfold(p, isa="avx2"), slow=True),
    Peer("rowfold:llvm", "rowfold", lambda p: rowfold(p, backend="llvm"), slow=True),
    Peer("rowfold:llvm:avx2", "rowfold", lambda p: rowfold(p, backend="llvm", isa="avx2"), slow=True),
    Peer("rowfold:numpy", "rowfold", lambda p: rowfold(p, backend="numpy"), slow=True),
)
