"""The tools that judge kernels are right themselves."""

import mpmath
import numpy as np
import pytest

from rowfold import testing
from rowfold.codegen.interpret import interpret
from rowfold.testing import LAYOUTS, Case, Random, cases, laid_out, random_source, ulp, ulp_error, values


class Interpreted:
    """A kernel that is the float64 interpreter of its program, rounded once, and then wrong by a factor."""

    def __init__(self, fn, factor=1.0):
        self.__wrapped__, self.factor = fn, factor

    def using(self, **choices):
        return self

    def __call__(self, *arrays, axis=-1, out=None, where=None, **settings):
        program = cases.program_of(Case(settings=settings), self.__wrapped__)
        named = {p.name: a for (_, p), a in zip(program.inputs, arrays, strict=True)}
        moved = {k: np.moveaxis(a, axis, -1) if a.ndim == arrays[0].ndim else a for k, a in named.items()}
        mask = None if where is None else np.moveaxis(where, axis, -1)
        rows = [program.is_row(o.ref) for o in program.outputs]
        results = interpret(program, moved, settings, dtype=np.longdouble, where=mask)
        with np.errstate(all="ignore"):
            made = [(r * self.factor).astype(arrays[0].dtype) for r in results]
        made = [np.moveaxis(r, -1, axis) if wide else r for r, wide in zip(made, rows, strict=True)]
        if out is not None:
            for target, result in zip(out if isinstance(out, tuple) else (out,), made, strict=True):
                target[...] = result
        return tuple(made) if len(made) > 1 else made[0]


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


def mp_softmax(row):
    exps = [mpmath.exp(mpmath.mpf(float(x))) for x in row]
    return [e / mpmath.fsum(exps) for e in exps]


@pytest.mark.parametrize(
    ("value", "dtype", "want"),
    [
        (1.0, "f4", 2.0**-23),
        (1.99, "f4", 2.0**-23),
        (0.0, "f4", 2.0**-149),
        (1e-45, "f4", 2.0**-149),
        (-4.0, "f8", 2.0**-50),
    ],
)
def test_ulp_is_the_spacing(value, dtype, want):
    """The spacing at a value, never below that of subnormal numbers."""
    assert float(ulp(value, dtype)) == want


@pytest.mark.parametrize(
    ("got", "exact", "want"),
    [
        (1.0, 1.0, 0),
        (1 + 2.0**-23, 1.0, 1),
        (np.nan, np.nan, 0),
        (np.nan, 1.0, np.inf),
        (np.inf, 1.0, np.inf),
        (np.inf, 1e39, 0),
    ],
)
def test_ulp_errors_count_specials(got, exact, want):
    """Equal specials have no error, wrong ones an infinite one."""
    assert float(ulp_error(np.float32(got), exact)) == want


@pytest.mark.parametrize("kind", ["normal_x5", "normal_x50", "normal_plus_1e4", "uniform_wide", "ramp_up"])
def test_the_exact_softmax_judges_float64(kind):
    """The reference is good to a hundredth of a float64 ULP."""
    x = values.row(kind, "float64", 40, np.random.default_rng(1))
    got = testing.exact_softmax(x)
    with mpmath.workdps(60):
        want = mp_softmax(x)
        off = [
            abs(mpmath.mpf(mpmath.mpf(repr_exact(g)) - w)) / float(ulp(float(w), "f8"))
            for g, w in zip(got, want, strict=True)
        ]
    assert max(off) < 0.01


def repr_exact(x):
    """A long double as a whole number times a power of two."""
    mantissa, exponent = np.frexp(x)
    return mpmath.ldexp(int(np.ldexp(mantissa, 80)), int(exponent) - 80)


@pytest.mark.parametrize("gap", [0.5, 15.0, 16.0, 40.0, 300.0])
def test_the_exact_log_softmax_of_a_confident_class(gap):
    """The largest element's log-probability is exact however close to 0."""
    got = testing.exact_log_softmax(np.array([gap, 0.0]))[0]
    with mpmath.workdps(200):
        want = -mpmath.log1p(mpmath.exp(-mpmath.mpf(gap)))
        assert abs(repr_exact(got) / want - 1) < 1e-18


def test_exact_references_follow_the_table():
    """logsumexp of +inf is +inf, of nothing -inf; softmax of such rows is NaN."""
    rows = np.array([[np.inf, 0], [-np.inf, -np.inf], [np.nan, 0]])
    np.testing.assert_array_equal(testing.exact_logsumexp(rows), [np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 2, 17])
def test_the_zoo_has_every_kind_at_every_width(dtype, n):
    """Every kind of row can be made at any width, and the finite ones are finite."""
    made = testing.zoo(dtype, n, np.random.default_rng(0))
    assert all(made[k].shape == (n,) and made[k].dtype == dtype and np.all(np.isfinite(made[k])) for k in values.FINITE)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_layouts_hold_equal_values(layout):
    """A layout changes where numbers stand and not what they are."""
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(laid_out(x, layout), x)


def test_the_fuzzer_passes_a_right_kernel():
    """A kernel within its bounds is accepted."""
    assert testing.fuzz(Interpreted(softmax), seconds=0.5, seed=1).worst <= 1


def test_the_fuzzer_finds_a_wrong_kernel():
    """A kernel that is off by a millionth is found, with a file that shows it."""
    with pytest.raises(AssertionError, match=r"from rowfold\.testing import Case, check"):
        testing.fuzz(Interpreted(softmax, 1 + 2e-6), seconds=60, seed=1)  # found long before


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_run_and_trace(seed):
    """A generated row function is in the row language."""
    draws = Random(seed)
    fn = testing.load(random_source(draws))
    testing.check(Interpreted(fn), testing.random_case(draws, fn, ["auto"], widths=(1, 5, 17)))


def test_a_reproducer_is_a_file_that_runs(tmp_path):
    """What is printed for a failing case can be run as it stands."""
    text = cases.reproducer("def fuzzed(x):\n    return np.exp(x)\n", Case(batch=(2, 3), width=5, axis=0))
    compile(text, "reproducer.py", "exec")
