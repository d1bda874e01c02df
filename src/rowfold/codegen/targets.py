"""Machines that LLVM writes code for: this one, by instruction set, and others by name, ahead of time."""

from __future__ import annotations

from collections.abc import Mapping

from ..records import dataclass
from .isas import isa_of


@dataclass(frozen=True, slots=True)
class Target:
    """`vocabulary` is the instruction set whose words are followed bit for bit."""

    name: str
    arch: str  # x86_64 aarch64 riscv64 wasm32
    triple: str  # "" for the machine that we are on
    cpu: str
    features: tuple[str, ...]  # in LLVM's words
    vocabulary: str
    index: str = "i64"  # the integer as wide as a pointer


def host(isa: str, arch: str) -> Target:
    """This machine with an instruction set. Its features have the same names in LLVM and in /proc/cpuinfo."""
    return Target(isa, arch, "", "", tuple(f"+{f}" for f in isa_of(isa).features), isa)


def _elf(name: str, arch: str, cpu: str, features: str, vocabulary: str = "portable") -> Target:
    return Target(name, arch, f"{arch}-unknown-linux-gnu", cpu, tuple(features.split()), vocabulary)


TARGETS: Mapping[str, Target] = {
    t.name: t
    for t in (
        _elf("x86-64-v2", "x86_64", "x86-64-v2", ""),
        _elf("x86-64-v3", "x86_64", "x86-64-v3", "", "avx2"),
        _elf("x86-64-v4", "x86_64", "x86-64-v4", "", "avx512"),
        _elf("aarch64", "aarch64", "generic", "+neon"),
        _elf("riscv64", "riscv64", "generic-rv64", "+m +a +f +d +c"),
        Target("wasm32", "wasm32", "wasm32-unknown-unknown", "generic", ("+simd128",), "portable", "i32"),
    )
}
