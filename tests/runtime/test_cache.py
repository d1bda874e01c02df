"""The cache gives the right library or none, and never costs the answer."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import chaos
import kernels
import numpy as np
import pytest

from rowfold.config import Config
from rowfold.errors import CompileError, IsaError, LoadError
from rowfold.runtime import cache, compiler, load_c, process, store

ROOT = Path(__file__).parents[2]
ROWS = np.arange(6, dtype="f4").reshape(2, 3)
SOURCE = kernels.another(0)


def answer(loaded: cache.Loaded) -> float:
    return float(loaded.ufunc([0.0]))


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory that holds SOURCE; tests copy it, so that it is compiled once."""
    folder = tmp_path_factory.mktemp("filled") / "cache"
    cache.load(SOURCE, "plan", Config(cache_dir=str(folder)))
    return folder


@pytest.fixture
def warm(filled: Path, fresh: Config) -> Config:
    """A configuration whose cache holds SOURCE, though this process has not loaded it."""
    import shutil

    shutil.copytree(filled, str(fresh.cache_dir))
    return fresh


def entry(config: Config) -> Path:
    (folder,) = (Path(str(config.cache_dir)) / str(store.SCHEMA) / "library").iterdir()
    return folder


def test_find_in_an_empty_cache(fresh: Config) -> None:
    """There is nothing to find before something was loaded, and looking makes no directory."""
    assert cache.find("plan", fresh) is None and not os.path.exists(str(fresh.cache_dir))


def test_find(warm: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan key leads to the kernel, and no process is started for it."""
    monkeypatch.setattr(process, "run", None)
    found = cache.find("plan", warm)
    assert found is not None and found.from_cache and answer(found) == 0


def test_load_a_second_time(warm: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that was compiled is not compiled again, also under another plan key."""
    monkeypatch.setattr(compiler, "build", None)
    assert cache.load(SOURCE, "another plan", warm).from_cache


def test_each_directory_gets_its_own(fresh: Config, tmp_path: Path) -> None:
    """A library that this process has loaded from one directory is kept in another that is used later, too."""
    cache.load(SOURCE, "plan", fresh)
    later = replace(fresh, cache_dir=str(tmp_path / "later"))
    cache.load(SOURCE, "plan", later)
    assert (entry(later) / "kernel.so").exists()


def test_modes(warm: Config) -> None:
    """Only the user may look into the cache."""
    paths = [Path(str(warm.cache_dir)) / str(store.SCHEMA), *(Path(str(warm.cache_dir)) / str(store.SCHEMA)).rglob("*")]
    assert {stat.S_IMODE(p.stat().st_mode) for p in paths} == {0o700, 0o600}


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_truncate, _flip, Path.unlink, lambda p: p.write_bytes(b"")])
@pytest.mark.parametrize("name", ["kernel.so", "manifest.json"])
def test_damaged_entry(warm: Config, name: str, damage: object) -> None:
    """A damaged library or manifest costs one warning and a compilation, and is repaired."""
    damage(entry(warm) / name)
    with pytest.warns(RuntimeWarning, match="goes on without") as seen:
        first, second = cache.find("plan", warm), cache.load(SOURCE, "plan", warm)
    cache._libraries.clear()
    again = cache.find("plan", warm)
    assert (first, answer(second), len(seen), again is not None and answer(again)) == (None, 0, 1, 0)


def test_damaged_plan(warm: Config) -> None:
    """A damaged record of a plan is not believed."""
    for record in (Path(str(warm.cache_dir)) / str(store.SCHEMA) / "plan").iterdir():
        record.write_text(record.read_text().replace("other", "exit"))
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert cache.find("plan", warm) is None


@pytest.mark.parametrize("what", ["plan", "library"])
def test_what_stands_in_the_place_of_another_is_refused(fresh: Config, what: str) -> None:
    """Records and entries that are whole, but another's: no kernel is taken for the one that was asked for."""
    for number in (1, 2):
        cache.load(kernels.another(number), f"plan {number}", fresh)
    folder = Path(str(fresh.cache_dir)) / str(store.SCHEMA) / what
    names = sorted(os.listdir(folder))
    for name in names:
        (folder / name).rename(folder / f"{name} of another")
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        (folder / f"{other} of another").rename(folder / name)
    cache._libraries.clear()
    with pytest.warns(RuntimeWarning, match="is damaged"):
        found = [cache.find(f"plan {number}", fresh) for number in (1, 2)]
    assert found == [None, None]
    assert [answer(cache.load(kernels.another(number), f"plan {number}", fresh)) for number in (1, 2)] == [1, 2]


def test_another_seal_is_another_schema(tmp_path: Path) -> None:
    """What a release kept is no damage to the next: when this fails, raise SCHEMA and write here what is sealed now."""
    assert store.SCHEMA == 2
    assert store._sealed({"b": [1, "x"], "a": None}, "key") == (
        b'{"body": {"a": null, "b": [1, "x"]}, "sha256": '
        b'"d163a9da599c83ea012f15a024110ba803dd0f35423a1e7e4693262d68cd54ed"}'
    )
    (older := tmp_path / "1" / "library" / "key").mkdir(parents=True)
    (older / "manifest.json").write_bytes(b"{}")
    opened = store.open_store(str(tmp_path), create=True)
    assert opened and opened.read_library("key", "kernel.so") is None


