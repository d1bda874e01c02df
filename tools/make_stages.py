"""Writes docs/stages.md: one softmax at every stage, and what upstream MLIR makes of its own. Needs mlir-opt.

python tools/make_stages.py > docs/stages.md
"""

import re
import shutil
import subprocess
import textwrap
from typing import Any

import rowfold as rf

SHAPE = (64, 1000)
UPSTREAM = """
func.func @softmax(%x: tensor<64x32000xf32>, %out: tensor<64x32000xf32>) -> tensor<64x32000xf32> {
  %y = linalg.softmax dimension(1) ins(%x : tensor<64x32000xf32>) outs(%out : tensor<64x32000xf32>)
    -> tensor<64x32000xf32>
  return %y : tensor<64x32000xf32>
}
"""
SCHEDULE = """
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%m: !transform.any_op {transform.readonly}) {
    %s = transform.structured.match ops{["linalg.softmax"]} in %m : (!transform.any_op) -> !transform.any_op
    %d = transform.structured.decompose_interface %s : (!transform.any_op) -> !transform.any_op
    transform.yield
  }
"""
PASSES = (
    "--transform-interpreter --canonicalize --linalg-generalize-named-ops --linalg-fuse-elementwise-ops --cse".split()
)
ABOUT = """`k.stages(shape, dtype)` holds each of these texts in full. `tools/make_stages.py` writes this page, and a
test compares it, up to the assembly, with what the code says now."""
UPSTREAM_SAYS = """`linalg.softmax`, decomposed by its own interface and fused by upstream's passes
(`mlir-opt {passes}`),
is {loops} loops over each row: the maximum, the exponentials, their sum, the division. The plan above has {sweeps}."""
SOURCE = """
import numpy as np
import rowfold as rf


@rf.kernel
def softmax(x):
    e = np.exp(x - np.max(x))
    return e / np.sum(e)
"""


def softmax_kernel() -> Any:
    """The kernel of the page; its isa is fixed, so that the page is the same on every x86-64 machine that has it."""
    import numpy as np

    @rf.kernel
    def softmax(x: Any) -> Any:
        e = np.exp(x - np.max(x))
        return e / np.sum(e)

    return softmax.using(isa="avx2")


def upstream_loops() -> tuple[int, str]:
    """The loops (linalg.generic operations) that upstream's fusion leaves of linalg.softmax."""
    tool = shutil.which("mlir-opt") or shutil.which("mlir-opt-19") or "mlir-opt"
    text = SCHEDULE + UPSTREAM + "}\n"
    done = subprocess.run([tool, *PASSES], input=text, capture_output=True, text=True, check=True)
    heads = [line for line in done.stdout.splitlines() if "linalg.generic" in line]
    return sum(head.count('"') > 2 for head in heads), done.stdout  # those over two dimensions walk the rows


def excerpt(text: str, start: str, lines: int) -> str:
    """These many lines from the first that holds `start`."""
    found = text.splitlines()
    first = next(i for i, line in enumerate(found) if start in line)
    return textwrap.dedent("\n".join(found[first : first + lines]))


def fenced(language: str, text: str) -> str:
    return f"```{language}\n{text.strip()}\n```"


def page(loops: int) -> str:
    """The text of the page."""
    stages = softmax_kernel().stages(SHAPE, "float32")
    fma = re.search(r"vfma\S+", stages["asm"])
    around = excerpt(stages["asm"], fma.group(0), 14) if fma else stages["asm"][:400]
    return "\n\n".join([
        "# One softmax at every stage",
        ABOUT,
        "## NumPy", fenced("python", SOURCE),
        "## Program", "Traced and simplified: the maximum is gone, for it only shifts.",
        fenced("text", stages["program"]),
        "## Plan", fenced("text", excerpt(stages["plan"], "softmax:", 3)),
        "## C", "The last sweep, in the vocabulary of AVX2.", fenced("c", excerpt(stages["c"], "Sweep: write", 24)),
        "## LLVM IR", fenced("llvm", excerpt(stages["llvm"], "; Sweep: write", 22)),
        "## MLIR", fenced("text", excerpt(stages["mlir"], "// Sweep: write", 18)),
        "## Assembly", "In the middle of a loop, by whichever compiler made it.", fenced("text", around),
        "## What upstream MLIR makes of its own softmax",
        UPSTREAM_SAYS.format(passes=" ".join(PASSES), loops=loops, sweeps=len(softmax_kernel().plan(SHAPE).sweeps)),
    ]) + "\n"  # fmt: skip


if __name__ == "__main__":
    print(page(upstream_loops()[0]), end="")
