"""PyTorch: eager, through oneDNN, and compiled. One thread, no autograd but where a gradient is what is timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from problem import EPS, TEMPERATURE, Array, Problem

from .base import Job, Peer, fresh

VERSION = "2.13.0"


def tensor(a: Array) -> Any:
    """The same memory as a tensor; NumPy's bfloat16 is not torch's."""
    import torch

    torch.set_num_threads(1)
    if a.dtype.name == "bfloat16":
        return torch.from_numpy(a.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(a)


def shown(t: Any) -> Array:
    """The first tensor, or a gradient behind its loss, as NumPy: narrow ones as float32, which holds them exactly."""
    t = t[1] if isinstance(t, tuple) else t[0] if isinstance(t, list) else t
    return t.float().numpy() if t.element_size() < 4 else t.numpy()


def eager(p: Problem) -> Job | None:
    """The functions as they are called, with `out=` where they have it."""
    import torch

    x = tensor(p.x)
    into = {"softmax": torch.softmax, "log_softmax": torch.log_softmax, "logsumexp": torch.logsumexp}
    if p.operator in into:
        function = into[p.operator]
        y = torch.empty(p.shape[:1] if p.operator == "logsumexp" else p.shape, dtype=x.dtype)
        return Job(_quietly(lambda: function(x, -1, out=y)), lambda: shown(y))
    run = _calls(p).get(p.operator)
    return fresh(_quietly(run), shown) if run else None


def _quietly(run: Callable[[], Any]) -> Callable[[], Any]:
    import torch

    def inner() -> Any:
        with torch.inference_mode():
            return run()

    return inner


def _calls(p: Problem) -> dict[str, Callable[[], Any]]:
    import torch
    from torch.nn import functional as F  # noqa: N812 - as everybody calls it

    x, z, t, m, w, b = (tensor(a) for a in (p.x, p.z, p.target, p.mask, p.weight, p.bias))
    n = [p.shape[1]]
    kept = tensor(p.saved) if p.operator == "softmax_backward" else x
    aten = torch.ops.aten
    _, mean, rstd = aten.native_layer_norm(x, n, w, b, EPS) if p.operator == "layer_norm_backward" else (x, x, x)

    def loss_and_gradient() -> Any:
        logs = torch.log_softmax(x, -1)
        loss = -logs.gather(-1, t[:, None])[:, 0]
        gradient = torch.exp(logs)
        return loss, gradient.scatter_add_(-1, t[:, None], torch.full((len(x), 1), -1.0, dtype=x.dtype))

    def entropy() -> Any:
        logs = torch.log_softmax(x, -1)
        return -(logs.exp() * logs).sum(-1)

    return {
        "cross_entropy": lambda: F.cross_entropy(x, t, reduction="none"),
        "entropy": entropy,
        "kl_div": lambda: F.kl_div(
            torch.log_softmax(z, -1), torch.log_softmax(x, -1), reduction="none", log_target=True
        ).sum(-1),
        "softmax_topk5": lambda: list(torch.softmax(x, -1).topk(5)),
        "softmax_topk50": lambda: list(torch.softmax(x, -1).topk(50)),
        "masked_softmax": lambda: torch.softmax(x.masked_fill(~m, -torch.inf), -1),
        "temperature_softmax": lambda: torch.softmax(x / TEMPERATURE, -1),
        "layer_norm": lambda: F.layer_norm(x, n, w, b, EPS),
        "rms_norm": lambda: F.rms_norm(x, n, w, EPS),
        "softmax_backward": lambda: torch._softmax_backward_data(z, kept, -1, x.dtype),  # noqa: SLF001 - what autograd calls
        "layer_norm_backward": lambda: list(
            aten.native_layer_norm_backward(z, x, n, mean, rstd, w, b, [True, True, True])
        ),
        "cross_entropy_gradient": loss_and_gradient,
    }


def onednn(p: Problem) -> Job | None:
    """The tensor in oneDNN's own layout, which is how torch reaches its softmax."""
    import torch

    if p.operator != "softmax" or p.dtype != np.float32 or not torch.backends.mkldnn.is_available():
        return None
    x = tensor(p.x).to_mkldnn()
    return fresh(_quietly(lambda: torch.softmax(x, -1)), lambda y: y.to_dense().numpy())


def compiled(p: Problem) -> Job | None:
    """`torch.compile`, with inductor's own code for this shape."""
    import torch
    from torch.nn import functional as F  # noqa: N812 - as everybody calls it

    x, t, w, b, n = tensor(p.x), tensor(p.target), tensor(p.weight), tensor(p.bias), [p.shape[1]]
    functions: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "softmax": (lambda a: torch.softmax(a, -1), (x,)),
        "log_softmax": (lambda a: torch.log_softmax(a, -1), (x,)),
        "logsumexp": (lambda a: torch.logsumexp(a, -1), (x,)),
        "temperature_softmax": (lambda a: torch.softmax(a / TEMPERATURE, -1), (x,)),
        "cross_entropy": (lambda a, i: F.cross_entropy(a, i, reduction="none"), (x, t)),
        "layer_norm": (lambda a, u, v: F.layer_norm(a, n, u, v, EPS), (x, w, b)),
        "rms_norm": (lambda a, u: F.rms_norm(a, n, u, EPS), (x, w)),
    }
    if p.operator not in functions:
        return None
    function, arguments = functions[p.operator]
    torch.compiler.reset()
    made = torch.compile(function, dynamic=False)
    return fresh(_quietly(lambda: made(*arguments)), shown)


PEERS = (
    Peer("torch", "torch", eager, version=VERSION),
    Peer("onednn", "torch", onednn, version=VERSION),
    Peer("inductor", "torch", compiled, version=VERSION),
)
