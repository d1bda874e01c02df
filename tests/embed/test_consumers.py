"""Programs that take emitted C in: CMake, pkg-config, C++17, Rust, OpenMP, and checkers that careful projects run."""

import subprocess
from pathlib import Path

import pytest
from toolchain import STRICT, need, run

from rowfold import library

NUMBERS = ["0.0320586", "0.0871443", "0.2368828", "0.6439143"]


@pytest.fixture
def emitted(tmp_path):
    """Softmax for x86-64 and for any machine."""
    library.softmax.emit(tmp_path, isas=("avx2", "sse2", "portable"), shape=(64, 1000))
    return tmp_path


def numbers(text):
    """The results that an example printed, in seven digits."""
    words = text.replace(",", " ").replace("]", " ").replace("[", " ").split()
    return [f"{float(w):.7f}" for w in words if w[:2] == "0."][:4]


@pytest.mark.parametrize(("compiler", "file"), [("gcc -std=c99", "example.c"), ("g++ -std=c++17", "example.cpp")])
def test_the_example_runs(compiler, file, emitted):
    """In C99 and in C++17, with the C compiled apart."""
    name, flags = compiler.split()
    run("gcc", "-O1", *STRICT, "-std=c99", "-c", emitted / "rowfold_softmax.c", "-o", emitted / "softmax.o")
    sources = (emitted / "example" / file, emitted / "softmax.o")
    run(need(name), flags, *STRICT, f"-I{emitted}", *sources, "-o", emitted / "example.out")
    assert numbers(run(emitted / "example.out")) == NUMBERS


@pytest.fixture
def next_word(emitted):
    """The program of examples/, built as its head says."""
    source = Path(__file__).parents[2] / "examples" / "next_word.c"
    files = (source, emitted / "rowfold_softmax.c")
    run("gcc", "-std=c99", *STRICT, "-O1", f"-I{emitted}", *files, "-o", emitted / "next_word")
    return emitted / "next_word"


def test_a_c_program_finds_the_next_word(next_word):
    """The example that the documentation shows, at its own temperature."""
    assert [line.split()[:2] for line in run(next_word, "0.5").splitlines()[1:3]] == [["mat", "89.0"], ["time", "0.0"]]


def test_a_c_program_is_told_of_a_wrong_setting(next_word):
    """A status, and no result."""
    done = subprocess.run([next_word, "-1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "") and "above 0" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("single", [False, True])
def test_cmake_builds_tests_and_installs(single, tmp_path):
    """The self-test and both examples pass under ctest, and pkg-config finds what was installed."""
    library.softmax.emit(tmp_path / "out", shape=(64, 1000), isas=("avx2", "portable"), single_header=single)
    build, installed = tmp_path / "build", tmp_path / "installed"
    run(need("cmake"), "-S", tmp_path / "out" / "example", "-B", build, "-DCMAKE_INSTALL_LIBDIR=lib")
    run("cmake", "--build", build)
    run("ctest", "--test-dir", build)
    run("cmake", "--install", build, "--prefix", installed)
    found = run(need("pkg-config"), "--cflags", "--define-prefix", installed / "lib/pkgconfig/rowfold_softmax.pc")
    assert str(installed / "include") in found


@pytest.mark.slow
@pytest.mark.parametrize("single", [False, True])
def test_cargo_builds_and_runs(single, tmp_path):
    """A Rust program whose build.rs compiles the C, without a crate."""
    library.softmax.emit(tmp_path, shape=(64, 1000), isas=("avx2", "portable"), single_header=single)
    said = run(need("cargo"), "run", "-q", "--offline", cwd=tmp_path / "example" / "rust")
    assert numbers(said) == NUMBERS


@pytest.mark.slow
def test_openmp_changes_no_bit(embedded):
    """With ROWFOLD_OPENMP the rows of a call are shared among threads."""
    import numpy as np

    x = np.random.default_rng(0).normal(size=(1001, 50)).astype(np.float32)
    threads = embedded(library.softmax, ("-O2", "-fopenmp", "-DROWFOLD_OPENMP"), isas=["portable"]).rows(x, 1.0)
    assert np.array_equal(threads, embedded(library.softmax, ("-O2",), isas=["portable"]).rows(x, 1.0))


SANITIZERS = {
    "address and undefined": "clang-19 -fsanitize=address,undefined -fno-sanitize-recover=all",
    "memory": "clang-19 -fsanitize=memory",
    "thread": "gcc -fsanitize=thread",
}


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["softmax", "cross_entropy", "sparsemax"])
@pytest.mark.parametrize("name", SANITIZERS)
def test_the_self_test_passes_under_a_sanitizer(name, kernel, tmp_path):
    """No access outside of a row, no undefined operation, no use of what was not written, no race."""
    compiler, *flags = SANITIZERS[name].split()
    getattr(library, kernel).emit(
        tmp_path, shape=(64, 1000), dtypes=("float32", "float64"), states=kernel != "sparsemax"
    )
    sources = (tmp_path / f"rowfold_{kernel}.c", tmp_path / "example" / "selftest.c")
    run(need(compiler), "-O1", "-g", *flags, f"-I{tmp_path}", *sources, "-o", tmp_path / "selftest", "-lm")
    assert "wrong" not in run(tmp_path / "selftest")


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["softmax", "cross_entropy", "sparsemax"])
def test_the_self_test_passes_under_valgrind(kernel, tmp_path):
    """On AVX2, SSE2 and portable C: valgrind has no AVX-512, and dispatch finds that out."""
    getattr(library, kernel).emit(
        tmp_path, shape=(64, 1000), dtypes=("float32", "float64"), states=kernel != "sparsemax"
    )
    sources = (tmp_path / f"rowfold_{kernel}.c", tmp_path / "example" / "selftest.c")
    run("gcc", "-O1", "-g", f"-I{tmp_path}", *sources, "-o", tmp_path / "selftest", "-lm")
    assert "wrong" not in run(need("valgrind"), "-q", "--error-exitcode=9", tmp_path / "selftest")


# Left out: rows and strides lie side by side in every such function, a lane number times 16 is no overflow, and a byte
# pointer that holds floats passes through void * to say so.
CHECKS = (
    "clang-*,bugprone-*,cert-*,performance-*,-performance-no-int-to-ptr,-bugprone-easily-swappable-parameters,"
    "-bugprone-implicit-widening-of-multiplication-result,-bugprone-casting-through-void"
)


@pytest.mark.slow
def test_cppcheck_is_quiet(emitted):
    """Without a suppression."""
    how = ("--error-exitcode=9", "--enable=warning,performance,portability", "--std=c99", "--inline-suppr", "--quiet")
    assert run(need("cppcheck"), *how, emitted / "rowfold_softmax.c") == ""


@pytest.mark.slow
def test_clang_tidy_is_quiet(emitted):
    """Its analyzer and its checks for bugs."""
    how = (f"--checks={CHECKS}", "--warnings-as-errors=*", "--quiet")
    assert "warning:" not in run(need("clang-tidy-19"), *how, emitted / "rowfold_softmax.c", "--", "-std=c99")
