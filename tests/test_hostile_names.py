"""Names are data: whatever a kernel, its rows and its variables are called, the C differs in names alone."""

import functools
import re
import subprocess
import types
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slices import sliced

import rowfold as rf
from rowfold.codegen.loops import C_NAMES
from rowfold.runtime import compiler

PAYLOAD = "__attribute__((constructor)) static void run(void) { *(volatile int *)0 = 1; }"
KERNEL_NAMES = (
    f"a */ {PAYLOAD} /*", f"a\n{PAYLOAD}", f"a */\n#include </etc/passwd>\n{PAYLOAD} /*", f"a *\\\n/ {PAYLOAD} /*",
    f"a ??/\n*??/\n/ {PAYLOAD}", f"a\r{PAYLOAD}", f"a\u2028{PAYLOAD}", f"a\x0b{PAYLOAD}", f"a\x00{PAYLOAD}",
    f"a\u202e */ {PAYLOAD}", "double", "linux", "exp", "softmax\n", "sоftmax", "{{ 7 * 7 }}", "{% raw %}", "%s%n",
    "../../up", "2d", '"; system("id"); "', "a" * 5000, "", " ", "\udcff", "größe",
)  # fmt: skip
VARIABLES = (
    "double", "linux", "unix", "exp", "logf", "NAN", "INFINITY", "main", "errno", "intptr_t", "uint32_t", "size_t",
    "asm", "__asm__", "_Bool", "__attribute__", "rf_vec", "num_exp", "softmax_last", "softmax_held", "held", "n",
    "rows", "args", "memcpy", "static_assert", "größe", "ſ", "ｅ", "а", "x\ny", f"x */ {PAYLOAD} /*", f"x; {PAYLOAD}",
    "x y", "1", "a" * 3000, "turn_1_of_x", "v", "FLT_MAX", "restrict", "inline", "isnan", "sizeof", "__func__",
    "_mm512_add_ps", "x_step", "x_rows", "x_next", "x_b", "x_buffer", "e_2", "x_held", "far", "softmax_tile_0",
    "heat_rows",
)  # fmt: skip
PLACES = ("x", "heat", "e")
QUICK = ("double", "intptr_t", "softmax_last", "größe", f"x */ {PAYLOAD} /*")  # each other one, in the long run
TOKENS = re.compile(
    r"""(?P<comment>/\*(?:[^*]|\*(?!/))*\*/)|(?P<string>"[A-Za-z0-9_./ ,=*()-]*")|(?P<directive>^[ ]*\#[a-z]+)"""
    r"""|(?P<header><[a-z0-9_]+\.h>)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<number>-?0x[0-9a-f.]+(?:p[+-]?[0-9]+)?[ful]*|[0-9][0-9.]*(?:e[+-]?[0-9]+)?[a-zA-Z]*)"""
    r"""|(?P<sign>[-+*/%&|^~!<>=?:;,.(){}\[\]])|(?P<space>\s+)|(?P<joined>\\\n)|(?P<char>'.')""",
    re.MULTILINE,
)
ALONE = ("comment", "space", "joined")
INCLUDES = {"<float.h>", "<math.h>", "<stdint.h>", "<string.h>", "<immintrin.h>", "<fenv.h>"}


def softmax(x, *, heat: float = 1.0):
    e = np.exp((x - np.max(x)) * heat)
    return e / np.sum(e)


def called(kernel="softmax", x="x", heat="heat", e="e"):
    """The same softmax under other names, which code objects take whatever they are."""
    code = softmax.__code__.replace(co_varnames=(x, heat, e), co_name=kernel)
    fn = types.FunctionType(code, {"np": np}, kernel)
    fn.__kwdefaults__ = {heat: 1.0}
    return fn


def emitted(kernel, language="c", **settings):
    return kernel.using(isa="portable").stages(shape=(4, 1000), **settings)[language]


def tokens(text):
    """What the C consists of, words as the names that they are; AssertionError for what C of ours never has."""
    found, at = [], 0
    while at < len(text):
        match = TOKENS.match(text, at)
        assert match, f"no token of ours: {text[at : at + 80]!r}"
        found += [] if match.lastgroup in ALONE else [(match.lastgroup, match.group())]
        at = match.end()
    return found


def unnamed(found):
    return [(kind, "" if kind == "word" else text) for kind, text in found]


