"""docs/stages.md says what the code says."""

import shutil
import sys
from pathlib import Path

import pytest

from rowfold.runtime.cpu import host_isas

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
PAGE = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")


def test_the_page_shows_what_the_stages_are():
    """Everything before the assembly, which is the compiler's. `python tools/make_stages.py > docs/stages.md`."""
    if "avx2" not in host_isas():
        pytest.skip("this CPU lacks avx2")
    import make_stages

    assert make_stages.page(4).split("## Assembly")[0] == PAGE.split("## Assembly")[0]


def test_upstream_mlir_leaves_four_loops():
    """Decomposed and fused by upstream's own passes, linalg.softmax walks each row four times."""
    if not (shutil.which("mlir-opt") or shutil.which("mlir-opt-19")):
        pytest.skip("mlir-opt is not installed (Debian: mlir-19-tools)")
    import make_stages

    assert (make_stages.upstream_loops()[0], "is 4 loops" in PAGE) == (4, True)
