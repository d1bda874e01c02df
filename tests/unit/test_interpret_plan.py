"""A fused plan computes what its program says, and the compiled kernel computes the plan, bit for bit."""

import time
from itertools import product

import numpy as np
import pytest
from slices import sliced

from rowfold import library
from rowfold.building.build import loop_of, plan_key
from rowfold.codegen import ir
from rowfold.codegen.bounding.oracle import Expected, judge, oracle
from rowfold.codegen.interpret import interpret
from rowfold.codegen.ir import Builder, Input, Output, Role
from rowfold.codegen.machine import Machine
from rowfold.codegen.planner import STRATEGIES, make_plan
from rowfold.codegen.running.interpret_plan import interpret_plan
from rowfold.codegen.simplify import simplify
from rowfold.codegen.trace import trace
from rowfold.config import Config
from rowfold.errors import PlanError
from rowfold.runtime.compiler import find
from rowfold.runtime.cpu import host_isas
from rowfold.testing import Random, load, random_source
from rowfold.testing.values import FINITE, SPECIAL, row

TYPES = {"f32": np.float32, "f64": np.float64}
KINDS = (
    "normal", "normal_x5", "normal_plus_1e4", "alternating", "sorted_up", "ramp_down", "zeros", "minus_inf",
    "half_minus_inf",
)  # fmt: skip
WIDTHS = (1, 7, 16, 33, 257, 600)
SETTINGS = {"temperature": 0.7, "eps": 1e-5, "t": 0.75}
FUSED = [isa for isa in host_isas() if isa != "portable"]  # those with a fused multiply-add
OPTIONAL = {"layer_norm": ("x", "weight", "bias"), "rms_norm": ("x", "weight")}
STATIC = {"softmax_topk": {"k": 1}}
every_dtype = pytest.mark.parametrize("dtype", ["f32", "f64"])
every_kernel = pytest.mark.parametrize("name", sorted(library.__all__))


def program(name):
    """The canonical program of a library kernel, its optional rows present."""
    return getattr(library, name).program(STATIC.get(name, {}), frozenset(OPTIONAL.get(name, ())), frozenset())


def traced(name):
    """The same as traced."""
    kernel = getattr(library, name)
    static = {s.name: s.default for s in kernel.settings if s.static} | STATIC.get(name, {})
    return trace(kernel.__wrapped__, settings=static, given=frozenset(OPTIONAL.get(name, ())[1:]))


def fuzzed(seed):
    """A random canonical program."""
    return simplify(trace(load(random_source(Random(seed)))))


def plans(found, dtype, n, isa="avx2", strategies=STRATEGIES):
    """A plan for each strategy that has one."""
    for strategy in strategies:
        try:
            yield make_plan(found, dtype=dtype, isa=isa, n=n, rows=4, strategy=strategy, machine=Machine())
        except PlanError:
            assert strategy in ("online", "two_pass", "speculative", "one_pass")


def arguments(found, dtype, n, kinds=KINDS):
    """Inputs of every kind, and the settings."""
    rng, count = np.random.default_rng(n), len(kinds)
    makers = {
        Role.MASK: lambda k: rng.random((count, n)) < 0.7,
        Role.INDEX: lambda k: rng.integers(0, n, count),
        Role.SCALAR: lambda k: rng.normal(size=count),
        Role.ROW: lambda k: np.array([row(kinds[(i + 3 * k) % count], TYPES[dtype], n, rng) for i in range(count)]),
    }
    inputs = {i.name: makers[i.role](k) for k, (_, i) in enumerate(found.inputs)}
    return inputs, {p.name: SETTINGS.get(p.name, 1.0) for _, p in found.params}


def misses(found, dtype, widths, values=None):
    """(strategy, width) wherever a plan is further from the program's values than the oracle allows."""
    wrong = []
    for n in widths:
        inputs, settings = arguments(found, dtype, n)
        wanted = oracle(found, inputs, settings, TYPES[dtype])
        if values is not None:  # those of another program that has to mean the same
            exact = interpret(values, inputs, settings, dtype=wanted[0].value.dtype)
            wanted = [Expected(v, w.bound) for v, w in zip(exact, wanted, strict=True)]
        for plan in plans(found, dtype, n):
            results = interpret_plan(plan, inputs, settings)
            if any(judge(got, want).worst > 1 for got, want in zip(results, wanted, strict=True)):
                wrong.append((plan.strategy, n))
    return wrong


