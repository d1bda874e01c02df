"""Equal maths gives one program, whatever its spelling, and no program changes its meaning."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.codegen.bounding.oracle import oracle
from rowfold.codegen.ir import Input, Map, Reduce, Role, operands
from rowfold.codegen.simplify import simplify
from rowfold.codegen.trace import parameters, settings_of, trace
from rowfold.testing import Case, Random, cases, load, random_source

MODERATE = ("normal", "normal_x5", "alternating", "sorted_up", "ramp_down", "zeros", "normal_plus_1e4")
# Each family: the parameters, and bodies that compute the same.
SPELLINGS = {
    "softmax": (
        "x",
        "return np.exp(x) / np.sum(np.exp(x))",
        "e = np.exp(x - np.max(x)); return e / np.sum(e)",
        "e = np.exp(x - np.mean(x)); return e / np.sum(e)",
        "return np.exp(x - rf.logsumexp(x))",
        "return np.exp(x - np.logaddexp.reduce(x))",
        "return np.exp(x) * (1 / np.sum(np.exp(x)))",
        "lp = x - np.log(np.sum(np.exp(x))); return np.exp(lp)",
        "m = np.max(x); return np.exp(x - m - np.log(np.sum(np.exp(x - m))))",
        "return np.exp(x + 3) / np.sum(np.exp(x + 3))",
    ),
    "softmax with a temperature": (
        "x, *, t: rf.Positive = 0.7",
        "e = np.exp(x / t); return e / np.sum(e)",
        "e = np.exp((1 / t) * x); return e / np.sum(e)",
        "e = np.exp(x * (1 / t)); return e / np.sum(e)",
        "e = np.exp((x - np.max(x)) / t); return e / np.sum(e)",
        "z = x / t; e = np.exp(z - np.max(z)); return e / np.sum(e)",
        "e = np.exp(x / t - np.max(x) / t); return e / np.sum(e)",
        "return np.exp(x / t - rf.logsumexp(x / t))",
    ),
    "log_softmax": (
        "x",
        "return x - rf.logsumexp(x)",
        "return x - np.log(np.sum(np.exp(x)))",
        "m = np.max(x); return x - m - np.log(np.sum(np.exp(x - m)))",
        "e = np.exp(x - np.max(x)); return np.log(e / np.sum(e))",
        "return np.log(np.exp(x) / np.sum(np.exp(x)))",
    ),
    "logsumexp": (
        "x",
        "return rf.logsumexp(x)",
        "return np.log(np.sum(np.exp(x)))",
        "m = np.max(x); return m + np.log(np.sum(np.exp(x - m)))",
        "m = np.mean(x); return np.log(np.sum(np.exp(x - m))) + m",
    ),
    "mean": (
        "x",
        "return np.mean(x)",
        "return x.mean()",
        "return np.sum(x) / x.size",
        "return np.sum(x / x.size)",
        "return np.sum(x) * (1 / x.size)",
    ),
    "variance": (
        "x",
        "return np.var(x)",
        "return np.mean((x - np.mean(x)) ** 2)",
        "return np.mean(np.square(x - np.mean(x)))",
        "d = x - np.sum(x) / x.size; return np.sum(d * d) / x.size",
    ),
    "entropy": (
        "x",
        "p = np.exp(x) / np.sum(np.exp(x)); return -np.sum(p * np.log(p))",
        "p = np.exp(x - np.max(x)); p = p / np.sum(p); return -np.sum(p * np.log(p))",
        "lp = x - rf.logsumexp(x); return -np.sum(np.exp(lp) * lp)",
        "p = np.exp(x - rf.logsumexp(x)); return rf.logsumexp(x) - np.sum(p * x)",
    ),
    "cross-entropy": (
        "x, y: rf.Index",
        "return rf.logsumexp(x) - x[y]",
        "return -(x - rf.logsumexp(x))[y]",
        "return -np.log((np.exp(x) / np.sum(np.exp(x)))[y])",
        "e = np.exp(x - np.max(x)); return -np.log(e / np.sum(e))[y]",
    ),
    "layer norm": (
        "x, *, eps: rf.NonNegative = 1e-5",
        "return (x - np.mean(x)) / np.sqrt(np.var(x) + eps)",
        "d = x - np.mean(x); return d / np.sqrt(np.mean(d * d) + eps)",
        "d = x - np.sum(x) / x.size; return d / np.sqrt(np.sum(d ** 2) / x.size + eps)",
    ),
}


def program(signature, body):
    """The traced program of a row function's text."""
    return trace(load(f"def fuzzed({signature}):\n    {body}\n"))


