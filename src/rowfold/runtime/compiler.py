"""Find a C compiler, say which one it is, and make a shared library of a text with it.

Finding one costs a few stat calls and starts no process: a warm cache needs no more. `identity` and `build` do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from ..errors import CompileError
from ..records import NamedTuple

if TYPE_CHECKING:
    from .process import Done

# Never fast-math: loading such a library flushes subnormals in the whole process. Only what we write as fma is fused.
FLAGS = tuple(
    "-std=c99 -O3 -fPIC -shared -fvisibility=hidden -ffp-contract=off -fno-math-errno -fno-trapping-math".split()
)
SECONDS = 60.0
"""How long one compilation may take; then its process group is killed."""

# What a source may add: instruction sets and an optimization level. Nothing that names a file or loads a plug-in.
_ALLOWED_FLAG = r"-m(?!llvm)[a-z0-9][a-z0-9.=+-]*|-O[0-3]|-g"
_TAIL_LINES = 10  # with what stands above them no message has 15


class Compiler(NamedTuple):
    """A command that compiles C, and the cheap signs by which a changed compiler is noticed."""

    command: tuple[str, ...]
    found_by: str  # the rule that found it, e.g. "$CC"
    stamp: tuple[str, int, int]  # the program behind the command: real path, mtime in ns, size

    def __str__(self) -> str:
        return _joined(self.command)


class Candidate(NamedTuple):
    """One place that was looked at; `compiler` or the reason why there is none."""

    found_by: str
    compiler: Compiler | None
    reason: str = ""


def survey(cc: str | None = None) -> tuple[Candidate, ...]:
    """Every place where a compiler may be, in order of preference. `cc` is $ROWFOLD_CC or its keyword twin."""
    return tuple(_places(cc))


def find(cc: str | None = None) -> Compiler | None:
    """The compiler to use, or None. A command that was asked for by `cc` is not replaced by another one."""
    places = [_candidate("$ROWFOLD_CC", cc)] if cc else _places(None)
    return next((place.compiler for place in places if place.compiler), None)


def _places(cc: str | None) -> Iterator[Candidate]:
    for found_by, text in (("$ROWFOLD_CC", cc), ("$CC", os.environ.get("CC"))):
        if text:
            yield _candidate(found_by, text)
    for name in ("cc", "gcc", "clang"):
        yield _candidate(name, name)
    yield _zig()


def identity(compiler: Compiler) -> str:
    """What the compiler says it is: the first line of its version and the machine that it compiles for."""
    return _identity(compiler)


@cache
def _identity(compiler: Compiler) -> str:
    from . import process  # imports subprocess, which a warm cache does not need

    folder = os.path.abspath(os.sep)
    try:
        texts = [process.run((*compiler.command, option), folder, 10.0) for option in ("--version", "-dumpmachine")]
    except OSError as error:
        raise CompileError(f"the compiler {compiler} (from {compiler.found_by}) cannot be started: {error}") from error
    if texts[0].code != 0:
        raise CompileError(
            f"the compiler {compiler} (from {compiler.found_by}) does not work: `{compiler} --version` "
            f"{_ending(texts[0].code, 10.0)}\n{_tail(texts[0].output)}"
        )
    return " | ".join(text.output.strip().split("\n")[0] for text in texts)


def check_flags(flags: tuple[str, ...]) -> None:
    """Refuse flags that a kernel has no need of: flags can name plug-ins and files, and so run code."""
    bad = [flag for flag in flags if not re.fullmatch(_ALLOWED_FLAG, flag)]
    if bad:
        raise CompileError(f"flags {bad} are not allowed: a source may add instruction sets (-mavx2) and -O0 to -O3")


def command_line(compiler: Compiler, flags: tuple[str, ...]) -> tuple[str, ...]:
    """The whole command; it runs in the folder of kernel.c. libm holds the floating-point environment."""
    check_flags(flags)
    return (*compiler.command, *FLAGS, *flags, "-o", "kernel.so", "kernel.c", "-lm")


def build(text: str, flags: tuple[str, ...], compiler: Compiler, seconds: float = SECONDS) -> bytes:
    """The shared library of this C text. On failure the source is kept, and CompileError says where."""
    return _made(text, command_line(compiler, flags), "kernel.so", seconds)[0]


def assembly(text: str, flags: tuple[str, ...], compiler: Compiler, seconds: float = SECONDS) -> tuple[str, str]:
    """The assembly that `build` would assemble, and what the compiler had to say about the C. Fails as `build` does."""
    check_flags(flags)
    kept = (flag for flag in FLAGS if flag != "-shared")
    command = (*compiler.command, *kept, *flags, "-S", "-o", "kernel.s", "kernel.c")
    data, said = _made(text, command, "kernel.s", seconds)
    return data.decode("utf-8", "replace"), said


def _made(text: str, command: tuple[str, ...], result: str, seconds: float) -> tuple[bytes, str]:
    """The file that this command makes of the C text in a folder of its own, and what the command printed."""
    from . import process

    folder = _folder()
    try:
        with open(os.path.join(folder, "kernel.c"), "w", encoding="utf-8") as file:
            file.write(text)
        done = process.run(command, folder, seconds)
        if done.code != 0:
            raise CompileError(_failure(command, done, folder, seconds))
        with open(os.path.join(folder, result), "rb") as made:
            data = made.read()
    except OSError as error:
        raise CompileError(f"{_joined(command)}: {error}; the source is {folder}/kernel.c") from error
    import shutil  # 4 ms that finding a compiler need not take

    shutil.rmtree(folder, ignore_errors=True)
    return data, done.output


def _folder() -> str:
    import tempfile

    try:
        return tempfile.mkdtemp(prefix="rowfold-")
    except OSError as error:
        raise CompileError(f"no temporary directory to compile in: {error}; set TMPDIR to one") from error


def _failure(command: tuple[str, ...], done: Done, folder: str, seconds: float) -> str:
    return (
        f"the C compiler {_ending(done.code, seconds)}\n  command: {_joined(command)}\n"
        f"  source:  {folder}/kernel.c (kept)\n{_tail(done.output)}"
    )


def _ending(code: int | None, seconds: float) -> str:
    if code is None:
        return f"did not finish within {seconds:g} s and was killed"
    return f"failed with exit code {code}" if code >= 0 else f"was killed by signal {-code}"


def _tail(output: str) -> str:
    return "\n".join(f"  | {line}" for line in output.strip().splitlines()[-_TAIL_LINES:])


def _candidate(found_by: str, text: str) -> Candidate:
    try:
        command = _split(text)
    except ValueError as error:
        return Candidate(found_by, None, f"{text!r} is not a command: {error}")
    program = _which(command[0]) if command else None
    if program is None:
        return Candidate(found_by, None, f"{text!r} is not a program on PATH")
    return Candidate(found_by, Compiler((program, *command[1:]), found_by, _stamp(program)))


def _which(name: str) -> str | None:
    """Where this program is: `shutil.which`, whose module takes 4 ms to import, in four lines."""
    folders = [""] if os.path.dirname(name) else os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = (os.path.join(folder, name) for folder in folders if folder or os.path.dirname(name))
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def _split(text: str) -> tuple[str, ...]:
    if text.isascii() and text.replace("-", "").replace("/", "").replace(".", "").isalnum():
        return (text,)
    import shlex  # only for commands that have arguments or quotes

    return tuple(shlex.split(text))


def _joined(command: tuple[str, ...]) -> str:
    import shlex

    return shlex.join(command)


def _zig() -> Candidate:
    """`zig cc` of the ziglang package, found without importing it."""
    from importlib.util import find_spec  # asked last

    spec = find_spec("ziglang")
    program = os.path.join(os.path.dirname(spec.origin), "zig") if spec and spec.origin else ""
    if not os.access(program, os.X_OK):
        return Candidate("ziglang", None, "the package ziglang is not installed")
    return Candidate("ziglang", Compiler((program, "cc"), "ziglang", _stamp(program)))


def _stamp(program: str) -> tuple[str, int, int]:
    real = os.path.realpath(program)
    status = os.stat(real)
    return (real, status.st_mtime_ns, status.st_size)
