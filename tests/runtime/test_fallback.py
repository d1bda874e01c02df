"""A C compiler that is missing, refuses or hangs: the numbers are right, and one warning tells the whole reason."""

import os

import numpy as np
import pytest

import rowfold as rf
from rowfold.building import build
from rowfold.errors import CompileError
from rowfold.runtime import compiler

X = np.array([[0.0, 1.0, 2.0]], np.float32)
REFUSES = 'echo "kernel.c:7: error: I refuse" >&2; exit 4'


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Makes a compiler that says who it is, and then does as the given shell lines say."""
    monkeypatch.setattr(build, "_warned", set())
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def make(body):
        path = tmp_path / "fake-cc"
        path.write_text(f'#!/bin/sh\ncase "$1" in --version|-dumpmachine) echo fake; exit 0;; esac\n{body}\n')
        path.chmod(0o755)
        return str(path)

    return make


def exponentials():
    """A kernel that no other test has compiled in this process."""
    return rf.kernel(lambda x: np.exp(x - np.max(x)), name="exponentials")


def warnings_of(*kernels, **options):
    with rf.options(cache=False, **options), pytest.warns(RuntimeWarning) as seen:
        _ = [kernel(X) for kernel in kernels]
    return [str(warning.message) for warning in seen]


def test_a_compiler_that_refuses_is_quoted(fake):
    """The warning holds the ending, the command and the compiler's last lines."""
    (text,) = warnings_of(exponentials(), cc=fake(REFUSES))
    said = ("failed with exit code 4", "fake-cc -std=c99", "| kernel.c:7: error: I refuse")
    assert [part for part in said if part not in text] == []


def test_the_source_that_was_refused_is_kept(fake):
    """The warning names a file with the C that the compiler did not take."""
    (text,) = warnings_of(exponentials(), cc=fake(REFUSES))
    path = text.split("source:")[1].split("(kept)")[0].strip()
    assert os.path.isfile(path)


def test_a_second_kernel_does_not_repeat_the_warning(fake):
    """A failure that every kernel meets is told once."""
    assert len(warnings_of(exponentials(), exponentials(), cc=fake(REFUSES))) == 1


def test_a_compiler_that_hangs_is_killed_and_said(fake, monkeypatch):
    """Past the time limit the compiler is killed, and the warning says so."""
    monkeypatch.setattr(compiler, "SECONDS", 0.2)
    (text,) = warnings_of(exponentials(), cc=fake("sleep 60"))
    assert "did not finish within 0.2 s and was killed" in text


def test_a_compiler_that_is_not_there_is_said(fake):
    """Without a compiler the warning says what was looked for and what to install."""
    (text,) = warnings_of(exponentials(), cc="no-such-compiler")
    assert "'no-such-compiler' is not a program on PATH" in text and "install gcc or clang" in text


@pytest.mark.filterwarnings("ignore:rowfold:RuntimeWarning")
def test_the_numbers_are_right_without_a_compiler(fake):
    """Whatever runs in place of the kernel gives what the reference does."""
    kernel = exponentials()
    with rf.options(cc=fake(REFUSES), cache=False):
        assert np.allclose(kernel(X), kernel.reference(X), rtol=1e-6)


def test_asking_for_c_raises(fake):
    """backend='c' is a demand: it raises where auto would warn."""
    with rf.options(cc=fake(REFUSES), cache=False, backend="c"), pytest.raises(CompileError, match="I refuse"):
        exponentials()(X)


@pytest.mark.filterwarnings("ignore:rowfold:RuntimeWarning")
def test_debugging_says_it_for_every_kernel(fake, capfd):
    """Under ROWFOLD_DEBUG each failure is written to stderr, warned of before or not."""
    with rf.options(cc=fake(REFUSES), cache=False, debug=1):
        exponentials()(X)
        exponentials()(X)
    assert capfd.readouterr().err.count("I refuse") == 2
