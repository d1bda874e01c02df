"""A new process finds a kernel by its definition, and two kernels that could differ never have the same one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rowfold as rf
from rowfold.library import cross_entropy, entropy, softmax
from rowfold.runtime import stamp
from rowfold.runtime.definition import definition

SRC = str(Path(__file__).parents[2] / "src")
X = np.random.default_rng(3).normal(0, 2, (3, 17)).astype(np.float32)
HEAD = "import math\nimport numpy as np\nimport rowfold as rf\nfrom rowfold.library import log_softmax, softmax\n"
TEXT = """
G = 2.0
def helper(v, *, by=1.0):
    return v * by + 0.5
def row(x, *, t: float = 1.0):
    return np.exp((x - np.max(x)) / t) * G + helper(x)
"""


def made(text: str, **given: Any) -> Any:
    """The kernel of the function `row` in this text: another object every time, as in another process."""
    scope: dict[str, Any] = {"__name__": "rows", **given}
    exec(compile(HEAD + text, "rows.py", "exec"), scope)
    return rf.kernel(scope["row"])


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forbids every further trace."""

    def forbid() -> None:
        monkeypatch.setattr("rowfold.codegen.trace.trace", None)

    return forbid


def agrees(k: Any, *arrays: Any, **options: Any) -> bool:
    reference = k.reference(*(a.astype(float) if a.dtype.kind == "f" else a for a in arrays), **options)
    return bool(np.allclose(k(*arrays, **options), reference, rtol=2e-6, atol=1e-6))


CALL = """
import json, os, sys
import numpy
before = set(sys.modules)
def watch(event, _):
    assert event not in ("subprocess.Popen", "os.fork", "os.exec", "os.system", "os.posix_spawn"), event
sys.addaudithook(watch)
from rowfold.library import softmax
y = softmax(numpy.arange(6, dtype="f4").reshape(2, 3))
print(json.dumps([sorted(set(sys.modules) - before), y.tolist()]))
"""


def test_a_second_process_imports_nothing_heavy(tmp_path: Path) -> None:
    """From a warm cache nothing is traced, planned, emitted, parsed or started."""
    environment = {"ROWFOLD_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": SRC, "PATH": "/usr/bin:/bin"}
    fill = "import numpy; from rowfold.library import softmax; softmax(numpy.ones((2, 3), 'f4'))"
    subprocess.run([sys.executable, "-c", fill], env=environment, check=True)
    modules, rows = json.loads(subprocess.check_output([sys.executable, "-c", CALL], env=environment))
    heavy = "jinja2 pycparser llvmlite cffi json shutil tempfile pathlib hashlib subprocess rowfold.building.build"
    ours = [f"rowfold.codegen.{name}" for name in "ir trace simplify planner plan emit_c".split()]
    expected = softmax.reference(np.arange(6.0).reshape(2, 3))
    assert ({*modules} & {*heavy.split(), *ours}, np.allclose(rows, expected)) == (set(), True)


EDITS = [
    ("G = 2.0", "G = 3.0"),
    ("G = 2.0", "G = 2"),
    ("G = 2.0", "G = -0.0"),
    ("v * by", "v - by"),
    ("by=1.0", "by=1.5"),
    ("+ 0.5", "+ 0.25"),
    ("np.max(x)", "np.min(x)"),
    ("np.exp", "np.exp2"),
    ("* G", "+ G"),
    ("helper(x)", "helper(x, by=G)"),
    ("t: float = 1.0", "t: rf.Positive = 1.0"),
    ("t: float = 1.0", "t: rf.Static[float] = 1.0"),
]


@pytest.mark.parametrize(("old", "new"), EDITS)
def test_an_edit_gives_other_numbers(old: str, new: str) -> None:
    """After any edit of what a row function reads, the kernel computes what the function now says."""
    before, after = made(TEXT), made(TEXT.replace(old, new))
    before(X)
    assert agrees(after, X) and definition(before) != definition(after)


def test_the_same_text_is_recalled(untraced: Callable[[], None]) -> None:
    """The same definition needs no trace, wherever its file and line are."""
    expected = made(TEXT)(X)
    untraced()
    assert np.array_equal(made("\n\n" + TEXT)(X), expected)


CELLS = """
def make(scale, add):
    def row(x):
        return add(x) * scale
    return row
row = make({}, lambda v: v + {})
"""


