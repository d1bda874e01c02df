"""Files of the cache: whole entries that appear by rename, are checked when read, and belong to this user alone.

    <directory>/2/library/<key>/{kernel.so, kernel.c, manifest.json}   what was compiled (of LLVM: kernel.o, kernel.ll)
    <directory>/2/plan/<key>.json                                      which library answers which plan
    <directory>/2/lock/<key>   one compilation at a time        <directory>/2/aside/   entries being written

A `Fault` says why the files cannot be used; the callers turn it into one warning and go on without them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from typing import Any

from ..records import NamedTuple

try:  # Python's own SHA-256: hashlib loads OpenSSL, which takes 4 ms of a warm first call
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from hashlib import sha256

SCHEMA = 2  # another way of keeping or sealing is another number, in another folder: no damage to each other
_LARGEST = 64 << 20
_STALE_SECONDS = 3600.0
_FOLDERS = ("library", "plan", "lock", "aside")


class Fault(Exception):  # noqa: N818 - a signal between these two modules, never an error that a user sees
    """The cache cannot be used, or an entry of it is not what it should be."""


class Store(NamedTuple):
    """A cache directory whose owner and modes were checked."""

    root: str

    def library_path(self, key: str, name: str) -> str:
        return os.path.join(self.root, "library", key, name)

    def read_library(self, key: str, name: str) -> bytes | None:
        """The verified bytes of a library, None if there is none; Fault if what is there is damaged."""
        folder = os.path.dirname(self.library_path(key, name))
        if not os.path.isdir(folder):
            return None
        manifest = _unsealed(_read(os.path.join(folder, "manifest.json")), key, folder)
        data = _read(self.library_path(key, name))
        if len(data) != manifest.get("size") or digest(data) != manifest.get("sha256"):
            raise Fault(f"the cache entry {folder} is damaged: its library is not the one that its manifest describes")
        return data

    def write_library(self, key: str, data: bytes, text: str, about: dict[str, Any], names: tuple[str, str]) -> str:
        """Publish a whole entry at once; its path. A sound one of another process stays; a damaged one is replaced.

        `names` are those of the library and of the text that it was compiled from.
        """
        path = self.library_path(key, names[0])
        manifest = {**about, "size": len(data), "sha256": digest(data)}
        with self._aside() as aside:
            _write(os.path.join(aside, names[0]), data)
            _write(os.path.join(aside, names[1]), text.encode(), durable=False)  # for people: nothing loads it
            _write(os.path.join(aside, "manifest.json"), _sealed(manifest, key))
            _sync(aside)
            self._publish(aside, path, key)
        return path

    def read_plan(self, key: str) -> dict[str, Any] | None:
        path = os.path.join(self.root, "plan", f"{key}.json")
        data = _read(path) if os.path.lexists(path) else b""
        return _unsealed(data, key, path) if data.strip(b"\0") else None  # nothing, or what a power cut leaves of it

    def write_plan(self, key: str, body: dict[str, Any]) -> None:
        """Nothing waits for the disk: a record that a power cut takes is made again."""
        place = self._new()
        try:
            _write(place, _sealed(body, key), durable=False)
            os.replace(place, os.path.join(self.root, "plan", f"{key}.json"))
        except BaseException:
            _remove(place)
            raise

    def content(self) -> tuple[int, int]:
        """How many compiled kernels there are, and the bytes of all that is kept."""
        files = [os.path.join(folder, name) for folder, _, names in os.walk(self.root) for name in names]
        sizes = []
        for path in files:
            with contextlib.suppress(FileNotFoundError):  # another process may be writing
                sizes.append(os.lstat(path).st_size)
        return len(os.listdir(os.path.join(self.root, "library"))), sum(sizes)

    def clear(self, *folders: str) -> None:
        """Remove every entry, each at once: another process finds a whole one or none. Plans go first."""
        with self._aside() as aside:
            for folder in folders or ("plan", "library"):
                for name in os.listdir(os.path.join(self.root, folder)):
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(os.path.join(self.root, folder, name), os.path.join(aside, f"{folder}-{name}"))

    @contextlib.contextmanager
    def lock(self, key: str, seconds: float) -> Iterator[None]:
        """Hold the key's lock; after `seconds`, or where files cannot be locked, go on without: only work is lost."""
        import fcntl

        fd = os.open(os.path.join(self.root, "lock", key), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            end = time.monotonic() + seconds
            with contextlib.suppress(OSError):
                while not _locked(fd) and time.monotonic() < end:
                    time.sleep(0.005)
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)  # by name: a child forked meanwhile shares this lock
            os.close(fd)

    def _publish(self, aside: str, path: str, key: str) -> None:
        final, name = os.path.split(path)
        if os.path.lexists(final) and not self._sound(key, name):
            os.rename(final, f"{aside}-damaged")
            _remove(f"{aside}-damaged")
        try:
            os.rename(aside, final)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # else another process was first
                raise
        _sync(os.path.dirname(final))

    def _sound(self, key: str, name: str) -> bool:
        try:
            return self.read_library(key, name) is not None
        except (Fault, OSError):
            return False

    def _new(self) -> str:
        """A path for what is being written, which nobody else has. What a killed process left is removed."""
        parent = os.path.join(self.root, "aside")
        for name in os.listdir(parent):
            _remove_if_stale(os.path.join(parent, name))
        return os.path.join(parent, f"{os.getpid()}-{os.urandom(8).hex()}")

    @contextlib.contextmanager
    def _aside(self) -> Iterator[str]:
        """A private folder for what is being written."""
        folder = self._new()
        os.mkdir(folder, 0o700)
        try:
            yield folder
        finally:
            _remove(folder)


