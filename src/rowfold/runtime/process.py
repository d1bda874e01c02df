"""Run one program without a shell: a small environment, a private temporary directory, limits on time and resources."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import tempfile

from ..records import dataclass

# Nothing here can add headers, libraries, plug-ins or code to a compiler run, as CPATH or LD_PRELOAD would.
ALLOWED = ("PATH", "HOME", "SYSTEMROOT", "DEVELOPER_DIR", "SDKROOT")
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended. `code` is the exit code, minus the signal's number, or None when it had to be killed."""

    code: int | None
    output: str


def environment(folder: str) -> dict[str, str]:
    """The allow-listed environment of a run whose temporary files go below `folder`."""
    kept = {name: os.environ[name] for name in ALLOWED if name in os.environ}
    private = dict.fromkeys(("TMPDIR", "TMP", "TEMP", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), folder)
    return {**kept, **private, "LC_ALL": "C", "CCACHE_DISABLE": "1"}


def run(command: tuple[str, ...], folder: str, seconds: float) -> Done:
    """Run in `folder`; past the time limit the whole process group is killed. Raises OSError if it cannot start.

    The output goes to a file, not a pipe: a grandchild that keeps a pipe open would outlive the time limit.
    """
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _limit(started.pid, seconds)
            code = _waited(started, seconds)
        finally:
            _kill_group(started)
        log.seek(0)
        return Done(code, log.read(1 << 20).decode("utf-8", "replace"))


def _waited(started: subprocess.Popen[bytes], seconds: float) -> int | None:
    """The exit code, None past the time limit. `Popen.wait` looks only every 50 ms."""
    with contextlib.suppress(AttributeError, OSError):
        end = os.pidfd_open(started.pid)
        try:
            ends = select.poll()
            ends.register(end, select.POLLIN)
            ends.poll(1e3 * seconds)
            return started.poll()
        finally:
            os.close(end)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return started.wait(seconds)
    return None


def _kill_group(started: subprocess.Popen[bytes]) -> None:
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def _limit(pid: int, seconds: float) -> None:
    """Bound what the run may use. Set from outside: code between fork and exec could deadlock with our threads."""
    if not hasattr(resource, "prlimit"):
        return
    cpu = int(seconds) + 1
    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": _GIB, "RLIMIT_AS": 8 * _GIB, "RLIMIT_CPU": cpu}
    for name, limit in limits.items():
        with contextlib.suppress(OSError, ValueError):  # already ended, or a tighter limit is in force
            resource.prlimit(pid, getattr(resource, name), (limit, limit))
