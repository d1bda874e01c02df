"""Every error is told in fewer than 15 lines, however long what was given, and no public class of error is left out."""

import importlib
import pkgutil

import numpy as np
import pytest

import rowfold as rf
from rowfold import errors, gallery, library
from rowfold.inspecting.emission import DirectoryError, EmitError, FilesExistError

X = np.ones((3, 5), np.float32)
BIG = np.ones((300, 3))  # 300 lines, where NumPy prints it
MANY = list(range(3000))
softmax = library.softmax


def deep(x, n):
    return deep(x, n - 1) if n else np.sort(x)


def chosen(x, *, power: int, kind: str = "a"):
    return x**power


def strange(fn):
    """A call of a row function that cannot be traced."""
    return lambda: rf.kernel(fn)(X)


# The table of bad input of the design, a case of each kind or more; tests/runtime/test_bad_input.py has their words.
CASES = {
    "integers": (lambda: softmax(np.arange(3)), errors.DTypeError),
    "a structured dtype": (lambda: softmax(np.zeros(3, [(f"f{i}", "f4") for i in range(300)])), errors.DTypeError),
    "objects": (lambda: softmax(np.array([object()] * 300)), errors.DTypeError),
    "a ragged list": (lambda: softmax([[1.0], [1.0, 2.0]] * 300), ValueError),
    "an array as a dtype": (lambda: softmax(X, dtype=BIG), errors.DTypeError),
    "a masked array": (lambda: softmax(np.ma.array(BIG, mask=BIG > 0)), TypeError),
    "a wrong output": (lambda: softmax(X, out=BIG), errors.OutputError),
    "an output that is a list": (lambda: softmax(X, out=MANY), TypeError),
    "an array as an axis": (lambda: softmax(X, axis=BIG), TypeError),
    "an axis that there is not": (lambda: softmax(X, axis=3), np.exceptions.AxisError),
    "a repeated axis": (lambda: softmax(X, axis=(0,) * 500), np.exceptions.AxisError),
    "an array as a setting": (lambda: softmax(X, temperature=BIG), TypeError),
    "an array as a number of threads": (lambda: softmax(X, threads=BIG), TypeError),
    "a list as a setting that specializes": (lambda: rf.kernel(chosen)(X, power=MANY), TypeError),
    "an array as a text": (lambda: rf.kernel(chosen)(X, power=2, kind=BIG), TypeError),
    "a setting that is missing": (lambda: rf.kernel(chosen)(X), TypeError),
    "many unknown arguments": (lambda: softmax(X, **{f"a{i}": i for i in MANY}), TypeError),
    "a misspelt word of plan": (lambda: softmax.explain(shpe=(64, 32000)), TypeError),
    "an array that is not optional": (lambda: library.rms_norm.plan(given="weight"), TypeError),
    "an index outside the row": (lambda: library.cross_entropy(X, [0, 9, 1]), IndexError),
    "more elements than there are": (lambda: library.softmax_topk(X, k=6), ValueError),
    "none of them": (lambda: library.softmax_topk(X, k=0), errors.NothingAsked),
    "a program outside the language": (strange(lambda x: np.sort(x)), errors.TraceError),
    "the end of many calls": (strange(lambda x: deep(x, 300)), errors.TraceError),
    "a line of 1,500 letters": (strange(eval("lambda x: np.sort(x) + " + " + ".join(["x"] * 500))), errors.TraceError),
    "an array from a closure": (strange(lambda x: x + BIG), errors.TraceError),
    "a long text": (strange(lambda x: x + "a\n" * 300), errors.TraceError),
    "an axis of a row": (strange(lambda x: np.sum(x, axis=MANY)), errors.TraceError),
    "an attribute that a row lacks": (strange(lambda x: x.nowhere), errors.TraceError),
    "what comes back": (strange(lambda x: BIG), errors.TraceError),
    "no strategy of that name": (lambda: softmax.using(strategy=BIG), errors.RowfoldError),
    "no plan": (lambda: softmax.using(strategy="one_pass").plan((1, 10**9)), errors.PlanError),
    "no state": (lambda: library.sparsemax.partial(X), errors.PlanError),
    "no such instructions": (lambda: softmax.using(isa=BIG), errors.IsaError),
    "instructions of another CPU": (lambda: softmax.using(isa="neon")(X), errors.IsaError),
    "an array as a state": (lambda: softmax.merge(BIG, BIG), errors.StateError),
    "a state of another kernel": (lambda: softmax.finish(library.logsumexp.partial(X)), errors.StateError),
    "no derivative": (lambda: rf.kernel(lambda x: np.argmax(x)).vjp(X, X[:, 0]), errors.NotDifferentiableError),
    "no compiled function": (lambda: softmax.using(backend="numpy").cffi((3, 5)), errors.LoadError),
    "no option": (lambda: rf.options(**{f"a{i}": i for i in MANY}).__enter__(), errors.RowfoldError),
    "no backend": (lambda: softmax.using(backend=MANY), errors.RowfoldError),
    "C for many machines": (lambda: softmax.emit("nowhere", isas=["q"] * 300), errors.IsaError),
    "C of many types": (lambda: softmax.emit("nowhere", dtypes=MANY), errors.DTypeError),
    "objects of many types": (lambda: softmax.emit("nowhere", lang="object", dtypes=MANY), EmitError),
    "an object for no machine": (lambda: softmax.emit("nowhere", lang="object", target="q" * 999), errors.RowfoldError),
    "a directory that cannot be made": (lambda: softmax.emit("/dev/null/x", **SMALL), DirectoryError),
    "offsets that are none": (lambda: softmax.ragged(X.ravel(), BIG), ValueError),
    "a row of two axes": (lambda: softmax.trace_row(BIG), ValueError),
    "a misspelt kernel argument": (lambda: gallery.nucleus(X, mess=0.5), TypeError),
}
ROOMS = ("codegen", "runtime", "inspecting", "kernels", "building", "config")  # not what needs other libraries
SMALL = {"shape": (8, 100), "isas": ["portable"]}


