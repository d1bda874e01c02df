"""Which backend runs, in processes that lack a C compiler, llvmlite or both; each says so once."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import rowfold as rf
from rowfold import library
from rowfold.errors import CompileError

X = np.linspace(-3, 5, 40).reshape(2, 20)
SCRIPT = """
import json, sys, warnings
for name in {blocked!r}:
    sys.modules[name] = None
import numpy as np
from rowfold import library
x = np.linspace(-3, 5, 40).reshape(2, 20)
kernel = library.softmax.using(**{chosen!r})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    result = kernel(x)
    library.logsumexp.using(**{chosen!r})(x)
said = [str(w.message) for w in caught]
(loop,) = kernel._loops.values()
print(json.dumps([result.tolist(), said, type(loop).__name__, getattr(loop, "compiler", "")]))
"""


def run(folder, monkeypatch, *, compiler, blocked=(), **chosen):
    """softmax of X in a new process: the result, the warnings, the loop's type, and what compiled it."""
    environment = os.environ | {"ROWFOLD_CACHE_DIR": str(folder / "cache")}  # not this process's: it compiles, too
    if not compiler:
        (folder / "empty").mkdir(exist_ok=True)
        environment["PATH"] = str(folder / "empty")
        environment.pop("CC", None)
    command = [sys.executable, "-c", SCRIPT.format(blocked=blocked, chosen=chosen)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_compiler_is_used_in_silence(tmp_path, monkeypatch):
    """C comes first, and nothing is said."""
    _, said, kind, compiler = run(tmp_path, monkeypatch, compiler=True)
    assert (said, kind, "llvmlite" in compiler) == ([], "Loaded", False)


def test_without_a_compiler_llvm_serves(tmp_path, monkeypatch):
    """A PATH that holds no compiler: llvmlite, announced once, with the bits of C."""
    result, said, _, compiler = run(tmp_path, monkeypatch, compiler=False)
    assert np.array_equal(result, library.softmax(X))
    assert "llvmlite" in compiler and len(said) == 1 and "there is no C compiler" in said[0]


def test_the_cache_serves_in_silence(tmp_path, monkeypatch):
    """A second process finds the object and has nothing to say."""
    first = run(tmp_path, monkeypatch, compiler=False)
    assert run(tmp_path, monkeypatch, compiler=False) == [first[0], [], *first[2:]]


def test_without_llvmlite_a_compiler_serves(tmp_path, monkeypatch):
    """Nothing is said of llvmlite where C works."""
    assert run(tmp_path, monkeypatch, compiler=True, blocked=["llvmlite"])[1:3] == [[], "Loaded"]


def test_without_both_numpy_serves(tmp_path, monkeypatch):
    """NumPy, announced once with both reasons and how to get a compiler."""
    result, said, kind, _ = run(tmp_path, monkeypatch, compiler=False, blocked=["llvmlite"])
    np.testing.assert_allclose(result, library.softmax(X), rtol=1e-15)
    assert kind == "NumpyLoop" and len(said) == 1
    assert all(part in said[0] for part in ("there is no C compiler", "llvmlite is not installed", "install gcc"))


def test_a_broken_llvmlite_is_as_good_as_none(tmp_path, monkeypatch):
    """An llvmlite whose library does not load leads on to NumPy."""
    package = tmp_path / "path" / "llvmlite"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise OSError('libllvmlite.so: wrong architecture')")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent), prepend=":")
    _, said, kind, _ = run(tmp_path, monkeypatch, compiler=False)
    assert kind == "NumpyLoop" and "wrong architecture" in said[0]


@pytest.mark.parametrize(("backend", "missing"), [("c", "there is no C compiler"), ("llvm", "llvmlite is not inst")])
def test_a_backend_that_was_asked_for_is_not_replaced(backend, missing, tmp_path, monkeypatch):
    """CompileError says what is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with rf.options(cache_dir=str(tmp_path / "cache"), backend=backend), pytest.raises(CompileError, match=missing):
        library.softmax(np.ones(3, np.float32))


@pytest.mark.parametrize("backend", ["c", "llvm", "numpy"])
def test_the_backend_is_chosen_by_the_environment(backend, tmp_path, monkeypatch):
    """ROWFOLD_BACKEND is the twin of backend=."""
    monkeypatch.setenv("ROWFOLD_BACKEND", backend)
    _, said, kind, compiler = run(tmp_path, monkeypatch, compiler=True)
    want = "NumpyLoop" if backend == "numpy" else "Loaded"
    assert (said, kind, "llvmlite" in compiler) == ([], want, backend == "llvm")


def test_a_damaged_object_is_compiled_again(tmp_path, monkeypatch):
    """The same checks as for a shared library: what is not what its manifest says is not loaded."""
    with rf.options(cache_dir=str(tmp_path / "cache"), backend="llvm"):
        library.softmax.using(isa="portable").warm(X.shape, X.dtype)
    (path,) = (tmp_path / "cache").glob("*/library/*/kernel.o")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    _, said, *_ = run(tmp_path, monkeypatch, compiler=True, backend="llvm", isa="portable")
    assert len(said) == 1 and "is damaged" in said[0]


def test_llvm_refuses_a_text_and_keeps_it():
    """A fault in the text is a CompileError that names the kept file."""
    from rowfold.runtime import load_llvm

    with pytest.raises(CompileError, match=r"LLVM refuses the text: .*\n?.*(\n.*)*source: .*\.ll \(kept\)") as caught:
        load_llvm.build("define void @f() { ret i32 0 }")
    path = str(caught.value).rsplit("source:", 1)[1].split()[0]
    with open(path, encoding="utf-8") as file:
        assert file.read() == "define void @f() { ret i32 0 }"