@pytest.mark.parametrize(("scale", "shift"), [(2.0, 1.0), (3.0, 1.0), (2.0, 4.0), (True, 1.0), (1.0, 1.0)])
def test_a_closure_is_part_of_the_definition(scale: float, shift: float) -> None:
    """What a row function has closed over decides its numbers."""
    made(CELLS.format(2.0, 1.0))(X)
    assert np.allclose(made(CELLS.format(scale, shift))(X), (X + shift) * scale, rtol=1e-6)


def test_an_inlined_kernel_is_part_of_the_definition() -> None:
    """A kernel that a row function calls counts with its own body and settings."""
    inner = "@rf.kernel\ndef inner(v, *, a: rf.Static[float] = {}):\n    return v * a\n"
    inner += "def row(x):\n    return inner(x) + 1\n"
    made(inner.format(2.0))(X)
    assert np.allclose(made(inner.format(5.0))(X), X * 5 + 1, rtol=1e-6)


def test_a_global_that_changes_between_calls() -> None:
    """Each new shape takes the constants of its time, and leaves no note under those of another."""
    k = made(TEXT)
    k.plan((3, 17))
    k._fn.__globals__["G"] = 7.0
    changed = made(TEXT.replace("2.0", "7.0"))
    assert agrees(k, X[:, :5]) and agrees(changed, X[:, :5]) and agrees(made(TEXT), X[:, :5])


UNKNOWN = {
    "list": "box = [2.0]\ndef row(x):\n    return x * box[0]\n",
    "dict": "box = {'a': 2.0}\ndef row(x):\n    return x * box['a']\n",
    "instance": "class C: pass\nc = C()\nc.v = 2.0\ndef row(x):\n    return x * c.v\n",
    "class": "class C:\n    v = 2.0\ndef row(x):\n    return x * C.v\n",
    "array": "a = np.array(2.0)\ndef row(x):\n    return x * a\n",
    "int of its own": "class I(int): pass\ni = I(2)\ndef row(x):\n    return x * i\n",
    "another module": "import string as box\ndef row(x):\n    return x * len(box.digits)\n",
    "import inside": "def row(x):\n    import math as m\n    return x * m.pi\n",
    "random": "def row(x):\n    return x * np.random.random()\n",
    "random by name": "from numpy.random import random as r\ndef row(x):\n    return x * r()\n",
    "globals": "b = 2.0\ndef row(x):\n    return x * globals()['b']\n",
    "getattr": "def row(x):\n    return x * getattr(math, 'pi')\n",
    "bound method": "f = {'a': 2.0}.get\ndef row(x):\n    return x * f('a')\n",
    "eval": "def row(x):\n    return x * eval('2.0')\n",
    "a look behind": "def f(): pass\nf.__module__ = '2'\ndef row(x):\n    return x * float(f.__module__)\n",
    "partial": "import functools\nrow = functools.wraps(math.sin)(functools.partial(lambda a, x: x * a, 2.0))\n",
    "changed builtin": "abs = None\ndef row(x):\n    return np.abs(x) if abs is None else [x][0]\nabs = [1]\n",
}


@pytest.mark.parametrize("text", UNKNOWN.values(), ids=UNKNOWN)
def test_what_may_hide_something_has_no_definition(text: str) -> None:
    """Such a kernel takes the whole way in every process."""
    assert definition(made(text)) is None


def test_a_kernel_without_definition_is_traced_again() -> None:
    """A list that a row function reads may have changed since another process read it."""
    text = UNKNOWN["list"]
    values = [made(text.replace("2.0", number))(X) for number in ("2.0", "3.0")]
    assert np.allclose(values, [X * 2, X * 3])


