"""The words of LLVM IR and MLIR are those of the interpreter of plans, which are those of the C."""

from inspect import isfunction

import pytest

from rowfold import library
from rowfold.codegen.emit_llvm import LlvmBuilder
from rowfold.codegen.loops import Kind
from rowfold.codegen.lower.kernel import lower
from rowfold.codegen.running import planwords
from rowfold.codegen.running.interpret_plan import Run
from rowfold.codegen.ssa import walk as walk_ssa
from rowfold.codegen.ssa.numbers import Numbers, functions_of
from rowfold.codegen.ssa.values import INDEX, Value
from rowfold.codegen.ssa.words import Vectors, table
from rowfold.codegen.targets import host

every_dtype = pytest.mark.parametrize("dtype", ["f32", "f64"])


def builder(dtype):
    """A builder of a small kernel."""
    kernel = lower(library.softmax.plan((4, 100), {"f32": "float32", "f64": "float64"}[dtype]))
    return LlvmBuilder(kernel, host("portable", "x86_64"))


@every_dtype
def test_no_word_is_missing(dtype):
    """Every word that the interpreter knows has a form for values."""
    b = builder(dtype)
    words = set(table(b, Vectors(b, dtype, rounds=True), Numbers(b, dtype)))
    assert {key for key in planwords.table(dtype) if key[1] not in walk_ssa.WHOLE} - words == set()


@every_dtype
def test_no_function_is_missing(dtype):
    """What is called with several results is there for values too."""
    own = set(planwords.functions(dtype, Kind.NUM)) - set(walk_ssa.FUNCTIONS) - {"fold2"}
    assert own == set(functions_of(Numbers(builder(dtype), dtype)))


def test_no_word_on_the_row_is_missing():
    """The words that need the row are methods of both walks; two are plain words here, and `entries` is no word."""
    words = {name for name, made in vars(Run).items() if isfunction(made) and name[0] == "_" and name[1] != "_"}
    ours = {*dir(walk_ssa.Row), *(f"_{word}" for word in walk_ssa.WHOLE)}
    assert words - ours == {"_acc_zero", "_mask_none", "_entries"}


def test_a_name_is_taken_once():
    """Two values that want one name get two."""
    b = builder("f32")
    first, second = (b.let("x", Value(b, "%n", INDEX) + Value(b, "%n", INDEX)) for _ in range(2))
    assert (first.text, second.text) == ("%x", "%x.1")


def test_avx2_reads_the_table_of_float64_from_memory():
    """As the C does; chosen by halves it is the slowest part of an exponential."""
    kernel = lower(library.softmax.plan((4, 100), "float64"))
    text = "\n".join(LlvmBuilder(kernel, host("avx2", "x86_64")).functions(0, draft=False))
    assert text.count("@sixteenths = private") == 1 and "avx2.gather.q.pd.256" in text


@pytest.mark.isa("avx512")
def test_numbers_of_rows_have_the_instructions_of_vectors():
    """The logarithms of eight rows take their exponents from one instruction, as in C."""
    stages = library.logsumexp.using(backend="llvm", isa="avx512").stages(shape=(4096, 64), dtype="float32")
    assert "mask.getexp.pd.512" in stages["llvm"] and "mask.getmant.pd.512" in stages["llvm"]