def test_foreign_library(warm: Config) -> None:
    """A library that cannot be loaded, though its sum is right, is compiled again."""
    import hashlib

    data = b"\x7fELF but not of this machine"
    manifest = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (entry(warm) / "kernel.so").write_bytes(data)
    (entry(warm) / "manifest.json").write_bytes(store._sealed(manifest, entry(warm).name))
    with pytest.warns(RuntimeWarning, match="cannot be loaded"):
        assert answer(cache.load(SOURCE, "plan", warm)) == 0


def test_directory_open_to_others(warm: Config) -> None:
    """A cache that others can write to is not used."""
    os.chmod(Path(str(warm.cache_dir)) / str(store.SCHEMA), 0o777)
    with pytest.warns(RuntimeWarning, match="open to others"):
        assert cache.find("plan", warm) is None


def test_parent_open_to_others(warm: Config) -> None:
    """Nor one whose parent others can write to."""
    os.chmod(str(warm.cache_dir), 0o777)
    with pytest.warns(RuntimeWarning, match="can be changed by others"):
        assert cache.find("plan", warm) is None


def test_directory_is_a_link(warm: Config, tmp_path: Path) -> None:
    """Nor a symbolic link to one."""
    (tmp_path / "link").symlink_to(str(warm.cache_dir))
    with pytest.warns(RuntimeWarning, match="symbolic link"):
        assert cache.find("plan", replace(warm, cache_dir=str(tmp_path / "link"))) is None


def test_library_is_a_link(warm: Config, tmp_path: Path) -> None:
    """Nor a library that is a link to a file elsewhere."""
    (entry(warm) / "kernel.so").rename(tmp_path / "kernel.so")
    (entry(warm) / "kernel.so").symlink_to(tmp_path / "kernel.so")
    with pytest.warns(RuntimeWarning, match="symbolic links"):
        assert cache.find("plan", warm) is None


