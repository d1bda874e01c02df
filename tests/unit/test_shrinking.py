"""What a find of the fuzzer is brought down to, and the files that repeat it."""

import runpy
import subprocess

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.cli import main
from rowfold.codegen.bounding.oracle import Expected
from rowfold.runtime import compiler
from rowfold.testing import Case, c_file, cases, shrunk

LARGE = Case(
    batch=(3, 9), width=1025, axis=0, dtype="float64", values=("normal", "nan", "huge"), layout="reversed",
    output="strided", strategy="online", isa="portable", shared=True, threads=7, cc="gcc", backend="llvm",
)  # fmt: skip


def test_a_case_loses_all_that_does_not_matter():
    """What fails for rows of five float64 and more, fails for one row of five."""
    assert shrunk(lambda c: c.width >= 5 and c.dtype == "float64", LARGE) == Case(
        batch=(), width=5, dtype="float64", values=("normal",)
    )


def test_a_case_keeps_what_matters():
    """Here the second row and the layout."""
    found = shrunk(lambda c: len(c.batch) == 2 and c.batch[1] > 1 and c.layout == "reversed", LARGE)
    assert (len(found.batch), found.batch[1] > 1, found.layout, found.width) == (2, True, "reversed", 1)


@rf.kernel
def weighed(x, z, c: rf.Scalar, y: rf.Index, *, t: rf.Positive = 0.75):
    e = np.exp((x - np.max(x)) * t)
    return e * z / np.sum(e) + c, x[y] - np.sum(z)


@pytest.fixture
def run(tmp_path):
    """Compiles a file of C and runs it: its exit code, and what it printed."""
    cc = compiler.find()
    if cc is None:
        pytest.skip("no C compiler here")

    def run(text):
        flags = text.split("Build and run: cc ")[1].split(" FILE.c")[0].split()
        (tmp_path / "case.c").write_text(text)
        subprocess.run([*cc.command, *flags, str(tmp_path / "case.c"), "-o", str(tmp_path / "case"), "-lm"], check=True)
        done = subprocess.run([str(tmp_path / "case")], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    return run


def test_the_file_of_c_makes_the_call(run):
    """Rows, a number and an index a row, a setting, two results: within the bounds that stand in it."""
    assert run(c_file(weighed, Case(batch=(3,), width=7, settings={"t": 0.5}))) == (0, "")


def test_the_file_of_c_shows_what_is_wrong(run, monkeypatch):
    """A result that is expected to be another one."""
    half = Expected(np.full((1, 4), 0.5), np.zeros((1, 4)))
    monkeypatch.setattr(cases, "expected", lambda *_: [half])
    code, said = run(c_file(library.softmax, Case(batch=(1,), width=4, settings={"temperature": 1.0})))
    assert code == 1 and said.count("expected 0.5") == 4


def test_the_command_fuzzes(capsys):
    """For a second, from a seed that it repeats."""
    assert main(["check", "logsumexp", "--fuzz", "0.2", "--seed", "5"]) == 0
    assert "calls within the error bound" in capsys.readouterr().out


def test_the_command_writes_what_it_finds(tmp_path, capsys, monkeypatch):
    """Two files, of which the one in Python makes the call that failed."""

    def wrong(kernel, case):
        raise AssertionError("wrong")

    monkeypatch.setattr(cases, "check", wrong)
    monkeypatch.setattr("rowfold.testing.check", wrong)
    assert main(["check", "softmax", "--fuzz", "0.2", "--seed", "5", "--reproducers", str(tmp_path)]) == 1
    monkeypatch.undo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["softmax-5.c", "softmax-5.py"]
    assert runpy.run_path(str(tmp_path / "softmax-5.py"))


def test_a_kernel_that_needs_a_setting_is_refused(capsys):
    """The fuzzer has no number for it."""
    assert main(["check", "softmax_topk", "--fuzz", "1"]) == 2
