"""Emitted C for readers: what is put where it is read, what is worked out once, and which words are left out."""

import pytest

from rowfold.codegen.c import nested
from rowfold.codegen.c.standalone_text import Reader, other_names

STEPS = ["const int large = sum >= 2.0;", "const int small = sum <= 4.0;", "const int safe = large && small;"]


def test_a_chain_of_tests_becomes_one():
    """Each is read once, by the next."""
    assert nested.nested(STEPS) == ["const int safe = sum >= 2.0 && sum <= 4.0;"]


@pytest.mark.parametrize(
    "lines",
    [
        ["const double a = b * c;", "const double d = a + e;"],
        ["const double a = b;", "b = 2.0;", "c = num_max(a, 1.0);"],
        ["const double a = num_abs(b);", "for (int k = 0; k < n; ++k) {", "    c = num_max(a, c);", "}"],
        ["const double a = num_abs(b);", "c = num_max(a, a);"],
        ["const rf_vec a = rf_add(b, c);", "d = rf_mul(a, c);"],
        ["const double a = num_scalar(p);", "num_result(out, b);", "c = num_max(a, b);"],
        ["const int a = b || c;", "const int d = a && e;"],
    ],
    ids=["product in a sum", "changed between", "into a loop", "read twice", "vectors", "behind a store", "or in and"],
)
def test_what_has_to_stay_stays(lines):
    """A value is put only where it is the same, is worked out as often, and leaves no multiply-add to find."""
    assert nested.nested(lines) == lines


def test_equal_constants_are_worked_out_once():
    """Bodies read the first name; members of a struct that are called so keep theirs."""
    lines = ["const rf_vec v = rf_set(a);", "const rf_vec w = rf_set(a);"]
    assert nested.once(lines, ["held.w = w;"]) == [lines[:1], ["held.w = v;"]]


WORDS = (
    "typedef __m512 p_vec;",
    "static inline p_vec p_add(p_vec a, p_vec b) { return _mm512_add_ps(a, b); }",
    "static inline p_vec p_plus(p_vec a, p_vec b) { return p_add(a, b); }",
    "static inline p_vec p_minus(p_vec a, p_vec b) { return _mm512_sub_ps(b, a); }",
)


def test_words_that_only_hand_on_are_left_out():
    """And the intrinsic stands in their place; what turns its arguments round is a word."""
    reader = Reader(other_names(WORDS), "RF_AVX512", {})
    kept = "static inline RF_AVX512 __m512 p_minus(__m512 a, __m512 b) { return _mm512_sub_ps(b, a); }"
    assert reader.definitions(WORDS) == (kept,)
    assert reader.text("c = p_plus(p_minus(a, b), b);") == "c = _mm512_add_ps(p_minus(a, b), b);"
