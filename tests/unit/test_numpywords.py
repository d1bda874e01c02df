"""The words on NumPy arrays round exactly once, everywhere."""

from fractions import Fraction

import numpy as np
import pytest

from rowfold.codegen.running.numpywords import NumpyWords, fma32, fma64

INF, NAN = np.inf, np.nan
FORMATS = {"f32": np.float32, "f64": np.float64}


def nearest(value, dtype):
    """The number of the format that is nearest to a fraction, ties to even."""
    if value == 0:
        return dtype(0)
    info = np.finfo(dtype)
    exponent = max((abs(value.numerator).bit_length() - value.denominator.bit_length()) - 1, info.minexp)
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    spacing = Fraction(2) ** (exponent - info.nmant)
    rounded = round(value / spacing) * spacing  # Fraction rounds ties to even
    return (
        dtype(float(rounded))
        if abs(rounded) <= Fraction(float(info.max))
        else dtype(np.copysign(INF, float(value > 0) - 0.5))
    )


def random_bits(dtype, size, rng):
    whole = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    values = rng.integers(0, np.iinfo(whole).max, size, dtype=whole).view(dtype)
    return values[np.isfinite(values)]


def triples(dtype, size, rng):
    """Random bits, near cancellations, ties, and products at the end of the subnormal numbers."""
    a, b, c = (random_bits(dtype, size, rng)[: size // 2] for _ in range(3))
    with np.errstate(all="ignore"):
        cancelling = -(a * b) * rng.choice(np.array([0.5, 1.0, 2.0], dtype), len(a))
    near = np.where(np.isfinite(cancelling), cancelling, c)
    tiny = np.ldexp(rng.uniform(1, 2, len(a)).astype(dtype), rng.integers(np.finfo(dtype).minexp - 25, 1, len(a)))
    small = np.ldexp(rng.uniform(1, 2, len(a)).astype(dtype), np.finfo(dtype).minexp // 2 - rng.integers(0, 15, len(a)))
    halfway = rng.choice(np.array([1, -1, 3], dtype), len(a)) * np.finfo(dtype).eps * dtype(0.5)
    ones = 1 + rng.integers(0, 4, len(a)).astype(dtype) * np.finfo(dtype).eps
    groups = (
        (a, b, c),
        (a, b, near),
        (tiny, ones, tiny[::-1]),
        (small, small[::-1], tiny),
        (halfway, ones, ones[::-1]),
    )
    return [np.concatenate(parts) for parts in zip(*groups, strict=True)]


@pytest.mark.parametrize(("fma", "dtype"), [(fma32, np.float32), (fma64, np.float64)])
def test_fma_rounds_once(fma, dtype):
    """a b + c is the nearest number to the exact value, whatever the three are."""
    a, b, c = triples(dtype, 1000, np.random.default_rng(1))
    exact = [
        nearest(Fraction(float(p)) * Fraction(float(q)) + Fraction(float(r)), dtype)
        for p, q, r in zip(a, b, c, strict=True)
    ]
    np.testing.assert_array_equal(fma(a, b, c), np.array(exact, dtype))


@pytest.mark.parametrize(("fma", "dtype"), [(fma32, np.float32), (fma64, np.float64)])
def test_fma_of_special_values(fma, dtype):
    """Infinities, NaN and signed zeros follow IEEE 754; a product that overflows on the way is no infinity."""
    big = np.finfo(dtype).max
    a = np.array([INF, INF, 0, big, big, big, 0.0, -0.0, 1, 2, NAN], dtype)
    b = np.array([1, 1, INF, 2, 2, 2, 1.0, 1.0, 1, 0.5, 1], dtype)
    c = np.array([-INF, 5, 1, -INF, -big, 0, -0.0, -0.0, -1, NAN, 1], dtype)
    expected = np.array([NAN, INF, NAN, -INF, big, INF, 0.0, -0.0, 0.0, NAN, NAN], dtype)
    got = fma(a, b, c)
    np.testing.assert_array_equal(np.copysign(1, np.nan_to_num(got)), np.copysign(1, np.nan_to_num(expected)))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_max_and_min_take_the_second_operand_beside_a_nan(dtype):
    """The rule of x86, by which max(low, x) keeps a NaN in x."""
    w = NumpyWords(dtype)
    got = [w.max(1.0, NAN), w.max(NAN, 1.0), w.min(1.0, NAN), w.min(NAN, 1.0)]
    np.testing.assert_array_equal(got, [NAN, 1.0, NAN, 1.0])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_scale_saturates_and_rounds_once(dtype):
    """p 2^n for an n of any size is a correctly rounded subnormal, zero or infinity."""
    w, form = NumpyWords(dtype), FORMATS[dtype]
    end = np.finfo(form).minexp - np.finfo(form).nmant  # the exponent of the smallest number
    p = np.array([1.5, 1.25, 1.0, 1.0, 1.0, -1.0, NAN, 1.0], form)
    n = np.array([end, end, end - 1, 3e30, -INF, INF, 1.0, NAN], form)
    least = np.ldexp(form(1), end)
    with np.errstate(all="ignore"):
        got = w.scale(p, n)
    np.testing.assert_array_equal(got[:7], np.array([2 * least, least, 0.0, INF, 0.0, -INF, NAN], form))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_exponent_and_mantissa_put_every_number_together_again(dtype):
    """x = mantissa 2^exponent with the mantissa in [1, 2), subnormals included."""
    w, form = NumpyWords(dtype), FORMATS[dtype]
    x = np.array(
        [1.0, 1.999, 2.0, 0.75, np.finfo(form).max, np.finfo(form).tiny, np.finfo(form).smallest_subnormal], form
    )
    m, e = w.mantissa(x), w.exponent(x)
    assert np.all((m >= 1) & (m < 2)) and np.array_equal(np.ldexp(m, e.astype(int)), x)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_words_accept_scalars_and_broadcast(dtype):
    """A constant beside an array is the array of that constant."""
    w, form = NumpyWords(dtype), FORMATS[dtype]
    got = w.fma(np.arange(6, dtype=form).reshape(2, 3), w.const(2.0), w.const(1.0))
    assert got.dtype == form and got.tolist() == [[1, 3, 5], [7, 9, 11]]