def words(found):
    return {text for kind, text in found if kind == "word"}


@functools.cache
def plain():
    return tokens(emitted(rf.kernel(called())))


def differences(kernel):
    """Other tokens than the plain names give, but for the names themselves; and new names that C knows."""
    found = tokens(emitted(kernel))
    new = words(found) - words(plain())
    other = unnamed(found) != unnamed(plain())
    return other, {text for kind, text in found if kind == "header"} - INCLUDES, new & C_NAMES


@pytest.mark.parametrize("name", sliced(KERNEL_NAMES, lambda name: PAYLOAD in name or name == "2d"), ids=ascii)
def test_a_kernels_name_changes_names_alone(name):
    """Token for token the same C, whatever is in the name: it ends no comment, line or string."""
    assert differences(rf.kernel(called(), name=name)) == (False, set(), set())


@pytest.mark.slow
@settings(max_examples=300, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=40) | st.text("*/\\?\n#\"'; ab{}%", max_size=40))
def test_any_text_is_a_name_for_a_kernel(name):
    """Random texts, and texts of the characters that could end something."""
    assert differences(rf.kernel(called(), name=name)) == (False, set(), set())


def quick(case):
    return case[1] == "e" and case[0] in QUICK


@pytest.mark.parametrize(
    ("name", "place"),
    sliced([(n, p) for n, p in product(VARIABLES, PLACES) if p == "e" or n.isidentifier()], quick),
    ids=ascii,
)
def test_a_variables_name_changes_names_alone(name, place):
    """A row, a setting, a value in between; and a C compiler takes the text."""
    kernel = rf.kernel(called(**{place: name}))
    assert differences(kernel) == (False, set(), set())
    assert syntax(emitted(kernel)) == ""


@pytest.mark.parametrize("name", ["x y", "1", "x\ny", f"x; {PAYLOAD}"], ids=ascii)
def test_a_parameter_that_python_cannot_call_is_refused(name):
    """A code object takes any name; a signature does not."""
    with pytest.raises(TypeError, match="no signature to read"):
        rf.kernel(called(x=name))


def syntax(text):
    found = compiler.find()
    if found is None:
        pytest.skip("no C compiler here")
    command = [*found.command, "-std=c99", "-Wall", "-Wcomment", "-Werror", "-fsyntax-only", "-x", "c", "-"]
    return subprocess.run(command, input=text.encode(), capture_output=True, check=False).stderr.decode()


@pytest.mark.parametrize(
    ("name", "language"),
    sliced(product(KERNEL_NAMES, ("llvm", "mlir")), lambda case: case[0] == KERNEL_NAMES[1]),
    ids=ascii,
)
def test_a_name_adds_no_line_to_llvm_and_mlir(name, language):
    """Line for line the same text, but for the symbol and the comments."""
    before, hostile = (re.sub(r"rowfold_\w*|@\w+", "@", emitted(k, language)) for k in (
        rf.kernel(called()), rf.kernel(called(), name=name)))  # fmt: skip
    start = ";" if language == "llvm" else "//"
    assert [a for a in hostile.splitlines() if not a.lstrip().startswith(start)] == [
        b for b in before.splitlines() if not b.lstrip().startswith(start)
    ]


@pytest.mark.parametrize("text", [f"*/ {PAYLOAD} /*", f"\n{PAYLOAD}", '"; x', "??/\n"], ids=ascii)
def test_a_setting_of_text_reaches_no_c(text):
    """A str specializes the trace, and that is all."""

    def chosen(x, *, mode: str = "a"):
        e = np.exp(x - np.max(x)) if mode else x
        return e / np.sum(e)

    kernel = rf.kernel(chosen)
    assert tokens(emitted(kernel, mode=text)) == tokens(emitted(kernel, mode="b"))


def test_documentation_ends_no_comment(tmp_path):
    """The row function's own text stands in the banner of emitted files."""
    fn = called("documented")
    fn.__doc__ = f"About it. */ {PAYLOAD} /*\n*\\\n/ {PAYLOAD}\u202e"
    source, *_ = rf.kernel(fn).emit(tmp_path, isas=["portable"], shape=(4, 1000))
    with open(source, encoding="utf-8") as hostile:
        assert PAYLOAD not in re.sub(TOKENS, lambda m: "" if m.lastgroup == "comment" else m.group(), hostile.read())
