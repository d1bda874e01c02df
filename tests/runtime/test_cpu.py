"""What is known of the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowfold.runtime import cpu

AVX512 = "flags\t: fpu xsave fma avx f16c avx2 avx512f avx512dq avx512bw avx512vl\n"


@pytest.mark.parametrize(
    ("text", "isas"),
    [
        (AVX512, ("avx512", "avx2", "portable")),
        (AVX512 + AVX512.replace("avx512vl", ""), ("avx2", "portable")),  # one core has less
        (AVX512.replace("xsave", ""), ("portable",)),  # the system does not save wide registers
        ("Features\t: fp asimd\n", ("neon", "portable")),
        ("", ("portable",)),
    ],
)
def test_isas(text: str, isas: tuple[str, ...]) -> None:
    """The instruction sets follow from what every core has and the system saves."""
    assert cpu.host_isas(cpu.features_in(text)) == isas


def test_missing() -> None:
    """What the CPU lacks is named."""
    assert cpu.missing(("warp_drive",)) == ("warp_drive",)


def test_caches(tmp_path: Path) -> None:
    """Cache sizes are read from sysfs, and instruction caches do not count."""
    for index, (kind, level, size) in enumerate([("Data", 1, "48K"), ("Instruction", 1, "32K"), ("Unified", 2, "2M")]):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        texts = {"type": kind, "level": level, "size": size, "coherency_line_size": 64}
        for name, text in texts.items():
            (folder / name).write_text(f"{text}\n")
    assert cpu.caches_in(str(tmp_path)) == cpu.Caches(l1=48 << 10, l2=2 << 20)


def test_cores() -> None:
    """There is a core to run on."""
    assert cpu.cores() >= 1
