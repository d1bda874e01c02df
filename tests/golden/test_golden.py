"""What we emit, kept beside the tests, so that a change of a plan or of the C shows as a difference in review."""

import pytest

from rowfold import library
from rowfold.building import host
from rowfold.codegen.machine import Machine

KERNELS = ("softmax", "log_softmax", "logsumexp", "entropy", "cross_entropy", "layer_norm")


@pytest.fixture(autouse=True)
def one_machine(monkeypatch):
    """Plans and loops look at cache sizes; a golden file must not depend on whose they are."""
    monkeypatch.setattr(host, "machine", Machine)


@pytest.mark.parametrize("isa", [pytest.param(i, marks=pytest.mark.isa(i)) for i in ("avx512", "avx2", "portable")])
def test_the_c_of_softmax_is_the_one_we_read(golden, isa):
    """One kernel in every vocabulary."""
    golden(f"softmax.{isa}.c", library.softmax.using(isa=isa).stages(shape=(64, 32000), dtype="float32")["c"])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stage", ["program", "plan", "c"])
def test_the_stages_of_each_kernel_are_those_we_read(golden, kernel, stage):
    """Every family of programs, from the simplified maths to the text, in the vocabulary that runs everywhere."""
    k = getattr(library, kernel).using(isa="portable")
    golden(f"{kernel}.f64.{'c' if stage == 'c' else stage + '.txt'}", k.stages(shape=(8, 1000), dtype="float64")[stage])
