"""The page of results as a browser shows it: drawn, and sorted when a heading is clicked."""

import re
import shutil
import struct
import subprocess
import zlib

import pytest

from rowfold.cli import main

BROWSER = next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser is installed to look at a page with")
CLICKS = "<script>for (const head of [1, 1]) document.querySelectorAll('th')[head].click();</script></html>"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page that `rowfold bench --report` writes."""
    folder = tmp_path_factory.mktemp("report")
    assert main(["bench", "softmax", "--shape", "8x200", "--repeats", "2", "--report", str(folder)]) == 0
    return folder / "index.html"


def browse(page, *options):
    """What a headless browser prints of a page; its profile and its picture lie beside the page."""
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", profile, *options, page.as_uri()]
    return subprocess.run(command, cwd=page.parent, capture_output=True, text=True, check=True, timeout=120).stdout


def pixels(path):
    """The bytes of a PNG's lines, unpacked."""
    data, at, parts = path.read_bytes(), 8, []
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        parts += [data[at + 8 : at + 8 + size]] if kind == b"IDAT" else []
        at += size + 12
    return zlib.decompress(b"".join(parts))


def test_a_browser_draws_the_page(page):
    """The picture has lines of many colours: bars, text and the plan are on it."""
    browse(page, "--screenshot=page.png", "--window-size=900,1400")
    assert len(set(pixels(page.with_name("page.png")))) > 50


def test_a_heading_sorts_the_table(page):
    """Clicked twice, the column of the minima falls."""
    clicked = page.with_name("clicked.html")
    clicked.write_text(page.read_text().replace("</html>", CLICKS))
    body = re.search(r"<tbody>(.*?)</tbody>", browse(clicked, "--dump-dom"), re.DOTALL)[1]
    minima = [float(row) for row in re.findall(r"<tr><td>[^<]*</td><td>([^<]*)</td>", body)]
    assert len(minima) > 1 and minima == sorted(minima, reverse=True)
