"""What we emit, kept beside the tests, so that a change of a plan or of the C shows as a difference in review."""

import pytest

from rowfold import library

KERNELS = ("softmax", "log_softmax", "logsumexp", "entropy", "cross_entropy", "layer_norm")


@pytest.mark.parametrize("isa", [pytest.param(i, marks=pytest.mark.isa(i)) for i in ("avx512", "avx2", "portable")])
def test_the_c_of_softmax_is_the_one_we_read(golden, isa):
    """One kernel in every vocabulary."""
    golden(f"softmax.{isa}.c", library.softmax.using(isa=isa).stages(shape=(64, 32000), dtype="float32")["c"])


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_portable_c_of_each_kernel_is_the_one_we_read(golden, kernel):
    """Every family of programs in one vocabulary."""
    golden(
        f"{kernel}.f64.c", getattr(library, kernel).using(isa="portable").stages(shape=(8, 1000), dtype="float64")["c"]
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_program_of_each_kernel_is_the_one_we_read(golden, kernel):
    """The traced and simplified maths, which no machine changes."""
    golden(f"{kernel}.program.txt", getattr(library, kernel).stages(shape=(8, 1000), dtype="float32")["program"])
