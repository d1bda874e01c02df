"""The examples run as the README says."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_small_main_job_is_accurate_to_four_units():
    """The largest errors that the table prints stay within the published bounds; that of entropy is an absolute one."""
    pytest.importorskip("sklearn")
    command = [sys.executable, EXAMPLES / "real_logits.py", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    rows = [line.split() for line in done.stdout.splitlines() if " ULP " in line]
    within = {name: float(units) <= 4 or float(error) <= 1e-6 for name, units, _, error, *_ in rows}
    assert within == dict.fromkeys(("softmax", "log_softmax", "logsumexp", "entropy", "cross_entropy"), True)
