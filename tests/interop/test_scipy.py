"""`rowfold.compat.scipy`: SciPy's own tests pass on it, and where it differs it says so."""

import os
import subprocess
import sys

import numpy as np
import pytest

special = pytest.importorskip("scipy.special", reason="needs scipy")
from rowfold.compat import scipy as ours  # noqa: E402 - after the skip

pytestmark = pytest.mark.interop
HERE = os.path.dirname(__file__)
DIFFERS: set[str] = set()  # SciPy's tests that do not hold, by name: none
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5)) * 5
AXES = [None, 0, -1, (0, 2), (1,)]


@pytest.mark.slow
def test_scipys_own_tests_pass():
    """The tests that SciPy ships for the three functions, with its names patched, all but those in DIFFERS."""
    pytest.importorskip("hypothesis", reason="SciPy's tests need hypothesis")
    left_out = [f"--deselect={name}" for name in sorted(DIFFERS)]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "scipy_names", "-p", "no:cacheprovider", "-x", *left_out]
    paths = os.pathsep.join([os.path.join(HERE, "patched"), *filter(None, sys.path)])
    home = os.path.dirname(os.path.dirname(special.__file__))
    where = [f"--confcutdir={home}", os.path.join(home, "special", "tests", "test_logsumexp.py")]  # with its fixtures
    environment = os.environ | {"PYTHONPATH": paths}
    run = subprocess.run([*command, *where], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_results_are_scipys(name, axis):
    """Along any axis, within a few units of float64."""
    got, want = (getattr(module, name)(X, axis=axis) for module in (ours, special))
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
def test_weighted_sums_are_scipys(axis, keepdims):
    """Weights of both signs and zero, with the sign of the sum."""
    b = RNG.integers(-2, 3, X.shape[1:])
    options = {"axis": axis, "b": b, "keepdims": keepdims, "return_sign": True}
    got, want = (np.stack(f(X, **options)) for f in (ours.logsumexp, special.logsumexp))
    np.testing.assert_allclose(got, want, rtol=1e-11)


def test_complex_numbers_are_forwarded():
    """SciPy itself computes them."""
    z = X + 1j * X[::-1]
    np.testing.assert_array_equal(ours.logsumexp(z, axis=1), special.logsumexp(z, axis=1))


def test_a_masked_array_is_refused():
    """Its mask would be ignored."""
    with pytest.raises(TypeError, match="mask would be ignored"):
        ours.softmax(np.ma.masked_less(X, 0))
