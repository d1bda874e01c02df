"""What this CPU can do and how large its caches are.

Linux drops a feature from /proc/cpuinfo when the operating system does not save its registers, so those flags are
already masked; elsewhere sysctl (macOS) or llvmlite, which asks XGETBV itself, answer in the same words.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache

from ..records import NamedTuple

# What each instruction set needs, in /proc/cpuinfo's words; the best one first.
ISAS: dict[str, frozenset[str]] = {
    "avx512": frozenset("avx512f avx512dq avx512bw avx512vl avx2 fma".split()),
    "avx2": frozenset("avx2 fma f16c".split()),
    "neon": frozenset({"asimd"}),
    "portable": frozenset(),
}
# Features whose registers the system must save: where xsave is missing, cpuinfo is not to be believed about them.
_WIDE = ("avx", "fma", "f16c", "amx")
_LLVM_WORDS = {"avx512vnni": "avx512_vnni", "avx512bf16": "avx512_bf16", "avx512fp16": "avx512_fp16", "neon": "asimd"}


class Caches(NamedTuple):
    """Sizes in bytes of the caches that one core sees."""

    l1: int = 32 << 10
    l2: int = 1 << 20
    l3: int = 32 << 20
    line: int = 64


@cache
def features() -> frozenset[str]:
    """The features of this CPU that a program may use, in /proc/cpuinfo's words; empty when nothing tells."""
    return features_in(_read("/proc/cpuinfo")) or _from_sysctl() or _from_llvmlite()


def model() -> str:
    """The name that this CPU gives itself; "" where the system does not tell."""
    rows = (line.partition(":") for line in _read("/proc/cpuinfo").splitlines())
    return next((name.strip() for label, _, name in rows if label.strip() in ("model name", "Model")), "")


def features_in(cpuinfo: str) -> frozenset[str]:
    """The features that every core in this text of /proc/cpuinfo has and whose registers the system saves."""
    rows = (line.partition(":") for line in cpuinfo.splitlines())
    cores = [frozenset(words.split()) for label, _, words in rows if label.strip() in ("flags", "Features")]
    if not cores:
        return frozenset()
    common = frozenset.intersection(*cores)
    x86 = "fpu" in common
    return frozenset(f for f in common if not (x86 and "xsave" not in common and f.startswith(_WIDE)))


def missing(needed: Iterable[str]) -> tuple[str, ...]:
    """Those of the needed features that this CPU lacks, sorted."""
    return tuple(sorted(set(needed) - features()))


def host_isas(having: frozenset[str] | None = None) -> tuple[str, ...]:
    """The instruction sets that run here (or on a CPU with these features), the best one first."""
    found = features() if having is None else having
    return tuple(name for name, needed in ISAS.items() if needed <= found)


def arch() -> str:
    """The architecture in LLVM's word."""
    name = os.uname().machine
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


@cache
def caches() -> Caches:
    """The cache sizes from sysfs, with the defaults of `Caches` where it is silent."""
    return caches_in("/sys/devices/system/cpu/cpu0/cache")


def caches_in(folder: str) -> Caches:
    """The cache sizes that the `index*` folders of this sysfs folder tell."""
    sizes: dict[str, int] = {}
    for name in sorted(_listed(folder)):
        words = {key: _read(os.path.join(folder, name, key)).strip() for key in _CACHE_FILES}
        if words["type"] in ("Data", "Unified") and (size := _bytes(words["size"])):
            sizes[f"l{words['level']}"] = size
            sizes["line"] = int(words["coherency_line_size"] or 64)
    return Caches(**{key: size for key, size in sizes.items() if key in ("l1", "l2", "l3", "line")})


_CACHE_FILES = ("type", "level", "size", "coherency_line_size")


def cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _bytes(text: str) -> int:
    digits, unit = text.rstrip("KMG"), text[-1:]
    return int(digits) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(unit, 1) if digits.isdigit() else 0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _listed(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.startswith("index")]
    except OSError:
        return []


def _from_sysctl() -> frozenset[str]:
    platform: str = sys.platform  # a plain str: the checker knows only the machine that it runs on
    if platform != "darwin":
        return frozenset()
    from . import process  # only where sysctl is the one that knows: it imports subprocess

    if os.uname().machine == "arm64":
        return frozenset({"asimd"})
    done = process.run(("/usr/sbin/sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features"), "/", 5.0)
    return frozenset(done.output.lower().split())


def _from_llvmlite() -> frozenset[str]:
    try:
        from llvmlite import binding  # type: ignore[import-untyped]  # heavy, and asked last

        found = {name for name, has in binding.get_host_cpu_features().items() if has}
    except (ImportError, RuntimeError):
        return frozenset()
    return frozenset(_LLVM_WORDS.get(str(name), str(name)) for name in found)
