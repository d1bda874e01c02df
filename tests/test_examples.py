"""The examples run as the README says."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_small_main_job_is_accurate_to_four_units():
    """The largest error that the table prints for the digits stays within the published bounds."""
    pytest.importorskip("sklearn")
    command = [sys.executable, EXAMPLES / "real_logits.py", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    errors = [float(line.split()[1]) for line in done.stdout.splitlines() if " ULP " in line]
    assert (len(errors), max(errors) <= 4) == (5, True)
