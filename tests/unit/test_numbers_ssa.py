"""The words on doubles, compiled by LLVM one by one, against the interpreter's, on every pair of difficult numbers."""

import ctypes
import inspect
import itertools

import numpy as np
import pytest

from rowfold import library
from rowfold.codegen.emit_llvm import LlvmBuilder
from rowfold.codegen.loops import Kind
from rowfold.codegen.lower.kernel import lower
from rowfold.codegen.running import planwords
from rowfold.codegen.ssa.llvm_text import WEIGHTS
from rowfold.codegen.ssa.numbers import Numbers, flag_words, number_words
from rowfold.codegen.ssa.values import DOUBLE
from rowfold.codegen.targets import host
from rowfold.runtime import load_llvm

KERNELS = {name: lower(library.softmax.plan((4, 100), dtype)) for name, dtype in (("f32", "f4"), ("f64", "f8"))}
OURS = {Kind.NUM: number_words, Kind.FLAG: flag_words}
NUMBERS = [0.0, -0.0, 1.0, -1.5, 0.1, 1e-310, -1e-40, 1e38, -3.5e38, 94549.0, -7e4, 1e-9, np.inf, -np.inf, np.nan]
FUSED = 'attributes #0 = { "target-features"="+fma" }'
FLAGS = {"choose": 1, "nan_if": 1, "from_flag": 1, "and": 2, "or": 2, "xor": 2, "not": 1}  # leading operands
UNSPECIFIED = {"exponent", "mantissa", "any", "copy"}  # at 0 and infinity; `any` is of a mask; nothing is done


def arity(function):
    return function.nin if isinstance(function, np.ufunc) else len(inspect.signature(function).parameters)


def text_of(dtype, kind, word, count):
    """A function of an array of doubles that stores what the word makes of them."""
    b = LlvmBuilder(KERNELS[dtype], host("portable", "x86_64"))
    places = [b.line(f"getelementptr double, ptr %in, i64 {k}", DOUBLE).text for k in range(count)]
    numbers = [b.line(f"load double, ptr {place}", DOUBLE) for place in places]
    operands = [n > 0.0 if k < FLAGS.get(word, 0) else n for k, n in enumerate(numbers)]
    result = OURS[kind](Numbers(b, dtype))[word](*operands)
    if kind is Kind.FLAG:
        result = b.apply("select", result, b.const(1.0, DOUBLE), 0.0)
    body = [*b.lines, f"store double {result.text}, ptr %out", "ret void"]
    return "\n".join(["define void @word(ptr %in, ptr %out) #0 {", *body, "}", FUSED, *WEIGHTS])


def computed(dtype, kind, word, given):
    """The word on every row, by LLVM."""
    library_ = load_llvm.load(load_llvm.build(text_of(dtype, kind, word, given.shape[1])), None, "word")
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(library_.symbols["word"])
    got = np.empty(len(given))
    for k, row in enumerate(given):
        function(row.ctypes.data, got[k:].ctypes.data)
    return got


def meant(dtype, kind, word, given):
    """The same by the interpreter's table."""
    operands = [c > 0 if k < FLAGS.get(word, 0) else c.copy() for k, c in enumerate(given.T)]
    with np.errstate(all="ignore"):
        made = planwords.table(dtype)[kind, word](*operands)
    return np.broadcast_to(made, len(given)).astype(np.float64)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("kind", [Kind.NUM, Kind.FLAG])
def test_a_word_has_the_interpreters_bits(kind, dtype):
    """Every pair of difficult numbers as the first operands, and fixed ones behind them."""
    different, ours = {}, OURS[kind](Numbers(LlvmBuilder(KERNELS[dtype], host("portable", "x86_64")), dtype))
    for word in sorted(set(ours) - UNSPECIFIED):
        count = arity(planwords.table(dtype)[kind, word])
        rows = [(a, b, *NUMBERS[2 : max(count, 2)])[:count] for a, b in itertools.product(NUMBERS, repeat=2)]
        given = np.array([row for row in rows if word != "trailing" or row[1] == row[1]])  # no number leads to NaN
        got, want = computed(dtype, kind, word, given), meant(dtype, kind, word, given)
        same = np.where(np.isnan(want), np.isnan(got), want.view(np.uint64) == got.view(np.uint64))
        if not same.all():
            different[word] = given[~same][:3].tolist()
    assert different == {}
