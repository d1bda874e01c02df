"""`rowfold explain NAME`: the plan for a shape, what each sweep moves, and why not otherwise."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from typing import Any

from ..inspecting.explain import Explanation
from ..inspecting.pretty import show
from ..inspecting.traffic import sources, traffic
from . import kernels

HELP = "say how a kernel is planned for a shape, and why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kernels.add_arguments(parser)
    kernels.add_dtype(parser, narrow=True)


def run(arguments: argparse.Namespace) -> int:
    """Prints one explanation, or of a function on matrices one for each kernel in it, that with most walks first."""
    found = kernels.named(arguments.kernel)
    chosen = zip(found.kernels, kernels.settings_of(found, arguments.set), strict=True)
    texts = [
        k.explain(arguments.shape, arguments.dtype, given=kernels.present(k, arguments.given), **settings)
        for k, settings in chosen
    ]
    texts.sort(key=lambda e: -e.plan.walks)
    if arguments.json:
        facts = [_facts(text, arguments.dtype) for text in texts]
        print(json.dumps(facts[0] | {"others": facts[1:]}, indent=1))
    else:
        show("\n\n".join(map(str, texts)))
    return 0


def _facts(explanation: Explanation, dtype: str) -> dict[str, Any]:
    plan = explanation.plan
    moved = traffic(plan)
    rows = math.prod(explanation.shape) // max(plan.n, 1)
    places = sources(plan, moved, rows, explanation.machine)
    sweeps = [
        {"note": sweep.note} | asdict(what) | {"from": place}
        for sweep, what, place in zip(plan.sweeps, moved, places, strict=True)
    ]
    return {
        "name": plan.name,
        "shape": list(explanation.shape),
        "dtype": dtype,
        "isa": plan.isa,
        "strategy": plan.strategy,
        "walks": plan.walks,
        "sweeps": sweeps,
        "memory_passes": plan.memory_passes,
        "bytes_per_element": plan.bytes_per_element,
        "ns_per_element": plan.ns,
        "rejected": [{"name": name, "reason": reason} for name, reason in plan.rejected],
    }
