"""Every kernel of the gallery that gives floats has gradients, and central differences in float64 agree with them."""

from importlib import import_module

import numpy as np
import pytest

from rowfold.api import Kernel
from rowfold.codegen.interpret import interpret
from rowfold.codegen.ir import Map, Role
from rowfold.codegen.trace import trace
from rowfold.codegen.vjp import FLOAT_ROLES, differentiable, gradient_names, vjp
from rowfold.errors import NotDifferentiableError

STEP = 1e-6
FAMILIES = (
    "attention core divergences gating losses margins matrices normalization normalizers sampling scores selection "
    "statistics weighting"
).split()
PLACEHOLDERS = {int: 3, bool: False, float: 0.5, str: ""}
WITHOUT = {  # by name: what they give has no gradient
    "best_places", "bregman_topk", "categorical", "codebook_dequantize", "early_exit_by_entropy",
    "early_exit_by_probability", "greedy_match",
    "gumbel_topk", "nearest", "probe_sample", "softmax_topk", "topk_hit", "topk_softmax",
}  # fmt: skip
INFINITE = {"epsilon_filter", "eta_filter", "min_p_filter", "nucleus_filter"}  # -inf where an element is filtered out


def program_of(kernel):
    static = {s.name: PLACEHOLDERS[s.type] if s.required else s.default for s in kernel.settings if s.static}
    given = frozenset(p.name for p in kernel.parameters if p.optional)
    return trace(kernel.__wrapped__, name=kernel.name, settings=static, given=given)


def arguments(program, rng, shape=(3, 7)):
    """Numbers in (0.1, 0.9), where what is smooth anywhere is smooth."""
    makers = {
        Role.MASK: lambda: rng.random(shape) < 0.6,
        Role.INDEX: lambda: rng.integers(0, shape[-1], shape[:-1]),
        Role.SEED: lambda: np.arange(3, dtype=np.uint64),
        Role.INT_ROW: lambda: rng.integers(0, shape[-1], shape),
        Role.SCALAR: lambda: rng.uniform(0.1, 0.9, shape[:-1]),
    }
    return {n.name: makers.get(n.role, lambda: rng.uniform(0.1, 0.9, shape))() for _, n in program.inputs}


def error(program):
    """How far the gradients are from central differences, along a random direction in each argument."""
    rng, settings = np.random.default_rng(0), {p.name: 0.75 for _, p in program.params}
    inputs = arguments(program, rng)
    places = [i for _, i in differentiable(program)]
    shapes = [interpret(program, inputs, settings)[i].shape for i in places]
    gradients = {n: rng.normal(size=s) for n, s in zip(gradient_names(program), shapes, strict=True)}
    found = interpret(vjp(program), inputs | gradients, settings)
    worst = 0.0
    for name, got in zip([n.name for _, n in program.inputs if n.role in FLOAT_ROLES], found, strict=True):
        way = rng.normal(size=inputs[name].shape)

        def moved(step, name=name, way=way):
            results = interpret(program, inputs | {name: inputs[name] + step * way}, settings)
            return sum(np.sum(results[i] * g) for i, g in zip(places, gradients.values(), strict=True))

        want = (moved(STEP) - moved(-STEP)) / (2 * STEP)
        worst = max(worst, abs(np.sum(got * way) - want) / (1 + abs(want)))
    return worst


def kernels(family):
    module = import_module(f"rowfold.gallery.{family}")
    found = {n: k for n, k in vars(module).items() if isinstance(k, Kernel)}
    return {n: k for n, k in found.items() if k.__wrapped__.__module__ == module.__name__}


def stopped(program):
    return any(isinstance(n, Map) and n.op == "stop_gradient" for n in program.nodes)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_agree_with_central_differences(family):
    """All kernels of a family but those that stop gradients, or give -inf."""
    programs = {n: program_of(k) for n, k in kernels(family).items() if n not in WITHOUT | INFINITE}
    wrong = {n: e for n, p in programs.items() if not stopped(p) and not (e := error(p)) < 1e-6}
    assert wrong == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_gives_no_float_or_a_k_vector_is_refused(family):
    """Positions, counts and k-vectors have no gradient, and nothing else lacks one."""
    refused = {n for n, k in kernels(family).items() if not differentiates(program_of(k))}
    assert refused == WITHOUT & set(kernels(family))


def differentiates(program):
    try:
        return bool(vjp(program))
    except NotDifferentiableError:
        return False
