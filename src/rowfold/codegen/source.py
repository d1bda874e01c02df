"""What the emitters hand to the runtime: text, how to compile it, how to call what comes out; nothing of the plan."""

from __future__ import annotations

import re

from ..records import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One translation unit with one kernel in it.

    `symbol` has the ABI of a NumPy gufunc inner loop, `void symbol(char **args, const intptr_t *dims,
    const intptr_t *steps, void *data)`; `signature` and `types` say what it takes (NumPy type characters, inputs then
    outputs). The loop accepts strides of any sign and misaligned rows, and n = 0.
    """

    symbol: str
    text: str
    header: str  # the C declarations of everything visible, as cffi's cdef accepts them
    isa: str
    flags: tuple[str, ...]  # the compiler flags of the instruction set, e.g. ("-mavx2", "-mfma")
    features: tuple[str, ...]  # the CPU features that the code needs, in /proc/cpuinfo's words
    signature: str  # e.g. "(n),()->(n)"
    types: str  # e.g. "fdf"
    language: str = "c"  # or "llvm": LLVM IR
    apart: bool = False  # no output may be the memory of an input: a row is written before its last reading is certain


def symbol_of(name: str, dtype: str, strategy: str, isa: str) -> str:
    """What the loop of a kernel is called."""
    return f"rowfold_{identifier(name)}_{dtype}_{strategy}__{identifier(isa)}_u1_a1"


def remark(text: str) -> str:
    """A text in which names of the user's may stand, as one line of a comment of C, LLVM IR or MLIR.

    It neither ends the comment nor begins another, and holds nothing that a reader would not see.
    """
    seen = "".join(c if c.isprintable() else "_" for c in text)
    return seen.replace("*/", "* /").replace("/*", "/ *")


def identifier(name: str) -> str:
    """A user's name as the beginning of a C identifier: ASCII letters, digits and underscores, no digit in front."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:60]
    return f"k{plain}" if plain[:1].isdigit() else plain