@pytest.mark.parametrize("other", [np.exp2, lambda x: x, lambda x: x + 1, max])
def test_a_changed_numpy(other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's function in NumPy's place is not NumPy's."""
    k = made(TEXT)
    before = definition(k)
    monkeypatch.setattr(np, "exp", other)
    assert definition(k) != before


KNOWN = {
    "math": "def row(x):\n    return x * math.pi + math.sqrt(2)\n",
    "from math": "from math import pi, sqrt\ndef row(x):\n    return x * pi + sqrt(2)\n",
    "ufunc by name": "from numpy import exp as e\ndef row(x):\n    return e(x)\n",
    "number of NumPy": "c = np.float32(2)\ndef row(x):\n    return x * c\n",
    "tuple": "c = (1.0, (2, 'a', None))\ndef row(x):\n    return x * c[1][0]\n",
    "word of the language": "def row(x):\n    return rf.sigmoid(x)\n",
    "word by name": "from rowfold import sigmoid\ndef row(x):\n    return sigmoid(x)\n",
    "kernel": "def row(x):\n    return softmax(x) * 2\n",
    "kernel by path": "def row(x):\n    return rf.library.softmax(x) * 2\n",
    "recursion": "def f(x, n):\n    return x if n == 0 else f(x * 2, n - 1)\ndef row(x):\n    return f(x, 3)\n",
    "comprehension": "def row(x):\n    return sum([x * k for k in range(3)])\n",
    "method": "def row(x):\n    return x - x.max()\n",
}


@pytest.mark.parametrize("text", KNOWN.values(), ids=KNOWN)
def test_what_is_known_is_recalled(text: str, untraced: Callable[[], None]) -> None:
    """Ordinary row functions have a definition, which tracing them does not change."""
    expected = made(text)(X)
    untraced()
    assert np.array_equal(made(text)(X), expected)


def test_no_two_functions_share_a_definition() -> None:
    """Every text in this file is a kernel of its own."""
    texts = [*KNOWN.values(), TEXT, *(TEXT.replace(*edit) for edit in EDITS)]
    found = [definition(k) for k in (*map(made, texts), softmax, entropy, cross_entropy, rf.library.logsumexp)]
    assert None not in found and len(set(found)) == len(found)


TWO = """
def row(x, w=None, m: rf.Mask | None = None, *, k: int = 1, up: bool = False, t: float = 1.0):
    y = x * k + t
    y = y if w is None else y * w
    y = -y if up else y
    return (y, np.sum(x)) if k == 3 else y if m is None else np.where(m, y, 0.0)
"""
W, M = np.linspace(1, 2, 17, dtype=np.float32), np.arange(17) % 2 == 0
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((X,), {}),
    ((X.astype(np.float64),), {}),
    ((X[:, :4],), {}),
    ((X, W), {}),
    ((X, M), {}),
    ((X, None, M), {}),
    ((X, W, M), {"t": 2.0}),
    ((X,), {"k": 2}),
    ((X,), {"k": 3}),
    ((X,), {"up": True}),
    ((X,), {"where": M}),
    ((X,), {"where": M, "k": 2, "t": 0.5}),
    ((X,), {"axis": 0}),
]


def test_every_way_to_call_is_recalled_by_itself(untraced: Callable[[], None]) -> None:
    """Shape, dtype, settings, present arguments, booleans and `where` lead to what they led to when it was compiled."""
    expected = [made(TWO)(*a, **o) for a, o in CALLS]
    untraced()
    again = [made(TWO)(*a, **o) for a, o in CALLS]
    assert all(np.array_equal(g, e) for pair in zip(again, expected, strict=True) for g, e in zip(*pair, strict=True))


def test_name_and_mask_value_belong_to_the_kernel() -> None:
    """The value of unselected elements is compiled in."""
    row = made(TEXT)._fn
    kernels = [rf.kernel(name="a", masked=m)(row) for m in (0.0, 5.0)]
    assert [float(k(X, where=M)[0, 1]) for k in kernels] == [0.0, 5.0]


def test_a_changed_package_notes_nothing(monkeypatch: pytest.MonkeyPatch, untraced: Callable[[], None]) -> None:
    """What this process runs may not be what the files now say."""
    text = TEXT.replace("2.0", "2.5")
    monkeypatch.setattr(stamp, "now", lambda: "another")
    made(text)(X)
    untraced()
    with pytest.raises(TypeError):
        made(text)(X)


@pytest.mark.parametrize("changed", ["", ".py"])
def test_the_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    """A new or edited file of the package is another package; other files do not matter."""
    (tmp_path / "a.py").write_text("1")
    monkeypatch.setattr(stamp, "_FOLDER", str(tmp_path))
    first = stamp.now()
    (tmp_path / f"b{changed}").write_text("1")
    assert (stamp.now() == first) == (changed == "")


def test_warm_leaves_a_note(untraced: Callable[[], None]) -> None:
    """What was compiled ahead is found by the call that it was compiled for."""
    text = TEXT.replace("2.0", "2.25")
    made(text).warm((3, 17))
    untraced()
    assert np.isfinite(made(text)(X)).all()
