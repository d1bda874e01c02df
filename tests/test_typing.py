"""A type checker reads what users write: it accepts what works, and every line that cannot work is marked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "typing"


def complaints(name, cache):
    """The lines of a file that mypy --strict complains of."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", cache, HERE / name]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode in (0, 1), found.stdout + found.stderr
    return {int(line) for line in re.findall(rf"{name}:(\d+): error", found.stdout)}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What mypy keeps between the two runs."""
    return tmp_path_factory.mktemp("mypy")


def test_what_works_checks(cache):
    """Kernels keep their signatures, settings, results and errors for a type checker."""
    assert complaints("checks.py", cache) == set()


def test_what_cannot_work_does_not_check(cache):
    """Misspelt settings, unknown names and wrong types are marked, each on its own line."""
    lines = (HERE / "refusals.py").read_text().splitlines()
    wrong = {i for i, line in enumerate(lines, 1) if "rf." in line}
    assert complaints("refusals.py", cache) == wrong
