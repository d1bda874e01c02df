"""What holds for every program of the row language, whatever its spelling, layout or strategy."""

from itertools import product

import numpy as np
import pytest
from slices import sliced

import rowfold as rf
from rowfold.codegen.bounding.oracle import judge
from rowfold.codegen.interpret import interpret
from rowfold.codegen.trace import parameters, trace
from rowfold.errors import PlanError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import LAYOUTS, STRATEGIES, Case, Random, cases, laid_out, load, random_case, random_source

PROGRAMS = range(8)
QUICK = {"avx512": PROGRAMS[::2], "avx2": (3,), "portable": (5,)}  # programs that compile within a second or two
MODERATE = ("normal", "normal_x5", "alternating", "sorted_up", "ramp_down", "half_minus_inf")


def bits(results):
    results = results if isinstance(results, tuple) else (results,)
    return [np.ascontiguousarray(r).tobytes() for r in results]


def program(seed):
    """A random row function, a kernel of it, and arguments for 6 moderate rows of 100."""
    fn = load(random_source(Random(seed)))
    case = Case(seed=seed, batch=(6,), width=100, values=MODERATE)
    return rf.kernel(fn), list(cases.arrays(case, parameters(fn)).values())


@pytest.mark.kill
@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_simplifying_keeps_the_meaning(seed):
    """A program as traced gives what its simplified form does, within the error of float32."""
    wrong = []
    for one in range(seed, seed + 10):
        draws = Random(one)
        fn = load(random_source(draws))
        case = random_case(draws, fn, ("auto",), widths=(1, 2, 5, 17, 100))
        case = cases.Case(**{**vars(case), "dtype": "float32"})
        got = interpret(trace(fn), cases.arrays(case, parameters(fn)), case.settings, where=cases.selection(case))
        for result, want in zip(got, cases.expected(case, fn), strict=True):
            with np.errstate(over="ignore"):
                rounded = np.asarray(result).astype(np.float32)
            if judge(rounded, want).worst > 1:
                wrong.append(case)
    assert wrong == []


@pytest.mark.parametrize(
    ("isa", "seed"),
    sliced(
        product(host_isas(), PROGRAMS), lambda c: c[1] in (QUICK["avx512"] if c[0] == host_isas()[0] else QUICK[c[0]])
    ),
)
def test_strategies_agree_bitwise(isa, seed):
    """Every strategy that has a plan gives the same bits on one instruction set."""
    kernel, arguments = program(seed)
    want, different = bits(kernel.using(isa=isa)(*arguments)), []
    for strategy in STRATEGIES[1:]:
        try:
            got = bits(kernel.using(strategy=strategy, isa=isa)(*arguments))
        except PlanError:
            continue
        if got != want:
            different.append(strategy)
    assert different == []


@pytest.mark.parametrize("seed", PROGRAMS)
def test_a_row_alone_is_the_row_in_a_batch(seed):
    """Neither the batch nor the place in it changes a bit of a row's result."""
    kernel, arguments = program(seed)
    whole = kernel(*arguments)
    whole = whole if isinstance(whole, tuple) else (whole,)
    alone = [kernel(*(a[i : i + 1] for a in arguments)) for i in range(6)]
    alone = [one if isinstance(one, tuple) else (one,) for one in alone]
    assert bits(whole) == bits(tuple(np.concatenate(parts) for parts in zip(*alone, strict=True)))


@pytest.mark.parametrize("seed", PROGRAMS)
def test_layouts_change_no_bit(seed):
    """Strides of any sign, gaps and misalignment change no bit of a result."""
    kernel, arguments = program(seed)
    want = bits(kernel(*arguments))
    different = [
        layout
        for layout in LAYOUTS
        if bits(kernel(*(laid_out(a, layout) if a.ndim == 2 else a for a in arguments))) != want
    ]
    assert different == []


@pytest.mark.parametrize("seed", PROGRAMS)
def test_in_place_changes_no_bit(seed):
    """A kernel may write its first row over its first argument."""
    kernel, arguments = program(seed)
    want = kernel(*arguments)
    results = want if isinstance(want, tuple) else (want,)
    if results[0].ndim != 2:
        pytest.skip("its first result is a number")
    first = arguments[0].copy()
    out = (first, *(np.empty_like(r) for r in results[1:]))
    got = kernel(first, *arguments[1:], out=out if isinstance(want, tuple) else first)
    assert bits(got) == bits(want)


@rf.kernel
def twice_beside_a_sum(x):
    return x * 2.0, rf.logsumexp(x)


@pytest.mark.parametrize("backend", ["c", "llvm"])
@pytest.mark.parametrize("strategy", ["auto", "three_pass_recompute", "online", "two_pass", "speculative"])
def test_a_row_is_not_written_over_before_its_sum_is_certain(strategy, backend):
    """In place, rows that reach far or rise late are doubled, and their sums are those of the rows."""
    rows = np.random.default_rng(0).normal(size=(4, 300)).astype(np.float32)
    rows[1] *= 1e6
    rows[2, 100] = 60
    want = bits((rows * 2, rf.library.logsumexp(rows)))
    kernel, different = twice_beside_a_sum.using(strategy=strategy, backend=backend), 0
    for _ in range(20):  # from the eighth on, calls are answered in C
        x = rows.copy()
        different += bits(kernel(x, out=(x, np.empty(4, np.float32)))) != want
    assert different == 0


def test_a_far_row_is_written_in_a_walk_that_guesses():
    """A row whose guessed sum is not even tried is written all the same."""
    x = np.full((2, 300), 1e6, np.float32)
    out = np.full_like(x, np.nan), np.empty(2, np.float32)
    twice_beside_a_sum.using(strategy="speculative")(x, out=out)
    assert (out[0] == 2e6).all()
