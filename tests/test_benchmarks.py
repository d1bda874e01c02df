"""The benchmark that the README quotes runs, and checks what it times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).parents[1] / "benchmarks" / "run.py"


def results(tmp_path, *options):
    """What one short run reports of rowfold, by operator, dtype and shape."""
    path = tmp_path / "result.json"
    command = [sys.executable, RUNNER, "--rounds=1", "--seconds=0.001", "--no-latency", *options]
    subprocess.run([*command, "--json", path], check=True, capture_output=True, timeout=300)
    return json.loads(path.read_text())["results"]


def test_a_chart_has_a_bar_for_each_figure(tmp_path):
    """Two libraries at one shape: a time and an error each, and their two names."""
    results(tmp_path, "--shapes=8x1000", "--peers=rowfold,numpy")
    picture = tmp_path / "chart.svg"
    subprocess.run([sys.executable, RUNNER.with_name("chart.py"), tmp_path / "result.json", picture], check=True)
    drawn = picture.read_text()
    assert drawn.count('height="8"') == 4 and "float32 softmax, one thread, " in drawn


def test_the_runner_reports_an_accurate_row(tmp_path):
    """One small shape, one round: the row of rowfold is there and its output is within its bound."""
    found = results(tmp_path, "--shapes=8x1000", "--peers=rowfold,numpy")
    assert found["softmax"]["float32"]["8x1000"]["rowfold"]["max_ulp"] <= 4


def test_narrow_rows_are_rounded_once(tmp_path):
    """The same in 16 bits, where the error is that of the last rounding."""
    found = results(tmp_path, "--shapes=8x1000", "--peers=rowfold", "--dtypes=float16,bfloat16")
    assert all(shapes["8x1000"]["rowfold"]["max_ulp"] <= 0.51 for shapes in found["softmax"].values())


@pytest.mark.slow
def test_every_operator_runs_and_is_accurate(tmp_path):
    """All operators in both dtypes: none fails, and all are near what float64 says."""
    found = results(tmp_path, "--shapes=8x1000", "--peers=rowfold", "--dtypes=float32,float64", "--operators=all")
    rows = {(o, d): shapes["8x1000"]["rowfold"] for o, dtypes in found.items() for d, shapes in dtypes.items()}
    assert {place: row for place, row in rows.items() if not row.get("max_ulp", 1e9) < 40} == {}

@pytest.mark.slow
def test_the_figures_of_threads_are_all_there(tmp_path):
    """Dispatch, two threads, a copy's rate and axes are each measured, whatever this machine makes of them."""
    path = tmp_path / "threads.json"
    subprocess.run([sys.executable, RUNNER.with_name("threads.py"), "--json", path], check=True, capture_output=True)
    found = json.loads(path.read_text())
    assert len(found) >= 34 and all(f["value"] > 0 for f in found)
