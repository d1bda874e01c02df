"""Threads: the same bits for any number of them, in any process, and a key that stops a long call."""

import functools
import multiprocessing
import subprocess
import sys
import threading

import numpy as np
import pytest
from stopping import seconds_to_stop

import rowfold as rf
from rowfold import library as lib
from rowfold.runtime import cache, slices
from rowfold.runtime import threads as team

SHAPES = [(64, 3000), (3, 40_000), (40_000, 3), (2, 5, 7, 1000), (1, 100_000)]


def draw(shape, dtype="float32"):
    return (np.random.default_rng(0).standard_normal(shape) * 5).astype(dtype)


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_bits_do_not_depend_on_the_number_of_threads(shape, threads):
    """One thread, two, three and seven write the same rows."""
    x = draw(shape)
    assert lib.softmax(x, threads=threads).tobytes() == lib.softmax(x, threads=1).tobytes()


@pytest.mark.parametrize("axis", [0, 1, (0, 2), None])
def test_any_axis_under_threads(axis):
    """Rows that lie along other axes are shared out, too."""
    x = draw((30, 40, 50))
    assert np.array_equal(lib.layer_norm(x, axis=axis, threads=2), lib.layer_norm(x, axis=axis, threads=1))


def test_several_results_and_indexes_are_shared_out():
    """Numbers a row, k-vectors and targets go with their rows."""
    x, target = draw((500, 300)), np.arange(500) % 300
    two, one = ((*lib.softmax_topk(x, k=3, threads=n), lib.cross_entropy(x, target, threads=n)) for n in (2, 1))
    assert all(np.array_equal(a, b) for a, b in zip(two, one, strict=True))


def test_a_repeated_call_keeps_its_threads():
    """The path without Python hands rows to the team as well."""
    x, out = draw((64, 3000)), np.empty((64, 3000), np.float32)
    expected = lib.softmax(x, threads=1)
    results = [lib.softmax(x, out=out, threads=2).tobytes() for _ in range(40)]
    assert set(results) == {expected.tobytes()}


def test_many_callers_at_once():
    """Calls that find the team taken run on their own thread."""
    x = draw((64, 3000))
    expected, found = lib.softmax(x, threads=1).tobytes(), []
    callers = [threading.Thread(target=lambda: found.append(lib.softmax(x, threads=3).tobytes())) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [expected] * 8


def test_the_pool_has_the_same_bits(monkeypatch):
    """Where the team cannot be compiled, slices of the batch go to a pool."""
    monkeypatch.setattr(team, "_made", lambda: None)
    kernel = rf.kernel(lib.softmax.__wrapped__, name="pooled_softmax")
    x = draw((64, 3000))
    assert kernel(x, threads=2).tobytes() == lib.softmax(x, threads=1).tobytes()


def test_a_call_does_not_wait_for_the_team(monkeypatch):
    """While the team is compiled, a call that asks for no threads has its own; the next one after that has the team."""
    held, real, shared = threading.Event(), team._made.__wrapped__, []
    find, handed = cache.find, team._handed
    monkeypatch.setattr(team, "_made", functools.cache(lambda: real() if held.wait(60) else None))
    monkeypatch.setattr(team, "_making", team._Making())
    monkeypatch.setattr(team, "_default", lambda: 2)
    monkeypatch.setattr(team, "_handed", lambda *args: shared.append(args[2]) or handed(*args))
    monkeypatch.setattr(team.cache, "find", lambda key, chosen: None if key.startswith("team") else find(key, chosen))
    kernel, x = rf.kernel(lib.softmax.__wrapped__, name="hasty_softmax"), draw((64, 3000))
    alone = kernel(x).tobytes()
    assert team._making.thread.is_alive()
    assert not shared
    held.set()
    team._making.thread.join()
    assert kernel(x).tobytes() == alone
    assert shared == [2]


AT_EXIT = """
import atexit, numpy as np
from rowfold import library as lib
x, cube = np.zeros((64, 3000), np.float32), np.zeros((50, 100, 200), np.float32)
calls = [(x, {}), (x, {"threads": 2}), (x, {"axis": 0}), (cube, {"axis": (0, 2)})]
atexit.register(lambda: print(*(lib.softmax(a, **more).sum() for a, more in calls)))
"""


def test_a_call_at_exit_starts_no_thread():
    """Python lets nobody start a thread then: one does."""
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, timeout=120, check=True)
    assert [round(float(word)) for word in done.stdout.split()] == [64, 64, 3000, 100], done.stderr


@pytest.mark.parametrize("limit", [1, 700, 5000])
def test_slices_cover_the_batch(limit, monkeypatch):
    """However small the slices are, each row is computed once, broadcast operands with it."""
    monkeypatch.setattr(slices.Sliced, "most", limit)
    x, weight = draw((3, 4, 5, 100)), draw((5, 100))
    out = np.empty((3, 4, 5), np.float32)
    assert np.array_equal(slices.Sliced(np.vecdot)(x, weight, out), np.vecdot(x, weight))


def test_using_and_the_environment_choose():
    """`k.using(threads=)` is checked when it is given, and its kernel computes the same."""
    x = draw((64, 3000))
    assert lib.softmax.using(threads=2)(x).tobytes() == lib.softmax(x, threads=1).tobytes()


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_number_of_threads_is_a_positive_int(threads, error):
    """Anything else is refused by name before something runs."""
    with pytest.raises(error, match="threads"):
        lib.softmax(draw((2, 3)), threads=threads)


def _bits(_):
    return lib.softmax(draw((64, 3000)), threads=2).tobytes()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_have_teams_of_their_own(method):
    """A child computes with threads whether it inherited a team's memory or nothing."""
    expected = _bits(0)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_bits, range(4), chunksize=1) == [expected] * 4


LONG = """
import numpy as np, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell started in the background
from rowfold import library as lib
x = np.broadcast_to(np.zeros(4096, np.float32), (2_000_000, 4096))
lib.logsumexp(x[:100000], threads={threads})
print("ready", flush=True)
lib.logsumexp(x, threads={threads})
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_key_stops_a_long_call(threads):
    """Ctrl-C arrives within slices of a call that takes seconds, in one of three tries at least."""
    assert any(seconds_to_stop(LONG.format(threads=threads)) < 0.5 for _ in range(3))


FREE = """
import sys
sys._is_gil_enabled = lambda: False  # what a free-threaded build says: no ufuncs, loops are called through cffi
import numpy as np
from rowfold import library as lib
from rowfold.runtime import quick, ufunc
from threading import Thread
assert not ufunc.usable() and not quick.usable()
x = (np.random.default_rng(0).standard_normal((1 << 17)) * 5).astype(np.float32)
found = {}
def work(k):
    rows = x.reshape(64, 2048) if k % 2 else x
    found[k] = all(lib.softmax(rows, threads=t).tobytes() == lib.softmax(rows, threads=1).tobytes() for t in (2, 3) * 5)
callers = [Thread(target=work, args=(k,)) for k in range(4)]
[c.start() for c in callers], [c.join() for c in callers]
print(sorted(found.values()))
"""


def test_calls_without_a_gil_have_the_same_bits():
    """Four callers at once on the path of free-threaded builds: batches and single rows, shared with the team."""
    found = subprocess.run([sys.executable, "-c", FREE], capture_output=True, text=True, check=True).stdout
    assert found == "[True, True, True, True]\n"