def compiled(plan, inputs, settings):
    """What the kernel itself gives; skips where there is no compiler, and only there."""
    if find() is None:
        pytest.skip("no C compiler")
    loop = loop_of(plan, plan_key(plan), Config(backend="c"))
    given = [np.ascontiguousarray(inputs[i.name]) for _, i in plan.program.inputs]
    results = loop.ufunc(*given, *(np.float64(settings[p.name]) for _, p in plan.program.params))
    return results if isinstance(results, tuple) else (results,)


def bits(array):
    """The bytes of an array, every NaN made one."""
    array = np.asarray(array)
    return np.where(np.isnan(array), np.nan, array).astype(array.dtype).tobytes()


def unlike(found, dtype, isa, widths, strategies=STRATEGIES, kinds=(*FINITE, *SPECIAL)):
    """(strategy, width) wherever the compiled kernel has other bits than the interpreted plan."""
    wrong = []
    for n in widths:
        inputs, settings = arguments(found, dtype, n, kinds)
        for plan in plans(found, dtype, n, isa, strategies):
            got, want = interpret_plan(plan, inputs, settings), compiled(plan, inputs, settings)
            if [bits(g) for g in got] != [bits(w) for w in want]:
                wrong.append((plan.strategy, n))
    return wrong


@every_kernel
@every_dtype
def test_every_plan_computes_what_was_written(name, dtype):
    """All strategies are within the oracle's bound of the program as the user wrote it."""
    assert misses(program(name), dtype, WIDTHS, traced(name)) == []


@every_dtype
@pytest.mark.parametrize("block", range(8))
def test_random_plans_compute_their_programs(block, dtype):
    """Plans of random programs are within the oracle's bound."""
    seeds = range(10 * block, 10 * block + 10)
    found = {seed: misses(fuzzed(seed), dtype, ((1, 17, 100, 300)[seed % 4],)) for seed in seeds}
    assert {seed: wrong for seed, wrong in found.items() if wrong} == {}


@every_kernel
@every_dtype
@pytest.mark.parametrize("isa", FUSED[:1])
def test_a_compiled_kernel_has_the_bits_of_its_plan(name, dtype, isa):
    """Rows of every kind come out of the C as they come out of the interpreter."""
    assert unlike(program(name), dtype, isa, (1, 100, 600), ("auto",)) == []


@pytest.mark.parametrize(
    ("name", "isa", "dtype"),
    sliced(
        product(["softmax", "log_softmax", "entropy"], FUSED, ["f32", "f64"]),
        lambda c: c[1:] == (FUSED[0], "f32") or c == ("log_softmax", FUSED[-1], "f64"),
    ),
)
def test_every_strategy_has_the_bits_of_its_plan(name, dtype, isa):
    """Tails, blocks and rare rows too, for every strategy and instruction set."""
    assert unlike(program(name), dtype, isa, (1, 17, 257)) == []


@every_dtype
@pytest.mark.parametrize("isa", FUSED[:1])
@pytest.mark.parametrize("seed", range(6))
def test_random_kernels_have_the_bits_of_their_plans(seed, dtype, isa):
    """Random programs on moderate rows too."""
    assert unlike(fuzzed(seed), dtype, isa, (33,), ("auto",), KINDS) == []


OTHERS = frozenset("where take broadcast uniform cumsum lookup".split())


def places(op):
    """Programs that apply an operation to row-constants, rows, both, a row's first element and a taken one."""
    unary = op in ir.UNARY | {"isnan", "isfinite", "logical_not"}
    for place in ("constant", "row", "row and constant", "constant and row", "first", "taken"):
        b = Builder(op)
        x, z, y = (b.add(Input(name, role)) for name, role in (("x", Role.ROW), ("z", Role.ROW), ("y", Role.INDEX)))
        low, high = b.reduce("min", x), b.reduce("max", x)
        pair = {"constant": (low, high), "row and constant": (x, high), "constant and row": (low, x)}.get(place, (x, z))
        result = b.map(op, *pair[: 1 if unary else 2])
        if b.types[result] is ir.Type.BOOL:
            result = b.map("where", result, b.const(1.0), b.const(0.0))
        if place in ("first", "taken"):
            result = b.reduce("m2", result) if place == "first" else b.map("take", result, y)
        yield place, simplify(b.finish([Output(result)]))


