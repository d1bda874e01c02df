"""`rowfold bench --calibrate`: bandwidths and clock of this machine, measured, kept beside the kernels for plans.

A machine may be busy: everything is measured in rounds, one thing after the other in each, and what the rounds do not
agree on stays as it was. The planner compares prices: either all of them are new or none is.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from .. import bench, config, library
from ..api import Kernel, kernel
from ..building import build, host
from ..codegen.machine import THROUGHPUT, Machine, Traffic
from ..codegen.planner import make_plan
from ..errors import PlanError
from ..records import replace
from ..runtime.cache import Loaded

SHAPES = ((4096, 64), (1024, 512), (64, 4096), (64, 32000), (1, 2**20), (1, 2**22), (1, 2**24))
LEVELS = ("L1", "L2", "L3", "memory")
_SECONDS = 0.02  # of one measurement, at least one walk
NEVER = 1 << 62  # bytes that no call has
ROUNDS = 5
NAMES = {"cached": "fetched ahead", "stream": "written around caches"}
SPREAD = 0.15  # of the median: what all rounds but the lowest and the highest may lie apart


def run(as_json: bool) -> int:
    """Measures, keeps the result, and prints the values and the decisions that changed."""
    before = host.machine()
    after, unsettled = measured(before)
    host.remember(after, config.resolve())
    changed = decisions(before, after)
    facts = {"before": asdict(before), "after": asdict(after), "changed": changed, "unsettled": unsettled}
    print(json.dumps(facts, indent=1) if as_json else _table(facts))
    return 0


def measured(machine: Machine) -> tuple[Machine, list[str]]:
    """The same cache sizes with the bandwidths and the clock of now, and what could not be told from noise."""
    elements = [machine.l1 // 10, machine.l2 // 16, machine.l3 // 32, machine.l3]  # two such fit; an eighth; four times
    with bench.one_core():
        alone, size = bench.exponentials("float32")
        rounds = [[*_bandwidths(elements), _seconds(alone) / size * 1e9] for _ in range(ROUNDS)]
    levels, traffic = zip(*rounds, strict=True), _traffic(machine)
    *bandwidths, exponential = (settled(values) for values in levels)
    found = replace(machine, traffic=traffic[0])
    pairs = list(zip(bandwidths[:4], bandwidths[4:], strict=True))
    unsettled = [name for name, pair in zip(LEVELS, pairs, strict=True) if None in pair]
    unsettled += [] if exponential else ["clock"]
    if not unsettled:  # prices are compared: a new one beside an old one would be worse than none
        found = _priced(found, [(r or 0.0, both or 0.0) for r, both in pairs], exponential or 0.0)
    prices = [f"prices ({', '.join(unsettled)})"] if unsettled else []
    return found, [*prices, *traffic[1]]


def _priced(machine: Machine, pairs: Sequence[tuple[float, float]], exponential: float) -> Machine:
    """The machine with what was measured: reading alone, reading and writing, and an exponential."""
    read = [min(r, both / 2) for r, both in pairs]  # in L1 a maximum is bound by its arithmetic
    write = [both - r for (_, both), r in zip(pairs, read, strict=True)]
    cost = THROUGHPUT[host.host_isa(config.resolve())]
    tick = exponential * 16 / (cost.exp + 4 * cost.simple)  # as cost.py prices an exponential that is written
    return replace(machine, read=_four(read), write=_four(write), tick=round(tick, 4))


def _bandwidths(elements: list[int]) -> list[float]:
    """Nanoseconds a byte of reading alone and of reading and writing, at each level."""
    return [_ns_a_byte(made, n) for made in (library.max, kernel(_negated)) for n in elements]


def settled(values: Sequence[float]) -> float | None:
    """The median, or None where the values without the lowest and the highest lie too far apart to mean anything."""
    middle, inner = statistics.median(values), sorted(values)[1:-1]
    return middle if inner[-1] - inner[0] <= SPREAD * middle else None


def _traffic(machine: Machine) -> tuple[Traffic, list[str]]:
    """Where fetching ahead, or writing around the caches, gains nothing on twice the last cache, it is left alone."""
    plain = Traffic(cached=machine.l3 // 2, long_row=machine.l2 // 4, stream=machine.l3)
    row, elements, unsettled = 8192, machine.l3 // 4, []
    kinds = {"cached": (_weights, elements // row, row), "stream": (_centred, 1, elements)}
    with bench.one_core():
        for field, (function, rows, n) in kinds.items():
            ways = [replace(machine, traffic=replace(plain, **{field: size})) for size in (0, NEVER)]
            made = kernel(function)
            pairs = [[_ns_a_walk(made, rows, n, way) for way in ways] for _ in range(ROUNDS)]
            helps = gains(pairs)
            if helps is None:
                unsettled.append(NAMES[field])
                plain = replace(plain, **{field: getattr(machine.traffic, field)})
            elif not helps:
                plain = replace(plain, **{field: NEVER})
    return plain, unsettled


def gains(pairs: Sequence[Sequence[float]]) -> bool | None:
    """Whether the first of each pair is the faster one; None where all pairs but one do not say the same."""
    faster = sum(first < second for first, second in pairs)
    return None if 1 < faster < len(pairs) - 1 else faster >= len(pairs) - 1


def _four(values: list[float]) -> tuple[float, float, float, float]:
    l1, l2, l3, memory = (round(value, 5) for value in values)
    return l1, l2, l3, memory


def decisions(before: Machine, after: Machine) -> list[dict[str, Any]]:
    """Where the ready-made kernels are planned otherwise on the one machine than on the other."""
    found = []
    for name in library.__all__:
        made: Kernel[..., Any] = getattr(library, name)
        settings = {"k": 5} if "k" in made.static else {}
        for shape in SHAPES:
            old, new = (_strategy(made, shape, machine, settings) for machine in (before, after))
            if old != new:
                found.append({"kernel": name, "shape": list(shape), "before": old, "after": new})
    return found


def _strategy(made: Kernel[..., Any], shape: tuple[int, int], machine: Machine, settings: dict[str, Any]) -> str:
    isa = host.host_isa(config.resolve())
    program = made.program(settings, frozenset(), frozenset())
    rows, n = shape
    try:
        plan = make_plan(program, dtype="f32", isa=isa, n=n, rows=rows, strategy="auto", machine=machine)
    except PlanError:
        return "none"
    return plan.strategy


def _negated(x: Any) -> Any:
    return np.negative(x)


def _centred(x: Any) -> Any:
    return x - np.mean(x)


def _weights(x: Any) -> Any:
    e = np.exp(x)
    return e / np.sum(e)


def _ns_a_byte(made: Kernel[..., Any], n: int) -> float:
    """The fastest walks over one row again and again, by the compiled loop itself: a call would be all there is."""
    walks = max(1, int(_SECONDS / (n * 4 * 5e-11)))
    x, y = np.ones(n, np.float32), np.empty(n, np.float32)
    return _run(made.cffi((1, n)), (x, y), walks, (0, 0)) / walks / x.nbytes * 1e9


def _ns_a_walk(made: Kernel[..., Any], rows: int, n: int, machine: Machine) -> float:
    """The fastest walk over a batch, by the loop that this machine would get."""
    chosen, program = config.resolve(), made.program({}, frozenset(), frozenset())
    isa = host.host_isa(chosen)
    plan = make_plan(program, dtype="f32", isa=isa, n=n, rows=rows, strategy="auto", machine=machine)
    loop = build.loop_of(plan, build.plan_key(plan), chosen)
    if not isinstance(loop, Loaded):
        return 0.0  # NumPy's loops have no such choice
    x, y = np.ones((rows, n), np.float32), np.zeros((rows, n), np.float32)
    return _run(loop.cffi(), (x, y), rows, (4 * n, 4 * n)) * 1e9


def _run(compiled: Any, arrays: tuple[Any, Any], rows: int, next_row: tuple[int, int]) -> float:
    """Seconds of the faster of two calls of a loop with one input and one output."""
    ffi, lib = compiled
    args = ffi.new("char *[]", [ffi.cast("char *", a.ctypes.data) for a in arrays])
    dims = ffi.new("intptr_t[]", [rows, arrays[0].shape[-1]])
    steps = ffi.new("intptr_t[]", [*next_row, 4, 4])
    (symbol,) = dir(lib)
    loop = getattr(lib, symbol)
    return min(_seconds(lambda: loop(args, dims, steps, ffi.NULL)) for _ in range(2))


def _seconds(run: Any) -> float:
    run()
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _table(facts: dict[str, Any]) -> str:
    after, before = facts["after"], facts["before"]
    lines = [f"{'ns a byte':12}{'read':>10}{'(was)':>10}{'write':>10}{'(was)':>10}"]
    for i, level in enumerate(LEVELS):
        cells = (after["read"][i], before["read"][i], after["write"][i], before["write"][i])
        lines.append(f"{level:12}" + "".join(f"{cell:10.4f}" for cell in cells))
    lines.append(f"ns a cycle  {after['tick']:10.3f}{before['tick']:10.3f}")
    for field, what in NAMES.items():
        size = after["traffic"][field]
        lines.append(f"{what}: " + ("never, it gains nothing" if size == NEVER else f"beyond {size >> 20} MB"))
    for change in facts["changed"]:
        shape = "x".join(map(str, change["shape"]))
        lines.append(f"{change['kernel']} at {shape}: {change['after']} instead of {change['before']}")
    if facts["unsettled"]:
        lines.append(f"as before, for the machine was too busy to tell: {', '.join(facts['unsettled'])}")
    return "\n".join([*lines, "" if facts["changed"] else "no decision changed"]).rstrip()
