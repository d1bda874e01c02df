"""Whatever happens to the cache and to the processes that share it: right numbers or a documented error, no crash."""

from __future__ import annotations

import shutil
from pathlib import Path

import chaos
import pytest

from rowfold.runtime import compiler


@pytest.fixture(scope="module")
def compilers(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Two that work and remember what they made, so that walks are quick; one that fails, one that is gone."""
    found = compiler.find()
    if found is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("compilers")
    made = (
        f'case "$1" in --version|-dumpmachine) echo fake; exit 0;; esac\n'
        f'kept={folder}/$(cksum < kernel.c | tr " " -).so\n'
        f'if [ -e "$kept" ]; then exec cp "$kept" kernel.so; fi\n'
        f'{found} "$@" && cp kernel.so "$kept.$$" && mv "$kept.$$" "$kept"'
    )
    good, other = (chaos.script(folder / name, made) for name in ("one", "other"))
    bad = chaos.script(folder / "bad", 'case "$1" in --version|-dumpmachine) echo fake; exit 0;; esac\nexit 3')
    return good, other, bad, str(folder / "gone")


def failures(seeds: range, folder: Path, compilers: tuple[str, ...]) -> list[tuple[int, int]]:
    found = []
    for seed in seeds:
        status = chaos.walk(seed, folder / str(seed), compilers, 12)
        found += [(seed, status)] if status else []
        shutil.rmtree(folder / str(seed), ignore_errors=True)
    return found


def test_a_few_walks(compilers: tuple[str, ...], tmp_path: Path) -> None:
    """Twelve steps of damage, kills and swaps, a dozen times."""
    assert failures(range(12), tmp_path, compilers) == []


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(10))
def test_a_thousand_walks(hundred: int, compilers: tuple[str, ...], tmp_path: Path) -> None:
    """The same, further seeds."""
    assert failures(range(100 + 100 * hundred, 200 + 100 * hundred), tmp_path, compilers) == []
