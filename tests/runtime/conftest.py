"""One cache directory for the session, so that every hand-written kernel is compiled once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `kernels`, whatever import mode pytest is in

import kernels

from rowfold.config import Config
from rowfold.runtime import cache
from rowfold.runtime.call import Argument, Caller, CallSpec, FloatSetting, Result


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A configuration whose cache the whole session shares."""
    return Config(cache_dir=str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A configuration with an empty cache, and a runtime that remembers no library and no warning."""
    monkeypatch.setattr(cache, "_libraries", {})
    monkeypatch.setattr(cache, "_warned", set())
    return Config(cache_dir=str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def loaded(shared: Config) -> Callable[..., cache.Loaded]:
    """Loads a kernel by its name."""
    return lambda name, dtype="float32": cache.load(kernels.source(name, dtype), f"{name} {dtype}", shared)


class _Plain:
    def __init__(self, loaded: cache.Loaded) -> None:
        self.ufunc = loaded.plain


SPECS = {
    "softmax": CallSpec("softmax", (Argument("x", "row"),), (FloatSetting("temperature", 1.0, 0.0, open=True),)),
    "total_where": CallSpec("total", (Argument("x", "row"), Argument("chosen", "mask")), results=(Result(row=False),)),
    "pick": CallSpec(
        "pick", (Argument("x", "row"), Argument("target", "index", ignore=-100)), results=(Result(row=False),)
    ),
    "weigh": CallSpec("weigh", (Argument("x", "row"), Argument("weight", "row"))),
    "shift": CallSpec("shift", (Argument("x", "row"), Argument("by", "scalar"))),
    "center": CallSpec(
        "center", (Argument("x", "row"),), results=(Result(True), Result(False), Result(False, "int64"))
    ),
}


@pytest.fixture(scope="session", params=["ufunc", "plain"])
def path(request: pytest.FixtureRequest) -> str:
    """Which of the two ways to call a loop is tested."""
    return str(request.param)


@pytest.fixture(scope="session")
def caller(loaded: Callable[..., cache.Loaded], path: str) -> Callable[[str], Caller]:
    """Makes the caller of a kernel by its name, on either path."""

    def make(name: str) -> Caller:
        def compiled(dtype: Any, *_: Any) -> Any:
            found = loaded(name, dtype.name)
            return found if path == "ufunc" else _Plain(found)

        return Caller(SPECS[name], compiled)

    return make
