"""A walk through everything that can happen to a cache and to the processes that share it, drawn from a seed.

Each walk is a process of its own, so that a crash of it is seen as one. After every step a kernel must give its number,
or raise an error that is documented; at the end, when the damage is over, everything works and nothing is left over.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import resource
import shutil
import signal
import stat
import sys
import time
import traceback
import warnings
from pathlib import Path

import kernels

from rowfold.config import Config
from rowfold.errors import CompileError, LoadError
from rowfold.runtime import cache, load_c, store

KERNELS = 4
SECONDS = 300  # until a walk counts as one that hangs
_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS, _PRIVATE, _READ_ONLY, _NO_EXEC, _REMOUNT = 1 << 17, 1 << 18 | 1 << 14, 1, 8, 32


class Walk:
    """`folder` is the walk's own; `compilers` are commands that work, one that fails, one that is not there."""

    def __init__(self, seed: int, folder: Path, compilers: tuple[str, ...]) -> None:
        self.rng, self.folder, self.compilers = random.Random(seed), folder, compilers
        self.where, self.cc, self.steps = "cache", compilers[0], list[str]()
        self.mounted = False
        folder.mkdir(parents=True)
        os.environ |= {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "home")}
        os.environ.pop("XDG_CACHE_HOME", None)
        (folder / "tmp").mkdir()
        (folder / "cache").mkdir(mode=0o700)
        self.slow = script(folder / "slow-cc", f'touch {folder}/started; sleep 0.05; exec {compilers[0]} "$@"')

    @property
    def config(self) -> Config:
        """HOME decides where the cache is, unless a directory is named."""
        if self.where == "home":
            return Config(cc=self.cc)
        return Config(cc=self.cc, cache_dir=str(self.folder / self.where))

    def run(self, count: int) -> None:
        actions = [getattr(self, name) for name in dir(self) if name.startswith("do_")]
        usual = [self.do_load, self.do_find] * len(actions)
        for _ in range(count):
            action = self.rng.choice([*actions, *usual[: len(actions) // 2]])
            self.steps.append(action.__name__[3:])
            action()
            self.check()
        self.calm()

    # what has to hold

    def check(self) -> None:
        number = self.rng.randrange(KERNELS)
        with contextlib.suppress(CompileError, LoadError):
            self.expect(number, cache.load(kernels.another(number), f"plan {number}", self.config))

    def expect(self, number: int, loaded: cache.Loaded | None) -> None:
        got = None if loaded is None else float(loaded.plain([0.0]))
        if got not in (None, number):
            raise AssertionError(f"kernel {number} gave {got}")

    def calm(self) -> None:
        """Everything is put right: what is left in the directory hinders nobody, and what was left aside is removed."""
        self.cc, load_c.os.memfd_create = self.compilers[0], _memfd  # type: ignore[misc]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if self.mounted:
            self.mount(_REMOUNT, "size=16m")
        for where in ("cache", "home"):
            self.where = where
            self.forget()
            base = self.folder / ("cache" if where == "cache" else "home/.cache/rowfold")
            put_right(base)
            for number in range(KERNELS):
                self.expect(number, cache.load(kernels.another(number), f"plan {number}", self.config))
                cache.note("something", {"number": number}, self.config)
            for path in (base / str(store.SCHEMA) / "aside").iterdir():
                os.utime(path, (time.time() - 7200,) * 2)
            cache.note("something", {}, self.config)
            left = list((base / str(store.SCHEMA) / "aside").iterdir())
            if left:
                raise AssertionError(f"left aside: {left}")
        kept = [p for p in (self.folder / "tmp").iterdir() if not p.name.startswith("rowfold-")]  # a killed one's text
        if kept:
            raise AssertionError(f"left in the temporary directory: {kept}")

    def forget(self) -> None:
        """What a new process would not know."""
        cache._libraries.clear()
        cache._warned.clear()

    # what happens: loading

    def do_load(self) -> None:
        self.forget()
        self.check()

    def do_find(self) -> None:
        self.forget()
        number = self.rng.randrange(KERNELS)
        self.expect(number, cache.find(f"plan {number}", self.config))

    def do_fork(self) -> None:
        self.together(1)

    def do_many_processes(self) -> None:
        self.together(self.rng.choice((3, 4, 16)))

    def together(self, count: int) -> None:
        seeds = [self.rng.random() for _ in range(count)]
        children = [child_of(lambda s=s: self.apart(s)) for s in seeds]  # type: ignore[misc]
        ends = [os.waitpid(pid, 0)[1] for pid in children]
        if any(ends):
            raise AssertionError(f"processes ended with {ends}")

    def apart(self, seed: float) -> None:
        self.rng = random.Random(seed)
        self.forget()
        self.check()

    def do_kill_in_the_compiler(self) -> None:
        sign = self.folder / "started"
        before, self.cc = self.cc, self.slow
        pid = child_of(lambda: self.apart(self.rng.random()))
        end = time.monotonic() + self.rng.choice((0.0, 0.02, 0.3))
        while time.monotonic() < end and not sign.exists():
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.cc = before
        sign.unlink(missing_ok=True)

    # the surroundings

    def do_another_compiler(self) -> None:
        self.cc = self.rng.choice(self.compilers)

    def do_another_home(self) -> None:
        self.where = self.rng.choice(("cache", "home"))
        self.forget()

    def do_without_memory_files(self) -> None:
        load_c.os.memfd_create = self.rng.choice((_memfd, _no_memfd))  # type: ignore[misc]

    def do_small_files_only(self) -> None:
        size = self.rng.choice((0, 1000, 20000, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        self.forget()

    def do_small_disk(self) -> None:
        if (
            not self.mounted
            and _LIBC.unshare(_NEW_MOUNTS) == 0
            and _LIBC.mount(b"none", b"/", None, _PRIVATE, None) == 0
        ):
            self.mounted = self.mount(0, f"size={self.rng.choice((4, 48, 400))}k")
        elif self.mounted:
            self.mount(_REMOUNT | self.rng.choice((0, _READ_ONLY, _NO_EXEC)), "size=400k")
        self.forget()

    def mount(self, flags: int, options: str) -> bool:
        place = str(self.folder / "cache").encode()
        return _LIBC.mount(b"tmpfs", place, b"tmpfs", flags, f"{options},mode=700".encode()) == 0

    # the files

    def path(self, *, folders: bool = False) -> Path | None:
        base = self.folder / self.where
        found = sorted(p for p in base.rglob("*") if (folders or p.is_file()) and not p.is_symlink())
        return self.rng.choice(found) if found else None

    def do_bend(self) -> None:
        if (path := self.path()) and (data := bytearray(path.read_bytes())):
            data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
            self.write(path, bytes(data))

    def do_truncate(self) -> None:
        if path := self.path():
            with contextlib.suppress(OSError):
                os.truncate(path, self.rng.randrange(path.stat().st_size + 1))
            self.forget()

    def do_exchange(self) -> None:
        one, other = self.path(), self.path()
        if one and other:
            self.write(one, other.read_bytes())

    def write(self, path: Path, data: bytes) -> None:
        with contextlib.suppress(OSError):
            path.write_bytes(data)
        self.forget()

    def do_delete(self) -> None:
        if path := self.path(folders=True):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            self.forget()

    def do_replace(self) -> None:
        if path := self.path(folders=self.rng.random() < 0.3):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                self.rng.choice(
                    (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero"), path.touch)
                )()
            self.forget()

    def do_chmod(self) -> None:
        if path := self.path(folders=True):
            with contextlib.suppress(OSError):
                path.chmod(self.rng.choice((0o000, 0o400, 0o500, 0o600, 0o700, 0o755, 0o777)))
            self.forget()


_memfd = os.memfd_create


def _no_memfd(*_: object) -> int:
    raise OSError(38, "no such system call")


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def child_of(action) -> int:
    """A process that does this and ends with 0, or says on stderr why not and ends with 1."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        warnings.simplefilter("ignore")
        action()
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told and the process ends
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        sys.stderr.write("".join(traceback.format_exception(error)[-3:]))
    finally:
        os._exit(code)


def put_right(base: Path) -> None:
    """As a user who was told what is wrong would: no folder is open to others, and what is no folder is removed."""
    root = base / str(store.SCHEMA)
    for path in (base.parent, base, root, *(root / name for name in ("library", "plan", "lock", "aside"))):
        if path.is_symlink() or (os.path.lexists(path) and not path.is_dir()):
            path.unlink()
        if path.is_dir():
            path.chmod(0o700)
    for path in base.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o700 if stat.S_ISDIR(path.lstat().st_mode) else 0o600)


def walk(seed: int, folder: Path, compilers: tuple[str, ...], steps: int) -> int:
    """The exit status of the process that takes this walk: 0, or what `os.waitpid` says."""

    def take() -> None:
        signal.alarm(SECONDS)
        taken = Walk(seed, folder, compilers)
        try:
            taken.run(steps)
        except BaseException:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            sys.stderr.write(f"walk {seed}: {' '.join(taken.steps)}\n")
            raise

    return os.waitpid(child_of(take), 0)[1]
