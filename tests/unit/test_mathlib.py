"""Every function of the library is as accurate as it says, and right at the special values."""

import sys
from pathlib import Path

import numpy as np
import pytest

from rowfold.codegen.mathlib import FUNCTIONS
from rowfold.codegen.mathlib.coefficients import LOG2E
from rowfold.codegen.running.numpywords import run

INF, NAN = np.inf, np.nan
FORMATS = {"f32": np.float32, "f64": np.float64}
WIDER = {"f32": np.float64, "f64": np.longdouble}
extended = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no 80-bit numbers to compare with")
DTYPES = ["f32", pytest.param("f64", marks=extended)]


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# name: the function in wider numbers, and the two ends of the magnitudes, by dtype; abs(x) beyond them is dull
POSITIVE = {"log": np.log, "log2": np.log2, "rsqrt": lambda x: 1 / np.sqrt(x)}
SIGNED = {
    "exp": (np.exp, (1e-9, 110), (1e-18, 760)),
    "exp2": (np.exp2, (1e-9, 155), (1e-18, 1080)),
    "expm1": (np.expm1, (1e-40, 100), (1e-310, 720)),
    "log1p": (np.log1p, (1e-40, 3e38), (1e-310, 1e308)),
    "tanh": (np.tanh, (1e-40, 30), (1e-310, 40)),
    "sigmoid": (sigmoid, (1e-9, 110), (1e-18, 760)),
    "softplus": (softplus, (1e-9, 110), (1e-18, 760)),
    "sin": (np.sin, (1e-40, 2.0**18), (1e-310, 2.0**30)),
    "cos": (np.cos, (1e-9, 2.0**18), (1e-18, 2.0**30)),
    "arctan": (np.arctan, (1e-40, 3e38), (1e-310, 1e308)),
    "arcsin": (np.arcsin, (1e-40, 1), (1e-310, 1)),
    "arccos": (np.arccos, (1e-9, 1), (1e-18, 1)),
}
EXACT = {name: case[0] for name, case in SIGNED.items()} | POSITIVE


def sample(name, dtype, size):
    """Magnitudes of every order, and as many evenly spread over the part where a function bends."""
    form = FORMATS[dtype]
    rng = np.random.default_rng(7)
    if name in POSITIVE:
        low, high = float(np.finfo(form).smallest_subnormal), float(np.finfo(form).max)
    else:
        low, high = SIGNED[name][1 if dtype == "f32" else 2]
    orders = np.exp(rng.uniform(np.log(low), np.log(high), size))
    bend = rng.uniform(0, min(high, 4.0), size)
    wide = rng.uniform(0, min(high, 1000.0), size)
    x = np.concatenate([orders, bend, wide])
    signs = 1 if name in POSITIVE else rng.choice([-1.0, 1.0], len(x))
    return np.clip(x * signs, -high, high).astype(form)


def ulp_error(got, exact, form):
    """The error in units of the last place of the exact value; a wrong special value counts as infinite."""
    info = np.finfo(form)
    with np.errstate(all="ignore"):
        exponent = np.maximum(np.frexp(exact)[1] - 1, info.minexp)
        error = np.abs(got - exact) / np.ldexp(np.ones_like(exact), exponent - info.nmant)
        rounded = exact.astype(form)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    regular = np.isfinite(rounded) & np.isfinite(got)
    return np.where(regular, error, np.where(same, 0.0, INF)), regular & (np.abs(rounded) < info.tiny)


def worst(name, dtype, x):
    """The largest error among normal and among subnormal results."""
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(WIDER[dtype]))
    error, subnormal = ulp_error(run(name, dtype, x), exact, FORMATS[dtype])
    return float(np.max(error, where=~subnormal, initial=0)), float(np.max(error, where=subnormal, initial=0))


