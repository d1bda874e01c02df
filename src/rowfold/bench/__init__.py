"""A kernel against what else computes the same here: interleaved repeats on one core, in one process.

Every contestant runs once a round, each round begins with another one, so that a drift of the machine hits all alike:
quote ratios within one run. Each makes its result anew in every call, but for the NumPy expression and the copy.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ..runtime import drafts
from .onnxgraph import session

Run = Callable[[], object]
Array = np.ndarray[Any, np.dtype[Any]]
_ROUND = 0.01  # seconds of one contestant in one round


def peers(name: str, x: Array) -> tuple[dict[str, Run], dict[str, str]]:
    """What computes the library's kernel `name` of `x` in other libraries, and those that are not installed.

    Only softmax, log_softmax and logsumexp at their default settings have peers.
    """
    found: dict[str, Run] = {}
    missing: dict[str, str] = {}
    for library, prepare in _PEERS.items() if name in _NAMES else ():
        try:
            found[f"{library} {version(library)}"] = prepare(name, x)
        except (ImportError, PackageNotFoundError):
            missing[library] = "not installed"
    return found, missing


def exponentials(dtype: str) -> tuple[Run, int]:
    """The exponentials of rows in cache and nothing else, and how many: what a sum of exponentials cannot beat."""
    from ..api import kernel

    def exponentials(x: Any) -> Any:
        return np.exp(x)

    x = np.random.default_rng(0).normal(size=(16, 1024)).astype(dtype)
    y, alone = np.empty_like(x), kernel(exponentials)
    return lambda: alone(x, out=y), x.size


def expression(name: str, x: Array) -> Run | None:
    """The same as whole-array NumPy, every step in place; None for a kernel that nobody wrote down here."""
    y = np.empty_like(x)

    def shifted() -> tuple[Array, Array]:
        largest = np.max(x, axis=-1, keepdims=True)
        np.subtract(x, largest, out=y)
        return y, largest

    def softmax() -> None:
        np.exp(shifted()[0], out=y)
        np.divide(y, np.sum(y, axis=-1, keepdims=True), out=y)

    def logsumexp() -> Array:
        _, largest = shifted()
        total: Array = np.log(np.sum(np.exp(y, out=y), axis=-1, keepdims=True)) + largest
        return total

    def log_softmax() -> None:
        total = logsumexp()
        np.subtract(x, total, out=y)

    return {"softmax": softmax, "log_softmax": log_softmax, "logsumexp": logsumexp}.get(name)


def rows(fn: Callable[..., Any], arrays: Sequence[Any], wide: Sequence[bool], settings: Mapping[str, Any]) -> Run:
    """The row function itself, a row at a time on NumPy; `wide` says which arrays hold rows."""
    shapes = [np.shape(a)[:-1] if w else np.shape(a) for a, w in zip(arrays, wide, strict=True)]
    batch = np.broadcast_shapes(*shapes)

    def run() -> None:
        with np.errstate(all="ignore"):
            for at in np.ndindex(batch):
                fn(*(None if a is None else a[at] for a in arrays), **settings)

    return run


def interleaved(
    runs: Mapping[str, Run], rounds: int, said: Callable[[str], object] = str, seconds: float = _ROUND, least: int = 1
) -> dict[str, list[float]]:
    """Seconds a call, `rounds` figures each: the fastest of as many calls as take `seconds`, and of `least`.

    `said` is told what is being timed. Loops that LLVM compiles are those that last.
    """
    repeats = {name: calls_in(run, seconds, least) for name, run in runs.items()}
    drafts.wait()
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            said(f"round {turn + 1} of {rounds}: {name}")
            times[name].append(fastest(runs[name], repeats[name]))
    return times


def calls_in(run: Run, seconds: float, least: int = 1) -> int:
    """How many calls fill about this long, after some that are not counted: the tenth may compile a quick path."""
    run()
    once = fastest(run, least)
    if once < 1e-3:
        for _ in range(20):
            run()
        once = fastest(run, 3)
    return max(least, min(1000, int(seconds / max(once, 1e-9))))


def fastest(run: Run, repeats: int) -> float:
    """The shortest of `repeats` timed calls, after one that warms the caches."""
    run()
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
    return best


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process on one core only, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _torch(name: str, x: Array) -> Run:
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    source, fn = torch.from_numpy(x), getattr(torch, name)

    def run() -> None:
        with torch.inference_mode():
            fn(source, -1)

    return run


def _scipy(name: str, x: Array) -> Run:
    fn = getattr(importlib.import_module("scipy.special"), name)
    return lambda: fn(x, axis=-1)


def _jax(name: str, x: Array) -> Run:
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", x.dtype == np.float64)
    source = jax.device_put(x, jax.devices("cpu")[0])
    fn = jax.jit({"logsumexp": jax.scipy.special.logsumexp}.get(name) or getattr(jax.nn, name), static_argnames="axis")
    return lambda: fn(source, axis=-1).block_until_ready()


def _numba(name: str, x: Array) -> Run:
    """Loops as one writes them by hand, compiled by Numba."""
    numba = importlib.import_module("numba")
    rows, out = x.reshape(-1, x.shape[-1]), np.empty((x.size // x.shape[-1], x.shape[-1]), x.dtype)
    fn = numba.njit({"softmax": _softmax, "log_softmax": _log_softmax, "logsumexp": _logsumexp}[name])
    return lambda: fn(rows, out)


def _softmax(x: Array, out: Array) -> None:
    for i in range(x.shape[0]):
        top, total = x[i].max(), x.dtype.type(0)
        for j in range(x.shape[1]):
            out[i, j] = np.exp(x[i, j] - top)
            total += out[i, j]
        for j in range(x.shape[1]):
            out[i, j] /= total


def _log_softmax(x: Array, out: Array) -> None:
    for i in range(x.shape[0]):
        top, total = x[i].max(), x.dtype.type(0)
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] - top
            total += np.exp(out[i, j])
        rest = np.log(total)
        for j in range(x.shape[1]):
            out[i, j] -= rest


def _logsumexp(x: Array, out: Array) -> None:
    for i in range(x.shape[0]):
        top, total = x[i].max(), x.dtype.type(0)
        for j in range(x.shape[1]):
            total += np.exp(x[i, j] - top)
        out[i, 0] = top + np.log(total)


def _onnxruntime(name: str, x: Array) -> Run:
    """A model of one operator, on one thread."""
    importlib.import_module("onnxruntime")
    helper = importlib.import_module("onnx").helper
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    operator = {"softmax": "Softmax", "log_softmax": "LogSoftmax", "logsumexp": "ReduceLogSumExp"}[name]
    reduces = name == "logsumexp"
    axis: dict[str, Any] = {"axes": [-1]} if reduces else {"axis": -1}
    shapes = {"x": x.shape, "y": (*x.shape[:-1], 1) if reduces else x.shape}
    source, target = (helper.make_tensor_value_info(n, kind, shape) for n, shape in shapes.items())
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], **axis)], name, [source], [target])
    return session(graph, {"x": x})


_NAMES = ("softmax", "log_softmax", "logsumexp")
_PEERS = {"scipy": _scipy, "torch": _torch, "jax": _jax, "onnxruntime": _onnxruntime, "numba": _numba}