def open_store(directory: str | None, create: bool) -> Store | None:
    """The store below this directory or the default one; None if it is not there and shall not be made."""
    base = directory or default_directory()
    root = os.path.join(os.path.abspath(base), str(SCHEMA))
    if not create and not os.path.lexists(root):
        return None
    if create:
        os.makedirs(os.path.dirname(root), 0o700, exist_ok=True)
        for path in (root, *(os.path.join(root, name) for name in _FOLDERS)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
    check(root)
    return Store(root)


def digest(data: bytes) -> str:
    """The SHA-256 of these bytes, in hexadecimal."""
    return str(sha256(data).hexdigest())


def default_directory() -> str:
    """$XDG_CACHE_HOME/rowfold, or where this platform keeps caches."""
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):
        return os.path.join(xdg, "rowfold")
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        raise Fault("there is no home directory to keep compiled kernels in; set ROWFOLD_CACHE_DIR")
    return os.path.join(home, *(("Library", "Caches") if sys.platform == "darwin" else (".cache",)), "rowfold")


def check(root: str) -> None:
    """Refuse a directory in which somebody else could place a library that we would load."""
    for path in (root, *(os.path.join(root, name) for name in _FOLDERS)):
        _check_private(path)
    base = os.path.dirname(root)
    if stat.S_ISLNK(os.lstat(base).st_mode):
        raise Fault(f"the cache directory {base} is a symbolic link; name the directory itself")
    parent = os.path.realpath(base)
    while parent != os.path.dirname(parent):
        _check_parent(parent)
        parent = os.path.dirname(parent)


def _check_private(path: str) -> None:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise Fault(f"{path} is not a directory (links are not followed); remove it")
    if status.st_uid != os.geteuid():
        raise Fault(f"{path} belongs to user {status.st_uid}, not to you ({os.geteuid()}); set ROWFOLD_CACHE_DIR")
    if status.st_mode & 0o077:
        raise Fault(f"{path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}); run chmod 700 on it")


def _check_parent(path: str) -> None:
    """A parent may be read by others, but only we and root may rename what is in it."""
    status = os.stat(path)
    if status.st_uid not in (0, os.geteuid()):
        raise Fault(f"{path}, which holds the cache directory, belongs to user {status.st_uid}; set ROWFOLD_CACHE_DIR")
    ours = status.st_gid == os.getegid()
    open_to_others = status.st_mode & 0o002 or (status.st_mode & 0o020 and not ours)
    if open_to_others and not status.st_mode & stat.S_ISVTX:
        mode = stat.S_IMODE(status.st_mode)
        raise Fault(
            f"{path}, which holds the cache directory, can be changed by others (mode {mode:04o}); "
            "set ROWFOLD_CACHE_DIR"
        )


_HEAD, _MIDDLE, _TAIL = b'{"body": ', b', "sha256": "', b'"}'
_SEAL = len(_MIDDLE) + 64 + len(_TAIL)


def _sealed(body: dict[str, Any], key: str) -> bytes:
    """A JSON object with the body and the digest of its key and of the very bytes that the body has here.

    The key: an entry in the place of another is as wrong as a damaged one.
    """
    import json

    text = json.dumps(body, sort_keys=True).encode()
    return _HEAD + text + _MIDDLE + _seal(key, text) + _TAIL


def _seal(key: str, text: bytes) -> bytes:
    return digest(key.encode() + b" " + text).encode()


def _unsealed(data: bytes, key: str, path: str) -> dict[str, Any]:
    text = data[len(_HEAD) : -_SEAL]
    if data == _HEAD + text + _MIDDLE + _seal(key, text) + _TAIL:
        with contextlib.suppress(ValueError, RecursionError):
            body = _parsed(text.decode())
            if isinstance(body, dict):
                return body
    raise Fault(f"the cache entry {path} is damaged")


def _parsed(text: str) -> Any:
    """`json.loads`, without the 3 ms that importing json takes where its scanner in C is to be had alone."""
    try:
        from _json import make_scanner

        value, end = make_scanner(_Strict)(text, 0)  # type: ignore[arg-type]  # it asks for attributes only
    except (ImportError, AttributeError, TypeError, StopIteration):
        import json

        return json.loads(text)
    if end != len(text):
        raise ValueError(f"JSON ends at {end} of {len(text)}")
    return value


class _Strict:
    """What json's scanner asks of a decoder."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner's own


def _read(path: str) -> bytes:
    """The content of a plain file of ours."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size > _LARGEST:
            raise Fault(f"the cache entry {path} is not a file of yours of a sensible size")
        return file.read()


def _write(path: str, data: bytes, *, durable: bool = True) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync a directory
            os.fsync(fd)
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_if_stale(path: str) -> None:
    with contextlib.suppress(OSError):
        if time.time() - os.lstat(path).st_mtime > _STALE_SECONDS:
            _remove(path)


def _remove(path: str) -> None:
    """A file, or a folder with all that is in it; nothing, if that is what is there."""
    with contextlib.suppress(OSError):
        os.unlink(path)
        return
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:  # something is in it
        import shutil  # 4 ms

        shutil.rmtree(path, ignore_errors=True)