def test_unwritable(fresh: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no directory can be made there is one warning for many kernels, and all of them work."""
    (tmp_path / "file").write_text("")
    config = replace(fresh, cache_dir=str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning) as seen:
        answers = [answer(cache.load(SOURCE, "plan", config)) for _ in range(2)]
    assert (answers, len(seen)) == ([0, 0], 1)


@pytest.mark.parametrize("left", [b"", bytes(200)], ids=["nothing", "zeros"])
def test_a_record_that_a_power_cut_took_is_made_again(left: bytes, warm: Config) -> None:
    """Records are not waited for; what such a file holds then is no damage that anybody is told of."""
    for path in Path(str(warm.cache_dir)).glob(f"{store.SCHEMA}/plan/*.json"):
        path.write_bytes(left)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.find("plan", warm) is None
        assert cache.load(SOURCE, "plan", warm).from_cache
        assert cache.find("plan", warm) is not None


def test_disk_full(fresh: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half way leaves no entry and loses no answer."""

    def full(path: str, data: bytes, *, durable: bool = True) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_write", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        got = answer(cache.load(SOURCE, "plan", fresh))
    assert (got, os.listdir(Path(str(fresh.cache_dir)) / str(store.SCHEMA) / "library")) == (0, [])


def test_switched_off(fresh: Config) -> None:
    """ROWFOLD_CACHE=0 leaves nothing on disk."""
    loaded = cache.load(SOURCE, "plan", replace(fresh, cache=False))
    assert answer(loaded) == 0 and not os.path.exists(str(fresh.cache_dir))


def test_without_memory_files(warm: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no anonymous files the library is loaded from disk."""
    monkeypatch.delattr(os, "memfd_create")
    found = cache.find("plan", warm)
    assert found is not None and answer(found) == 0


def test_a_library_that_is_cut_short_while_it_is_loaded(warm: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a library can only be loaded from the cache's file, the next file of that name is loaded anew."""
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(load_c, "_copy", lambda data: contextlib.nullcontext())

    def twice() -> None:
        for _ in range(2):
            cache._libraries.clear()
            assert answer(cache.load(SOURCE, "plan", warm)) == 0
            os.truncate(entry(warm) / "kernel.so", 100)

    assert os.waitpid(chaos.child_of(twice), 0)[1] == 0


def test_neither_memory_files_nor_cache(fresh: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without both, a temporary copy is loaded."""
    monkeypatch.delattr(os, "memfd_create")
    assert answer(cache.load(SOURCE, "plan", replace(fresh, cache=False))) == 0


def test_libraries_are_not_confused(shared: Config) -> None:
    """Many libraries loaded from memory one after another, on one file number, are different ones."""
    made = [cache.load(kernels.another(number), "", shared) for number in (1, 2, 3)]
    data = [store._read(str(loaded.path)) for loaded in made]
    pointers = [load_c.address(load_c.load(d), "other") for d in data * 3]
    from rowfold.runtime.ufunc import PlainLoop

    assert [float(PlainLoop(p, "other", "(n)->()", "dd")([0.0])) for p in pointers] == [1, 2, 3] * 3


def test_stale_halves_are_collected(warm: Config) -> None:
    """What a killed process left aside goes away with a later write, and what is young stays."""
    aside = Path(str(warm.cache_dir)) / str(store.SCHEMA) / "aside"
    (aside / "old").mkdir()
    (aside / "new").mkdir()
    os.utime(aside / "old", (time.time() - 7200,) * 2)
    cache.load(SOURCE, "yet another plan", warm)
    assert os.listdir(aside) == ["new"]


def test_another_compiler_has_its_own_plans(warm: Config, tmp_path: Path) -> None:
    """A plan that one compiler answered is not answered for another one."""
    assert cache.find("plan", replace(warm, cc=_script(tmp_path / "cc", 'exec cc "$@"'))) is None


def test_no_compiler_at_all(warm: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without a compiler a filled cache still answers."""
    monkeypatch.setattr(compiler, "find", lambda cc=None: None)
    assert cache.find("plan", warm) is not None


def test_missing_cpu_features(fresh: Config) -> None:
    """Code for a CPU that this one is not is refused before it is compiled."""
    with pytest.raises(IsaError, match="lacks warp_drive"):
        cache.load(replace(SOURCE, features=("warp_drive",)), "plan", fresh)


def test_missing_symbol(shared: Config) -> None:
    """A library without the symbol is a LoadError."""
    with pytest.raises(LoadError, match="no symbol absent"):
        cache.load(replace(SOURCE, symbol="absent"), "", shared)


def test_cffi(shared: Config) -> None:
    """cffi() hands out the compiled function under its declaration."""
    ffi, lib = cache.load(kernels.another(5), "", shared).cffi()
    out = ffi.new("double *")
    args, dims, steps = ffi.new("char *[]", [ffi.NULL, ffi.cast("char *", out)]), [1, 1], [8, 8, 8]
    lib.other(args, ffi.new("intptr_t[]", dims), ffi.new("intptr_t[]", steps), ffi.NULL)
    assert out[0] == 5


def _script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


_LOAD = """
import sys, threading
sys.path[:0] = [{src!r}, {here!r}]
import kernels
from rowfold.config import Config
from rowfold.runtime import cache
loaded = cache.load(kernels.another(4), "plan", Config(cache_dir={directory!r}, cc={cc!r}))
assert float(loaded.ufunc([0.0])) == 4
"""


def test_many_processes_compile_once(tmp_path: Path) -> None:
    """Eight processes that want one kernel at once compile it once."""
    cc = _script(
        tmp_path / "cc", f'case "$*" in *kernel.c*) echo run >> {tmp_path}/runs; sleep 0.2;; esac\nexec cc "$@"'
    )
    names = {"src": str(ROOT / "src"), "here": str(Path(__file__).parent)}
    code = _LOAD.format(directory=str(tmp_path / "cache"), cc=cc, **names)
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(8)]
    assert [p.wait(60) for p in started] == [0] * 8 and (tmp_path / "runs").read_text() == "run\n"


_WARM = """
import json, sys
sys.path[:0] = [{src!r}]
import numpy
from rowfold.config import Config
from rowfold.runtime import cache
from rowfold.runtime.call import Argument, Caller, CallSpec
found = cache.find("plan", Config(cache_dir={directory!r}))
k = Caller(CallSpec("weigh", (Argument("x", "row"), Argument("w", "row"))), lambda *_: found)
y = k(numpy.ones((2, 3), "f4"), numpy.ones(3, "f4"))
heavy = [m for m in ("jinja2", "pycparser", "llvmlite", "cffi", "subprocess", "tempfile") if m in sys.modules]
print(json.dumps([heavy, y.tolist()]))
"""


def test_second_process_is_light(shared: Config) -> None:
    """A warm first call imports nothing heavy, and so starts no process."""
    cache.load(kernels.source("weigh"), "plan", shared)
    code = _WARM.format(src=str(ROOT / "src"), directory=shared.cache_dir)
    assert json.loads(subprocess.check_output([sys.executable, "-c", code])) == [[], [[1, 1, 1]] * 2]


def test_fork(shared: Config) -> None:
    """A forked child calls a loaded kernel and loads another one."""
    loaded = cache.load(kernels.another(1), "", shared)
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = answer(loaded) == 1 and answer(cache.load(kernels.another(2), "", shared)) == 2
        finally:
            os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_no_compiler(fresh: Config) -> None:
    """A compiler that is not there is said to be missing, with what to do."""
    with pytest.raises(CompileError, match=r"'absent-cc' is not a program on PATH.*set ROWFOLD_CC"):
        cache.load(SOURCE, "plan", replace(fresh, cc="absent-cc"))
