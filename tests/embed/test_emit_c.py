"""C that stands alone: what is written, what it promises, and what is refused."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from toolchain import STRICT, need, run

import rowfold as rf
from rowfold import library
from rowfold.inspecting.emission import DirectoryError, EmitError, FilesExistError

NAMES = ("softmax", "log_softmax", "logsumexp", "entropy", "cross_entropy", "layer_norm", "sparsemax", "softmax_topk")
ROWS = {
    "normal": np.random.default_rng(1).normal(size=(7, 333)).astype(np.float32) * 5,
    "far": np.random.default_rng(2).normal(size=(7, 333)).astype(np.float32) + 70000,
    "wide": np.random.default_rng(3).uniform(-300, 300, size=(7, 333)).astype(np.float32),
}
KERNELS = [getattr(library, name) for name in NAMES]
QUICK = ("softmax", "cross_entropy")  # each plan and instruction set of these in every run of the tests


def static(kernel):
    return {"k": 5} if kernel.name == "softmax_topk" else {}


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """One file that includes every kernel's, in all instruction sets and dtypes."""
    folder = tmp_path_factory.mktemp("together")
    for kernel in KERNELS:
        kernel.emit(folder / kernel.name, dtypes=("float32", "float64"), shape=(64, 1000), **static(kernel))
    lines = [f'#include "{k.name}/rowfold_{k.name}.c"' for k in KERNELS]
    (folder / "together.c").write_text("\n".join(lines) + "\n")
    return folder / "together.c"