@pytest.mark.kill
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_the_error_is_what_the_function_says(name, dtype):
    """No result is further off than `Function.error`; subnormal results may be half a unit worse."""
    normal, subnormal = worst(name, dtype, sample(name, dtype, 20_000))
    assert (normal <= FUNCTIONS[name].error[dtype]) and (subnormal <= 1.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_every_float32_result_is_within_the_error(name):
    """The same for every float32 of the smaller domains, and for every 64th of all of them elsewhere."""
    step = 1 if name in ("exp", "exp2") else 64
    low, high = (0.0, 3e38) if name in POSITIVE else SIGNED[name][1]
    first, last = np.array([low, high], np.float32).view(np.uint32).tolist()
    errors = []
    for start in range(first, last, step << 20):
        x = np.arange(start, min(start + (step << 20), last), step, dtype=np.uint32).view(np.float32)
        errors += [worst(name, "f32", x)] + ([] if name in POSITIVE else [worst(name, "f32", -x)])
    normal, subnormal = np.max(errors, axis=0)
    assert (normal <= FUNCTIONS[name].error["f32"]) and (subnormal <= 1.5)


@pytest.mark.slow
@extended
@pytest.mark.parametrize("name", EXACT)
def test_millions_of_float64_results_are_within_the_error(name):
    """The same on a larger sample of float64."""
    normal, subnormal = worst(name, "f64", sample(name, "f64", 700_000))
    assert (normal <= FUNCTIONS[name].error["f64"]) and (subnormal <= 1.5)


def split_error(name, dtype, x, scale):
    """The largest error of p in exp_split or exp_parts, x times scale being the exponent of two."""
    form, wide = FORMATS[dtype], WIDER[dtype]
    k_hi = form(scale)
    k_lo = form(wide(scale) - wide(k_hi))
    p, n = run(name, dtype, x, k_hi, k_lo) if name == "exp_split" else run(name, dtype, x)
    high, low = x.astype(wide) * wide(k_hi), x.astype(wide) * (wide(scale) - wide(k_hi))
    return ulp_error(p, np.exp2((high - n) + low), form)[0].max()


@pytest.mark.parametrize("scale", [1.0, 0.1, 2.5, -0.7])
def test_exp_split_is_as_accurate_for_any_scale(scale):
    """A temperature on the argument costs no accuracy."""
    x = np.random.default_rng(3).uniform(-2000, 2000, 300_000).astype(np.float32)
    assert split_error("exp_split", "f32", x, scale / np.log(2)) <= FUNCTIONS["exp_split"].error["f32"]


@pytest.mark.parametrize("name", ["exp_split", "exp_parts"])
def test_the_exponent_form_holds_far_beyond_the_range_of_exp(name):
    """e^x = p 2^n stays accurate up to abs(x) = 2^16, where e^x itself is long out of range."""
    x = np.random.default_rng(4).uniform(-65536, 65536, 300_000).astype(np.float32)
    assert split_error(name, "f32", x, 1 / np.log(2)) <= FUNCTIONS[name].error["f32"]


@extended
@pytest.mark.parametrize("name", ["exp_split", "exp_parts"])
def test_the_exponent_form_in_float64(name):
    """The same in float64, near zero, where 80-bit numbers can judge it."""
    x = np.random.default_rng(5).uniform(-8, 8, 50_000)
    scale = np.longdouble(LOG2E["f64"][0]) + np.longdouble(LOG2E["f64"][1])
    p, n = run(name, "f64", x, *LOG2E["f64"][:2]) if name == "exp_split" else run(name, "f64", x)
    exact = np.exp(x.astype(np.longdouble)) * np.exp2(-n.astype(np.longdouble))
    assert ulp_error(p, exact, np.float64)[0].max() <= FUNCTIONS[name].error["f64"] and scale > 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_exponent_form_in_two_parts(dtype):
    """The p and p_lo of exp_split_pair are nearer to e^x than any one number: p is rounded once and no more."""
    form, wide = FORMATS[dtype], WIDER[dtype]
    x = np.random.default_rng(8).uniform(-8, 8, 50_000).astype(form)
    p, p_lo, n = run("exp_split_pair", dtype, x, *(form(k) for k in LOG2E[dtype][:2]))
    exact = np.exp(x.astype(wide)) * np.exp2(-n.astype(wide))
    assert np.array_equal(p, run("exp_split", dtype, x, *(form(k) for k in LOG2E[dtype][:2]))[0])
    error = ulp_error(p.astype(wide) + p_lo.astype(wide), exact, form)[0].max()
    assert error <= FUNCTIONS["exp_split_pair"].error[dtype] < FUNCTIONS["exp_split"].error[dtype] - 0.4


@pytest.mark.kill
@pytest.mark.parametrize("dtype", DTYPES)
def test_log1p_of_a_number_in_two_parts(dtype):
    """What the argument was rounded by is in the result, for every size of it."""
    form, wide = FORMATS[dtype], WIDER[dtype]
    rng = np.random.default_rng(9)
    low, high = (1e-36, 1e36) if dtype == "f32" else (1e-290, 1e300)
    x = np.concatenate([np.exp(rng.uniform(np.log(low), np.log(high), 20_000)), rng.uniform(0, 4, 20_000)]).astype(form)
    x_lo = (np.spacing(x) * rng.uniform(-3, 3, x.size)).astype(form)
    error, _ = ulp_error(run("log1p_sum", dtype, x, x_lo), np.log1p(x.astype(wide) + x_lo), form)
    assert error.max() <= FUNCTIONS["log1p_sum"].error[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("c", [0.5, -0.5, 1 / 3, 2.2, -3.7, 25.25, -100.25, 5.0, -2.0, -3.0, 101.0])
def test_power_is_within_its_error(c, dtype):
    """x^c for a constant c, over every magnitude of x and close to 1; of negative numbers too if c is whole."""
    form, wide = FORMATS[dtype], WIDER[dtype]
    rng = np.random.default_rng(6)
    x = np.concatenate([sample("log", dtype, 8_000), rng.uniform(0.5, 2, 8_000).astype(form)])
    if c.is_integer():
        x[::2] *= -1
    with np.errstate(all="ignore"):
        exact = (x.astype(np.longdouble) ** np.longdouble(form(c))).astype(wide)
    error, subnormal = ulp_error(run("power", dtype, x, form(c)), exact, form)
    assert np.all(error <= np.where(subnormal, 1.5, FUNCTIONS["power"].error[dtype]))


def exponent_parts(dtype):
    """x and b, far apart and with a sum of any size that matters, and what b lost to rounding."""
    form, rng = FORMATS[dtype], np.random.default_rng(5)
    total = rng.uniform(-87, 87, 20_000) if dtype == "f32" else rng.uniform(-30, 30, 20_000)
    b = rng.normal(size=20_000) * (1000.0 if dtype == "f32" else 10.0)
    lo = b - b.astype(form) if dtype == "f32" else b * 2.0**-54
    return (total - b).astype(form), b.astype(form), lo.astype(form)


@pytest.mark.kill
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_sum_in_an_exponent_is_not_rounded(dtype):
    """e^(x + b) is as exact as e^x is, though x and b cancel."""
    x, b, lo = exponent_parts(dtype)
    exact = np.exp(sum(a.astype(WIDER[dtype]) for a in (x, b, lo)))
    error, _ = ulp_error(run("exp_sum", dtype, x, b, lo), exact, FORMATS[dtype])
    assert np.max(error) <= FUNCTIONS["exp_sum"].error[dtype]


@pytest.mark.kill
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_product_in_an_exponent_is_not_rounded(dtype):
    """e^(x a + b) is as exact as e^x is, though x a and b cancel."""
    (x, b, lo), form, wide = exponent_parts(dtype), FORMATS[dtype], WIDER[dtype]
    a = np.array(0.1, form)
    a_lo = np.array(0.1 - float(a), form)
    x = (x / a).astype(form)
    exact = np.exp(x.astype(wide) * (a.astype(wide) + a_lo) + b + lo)
    error, _ = ulp_error(run("exp_line", dtype, x, a, a_lo, b, lo), exact, form)
    assert np.max(error) <= FUNCTIONS["exp_line"].error[dtype]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_special_sums_in_an_exponent(dtype):
    """Infinities and NaN are those of the sum, whatever its rounding error may be."""
    ends = np.array([0.0, 1.0, INF, -INF, NAN, np.finfo(FORMATS[dtype]).max], FORMATS[dtype])
    x, b = (a.ravel() for a in np.meshgrid(ends, np.append(ends, -ends[-1])))
    with np.errstate(all="ignore"):
        exact = np.exp(x + b)
    np.testing.assert_allclose(run("exp_sum", dtype, x, b, np.zeros_like(x)), exact, rtol=1e-6)


SPECIAL = {
    "exp": ([-INF, INF, NAN, 0.0, -0.0, 1e30, -1e30], [0.0, INF, NAN, 1.0, 1.0, INF, 0.0]),
    "exp2": ([-INF, INF, NAN, 0.0, 10.0, -3.0], [0.0, INF, NAN, 1.0, 1024.0, 0.125]),
    "expm1": ([-INF, INF, NAN, 0.0, -0.0, 1e-30], [-1.0, INF, NAN, 0.0, -0.0, 1e-30]),
    "log": ([-INF, INF, NAN, 0.0, -0.0, -1.0, 1.0], [NAN, INF, NAN, -INF, -INF, NAN, 0.0]),
    "log1p": ([-INF, INF, NAN, 0.0, -0.0, -1.0, -1.5, 1e-30], [NAN, INF, NAN, 0.0, -0.0, -INF, NAN, 1e-30]),
    "log2": ([-INF, INF, NAN, 0.0, -1.0, 8.0, 0.5], [NAN, INF, NAN, -INF, NAN, 3.0, -1.0]),
    "tanh": ([-INF, INF, NAN, 0.0, -0.0, 100.0], [-1.0, 1.0, NAN, 0.0, -0.0, 1.0]),
    "sigmoid": ([-INF, INF, NAN, 0.0], [0.0, 1.0, NAN, 0.5]),
    "softplus": ([-INF, INF, NAN, 1e30], [0.0, INF, NAN, 1e30]),
    "rsqrt": ([INF, NAN, 0.0, -0.0, -1.0, 4.0, -INF], [0.0, NAN, INF, -INF, NAN, 0.5, NAN]),
    "sin": ([INF, -INF, NAN, 0.0, -0.0, 1e30], [NAN, NAN, NAN, 0.0, -0.0, NAN]),
    "cos": ([INF, -INF, NAN, 0.0, -0.0, 1e30], [NAN, NAN, NAN, 1.0, 1.0, NAN]),
    "arctan": ([NAN, 0.0, -0.0], [NAN, 0.0, -0.0]),
    "arcsin": ([NAN, 0.0, -0.0, 1.5, INF], [NAN, 0.0, -0.0, NAN, NAN]),
    "arccos": ([NAN, 1.0, 1.5, -INF], [NAN, 0.0, NAN, NAN]),
}


@pytest.mark.kill
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name, dtype):
    """Infinities, NaN and the zeros with their signs."""
    x, expected = (np.array(v, FORMATS[dtype]) for v in SPECIAL[name])
    got = run(name, dtype, x)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(expected[~np.isnan(got)]))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_power_of_special_values(dtype):
    """0, inf, NaN and negative bases, by the sign of the exponent."""
    x = np.array([0.0, INF, NAN, -2.0, 0.0, INF, 1.0, 2.0], FORMATS[dtype])
    c = np.array([1.5, 1.5, 1.5, 1.5, -1.5, -1.5, 7.5, 0.0], FORMATS[dtype])
    np.testing.assert_array_equal(run("power", dtype, x, c), [0.0, INF, NAN, NAN, INF, 0.0, 1.0, 1.0])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("c", [5.0, 6.0, -2.0, -3.0, 0.0, 2.5, -2.5])
def test_power_at_the_edges_is_numpys(c, dtype):
    """Zeros and infinities of both signs, NaN and negative numbers, under whole exponents and others."""
    x = np.array([0.0, -0.0, INF, -INF, NAN, -2.0], FORMATS[dtype])
    got = run("power", dtype, x, FORMATS[dtype](c))
    with np.errstate(all="ignore"):
        want = np.power(x, FORMATS[dtype](c))
    np.testing.assert_allclose(got, want, 1e-6)
    np.testing.assert_array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(want[~np.isnan(got)]))


def test_every_function_says_what_it_is():
    """The doc sentence, the domain and the source become the comment in the emitted code."""
    assert [
        f.name for f in FUNCTIONS.values() if not (f.doc and f.domain and f.source and min(f.error.values()) > 0)
    ] == []


@pytest.mark.slow
def test_the_coefficients_are_those_that_the_tool_derives():
    """tools/derive_coefficients.py prints the checked-in module, to the last bit."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
    try:
        import derive_coefficients
    finally:
        sys.path.pop(0)
    assert derive_coefficients.module() == derive_coefficients.MODULE.read_text()
