"""What stands against attacks, where no other file of tests has it: SECURITY.md lists them all."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import rowfold as rf
from rowfold.runtime import cache, load_c
from rowfold.runtime.compiler import FLAGS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "rowfold"
MODULES = ("pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "code", "codeop", "runpy")
CALLS = ("eval", "exec", "popen", "posix_spawn")
WORDS = re.compile("|".join([*MODULES, *CALLS, "shell", "system"]))
REASONS = {
    "codegen/language/signature.py: eval": "an annotation that is a text is code of the user's own program",
    "bench/own.py: exec": "Numba wants a loop with the parameters that the user's own row function has",
    "testing/programs.py: exec": "the fuzzer runs the programs that it made",
    "interop/dask.py: cloudpickle": "Dask itself sends tasks between a user's processes this way",
}


def dangers(text):
    """Calls and imports that run what they are given."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                yield from (n.name for n in names if n.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), level=0) if module.split(".")[0] in MODULES:
                yield module
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in CALLS:
                yield name
            case ast.Attribute(value=ast.Name("os"), attr="system"):
                yield "os.system"
            case ast.keyword(arg="shell"):
                yield "shell"


def test_nothing_runs_what_it_reads():
    """No pickle, eval or shell but where a reason is given, and no reason outlives its place."""
    texts = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    read = {path.relative_to(PACKAGE).as_posix(): text for path, text in texts.items() if WORDS.search(text)}
    found = {f"{name}: {danger}" for name, text in read.items() for danger in dangers(text)}
    assert found == set(REASONS)


def test_the_threat_model_names_tests_that_exist():
    """Each attack in SECURITY.md leads to a file of tests."""
    named = re.findall(r"`(tests/[\w/.]+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert named and [path for path in named if not (ROOT / path).is_file()] == []


def test_no_flag_changes_the_process():
    """Fast mathematics sets a mode of the CPU when a library is loaded; "native" is no name for a cache."""
    assert not [flag for flag in FLAGS if re.search(r"fast|native|unsafe|plugin|openmp", flag)]


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """An empty cache, and a process that has loaded nothing."""
    monkeypatch.setattr(cache, "_libraries", {})
    monkeypatch.setattr(cache, "_warned", set())
    with rf.options(cache_dir=str(tmp_path / "cache"), backend="c"):
        yield tmp_path / "cache"


def doubled(x):
    return x * 2


def halved(x):
    return x / 2


def library_of(folder, symbol):
    (found,) = (p for p in folder.glob("*/library/*/kernel.so") if symbol in (p.parent / "kernel.c").read_text())
    return found


def test_a_library_of_another_kernel_is_not_taken(alone, monkeypatch):
    """Both files are sound; the manifest belongs to one of them."""
    x = np.arange(3, dtype=np.float32)
    rf.kernel(doubled)(x), rf.kernel(halved)(x)
    library_of(alone, "doubled").write_bytes(library_of(alone, "halved").read_bytes())
    cache._libraries.clear()
    with pytest.warns(RuntimeWarning, match="not the one that its manifest describes"):
        assert rf.kernel(doubled)(x).tolist() == [0, 2, 4]


def test_a_file_that_is_exchanged_after_it_was_verified_is_not_loaded(alone, monkeypatch):
    """What was compared with the digest is in memory by then."""
    x = np.arange(3, dtype=np.float32)
    rf.kernel(doubled)(x)
    cache._libraries.clear()
    load, path = load_c.load, library_of(alone, "doubled")

    def late(data, place=None):
        path.write_bytes(b"exchanged")
        return load(data, place)

    monkeypatch.setattr(load_c, "load", late)
    assert rf.kernel(doubled)(x).tolist() == [0, 2, 4] and path.read_bytes() == b"exchanged"