def maths(found):
    """A program without the user's names."""
    return found.nodes, found.outputs


@pytest.mark.parametrize("family", SPELLINGS)
def test_every_spelling_gives_one_program(family):
    """What the user wrote to say it does not show in the canonical program."""
    signature, *bodies = SPELLINGS[family]
    found = {maths(simplify(program(signature, body))) for body in bodies}
    assert len(found) == 1


@pytest.mark.parametrize("family", SPELLINGS)
def test_simplifying_again_changes_nothing(family):
    """The canonical program is its own canonical form."""
    signature, body, *_ = SPELLINGS[family]
    once = simplify(program(signature, body))
    assert maths(simplify(once)) == maths(once)


@pytest.mark.parametrize("family", ["softmax", "log_softmax", "logsumexp", "entropy", "cross-entropy"])
def test_no_maximum_is_left_where_it_only_shifts(family):
    """Stability is the plan's business: the maximum that a user subtracts is gone."""
    signature, *bodies = SPELLINGS[family]
    found = [n.op for body in bodies for n in simplify(program(signature, body)).nodes if isinstance(n, Reduce)]
    assert "max" not in found


@pytest.mark.parametrize(
    "body",
    [
        "return np.exp(x - np.max(x))[y]",
        "return (x * np.tanh(x) - np.mean(x))[y]",
        "return np.where(x > 0, x, 0.0)[y]",
        "return (rf.positions(x) * 0.5 + x)[y]",
    ],
)
def test_a_gather_moves_to_the_inputs(body):
    """f(x)[y] is f(x[y]), so that no row is computed for one element."""
    found = simplify(program("x, y: rf.Index", body))
    taken = {found.nodes[n.args[0]] for n in found.nodes if isinstance(n, Map) and n.op == "take"}
    assert all(isinstance(n, Input) and n.role is Role.ROW for n in taken)


def test_operands_come_before_what_reads_them():
    """Every node names earlier nodes only."""
    found = simplify(trace(load(random_source(Random(3)))))
    assert all(a < i for i, n in enumerate(found.nodes) for a in operands(n))


def test_a_users_name_stays_with_its_value():
    """The name of an exponential survives the rewriting that takes it apart."""
    found = simplify(program("x", "e = np.exp(x - np.max(x)); return e / np.sum(e)"))
    assert found.names[found.nodes.index(Map("exp", (0,)))] == "e"


def test_a_deep_program_is_simplified_in_reasonable_time():
    """A chain of a thousand additions and products neither recurses too deep nor takes for ever."""
    steps = "; ".join("v = v * 1.5 + x" for _ in range(500))
    assert simplify(program("x", f"v = x; {steps}; return v")).nodes


def differences(seed):
    """Where the traced and the simplified program differ by more than both may be off."""
    fn = load(random_source(Random(seed)))
    case = Case(seed=seed, batch=(len(MODERATE),), width=(1, 17, 100)[seed % 3], dtype="float64", values=MODERATE)
    inputs, settings = cases.arrays(case, parameters(fn)), {s.name: 0.75 for s in settings_of(fn) if not s.static}
    traced = trace(fn)
    before, after = (oracle(p, inputs, settings, "float64") for p in (traced, simplify(traced)))
    with np.errstate(all="ignore"):
        return [
            seed
            for a, b in zip(before, after, strict=True)
            if np.any(np.abs(a.value - b.value) > a.bound + b.bound)
        ]


@pytest.mark.parametrize("block", range(10))
def test_random_programs_keep_their_meaning(block):
    """Within the error bounds of both, a program and its canonical form are the same numbers."""
    assert [s for seed in range(20 * block, 20 * block + 20) for s in differences(seed)] == []


def test_library_kernels_are_programs_of_the_language():
    """Every ready-made kernel survives being simplified twice."""
    from rowfold import library

    unstable = []
    for name in library.__all__:
        kernel = getattr(library, name)
        once = kernel.program({"k": 5} if name == "softmax_topk" else {}, frozenset(), frozenset())
        if maths(simplify(once)) != maths(once):
            unstable.append(name)
    assert unstable == []


def test_rowfold_functions_mean_what_numpys_do():
    """rf.logsumexp and np.logaddexp.reduce are one word."""
    first, second = (rf.kernel(f, name="lse") for f in (lambda x: rf.logsumexp(x), lambda x: np.logaddexp.reduce(x)))
    assert maths(first.program({}, frozenset(), frozenset())) == maths(second.program({}, frozenset(), frozenset()))
