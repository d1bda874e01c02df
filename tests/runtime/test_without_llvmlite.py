"""A virtual environment in which llvmlite is not installed, with a C compiler on the PATH and without one."""

import importlib.util
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import rowfold

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
NEEDED = ("numpy", "numpy.libs", "cffi", "_cffi_backend", "jinja2", "markupsafe", "pycparser", "ml_dtypes")
ASK = "import importlib.util as u; print(u.find_spec('llvmlite'))"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment that has rowfold and what it needs, as links, but no llvmlite."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    ask = [folder / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    room = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
    for name in NEEDED:
        for found in _files(name):
            (room / found.name).symlink_to(found)
    (room / "rowfold").symlink_to(Path(rowfold.__file__).parent)
    return folder / "bin" / "python"


def _files(name):
    """A package, a module or what lies beside it, where it is installed here."""
    if name.endswith(".libs"):
        beside = Path(importlib.util.find_spec(name.removesuffix(".libs")).origin).parents[1] / name
        return [beside] if beside.is_dir() else []
    spec = importlib.util.find_spec(name)
    if spec is None:
        return []
    return [Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)]


def run(python, folder, *arguments, compiler):
    """What a process of that environment says: its exit code, what it prints, and its warnings."""
    (folder / "nothing").mkdir(exist_ok=True)
    given = {k: v for k, v in os.environ.items() if not k.startswith(("ROWFOLD", "PYTHON")) and k != "CC"}
    given |= {"ROWFOLD_CACHE_DIR": str(folder / "cache")}
    given |= {} if compiler else {"PATH": str(folder / "nothing")}
    return subprocess.run([python, *arguments], env=given, capture_output=True, text=True, check=False)


def test_the_environment_has_no_llvmlite(python, tmp_path):
    """Nothing is blocked: Python itself finds none."""
    assert run(python, tmp_path, "-c", ASK, compiler=True).stdout.strip() == "None"


@pytest.mark.parametrize(("compiler", "chosen"), [(True, "c"), (False, "numpy")])
def test_doctor_says_what_is_there(compiler, chosen, python, tmp_path):
    """C where there is a compiler, else NumPy; llvmlite is missing in both, and doctor says how to get it."""
    told = json.loads(run(python, tmp_path, "-m", "rowfold", "doctor", "--json", compiler=compiler).stdout)
    assert (told["chosen"]["backend"], "pip install llvmlite" in told["self_test"]["llvm"]) == (chosen, True)


def test_numpy_serves_where_both_are_missing(python, tmp_path):
    """Said once, with both reasons."""
    script = "import numpy as np; from rowfold import library; print(library.softmax(np.zeros(4, np.float32)).tolist())"
    done = run(python, tmp_path, "-c", script, compiler=False)
    assert (done.stdout.strip(), done.stderr.count("RuntimeWarning")) == ("[0.25, 0.25, 0.25, 0.25]", 1), done.stderr
