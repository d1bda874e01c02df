"""Random rows: the same numbers in every walk, strategy, instruction set and in the reference."""

from itertools import product

import numpy as np
import pytest
from slices import sliced

import rowfold as rf
from rowfold import philox
from rowfold.codegen.running.interpret_plan import interpret_plan
from rowfold.errors import TraceError
from rowfold.runtime.cpu import host_isas
from rowfold.testing import STRATEGIES

every_isa = pytest.mark.parametrize("isa", host_isas())
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def quick(case):
    return case == (host_isas()[0], "float32")


@rf.kernel
def numbers(x, seed: rf.Scalar):
    return rf.uniform(x, seed)


@rf.kernel
def one_number(x, at: rf.Index, seed: rf.Scalar):
    return rf.uniform(x, seed)[at]


@rf.kernel
def gumbel_softmax(x, seed: rf.Scalar, *, temperature: rf.Positive = 1.0):
    z = (x + rf.gumbel(x, seed)) / temperature
    e = np.exp(z - np.max(z))
    return e / np.sum(e)


def rows(dtype, n=70):
    return np.random.default_rng(0).normal(size=(3, n)).astype(dtype)


def expected(n=70):
    return philox.uniform(np.arange(n), philox.row_keys(42, (3,))[:, None])


def test_the_generator_gives_the_published_words():
    """The known answer of the authors' test for counter 0 and key 0."""
    assert philox.philox(0, 0).tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_numbers_are_uniform():
    """Mean and variance of a hundred thousand numbers are those of the uniform law within five deviations."""
    u = philox.uniform(np.arange(100_000), np.uint64(7))
    assert abs(u.mean() - 1 / 2) < 5 / np.sqrt(12e5) and abs(u.var() - 1 / 12) < 5 / np.sqrt(180e5)


@every_dtype
@every_isa
@pytest.mark.parametrize("n", [1, 70, 600])
def test_a_kernel_gives_the_numbers_of_the_generator(n, isa, dtype):
    """Bit for bit, at any length."""
    np.testing.assert_array_equal(numbers.using(isa=isa)(rows(dtype, n), 42), expected(n))


@every_isa
def test_keys_may_be_given_by_row(isa):
    """An array of uint64 holds the keys themselves."""
    keys = np.array([0, 2**63 + 5, 2**64 - 1], np.uint64)
    want = philox.uniform(np.arange(70), keys[:, None])
    np.testing.assert_array_equal(numbers.using(isa=isa)(rows("float32"), keys), want)


@every_isa
def test_a_gather_meets_the_number_of_its_position(isa):
    """rf.uniform(x, seed)[y] is the number that the row has there."""
    got = one_number.using(isa=isa)(rows("float32"), np.array([0, 33, 69]), 42)
    np.testing.assert_array_equal(got, expected()[[0, 1, 2], [0, 33, 69]])


@every_dtype
def test_the_plan_interpreter_gives_the_same_bits(dtype):
    """Noise and what is computed with it, as the compiled kernel has them."""
    keys, kind = np.arange(3, dtype=np.uint64), gumbel_softmax.using(isa="avx2")
    plan = kind.plan((3, 70), dtype)
    got = interpret_plan(plan, {"x": rows(dtype), "seed": keys}, {"temperature": 1.0})[0]
    assert got.tobytes() == kind(rows(dtype), keys).tobytes()


def test_numpy_gives_the_same_numbers():
    """The kernel without a compiler."""
    np.testing.assert_array_equal(numbers.using(backend="numpy")(rows("float32"), 42), expected())


def test_the_reference_gives_the_same_numbers():
    """An integer seed is one key a row there too."""
    np.testing.assert_array_equal(numbers.reference(rows("float32"), 42), expected())


def test_the_plain_function_gives_the_same_numbers():
    """rf.uniform on an array is the row function's own reference."""
    np.testing.assert_array_equal(rf.uniform(rows("float64"), 42), expected())


@pytest.mark.parametrize(("isa", "dtype"), sliced(product(host_isas(), ("float32", "float64")), quick))
def test_every_strategy_meets_the_same_noise(isa, dtype):
    """All strategies have the same bits, so every walk made the same numbers."""
    x = rows(dtype, 600)
    assert len({gumbel_softmax.using(isa=isa, strategy=s)(x, 5).tobytes() for s in STRATEGIES[:-1]}) == 1


@every_dtype
def test_gumbel_softmax_is_within_its_bound(dtype):
    """Against the oracle."""
    assert gumbel_softmax.check(rows(dtype, 600), 5)


@pytest.mark.parametrize(
    ("seed", "error"),
    [(-1, ValueError), (2**64 - 1.0, TypeError), (1.5, TypeError), (np.array([1, -1, 1]), ValueError)],
)
def test_a_bad_seed_is_refused(seed, error):
    """A seed is an integer in [0, 2^64), or one for each row."""
    with pytest.raises(error, match="seed"):
        numbers(rows("float32"), seed)


def test_a_seed_is_no_number():
    """As a number, a key of 64 bits would not be itself."""

    def scaled(x, seed: rf.Scalar):
        return rf.uniform(x, seed) * seed

    with pytest.raises(TraceError, match="seed"):
        rf.kernel(scaled).program({}, frozenset(), frozenset())
