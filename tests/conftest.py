"""What every test shares: a cache of its own, golden files, and skipping by instruction set."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
_CACHE = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")
    parser.addoption("--mutate", type=int, metavar="K", help="test the Kth wrong generator of tests/kill/mutants.txt")
    parser.addoption("--kernel-cache", metavar="DIRECTORY", help="a cache that several runs share")


def pytest_configure(config):
    """Give the session an empty kernel cache, and hide the settings of whoever runs the tests.

    The workers of pytest-xdist inherit both from the process that started them.
    """
    if hasattr(config, "workerinput"):
        return
    for name in [name for name in os.environ if name.startswith("ROWFOLD_")]:
        del os.environ[name]
    config.stash[_CACHE] = tempfile.TemporaryDirectory(prefix="rowfold-tests-")
    folder = config.getoption("--kernel-cache") or config.stash[_CACHE].name
    os.environ["ROWFOLD_CACHE_DIR"] = folder
    os.environ["XDG_CACHE_HOME"] = folder  # of a Config that names none: nobody's own kernels are read or left
    if config.getoption("--mutate") is not None:
        _mutate(config.getoption("--mutate"), config.stash[_CACHE].name)


def _mutate(which, folder):
    """Let this process, which has not imported rowfold yet, find a copy with one thing wrong in it."""
    sys.path.insert(0, str(Path(__file__).parent / "kill"))
    from mutants import mutated, read

    sys.path.insert(0, str(mutated(read()[which], folder)))


def pytest_unconfigure(config):
    if _CACHE in config.stash:
        config.stash[_CACHE].cleanup()


def pytest_runtest_setup(item):
    """Skip a test marked `isa(name)` where this CPU cannot run that instruction set."""
    from rowfold.runtime.cpu import host_isas

    for mark in item.iter_markers("isa"):
        if mark.args[0] not in host_isas():
            pytest.skip(f"this CPU lacks {mark.args[0]}")


@pytest.fixture
def golden(request):
    """A function that compares a text with tests/golden/<name>, or writes that file under --update-golden."""

    def compare(name, text):
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden file {name}: run pytest --update-golden, and read what it wrote"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(autouse=True, scope="session")
def _loops_that_last():
    """First calls through LLVM run what later ones do, too: tests/runtime/test_drafts.py has the drafts."""
    from rowfold.runtime import cache

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "draft", lambda source, make, key, config: cache.load(make(), key, config))
        yield
