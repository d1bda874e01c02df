"""Every word of the row language, planned under every strategy and compiled: what NumPy computes comes out."""

import shutil

import numpy as np
import pytest
from test_trace_vocabulary import WORDS, words_of

import rowfold as rf
from rowfold.codegen.language.vocabulary import VOCABULARY
from rowfold.codegen.lower.kernel import lower
from rowfold.codegen.machine import Machine
from rowfold.codegen.planner import STRATEGIES, make_plan
from rowfold.codegen.running.interpret_plan import interpret_kernel
from rowfold.codegen.simplify import simplify
from rowfold.codegen.trace import trace
from rowfold.errors import PlanError

MORE = [
    lambda x: rf.topk(x, 3)[0],
    lambda x: rf.topk(x, 3)[1],
    lambda x: rf.kth(x, 4),
    lambda x: np.cumsum(rf.topk(x, 3)[0]),
    lambda x: rf.topk(x, 3)[0].cumsum(),
    lambda x: rf.threshold(lambda z, t: np.maximum(z - t, 0.0), 1.0, x, lo=np.max(x) - 1.0, hi=np.max(x)),
    lambda x: rf.threshold(lambda z, t: rf.sigmoid(z - t), 2.0, x, lo=np.min(x) - 9.0, hi=np.max(x) + 9.0),
    lambda x: np.positive(np.absolute(np.negative(x))),
    lambda x: np.divide(np.subtract(x, 1.0), 3.0),
    lambda x: np.matmul(x, x),
    lambda x: np.bitwise_and(np.greater(x, 0.0), np.less(x, 1.0)),
    lambda x: np.bitwise_or(np.greater_equal(x, 1.0), np.less_equal(x, -1.0)),
    lambda x: np.bitwise_xor(np.equal(x, 1.0), np.not_equal(x, 0.0)),
    lambda x: np.invert(x > 0),
]
EVERY = [*WORDS, *MORE]
SEEDED = {"uniform", "gumbel"}  # they take a key; tests/kernels/test_noise.py holds them to NumPy's Philox
TYPES = {"f32": np.float32, "f64": np.float64}
CLOSE = {"f32": 2e-5, "f64": 1e-12}
X = np.float32(np.random.default_rng(0).normal(size=(4, 37)) * 1.5)
TOGETHER = 13  # words in one kernel: a page compiles faster than its parts


def results(found):
    return found if isinstance(found, tuple) else (found,)


def several(words):
    """One row function that returns what all the words give."""

    def many(x):
        return tuple(r for word in words for r in results(word(x)))

    return many


def wrong(got, fn, rows, close):
    """The results that are not what the row function makes of each row in float64."""
    with np.errstate(all="ignore"):
        each = [results(fn(row.astype(np.float64))) for row in rows]
    far = []
    for j, g in enumerate(results(got)):
        want = np.array([np.asarray(one[j], np.float64) for one in each])
        g = np.asarray(g, np.float64)
        with np.errstate(invalid="ignore"):
            near = np.abs(g - want) <= close * (1 + np.abs(want))
        far += [] if np.all(near | (g == want) | (np.isnan(g) & np.isnan(want))) else [j]
    return far


def loops_of(fn, dtype):
    """The loops that the strategies' plans of a word become, each once."""
    program, found = simplify(trace(fn)), []
    for strategy in STRATEGIES:
        try:
            plan = make_plan(program, dtype=dtype, isa="avx2", n=37, rows=4, strategy=strategy, machine=Machine())
        except PlanError:
            continue
        kernel = lower(plan)
        if kernel.steps not in found:
            found.append(kernel.steps)
            yield program, kernel


def test_no_word_is_left_out():
    """Each function of the vocabulary stands in some row function of this table."""
    words = {u.__name__ for u in (*VOCABULARY.ufuncs, *VOCABULARY.reduces, *VOCABULARY.functions)}
    words |= {*VOCABULARY.row_functions, *VOCABULARY.methods}
    used = {name for fn in EVERY for name in fn.__code__.co_names}
    assert words - used == SEEDED


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("fn", EVERY, ids=words_of)
def test_every_plan_of_a_word_is_numpy(fn, dtype):
    """The loops of all strategies, run word by word."""
    rows = X.astype(TYPES[dtype])
    runs = [interpret_kernel(kernel, program, {"x": rows}, {}) for program, kernel in loops_of(fn, dtype)]
    assert [wrong(run, fn, rows, CLOSE[dtype]) for run in runs] == [[]] * len(runs)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("first", range(0, len(EVERY), TOGETHER))
def test_words_compiled_together_are_numpy(first):
    """Float32 kernels in C, some words in each."""
    fn, rows = several(EVERY[first : first + TOGETHER]), X.astype(np.float32)
    assert wrong(rf.kernel(fn, name=f"words_{first}").using(backend="c")(rows), fn, rows, CLOSE["f32"]) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("backend", ["c", "llvm", "numpy"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("fn", EVERY, ids=words_of)
def test_every_strategy_of_a_word_is_numpy(fn, dtype, backend, tmp_path):
    """A word alone, compiled under every strategy that has a plan of it."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    compiler = tmp_path / "gcc"  # at -O0: twenty times as fast, and the same bits
    compiler.write_text('#!/bin/sh\nexec gcc "$@" -O0\n')
    compiler.chmod(0o755)
    rows, kernel, found = X.astype(TYPES[dtype]), rf.kernel(fn, name="word"), {}
    with rf.options(cc=str(compiler)):
        for strategy in STRATEGIES:
            try:
                found[strategy] = wrong(kernel.using(strategy=strategy, backend=backend)(rows), fn, rows, CLOSE[dtype])
            except PlanError:
                continue
    assert [strategy for strategy, far in found.items() if far] == []
