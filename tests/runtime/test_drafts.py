"""What a first call through LLVM does at once, and what it leaves to a thread beside the next ones."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from slices import sliced

import rowfold as rf
from rowfold import bench, library
from rowfold.codegen.generate import llvm_of
from rowfold.codegen.targets import host
from rowfold.errors import CompileError
from rowfold.runtime import cache, cpu, drafts
from rowfold.testing.values import FINITE, row

pytest.importorskip("llvmlite", reason="drafts are of the LLVM backend")
DRAFT = cache.draft  # conftest.py has the other tests look at the loops that last
KERNELS = "softmax logsumexp layer_norm kl_div sparsemax softmax_topk log_softmax entropy rms_norm entmax15 var".split()
WIDTHS = (64, 333, 4097)


def often(case):
    """Whether every run has this kernel on this instruction set."""
    return case[0] in KERNELS[: 6 if case[1] == cpu.host_isas()[0] else 1]


@pytest.fixture
def gate(monkeypatch, tmp_path):
    """First calls are drafts until this is set."""
    gate = threading.Event()

    def draft(source, make, key, config):
        return DRAFT(source, lambda: make() if gate.wait(60) else None, key, config)

    monkeypatch.setattr(cache, "draft", draft)
    with rf.options(cache_dir=str(tmp_path), backend="llvm"):
        yield gate
    gate.set()
    drafts.wait()


def bits(results):
    arrays = [np.array(a) for a in (results if isinstance(results, tuple) else (results,))]
    return [np.where(np.isnan(a), np.nan, a).tobytes() if a.dtype.kind == "f" else a.tobytes() for a in arrays]


def rows(dtype, n):
    """A row of every kind, and some that are not finite."""
    rng = np.random.default_rng(n)
    finite = [row(kind, dtype, n, rng) for kind in FINITE]
    special = np.tile(np.linspace(-1, 1, n, dtype=dtype), (3, 1))
    special[:, n // 3] = np.nan, np.inf, -np.inf
    return np.concatenate([finite, special])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "isa"),
    sliced(((k, i) for i in cpu.host_isas() for k in KERNELS), often),
)
def test_a_draft_has_the_bits_of_what_replaces_it(name, dtype, isa, gate):
    """Every kind of row, rows that go in groups later, rows beyond a block, and rows with gaps."""
    kernel = getattr(library, name).using(isa=isa)
    options = {"k": 2} if name == "softmax_topk" else {}
    arrays = 2 if name == "kl_div" else 1
    calls = [[np.roll(rows(dtype, n), k, 0) for k in range(arrays)] for n in WIDTHS]
    calls += [[a[:, ::2] for a in calls[-1]]]
    before = [bits(kernel(*x, **options)) for x in calls]
    waiting = len(drafts._coming.drafts)
    gate.set()
    drafts.wait()
    assert waiting > 0
    assert [bits(kernel(*x, **options)) for x in calls] == before


def test_a_draft_is_replaced_where_it_stands(gate):
    """Whoever holds the address of the loop has the better one, too."""
    kernel, x = library.softmax.using(), np.linspace(-3, 3, 1000, dtype=np.float32)
    kernel(x)
    draft = next(iter(drafts._coming.drafts.values()))
    place = next(v for k, v in draft.library.symbols.items() if k.endswith(".loop"))
    before = word_at(place)
    gate.set()
    drafts.wait()
    assert word_at(place) != before
    assert not drafts._coming.drafts


def word_at(place):
    import ctypes

    return ctypes.c_void_p.from_address(place).value


def test_a_kernel_that_is_coming_is_not_compiled_again(gate):
    """Two kernels of one plan share the draft."""
    x = np.ones(100, np.float32)
    library.softmax.using()(x)
    library.softmax.using(threads=1)(x)
    assert len(drafts._coming.drafts) == 1


def test_a_draft_is_a_shorter_text():
    """Groups, straight blocks and sweeps beneath each other are what makes the text long."""
    for n in (64, 1000):
        plan = library.softmax.plan((64, n), np.float32)
        short, whole = (llvm_of(plan, host(plan.isa, cpu.arch()), draft=d).text.count("\n") for d in (True, False))
        assert short < 0.65 * whole


def test_a_draft_serves_where_nothing_takes_its_place(gate, monkeypatch):
    """A text that LLVM refuses in the background is no error of a call that has its result."""
    monkeypatch.setattr(cache, "load", refused)
    kernel, x = library.softmax.using(), np.linspace(-3, 3, 1000, dtype=np.float32)
    first = kernel(x)
    gate.set()
    drafts.wait()
    assert kernel(x).tobytes() == first.tobytes()


def refused(*_):
    raise CompileError("no")


def test_without_threads_the_first_call_waits(gate, monkeypatch):
    """Where no thread can be started, what lasts is compiled in the call."""
    gate.set()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert library.softmax.using(threads=1)(np.zeros(4, np.float32)).tolist() == [0.25] * 4
    assert not drafts._coming.drafts


def no_thread(_):
    raise RuntimeError("can't start new thread")


def test_warm_waits_for_what_lasts(gate):
    """So does whoever asks for it."""
    threading.Timer(0.2, gate.set).start()
    library.softmax.using().warm((4, 1000))
    assert gate.is_set() and not drafts._coming.drafts


def test_a_measurement_waits_for_what_lasts(monkeypatch):
    """No round is of a draft."""
    order = []
    monkeypatch.setattr(drafts, "wait", lambda: order.append("wait"))
    bench.interleaved({"one": lambda: order.append("run")}, 2, seconds=0.0)
    assert order.count("wait") == 1 and order[-1] == "run"


def test_without_a_cache_what_lasts_is_in_memory(gate):
    """There is no file to find it in."""
    x = np.linspace(-3, 3, 1000, dtype=np.float32)
    with rf.options(cache=False):
        kernel = library.softmax.using(threads=1)
        first = kernel(x)
        gate.set()
        drafts.wait()
        assert kernel(x).tobytes() == first.tobytes()
        assert not drafts._coming.drafts


# in processes of their own

BEGIN = """
import json, os, sys, threading
import numpy as np
import llvmlite.binding
import rowfold as rf
from rowfold import library
x = np.linspace(-3, 3, 64000, dtype=np.float32).reshape(64, 1000)
softmax = library.softmax.using(backend="llvm")
"""
FIRST = BEGIN + """
from rowfold.runtime import beside, load_llvm
gate, thread = threading.Event(), beside.thread
beside.thread = lambda job, *given: thread(lambda: gate.wait(60) and job(*given))
levels, synced, heavy = [], [], "hashlib json.encoder shutil subprocess tempfile numpy.typing jinja2".split()
heavy = [m for m in heavy if m not in sys.modules]
build, fsync = load_llvm.build, os.fsync
load_llvm.build = lambda *a, level=2, **k: levels.append(level) or build(*a, level=level, **k)
os.fsync = lambda fd: synced.append(threading.current_thread() is threading.main_thread()) or fsync(fd)
y = softmax(x)
first, loaded = list(levels), [m for m in heavy if m in sys.modules]
from rowfold.runtime import drafts
gate.set()
drafts.wait()
print(json.dumps([first, loaded, levels, any(synced), float(y.sum())]))
"""
FORK = BEGIN + """
softmax(x)
child = os.fork()
if not child:
    library.logsumexp.using(backend="llvm")(x)
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""
AT_EXIT = BEGIN + """
import atexit
atexit.register(lambda: print(float(softmax(x).sum())))
"""


def run(text, folder):
    given = {k: v for k, v in os.environ.items() if not k.startswith("ROWFOLD_")} | {"ROWFOLD_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", text], env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def kept(folder):
    return len(list(folder.glob("*/library/*/kernel.o")))


def test_a_first_call_compiles_a_draft_and_waits_for_nothing_else(tmp_path):
    """No optimizing, no disk, nothing imported for what comes later; a second process finds what lasts."""
    first, loaded, levels, waited, total = json.loads(run(FIRST, tmp_path))
    assert (first, loaded, levels, waited, round(total, 3)) == ([0], [], [0, 2], False, 64)
    assert json.loads(run(FIRST, tmp_path))[2] == []


def test_a_program_that_ends_leaves_what_lasts_in_the_cache(tmp_path):
    """Python waits for the thread."""
    run(BEGIN + "softmax(x)", tmp_path)
    assert kept(tmp_path) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_that_is_forked_meanwhile_compiles(tmp_path):
    """Nobody holds llvmlite's lock then."""
    assert run(FORK, tmp_path) == "0"


def test_a_call_at_exit_has_a_result(tmp_path):
    """No thread can be started any more."""
    assert round(float(run(AT_EXIT, tmp_path)), 3) == 64