def raised(call):
    """What a call raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - its class is what is tested
        return error
    pytest.fail("nothing was refused")


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_told_in_fewer_than_15_lines(case):
    """Of the documented class, and short."""
    call, kind = CASES[case]
    error = raised(call)
    assert isinstance(error, kind) and 0 < len(str(error).splitlines()) < 15


def compiler(folder, body):
    """A compiler that says who it is, and does something else with a source."""
    path = folder / "cc"
    path.write_text(f'#!/bin/sh\ncase "$*" in *--version*) exec cc "$@";; esac\n{body}\n')
    path.chmod(0o700)
    return str(path)


FAILURES = {
    "many mistakes": ("for i in $(seq 900); do echo error: line $i >&2; done; exit 1", errors.CompileError),
    "no mistake named": ("exit 1", errors.CompileError),
    "killed": ("kill -9 $$", errors.CompileError),
    "what is no library": ('while [ "$1" != -o ]; do shift; done; seq 900 > "$2"', errors.LoadError),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_compiler_that_fails_is_told_in_fewer_than_15_lines(case, tmp_path):
    """Whatever it prints, and whatever it leaves."""
    body, kind = FAILURES[case]
    with rf.options(cc=compiler(tmp_path, body), backend="c", cache_dir=str(tmp_path / "cache")):
        error = raised(lambda: rf.kernel(lambda x: x + 3)(X))
    assert isinstance(error, kind) and 0 < len(str(error).splitlines()) < 15


def test_files_that_are_there_are_told_in_one_line(tmp_path):
    """Both ways to replace them are named."""
    softmax.emit(tmp_path, **SMALL)
    error = raised(lambda: softmax.emit(tmp_path, **SMALL))
    assert isinstance(error, FilesExistError) and len(str(error).splitlines()) == 1


def all_classes(base):
    """The classes below one, at any depth."""
    return {base}.union(*map(all_classes, base.__subclasses__()))


def test_every_class_of_error_has_a_case():
    """A new class has to be provoked here too."""
    for module in pkgutil.walk_packages(rf.__path__, "rowfold."):
        if module.name.split(".")[1] in ROOMS:
            importlib.import_module(module.name)
    mine = {kind for kind in all_classes(errors.RowfoldError) if kind.__module__.startswith("rowfold.")}
    met = {type(raised(call)) for call, _ in CASES.values()} | {errors.CompileError, FilesExistError}
    assert mine - met == {errors.RowfoldError}
