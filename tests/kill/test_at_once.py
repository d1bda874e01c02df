"""What notices a wrong generator within seconds: formulas that need no compiler."""

import numpy as np
import pytest

import rowfold as rf

pytestmark = [pytest.mark.kill, pytest.mark.slow]
RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(2, 3, 41))
X[:, 7] = 4.0  # above the others, and tied
X[:, 30] = 4.0
MASK = Y > -0.3
MASK[:, 7] = False


# What the rewritings know: each in a spelling that they take apart and put together again.
FORMULAS = {
    "a number beside a moment": lambda x, y: np.sum(np.mean(y) * (x - np.mean(x)) ** 2),
    "a number beside a co-moment": lambda x, y: np.sum((x - np.mean(x)) * (y - np.mean(y)) * np.max(x)) / x.size,
    "a weighted moment": lambda x, y: np.sum(y * y * (x - np.sum(y * y * x) / np.sum(y * y)) ** 2),
    "a moment about another point": lambda x, y: np.mean((x - np.mean(y)) * (x - np.mean(x)) ** 2),
    "the square of a sum": lambda x, y: np.sum(x) ** 2 / x.size,
    "the square of a sum, in words": lambda x, y: np.square(np.sum(y)) / x.size * np.max(y),
    "one over a sum": lambda x, y: x.size / np.sum(y * y) + np.sum(x) / x.size,
    "a sum under its own condition": lambda x, y: np.sum(np.where(y > 0, x, 0.0), where=x < 1) * np.mean(y),
    "a product under a condition": lambda x, y: np.sum(x * y, where=y > 0) - np.sum(x, where=y > 0),
    "a sum of shifted terms": lambda x, y: np.sum(x * np.mean(y) - np.max(x) * y + 2.0),
    "an extremum of a falling map": lambda x, y: np.max(np.exp(-x)) + np.min(-np.tanh(y)) + np.max(np.square(x)),
    "an extremum of a map that turns": lambda x, y: np.max(np.cos(x)) + np.min(x * x) + np.max(np.abs(y)),
    "an extremum of a scaled row": lambda x, y: np.max(np.sum(y) * x) - np.min((np.mean(y) - 1.0) * x + np.mean(x)),
    "an extremum under a condition": lambda x, y: np.max(x, where=y > 0, initial=-3.0) + np.max(x - np.mean(y)),
    "an extremum of nothing": lambda x, y: np.max(x * np.mean(y) + 1, where=y > 99, initial=-np.inf),
    "the farthest element": lambda x, y: np.max(np.abs(x - np.mean(x))) + np.max(np.abs(y * np.max(x))),
    "the place of an extremum": lambda x, y: np.argmax(np.exp(2 * x)) + np.argmin(y) + np.argmax(-3 * x + np.mean(y)),
    "a comparison of shares": lambda x, y: np.count_nonzero(np.exp(x) / np.sum(np.exp(x)) < np.mean(np.exp(x)) / 50),
    "powers of sums of exponentials": lambda x, y: np.log(np.sum(np.exp(x)) ** 2) + np.sum(np.exp(x) ** 3) ** 0.5,
    "powers of shares": lambda x, y: np.sum((np.exp(x) / np.sum(np.exp(x))) ** 1.5) + np.sum(np.sqrt(np.exp(x + y))),
    "an exponent of unknown sign": lambda x, y: np.sum(np.exp(np.mean(y) * x) * y) / np.sum(np.exp(np.mean(y) * x)),
    "terms with exponentials": lambda x, y: np.sum(np.exp(x) + np.exp(y - 1) + x * y),
    "a share that a condition hides": lambda x, y: np.max(np.where(y > 0, np.exp(x), 0.0) / np.sum(np.exp(x))),
    "whole powers": lambda x, y: np.sum(x**3) + np.sum(y**4) + np.mean(x**5) + np.sum(np.exp(x) ** -2),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_is_what_numpy_makes_of_it(name):
    """Without and with a mask, whose hidden elements are the largest, in float64."""
    kernel = rf.kernel(FORMULAS[name]).using(backend="numpy")
    for where in (None, MASK):
        with np.errstate(all="ignore"):
            want = kernel.reference(X, Y, where=where)
        np.testing.assert_allclose(kernel(X, Y, where=where), want, rtol=1e-11)
