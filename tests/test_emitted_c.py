"""The C that we emit is C that a careful project accepts: no warning, and the same bytes every time."""

import hashlib
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from slices import sliced

import rowfold as rf
from rowfold import library

KERNELS = ("softmax", "log_softmax", "softmin", "logsumexp", "entropy", "cross_entropy", "layer_norm", "rms_norm")
STRATEGIES = ("auto", "three_pass_recompute", "three_pass_reload", "two_pass", "online", "speculative", "one_pass")
ISAS = {
    "avx512": ("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma"),
    "avx2": ("-mavx2", "-mfma", "-mf16c"),
    "portable": (),
}
STRICT = "-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -c -x c - -o".split()

each_isa = pytest.mark.parametrize("isa", [pytest.param(isa, marks=pytest.mark.isa(isa)) for isa in ISAS])


def texts(kernel, isa, dtype):
    """The different C texts of a kernel, one a strategy, without the strategies that no plan meets."""
    found = set()
    for strategy in STRATEGIES:
        k = getattr(library, kernel).using(strategy=strategy, isa=isa)
        try:
            k.plan(shape=(8, 1000), dtype=dtype)
        except rf.PlanError:
            continue
        found.add(k.stages(shape=(8, 1000), dtype=dtype)["c"])
    return sorted(found)


def warnings(command, text):
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False).stderr


def quick(case):
    """Both compilers read one kernel whole, and one of them a part of every other."""
    kernel, dtype, compiler = case
    return kernel == "log_softmax" if compiler == "clang" else dtype == "float32" or kernel == "log_softmax"


@each_isa
@pytest.mark.parametrize(
    ("kernel", "dtype", "compiler"), sliced(product(KERNELS, ("float32", "float64"), ("gcc", "clang")), quick)
)
@pytest.mark.parametrize("mode", ["-fsyntax-only", pytest.param("-O1", marks=pytest.mark.slow)])
def test_emitted_c_compiles_without_a_warning(mode, compiler, kernel, isa, dtype):
    """Every strategy of every library kernel, under the strictest flags that are common; -O1 adds data flow."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    command = [compiler, mode, *STRICT, os.devnull, *ISAS[isa]]
    messages = [warnings(command, text) for text in texts(kernel, isa, dtype)]
    assert messages == [""] * max(1, len(messages))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_c_of_quick_calls_compiles_without_a_warning(compiler):
    """The file that answers calls without Python is held to the same flags, with the data flow of -O1."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    text = (Path(rf.__file__).parent / "templates" / "quick.c").read_text(encoding="utf-8")
    assert warnings([compiler, "-O1", *STRICT, os.devnull], text) == ""


@pytest.mark.parametrize("seeds", [2, pytest.param(16, marks=pytest.mark.slow)])
def test_the_same_kernel_gives_the_same_bytes(seeds):
    """Hash seeds, and with them the order of sets, leave no trace in the text."""
    code = "from rowfold import library; print(*(getattr(library, k).stages(shape=(8, 1000))['c'] for k in %r))"
    digests = {
        hashlib.sha256(
            subprocess.run(
                [sys.executable, "-c", code % (KERNELS,)],
                env=os.environ | {"PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
            ).stdout
        ).hexdigest()
        for seed in map(str, range(1, seeds + 1))
    }
    assert len(digests) == 1


def test_a_value_called_far_is_the_users():
    """What the page of a kernel calls its own is no name of the user's."""

    @rf.kernel
    def spread(x):
        far = np.exp(x) + 1.0
        return far / np.sum(far)

    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
    assert np.allclose(spread(x), spread.reference(x)) and np.allclose(total_of(x), np.exp(x).sum(-1))


@rf.kernel
def total_of(x):
    return np.sum(np.exp(x))
