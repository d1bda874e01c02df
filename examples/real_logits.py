"""Softmax, log_softmax, logsumexp, entropy and cross_entropy on numbers that a real model produced.

    python examples/real_logits.py --small     digits, scored by a logistic regression; needs rowfold[examples]
    python examples/real_logits.py             also MiniLM's attention and token logits; needs rowfold[model]

Every result is compared with float64 NumPy. A line gives the largest error, in units of the last place of float32 and
as a number (which says more where a result is close to zero), the plan, and milliseconds a call on one thread: with the
mask, and without it beside float32 NumPy, SciPy and torch, whose functions take none.
"""

import argparse
import timeit

import numpy as np
from logits import digits, minilm
from others import exact, peers, plain

import rowfold as rf


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
