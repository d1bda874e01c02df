"""This machine, as plans see it, and the plan that a configuration gives on it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from .. import config as configuration
from ..config import Config
from ..errors import IsaError
from ..records import replace
from ..runtime import cache, cpu
from ..runtime.store import digest

if TYPE_CHECKING:  # a call from a warm cache must not pay for what it does not use
    from ..codegen.ir import Program
    from ..codegen.machine import Machine
    from ..codegen.plan import Plan


_SIZES = {"f32": 4, "f64": 8}


def plan_for(program: Program, dtype: str, n: int, rows: int, config: Config) -> Plan:
    """The plan under a configuration, on this machine."""
    from ..codegen.planner import make_plan

    isa = host_isa(config)
    return make_plan(program, dtype=dtype, isa=isa, n=n, rows=max(rows, 1), strategy=config.strategy, machine=machine())


def in_form(plan: Plan, form: str) -> Plan:
    """The plan of C in this form; "" is row by row."""
    if form == "cut" and any(s.reloads for s in plan.sweeps) and plan.n * _SIZES[plan.dtype] * 2 > machine().l3:
        from ..codegen.planner import schedule

        sweeps = schedule(plan.program, plan.groups, reload=False)  # read twice, written past the caches
        return replace(plan, form=form, sweeps=sweeps)
    return replace(plan, form=form) if form else plan


def host_isa(config: Config) -> str:
    """The instruction set to emit for. IsaError when this CPU lacks what was asked for."""
    mine = cpu.host_isas()
    if config.isa == "auto":
        return mine[0]
    if config.isa not in mine:
        raise IsaError(f"isa={config.isa!r}: this CPU can run {', '.join(mine)}")
    return config.isa


@functools.cache
def machine() -> Machine:
    """This machine as the planner sees it: cache sizes from the system, the rest as calibrated, or by default."""
    from ..codegen.machine import Machine, Traffic

    found = cpu.caches()
    l1, l2, l3 = found.l1 or 32 << 10, found.l2 or 1 << 20, found.l3 or 32 << 20
    plain = Machine(l1, l2, l3, traffic=Traffic(cached=l3 // 2, long_row=l2 // 4, stream=l3))
    kept = cache.recall(_place(), configuration.resolve())
    if not kept:
        return plain
    traffic = replace(plain.traffic, **kept.get("traffic", {}))
    return replace(plain, read=tuple(kept["read"]), write=tuple(kept["write"]), tick=kept["tick"], traffic=traffic)


def remember(calibrated: Machine, config: Config) -> None:
    """Keep what was measured for later processes; what was planned with other values is planned again."""
    cache.forget_plans(config)
    body = {"read": calibrated.read, "write": calibrated.write, "tick": calibrated.tick}
    body["traffic"] = {"cached": calibrated.traffic.cached, "stream": calibrated.traffic.stream}
    cache.note(_place(), body, config)
    machine.cache_clear()


def _place() -> str:
    """Where the values of this kind of machine are kept."""
    return digest(repr(("machine", sorted(cpu.features()), cpu.caches())).encode())