@every_dtype
# uniform takes positions and a key, which is an index; tests/kernels/test_noise.py has its places.
# Folds of k-vectors take no rows, lookup takes a table; tests/kernels/test_topk.py and test_tables.py have theirs.
@pytest.mark.parametrize("op", sorted(ir.MAPS - ir.SMALL_FOLDS - OTHERS))
def test_every_operation_has_its_words_in_every_place(op, dtype):
    """Whatever stands where, there is a word for it, and it is right."""
    rng, wrong = np.random.default_rng(1), []
    inputs = {name: rng.uniform(0.05, 0.95, (2, 19)).astype(TYPES[dtype]) for name in "xz"} | {"y": np.array([3, 18])}
    for place, found in places(op):
        (plan,) = plans(found, dtype, 19, strategies=("auto",))
        if judge(interpret_plan(plan, inputs, {})[0], oracle(found, inputs, {}, TYPES[dtype])[0]).worst > 1:
            wrong.append(place)
    assert wrong == []


@every_dtype
@pytest.mark.parametrize(
    ("body", "x", "want"),
    [
        ("return np.sum(np.exp(x - np.max(x)))", [1e4, 1e4, -np.inf], 2),
        ("return np.exp(x - np.max(x)), np.sum(np.exp(x - np.max(x)))", [-1e5, -1e5], (1, 2)),
        ("e = np.exp(x); return e / np.sum(e), np.log(np.sum(e))", [2e4, 2e4], (0.5, 2e4 + np.log(2))),
        ("return np.exp(x), np.sum(np.exp(x))", [80.0, -60.0], ([np.exp(80), np.exp(-60)], np.exp(80))),
        ("e = np.exp(x); return np.log(np.sum(e)), np.sum(e)", [-np.inf, -np.inf], (-np.inf, 0)),
        ("return np.exp(rf.logsumexp(x) - np.mean(x))", [5e3, 5e3], 2),
        ("return x * 0.7", [np.inf, -np.inf, 1], ([np.inf, -np.inf, 0.7],)),
        ("return (x - np.mean(x, where=x < 9)) * t", [1.0, -1.0, np.inf], ([0.75, -0.75, np.inf],)),
        ("return np.log(np.exp(x * t) / np.sum(np.exp(x * t)))", [0.0, np.inf], (np.nan,)),
        ("return np.var(x) ** -0.5", [1.0, 3.0], 1),
        ("return np.var(-x)", [1.0, 3.0], 1),
    ],
)
def test_row_constants_neither_overflow_nor_cancel(body, x, want, dtype):
    """Exponentials that do not cancel, infinities beside row-constants, and rare words come out right."""
    signature = "x, *, t: rf.Positive = 0.75" if "t)" in body or "* t" in body else "x"
    found = simplify(trace(load(f"def fuzzed({signature}):\n    {body}\n")))
    inputs = {"x": np.array([x], TYPES[dtype])}
    tolerance = {"f32": 3e-7, "f64": 1e-14}[dtype]
    for plan in plans(found, dtype, len(x)):
        results = interpret_plan(plan, inputs, {p.name: 0.75 for _, p in found.params})
        for got, exact in zip(results, want if isinstance(want, tuple) else (want,), strict=True):
            np.testing.assert_allclose(got[0], np.broadcast_to(exact, got[0].shape), rtol=tolerance)


@every_dtype
def test_inputs_are_broadcast_and_outputs_keep_the_batch(dtype):
    """Any batch shape goes in, and comes out."""
    found = program("layer_norm")
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(2, 3, 20)), "weight": rng.normal(size=20), "bias": rng.normal(size=(3, 20))}
    (plan,) = plans(found, dtype, 20, strategies=("auto",))
    assert interpret_plan(plan, inputs, {"eps": 1e-5})[0].shape == (2, 3, 20)


@every_dtype
def test_an_empty_row_gives_the_identities(dtype):
    """No element, no block, and still a result."""
    (plan,) = plans(program("logsumexp"), dtype, 0, strategies=("auto",))
    np.testing.assert_array_equal(interpret_plan(plan, {"x": np.zeros((2, 0))}, {})[0], [-np.inf, -np.inf])


@every_dtype
def test_long_rows_take_about_a_second(dtype):
    """Eight rows of five thousand take a processor a few seconds at most, on a busy machine too."""
    (plan,) = plans(program("log_softmax"), dtype, 5000, strategies=("online",))
    x = np.random.default_rng(0).normal(size=(8, 5000))
    start = time.process_time()
    interpret_plan(plan, {"x": x}, {"temperature": 1.0})
    assert time.process_time() - start < 8
