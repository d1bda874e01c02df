"""The ten knobs."""

from __future__ import annotations

import pytest

from rowfold.config import NAMES, Config, ConfigError, active, options, resolve, variable
from rowfold.errors import RowfoldError


def test_ten_variables() -> None:
    """The variables are the ten documented ones."""
    expected = "STRATEGY ISA BACKEND THREADS CC CACHE CACHE_DIR DEBUG DUMP OVERRIDE".split()
    assert [variable(name) for name in NAMES] == [f"ROWFOLD_{word}" for word in expected]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("strategy", "online", "online"),
        ("backend", "numpy", "numpy"),
        ("threads", "4", 4),
        ("cc", "ccache gcc", "ccache gcc"),
        ("cache", "0", False),
        ("cache", "on", True),
        ("cache_dir", "/a", "/a"),
        ("debug", "2", 2),
        ("threads", "", None),
    ],
)
def test_environment(name: str, text: str, value: object) -> None:
    """Each variable sets its field, and an empty one sets nothing."""
    assert getattr(Config.from_environment({variable(name): text}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("strategy", "fast", "ROWFOLD_STRATEGY = 'fast' is not one of auto, three_pass_recompute"),
        ("backend", "rust", "ROWFOLD_BACKEND = 'rust' is not one of auto, c, llvm, numpy"),
        ("isa", "mmx!", "ROWFOLD_ISA = 'mmx!' is not an instruction set"),
        ("threads", "0", "ROWFOLD_THREADS = '0' is not an integer from 1 to 1024"),
        ("threads", "many", "integer from 1"),
        ("debug", "5", "ROWFOLD_DEBUG = '5' is not an integer from 0 to 4"),
        ("cache", "maybe", "ROWFOLD_CACHE = 'maybe' is neither on"),
    ],
)
def test_bad_values(name: str, text: str, says: str) -> None:
    """A bad value is named with the variable and the values that are valid."""
    with pytest.raises(RowfoldError, match=says):
        Config.from_environment({variable(name): text})


def test_unknown_option() -> None:
    """An unknown option is answered with the known ones."""
    with pytest.raises(ConfigError, match="no option 'stratgy'; the options are strategy"), options(stratgy="auto"):
        pass


def test_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call, using, options, environment, default: the nearest wins."""
    monkeypatch.setenv("ROWFOLD_THREADS", "2")
    monkeypatch.setenv("ROWFOLD_BACKEND", "numpy")
    monkeypatch.setenv("ROWFOLD_DEBUG", "1")
    monkeypatch.setenv("ROWFOLD_STRATEGY", "online")
    with options(backend="c", debug=2, strategy="two_pass"):
        config = resolve({"debug": 3, "strategy": "one_pass"}, {"strategy": "auto"})
    assert (config.threads, config.backend, config.debug, config.strategy, config.cache) == (2, "c", 3, "auto", True)


def test_options_nest() -> None:
    """Blocks nest, and nothing stays behind."""
    with options(threads=2), options(debug=1):
        inner = active()
    assert (inner, active()) == ((("debug", 1), ("threads", 2)), ())