@pytest.mark.parametrize("mode", ["-fsyntax-only", pytest.param("-O2", marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", ["gcc -std=c99", "clang -std=c99", "g++ -std=c++17", "clang++ -std=c++17"])
def test_emitted_c_compiles_without_a_warning(command, mode, together):
    """As C and as C++, and beside each other: no two files define the same name."""
    compiler, *flags = command.split()
    language = "c++" if "++" in compiler else "c"
    run(need(compiler), mode, *STRICT, *flags, "-x", language, "-c", together, "-o", os.devnull)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "kernel", [k if k.name in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KERNELS], ids=lambda k: k.name
)
def test_the_self_test_passes(kernel, dtype, tmp_path):
    """What is written comes with rows of every kind, and the loops of every instruction set get them right."""
    folder = tmp_path / "out"
    kernel.emit(folder, dtypes=dtype, states=kernel.name != "sparsemax", **static(kernel))
    sources = [folder / f"rowfold_{kernel.name}.c", folder / "example" / "selftest.c"]
    run("gcc", "-O0", *STRICT, "-std=c99", f"-I{folder}", *sources, "-o", tmp_path / "selftest", "-lm")
    assert "c99 checked" in run(tmp_path / "selftest")


@pytest.mark.parametrize("isa", [pytest.param(isa, marks=pytest.mark.isa(isa)) for isa in ("avx2", "avx512")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_bits_are_those_of_the_kernel(isa, dtype, compiler, embedded):
    """Whoever compiles the plan of a shape, its bits are the same."""
    x = np.concatenate(list(ROWS.values())).astype(dtype)
    made = embedded(library.softmax, ("-O2",), compiler, dtype, isas=[isa], shape=x.shape)
    assert np.array_equal(made.rows(x, 1.0), library.softmax.using(isa=isa)(x))


@pytest.mark.parametrize("isa", [pytest.param(isa, marks=pytest.mark.isa(isa)) for isa in ("avx2", "avx512")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_small_and_the_fast_form_have_the_same_bits(dtype, isa, embedded):
    """Whole blocks apart or not, short rows in groups or alone."""
    x = np.concatenate([rows[:, :200] for rows in ROWS.values()]).astype(dtype)
    forms = (("-O2", True), ("-O3", False))
    made = (embedded(library.softmax, (level,), dtype=dtype, isas=[isa], compact=c) for level, c in forms)
    small, fast = (m.rows(x, 1.0) for m in made)
    assert np.array_equal(small, fast)


@pytest.mark.parametrize("isa", [pytest.param(isa, marks=pytest.mark.isa(isa)) for isa in ("avx2", "avx512")])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rows_of_16_bits_have_the_bits_of_the_kernel(dtype, isa, embedded):
    """Loaded to float32, rounded once on the way back, subnormal results kept; which NaN one gets, compilers decide."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with np.errstate(over="ignore"):
        x = np.concatenate(list(ROWS.values())).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    made = embedded(library.softmax, dtype=dtype, isas=[isa], shape=x.shape)
    got, expected = made.rows(x, 1.0), library.softmax.using(isa=isa)(x)
    for result in (got, expected):
        result[np.isnan(result)] = np.nan
    assert got.tobytes() == expected.tobytes()


@pytest.mark.isa("avx2")
def test_portable_c_with_fma_has_the_same_bits(embedded):
    """Where the compiler has fma in one instruction, portable C computes what every vector does."""
    x = np.concatenate(list(ROWS.values()))
    made = embedded(library.softmax, ("-O2", "-mfma"), isas=["portable-fma"])
    assert np.array_equal(made.rows(x, 1.0), library.softmax.using(isa="portable")(x))


@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_optimization_changes_no_bit(level, embedded):
    """Contraction is off, whatever dialect the file is compiled as."""
    x = ROWS["normal"]
    fast = embedded(library.softmax, (level, "-std=gnu17", "-march=x86-64-v3"), isas=["portable"]).rows(x, 1.0)
    assert np.array_equal(fast, embedded(library.softmax, ("-O1",), isas=["portable"]).rows(x, 1.0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ROWS)
def test_c_without_fma_keeps_the_bounds(kind, dtype, embedded):
    """Three constants, and a guard that is nearer, in place of fma: softmax within its 4 ULP."""
    from rowfold.testing.published import published_bound

    x = ROWS[kind].astype(dtype)
    got = embedded(library.softmax, dtype=dtype, isas=["portable"]).rows(x, 1.0)
    wide = np.exp(x.astype(np.longdouble) - x.max(-1, keepdims=True))
    exact = wide / wide.sum(-1, keepdims=True)
    assert np.all(np.abs(got - exact) <= published_bound("softmax", exact, dtype))


def test_strides_and_batches_change_no_bit(embedded):
    """A row in a strided batch has the bits that it has alone."""
    made = embedded(library.softmax)
    x = ROWS["wide"]
    spread = np.asfortranarray(x)
    assert np.array_equal(made.rows(spread[::-1], 1.0)[::-1], np.concatenate([made.rows(r[None], 1.0) for r in x]))


def test_the_object_needs_nothing_and_holds_no_writable_data(embedded):
    """No libm, no malloc, no static variable: only what a compiler itself may call."""
    made = embedded(library.layer_norm, dtype="float64", isas=["portable"])
    run("gcc", "-O2", "-ffreestanding", "-nostdlib", "-c", made.library.parent / "rowfold_layer_norm.c", "-o",
        made.library.parent / "free.o")  # fmt: skip
    table = run("nm", made.library.parent / "free.o")
    found = re.findall(r" ([A-Zbd]) (\w+)", table)
    assert {name for kind, name in found if kind != "T"} <= {"memcpy", "memset", "memmove"}
    assert all(kind == "U" or (kind == "T" and name.startswith("rowfold_layer_norm_")) for kind, name in found)


def test_a_call_without_a_machine_for_it_says_so(embedded):
    """The function of another architecture's file compiles anywhere, and returns its status."""
    made = embedded(library.softmax, isas=["portable-fma"])
    assert made.c.rowfold_softmax_isas() == 0
    with pytest.raises(AssertionError):
        made.rows(ROWS["normal"], 1.0)


def test_the_same_call_writes_the_same_bytes(tmp_path):
    """No clock, no path, no order of a set."""
    first, second = (library.softmax.emit(tmp_path / place) for place in ("a", "b"))
    assert [Path(p).read_bytes() for p in first] == [Path(p).read_bytes() for p in second]


def test_one_header_holds_everything(tmp_path):
    """The single header compiles in two files of a program, one of which implements it."""
    library.softmax.emit(tmp_path, single_header=True, shape=(1, 100), isas=["portable"])
    (tmp_path / "a.c").write_text('#define ROWFOLD_SOFTMAX_IMPLEMENTATION\n#include "rowfold_softmax.h"\n')
    text = '#include "rowfold_softmax.h"\nint main(void) { return rowfold_softmax_f32(0, 0, 1.0, 0); }\n'
    (tmp_path / "b.c").write_text(text)
    run("gcc", "-std=c99", *STRICT, tmp_path / "a.c", tmp_path / "b.c", "-o", tmp_path / "program")
    assert run(tmp_path / "program") == ""


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"isas": ["vax"]}, rf.IsaError, "'vax' is not known"),
        ({"isas": []}, rf.IsaError, "none is named"),
        ({"dtypes": "int32"}, rf.DTypeError, "float32, float64, float16, bfloat16"),
        ({"lang": "ada"}, rf.RowfoldError, "object, llvm"),
        ({"target": "vax"}, EmitError, "x86-64-v3"),
        ({"nonsense": 3}, TypeError, "no setting 'nonsense'"),
    ],
)
def test_what_is_unknown_is_refused_and_nothing_is_written(wrong, error, said, tmp_path):
    """The message lists what there is."""
    with pytest.raises(error, match=said):
        library.softmax.emit(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["register", "double", "lambda", "a b", "größe", "x;y"])
def test_a_name_that_c_cannot_have_is_refused(name, tmp_path):
    """A keyword, or no identifier at all."""
    with pytest.raises(EmitError, match="name it with"):
        rf.kernel(lambda x: x + 1, name=name).emit(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(tmp_path):
    """Unless it may be replaced."""
    library.softmax.emit(tmp_path, shape=(1, 10), isas=["portable"])
    with pytest.raises(FilesExistError, match="overwrite=True"):
        library.softmax.emit(tmp_path, shape=(1, 10), isas=["portable"])


def test_a_place_that_cannot_be_written_is_a_named_error(tmp_path):
    """A file in the place of the directory."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryError, match="cannot be written"):
        library.softmax.emit(tmp_path / "file", isas=["portable"])


@pytest.mark.parametrize("end", ["c", "h"])
def test_the_emitted_softmax_is_the_one_we_read(end, golden, tmp_path):
    """One plan for one instruction set, with everything that stands around it; budgets of its size beside it."""
    library.softmax.emit(tmp_path, isas=["avx2"], shape=(64, 32000))
    golden(f"rowfold_softmax.avx2.{end}", (tmp_path / f"rowfold_softmax.{end}").read_text())


@pytest.mark.parametrize("isa", ["avx512", "avx2", "neon", "sve", "portable-fma", "rvv", "wasm", "sse2", "portable"])
def test_softmax_for_one_shape_stays_readable(isa, tmp_path):
    """Lines of one plan's C: below 400 for every instruction set, and within functions a statement a line."""
    source, *_ = library.softmax.emit(tmp_path, isas=[isa], shape=(64, 32000))
    lines = Path(source).read_text().splitlines()
    assert len(lines) < 400
    assert not [line for line in lines if line.startswith(" ") and re.search(r"; \S.*;$", line) and "for (" not in line]


@pytest.mark.parametrize(
    ("how", "isa", "level", "size"),
    [("one", "avx512", "-O2", 6 << 10), ("one", "avx2", "-O2", 6 << 10),
     ("every", "avx512", "-O2", 24 << 10), ("every", "avx2", "-O2", 24 << 10),
     ("parts", "avx512", "-O2", 24 << 10), ("parts", "avx2", "-Os", 24 << 10)],
)  # fmt: skip
def test_softmax_stays_small(how, isa, level, size, tmp_path):
    """One plan, every plan with the table that chooses, and parts of rows too: bytes of code, below 1,200 lines."""
    shape = (64, 32000) if how == "one" else None
    source, *_ = library.softmax.emit(tmp_path, isas=[isa], shape=shape, states=how == "parts")
    run("gcc", level, "-c", source, "-o", tmp_path / "softmax.o")
    table = run("size", "-A", tmp_path / "softmax.o").splitlines()
    assert sum(int(line.split()[1]) for line in table if line.startswith(".text")) < size
    assert len(Path(source).read_text().splitlines()) < 1200
