"""The benchmark that the README quotes runs, and checks what it times."""

import json
import subprocess
import sys
from pathlib import Path

RUNNER = Path(__file__).parents[1] / "benchmarks" / "run.py"


def test_the_runner_reports_an_accurate_row(tmp_path):
    """One small shape, one round: the row of rowfold is there and its output is within its bound."""
    result = tmp_path / "result.json"
    command = [sys.executable, RUNNER, "--shapes=8x1000", "--peers=rowfold,numpy", "--rounds=1", "--no-latency"]
    subprocess.run([*command, "--json", result], check=True, capture_output=True, timeout=300)
    assert json.loads(result.read_text())["softmax"]["8x1000"]["rowfold"]["max_ulp"] <= 4
