"""Finding and running compilers."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

import pytest

from rowfold.errors import CompileError
from rowfold.runtime import compiler, process
from rowfold.runtime.compiler import Compiler

GOOD = '__attribute__((visibility("default"))) int three(void) { return 3; }\n'


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a failing compilation leaves behind goes where pytest cleans up."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def cc() -> Compiler:
    found = compiler.find()
    if found is None:
        pytest.skip("no C compiler here")
    return found


def script(path: Path, body: str) -> Compiler:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    found = compiler.find(str(path))
    assert found is not None
    return found


def test_build(cc: Compiler) -> None:
    """A text becomes a shared library."""
    assert compiler.build(GOOD, (), cc)[:4] == b"\x7fELF"


def test_same_bytes(cc: Compiler) -> None:
    """The same text gives the same bytes, wherever it was compiled."""
    assert compiler.build(GOOD, (), cc) == compiler.build(GOOD, (), cc)


def test_identity(cc: Compiler) -> None:
    """The identity holds a version and a machine."""
    assert re.search(r"\d+\.\d+.* \| \w+", compiler.identity(cc))


def test_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """$ROWFOLD_CC comes before $CC, cc, gcc, clang and zig."""
    monkeypatch.setenv("CC", "cc -pipe")
    assert [c.found_by for c in compiler.survey("gcc")] == ["$ROWFOLD_CC", "$CC", "cc", "gcc", "clang", "ziglang"]


def test_command_with_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command may have arguments of its own."""
    found = compiler.find("cc -pipe")
    assert found is not None and found.command[1:] == ("-pipe",)


def test_failure(cc: Compiler) -> None:
    """A failing compiler is quoted with its command, code, last lines and the source that it was given."""
    with pytest.raises(CompileError) as caught:
        compiler.build("int three(void) { retrun 3; }\n", (), cc)
    kept = re.search(r"source: +(\S+) \(kept\)", str(caught.value))
    assert (
        kept
        and "retrun" in Path(kept[1]).read_text()
        and "exit code 1" in str(caught.value)
        and "-O3" in str(caught.value)
    )


def test_a_long_failure_is_told_in_short(cc: Compiler) -> None:
    """Of what a compiler says about a hundred mistakes the end is quoted: fewer than 15 lines in all."""
    with pytest.raises(CompileError) as caught:
        compiler.build("".join(f"int f{i}(void) {{ retrun {i}; }}\n" for i in range(100)), (), cc)
    assert 10 <= len(str(caught.value).splitlines()) < 15


def runs(status: Path) -> bool:
    """Whether the process of this /proc/PID/stat is alive."""
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_hanging_compiler(tmp_path: Path) -> None:
    """A compiler that hangs is killed with its children when its time is over."""
    hanging = script(tmp_path / "cc", f"sleep 60 & echo $! > {tmp_path}/child; wait")
    start = time.monotonic()
    with pytest.raises(CompileError, match=r"did not finish within 0.5 s and was killed"):
        compiler.build(GOOD, (), hanging, seconds=0.5)
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"
    while runs(child) and time.monotonic() - start < 30:
        time.sleep(0.05)
    assert not runs(child)  # left alone, it sleeps for twice as long


@pytest.mark.parametrize("name", ["CPATH", "C_INCLUDE_PATH"])
def test_planted_header(cc: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """A math.h planted through the environment is not read."""
    (tmp_path / "math.h").write_text("#error planted\n")
    monkeypatch.setenv(name, str(tmp_path))
    assert compiler.build("#include <math.h>\n" + GOOD, (), cc)


def test_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing but the allow-list reaches a compiler, and its temporary files go to a private place."""
    monkeypatch.setenv("LD_PRELOAD_X", "evil")
    kept = set(process.environment(str(tmp_path))) - set(process.ALLOWED)
    assert kept == {"TMPDIR", "TMP", "TEMP", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR", "LC_ALL", "CCACHE_DISABLE"}


@pytest.mark.parametrize(
    "flag", ["-fplugin=evil.so", "-B/tmp", "-include/etc/passwd", "x.c", "-mllvm", "@file", "-wrapper"]
)
def test_flags(cc: Compiler, flag: str) -> None:
    """Flags that name files or plug-ins are refused."""
    with pytest.raises(CompileError, match="not allowed"):
        compiler.build(GOOD, (flag,), cc)


def test_broken_compiler(tmp_path: Path) -> None:
    """A program that is no compiler is named before anything is compiled with it."""
    with pytest.raises(CompileError, match=r"does not work.*exit code 3"):
        compiler.identity(script(tmp_path / "cc", "exit 3"))


def test_output_is_bounded(tmp_path: Path) -> None:
    """Of a flood of messages only the beginning is kept."""
    done = process.run(("/bin/sh", "-c", "yes | head -c 3000000"), str(tmp_path), 10.0)
    assert (done.code, len(done.output)) == (0, 1 << 20)


def test_nothing_is_left(cc: Compiler, tmp_path: Path) -> None:
    """A compilation that succeeds leaves no temporary file."""
    compiler.build(GOOD, (), cc)
    assert os.listdir(tmp_path) == []
