"""Calls of gradients that are wrong say what is wrong; those that are right are recalled by other processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rowfold as rf
from rowfold import library

SRC = str(Path(__file__).parents[2] / "src")
X, G = np.random.default_rng(0).normal(size=(2, 5, 70)).astype(np.float32)
TARGET = np.arange(5)
WRONG = {
    "shorter rows": (lambda: library.softmax.vjp(X, G[:, :69]), ValueError, "rows of 69 elements; expected 70"),
    "fewer rows": (lambda: library.softmax.vjp(X, G[:4]), ValueError, r"the batch \(4,\); the result .* has \(5,\)"),
    "more rows": (lambda: library.softmax.vjp(X[0], G), ValueError, r"'gradient' of shape \(5, 70\) has the batch"),
    "none": (lambda: library.softmax.vjp(X), TypeError, "'gradient' is missing"),
    "two": (lambda: library.softmax.vjp(X, G, G), TypeError, r"takes 2 arrays \(x, gradient\), but 3 were given"),
    "integers": (lambda: library.softmax.vjp(X, G.astype(int)), rf.DTypeError, "'gradient' has dtype int64"),
    "complex numbers": (lambda: library.softmax.vjp(X, G + 1j), rf.DTypeError, "'gradient' has dtype complex64"),
    "rows for a number": (lambda: library.cross_entropy.vjp(X, TARGET, G), ValueError, "expected one value a row"),
    "kept, shorter": (
        lambda: library.softmax.vjp.from_saved(library.softmax.with_saved(X)[1], G[:, :3]), ValueError, "rows of 3",
    ),
    "of positions": (
        lambda: rf.kernel(lambda x: np.argmax(x), name="best").vjp, rf.NotDifferentiableError, "best gives no floats",
    ),
    "of a k-vector": (lambda: library.softmax_topk.vjp, rf.NotDifferentiableError, "softmax_topk gives a k-vector"),
    "without a rule": (
        lambda: rf.kernel(lambda x: np.prod(rf.topk(x, 2)[0]), name="odd").vjp(X, G[:, 0]), rf.NotDifferentiableError,
        "odd: small_prod .*see @k.defvjp",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_gradient_is_named(case):
    """The argument, what was found and what is expected."""
    call, kind, words = WRONG[case]
    with pytest.raises(kind, match=words):
        call()


def test_a_hessian_of_logsumexp_is_the_gradient_of_softmax():
    """The second derivative of logsumexp along u is softmax's vjp of u."""
    (along, _) = library.logsumexp.vjp.vjp(X, np.ones(5, np.float32), G)
    np.testing.assert_allclose(along, library.softmax.vjp(X, G)[0], rtol=1e-5, atol=1e-7)


CALLS = """
import sys, numpy as np
from rowfold import library
x = np.ones((5, 70), np.float32)
library.softmax.vjp(x, x)
library.layer_norm.vjp(x, x, weight=x[0])
_, saved = library.rms_norm.with_saved(x, x[0])
library.rms_norm.vjp.from_saved(saved, x)
print("rowfold.codegen.planner" in sys.modules)
"""


def test_another_process_recalls_gradients(tmp_path):
    """What one process planned, the next finds: gradients, what is kept, and sums over the batch."""
    environment = {"PYTHONPATH": SRC, "ROWFOLD_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", CALLS]
    planned = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stdout.strip() for run in planned] == ["True", "False"]
