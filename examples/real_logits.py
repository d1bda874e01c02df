"""Softmax, log_softmax, logsumexp, entropy and cross_entropy on numbers that a real model produced.

    python examples/real_logits.py --small     digits, scored by a logistic regression; needs rowfold[examples]
    python examples/real_logits.py             also MiniLM's attention and token logits; needs rowfold[model]

Every result is compared with float64 NumPy. A line gives the largest error, in units of the last place of float32 and
as a number (which says more where a result is close to zero), the plan, and milliseconds a call on one thread: with the
mask, and without it beside float32 NumPy, SciPy and torch, whose functions take none.
"""

import argparse
import contextlib
import importlib
import timeit

import numpy as np
from logits import digits, minilm

import rowfold as rf


def exact(x, target, mask):
    """The five results in float64. The largest element is left out of the sum, so that log1p sees the rest."""
    x = np.where(True if mask is None else mask, x, -np.inf).astype(np.float64)
    top = x.argmax(axis=-1)[..., None]
    shifted = x - np.take_along_axis(x, top, axis=-1)
    rest = np.exp(shifted)
    np.put_along_axis(rest, top, 0.0, axis=-1)
    log_rest = np.log1p(rest.sum(axis=-1, keepdims=True))
    log_p = shifted - log_rest
    p = np.exp(log_p)
    return {
        "softmax": p,
        "log_softmax": log_p,
        "logsumexp": (np.take_along_axis(x, top, axis=-1) + log_rest)[..., 0],
        "entropy": -np.sum(p * np.where(p > 0, log_p, 0.0), axis=-1),
        "cross_entropy": -np.take_along_axis(log_p, target[..., None], axis=-1)[..., 0],
    }


def plain(name, x, target):
    """The same in float32, as most people write it."""
    m = x.max(axis=-1, keepdims=True)
    e = np.exp(x - m)
    s = e.sum(axis=-1, keepdims=True)
    match name:
        case "softmax":
            return e / s
        case "log_softmax":
            return x - m - np.log(s)
        case "logsumexp":
            return m + np.log(s)
        case "entropy":
            return np.log(s) - np.sum((x - m) * e, axis=-1, keepdims=True) / s
    return m + np.log(s) - np.take_along_axis(x, target[..., None], axis=-1)


def peers(name, x):
    """The same function in SciPy and torch, where they are installed and have it."""
    with contextlib.suppress(ImportError):
        special = importlib.import_module("scipy.special")
        if hasattr(special, name):
            yield "SciPy", lambda: getattr(special, name)(x, axis=-1)
    with contextlib.suppress(ImportError):
        torch = importlib.import_module("torch")
        torch.set_num_threads(1)
        if hasattr(torch, name):
            yield "torch", lambda: getattr(torch, name)(torch.from_numpy(x), dim=-1)


def errors(got, want):
    """The largest error in units of the last place of the exact result, and as it is; a masked log is not finite."""
    finite = np.isfinite(want)
    error = np.abs(got[finite] - want[finite])
    return np.max(error / np.spacing(np.abs(want[finite]).astype(np.float32))), np.max(error)


def milliseconds(call):
    call()
    return min(timeit.repeat(call, number=1, repeat=7)) * 1e3


def line(name, arrays, mask, want):
    """One kernel: its error, its plan and its times."""
    k, x = getattr(rf.library, name), arrays[0]
    plan = k.plan(shape=x.shape, dtype="float32")
    units, error = errors(k(*arrays, where=mask), want)
    calls = {"masked": lambda: k(*arrays, where=mask)} if mask is not None else {}
    calls |= {"rowfold": lambda: k(*arrays), "NumPy": lambda: plain(name, x, arrays[-1]), **dict(peers(name, x))}
    times = "  ".join(f"{who} {milliseconds(call):.3f}" for who, call in calls.items())
    return f"  {name:14}{units:6.2f} ULP {error:8.1e}  {plan.strategy}, sweeps: {len(plan.sweeps)}  ms: {times}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="digits only: no model, no torch")
    sources = [digits] if parser.parse_args().small else [digits, minilm]
    for name, x, target, mask in (case for source in sources for case in source()):
        print(f"\n{name}: {x.size // x.shape[-1]:,} rows of {x.shape[-1]:,}" + (", masked" if mask is not None else ""))
        for kernel, want in exact(x, target, mask).items():
            arrays = (x, target) if kernel == "cross_entropy" else (x,)
            print(line(kernel, arrays, mask, want))


if __name__ == "__main__":
    main()
