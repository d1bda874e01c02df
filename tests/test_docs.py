"""The pages of docs/ are run: a page's Python blocks in order, and what each prints is the text block below it."""

import contextlib
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rowfold.library import softmax

DOCS = Path(__file__).parents[1] / "docs"
OTHERS = ("invented.md",)  # tests/gallery/test_invented.py: its text blocks are plans
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if path.name not in OTHERS and "```python" in path.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_a_page_prints_what_it_shows(page, tmp_path, monkeypatch):
    """Each block is run as a file, because a row function's source is part of what rowfold shows."""
    monkeypatch.chdir(tmp_path)  # a page may write files
    shown, printed, names = [], [], {"__name__": "__main__"}
    for other in re.findall(r"^(?:import|from) (dask|jax|torch)\b", page.read_text(encoding="utf-8"), re.MULTILINE):
        pytest.importorskip(other)
    for number, (code, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
        script, out = tmp_path / f"block_{number}.py", io.StringIO()
        script.write_text(code)
        with contextlib.redirect_stdout(out):
            exec(compile(code, str(script), "exec"), names)
        shown.append(text)
        printed.append(out.getvalue())
    assert printed == shown


GIVEN = """
#include "rowfold_softmax.h"
int shown_%d(int64_t n, int64_t rows, int64_t x_row, int64_t out_row, const float *x, float *out);
int shown_%d(int64_t n, int64_t rows, int64_t x_row, int64_t out_row, const float *x, float *out)
{
    const float *logits = x;
    float *probabilities = out;
    (void)logits, (void)rows, (void)n, (void)x_row, (void)out_row;
%s
    return status;
}
"""


def test_the_c_of_the_page_of_emitted_kernels_compiles(tmp_path):
    """Each block in a function that has the arrays it speaks of, against the header that `emit` writes."""
    compiler = shutil.which("cc") or pytest.skip("no C compiler is installed")
    blocks = re.findall(r"```c\n(.*?)```", (DOCS / "embedding.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    softmax.emit(tmp_path, isas=["portable"], states=True)
    for k, block in enumerate(blocks):
        source = tmp_path / f"block_{k}.c"
        source.write_text(GIVEN % (k, k, block.replace('#include "rowfold_softmax.h"\n', "")))
        strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unused-but-set-variable"]
        subprocess.run([compiler, *strict, "-c", source, "-o", source.with_suffix(".o")], cwd=tmp_path, check=True)
