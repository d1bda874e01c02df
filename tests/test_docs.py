"""The pages of docs/ are run: a page's Python blocks in order, and what each prints is the text block below it."""

import contextlib
import io
import re
from pathlib import Path

import pytest

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
