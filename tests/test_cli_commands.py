"""The words of the command line that take a kernel, or look at the machine."""

import json
import os
import re
import tempfile
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from rowfold import library
from rowfold.api import Kernel
from rowfold.cli import main
from rowfold.inspecting.reference import Check
from rowfold.runtime import store

OWN = """
import numpy as np


def share(x, *, power: int, scale: float = 1.0):
    e = np.abs(x * scale) ** power
    return e / np.sum(e)
"""
CALLED = ["--set", "power=2", "--shape", "2x20"]


@pytest.fixture
def own(tmp_path):
    """A kernel in a file of the user's."""
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return f"{path}:share"


def printed(capsys, *words):
    """What a command prints as JSON."""
    main([*words, "--json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "float8_e5m2"])
def test_explain_says_what_the_kernel_says(dtype, capsys):
    """The text for a terminal is that of `k.explain`."""
    main(["explain", "softmax", "--shape", "64x32000", "--dtype", dtype])
    assert capsys.readouterr().out == f"{library.softmax.explain((64, 32000), dtype)}\n"


def test_explain_as_json_is_the_plan(capsys):
    """Strategy, walks and the number of sweeps are those of `k.plan`."""
    facts, plan = printed(capsys, "explain", "softmax", "--shape", "64x32000"), library.softmax.plan((64, 32000))
    assert (facts["strategy"], facts["walks"], len(facts["sweeps"])) == (plan.strategy, plan.walks, len(plan.sweeps))


def test_explain_names_every_rejected_candidate(capsys):
    """The candidates that were not taken, in the plan's order."""
    facts, plan = printed(capsys, "explain", "softmax", "--shape", "64x32000"), library.softmax.plan((64, 32000))
    assert [(r["name"], r["reason"]) for r in facts["rejected"]] == list(plan.rejected)


def test_a_function_on_matrices_is_explained_by_its_kernels(capsys):
    """The kernel that takes most walks, and the others beside it."""
    assert len(printed(capsys, "explain", "soft_jaccard")["others"]) == 1


def test_a_kernel_of_a_file_is_found(own, capsys):
    """file.py:function, a plain function, is made a kernel."""
    assert printed(capsys, "explain", own, *CALLED)["name"] == "share"


def test_a_setting_reaches_the_kernel(own, capsys):
    """Another value of a setting that specializes is another plan."""
    squares, cubes = (printed(capsys, "explain", own, "--set", f"power={n}")["sweeps"] for n in (2, 3))
    assert squares != cubes


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "sofmax"],
        ["explain", "nowhere.py:f"],
        ["explain", f"{__file__}:nothing"],
        ["explain", "softmax", "--set", "heat=1"],
        ["explain", "softmax", "--set", "temperature"],
        ["explain", "softmax", "--given", "weight"],
        ["bench", "softmax", "--shape", "0x10"],
        ["bench", "soft_jaccard"],
    ],
)
def test_what_is_not_there_is_wrong_usage(words, capsys):
    """A kernel, file, function, setting or array that does not exist: exit code 2."""
    assert main(words) == 2


def test_a_misspelt_kernel_is_answered_with_the_nearest(capsys):
    """The names that look like what was written."""
    main(["explain", "sofmax"])
    assert "did you mean softmax" in capsys.readouterr().err


def test_a_setting_without_a_value_is_an_error(own, capsys):
    """What a kernel refuses is exit code 1."""
    assert main(["explain", own]) == 1


def test_check_holds_each_kind_of_rows_to_its_bound(own, capsys):
    """A kernel of the user's own passes: exit code 0."""
    assert main(["check", own, *CALLED, "--dtype", "float32"]) == 0


def test_check_finds_what_is_beyond_the_bound(own, capsys, monkeypatch):
    """One result beyond its bound is exit code 1."""
    monkeypatch.setattr(Kernel, "check", lambda *arrays, **settings: Check(2.0, (0, 1), 0))
    assert main(["check", own, *CALLED]) == 1


def test_nothing_is_said_on_the_way_but_at_a_terminal(own, capsys):
    """Progress does not go into a file or a pipe."""
    main(["check", own, *CALLED, "--dtype", "float32"])
    assert capsys.readouterr().err == ""


def test_emit_says_how_to_write_over_files(tmp_path, capsys):
    """The option is named, beside the argument of the method."""
    emit = ["emit", "softmax", str(tmp_path), "--shape", "8x100", "--isas", "portable"]
    assert (main(emit), main(emit), "--overwrite on the command line" in capsys.readouterr().err) == (0, 2, True)


def test_emit_prints_the_files_that_it_wrote(tmp_path, capsys):
    """The paths of an object file and its header."""
    pytest.importorskip("llvmlite")
    paths = printed(capsys, "emit", "softmax", str(tmp_path / "out"), "--target", "aarch64", "--lang", "object")
    assert sorted(paths) == sorted(str(p) for p in (tmp_path / "out").iterdir())


def test_bench_has_a_row_for_numpy(capsys):
    """The same function as whole-array NumPy stands beside the kernel."""
    rows = printed(capsys, "bench", "logsumexp", "--shape", "2x20", "--repeats", "1")["rows"]
    assert f"numpy {np.__version__}" in [row["name"] for row in rows]


def test_bench_knows_a_softmax_of_the_user(tmp_path, capsys):
    """However it is spelled, it is timed against the functions that libraries have, and that is said."""
    path = tmp_path / "mine.py"
    path.write_text("import numpy as np\n\ndef mine(v):\n    return np.exp(v) / np.sum(np.exp(v))\n")
    facts = printed(capsys, "bench", f"{path}:mine", "--shape", "2x20", "--repeats", "1")
    names = [row["name"].split()[0] for row in facts["rows"]]
    assert (facts["same_as"], names[1], "scipy" in names) == ("softmax", "numpy", True)


def test_bench_times_a_kernel_of_the_user(own, capsys):
    """The row function itself is what it is compared with, row by row and on whole arrays."""
    facts = printed(capsys, "bench", own, *CALLED, "--repeats", "1")
    rows = facts["rows"]
    assert facts["same_as"] is None and "scipy" in facts["not_run"]
    names = [row["name"] for row in rows]
    assert names[:3] == ["rowfold", "numpy, row by row", f"numpy {np.__version__}"]


def test_a_calibrated_machine_is_remembered(capsys, monkeypatch, tmp_path):
    """What was measured is what a later plan is priced with, and a change of it is forgotten with the directory."""
    from rowfold.building import host

    monkeypatch.setenv("ROWFOLD_CACHE_DIR", str(tmp_path))
    host.machine.cache_clear()
    facts = printed(capsys, "bench", "--calibrate")
    after = facts["after"]
    host.machine.cache_clear()
    found = host.machine()
    host.machine.cache_clear()
    assert (list(found.read), list(found.write), found.tick) == (after["read"], after["write"], after["tick"])
    assert list(facts) == ["before", "after", "changed", "unsettled"]  # as docs/cli.md says


def test_bench_without_a_name_is_wrong_usage():
    """Exit code 2, as for any other misuse."""
    assert main(["bench"]) == 2


def test_bench_knows_its_bound(capsys):
    """The exponentials alone, or a copy of as many bytes, timed in the same run."""
    facts = printed(capsys, "bench", "softmax", "--shape", "64x512", "--repeats", "1")
    copied = next(row["min_ns"] for row in facts["rows"] if row["name"].startswith("a copy"))
    copying = facts["bound_by"] == "a copy of as many bytes"
    assert (facts["bound_ns"] == copied) == copying and facts["bound_ns"] >= copied and 0 < facts["share_of_bound"] < 3


def test_bench_draws_what_it_measured(capsys, tmp_path):
    """One bar for each contestant, and a page that holds the chart, the table and the plan, and fetches nothing."""
    chart, folder = tmp_path / "chart.svg", tmp_path / "out"
    made = ("--chart", str(chart), "--report", str(folder))
    rows = printed(capsys, "bench", "softmax", "--shape", "2x20", "--repeats", "1", *made)["rows"]
    page = (folder / "index.html").read_text()
    bars = ET.parse(chart).findall(".//{http://www.w3.org/2000/svg}rect")
    assert (len(bars), page.count("<tr>")) == (len(rows), len(rows) + 1)
    assert "what would change it" in page and not re.search(r"(src|href)=|url\(", page)


def test_bench_draws_a_bitmap_with_matplotlib(tmp_path):
    """A name that ends with .png is drawn by matplotlib."""
    pytest.importorskip("matplotlib")
    chart = tmp_path / "chart.png"
    main(["bench", "softmax", "--shape", "2x20", "--repeats", "2", "--chart", str(chart)])
    assert chart.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not pin processes")
def test_bench_gives_the_cores_back(capsys):
    """A process that calls `main` keeps its cores."""
    before = os.sched_getaffinity(0)
    main(["bench", "softmax", "--shape", "2x20", "--repeats", "1"])
    assert os.sched_getaffinity(0) == before


def test_cache_counts_what_is_kept(tmp_path, monkeypatch, capsys):
    """A kernel compiled into a new directory is one entry."""
    monkeypatch.setenv("ROWFOLD_CACHE_DIR", str(tmp_path))
    library.softmin.using(backend="auto").warm((2, 20))
    assert printed(capsys, "cache")["kernels"] == 1


def test_a_cleared_cache_is_empty(tmp_path, monkeypatch, capsys):
    """No kernel is left, and no plan that led to one."""
    monkeypatch.setenv("ROWFOLD_CACHE_DIR", str(tmp_path))
    library.softmin.using(backend="auto").warm((2, 20))
    main(["cache", "--clear"])
    assert [p.name for p in tmp_path.rglob("*") if p.is_file() and p.parent.name != "lock"] == []


def test_a_cache_that_others_can_change_is_exit_code_1(tmp_path, monkeypatch, capsys):
    """The reason why it is not used is printed."""
    monkeypatch.setenv("ROWFOLD_CACHE_DIR", str(tmp_path))
    (tmp_path / str(store.SCHEMA)).mkdir(0o700)
    (tmp_path / str(store.SCHEMA)).chmod(0o777)
    assert main(["cache"]) == 1


def test_doctor_finds_numpy_right(capsys):
    """Whatever compiles here, the interpreter computes rightly."""
    assert printed(capsys, "doctor")["self_test"]["numpy"] == "right"


def test_doctor_prints_one_screen(monkeypatch, capsys):
    """At most 40 lines of 80 columns, but for words that are longer themselves; a machine with a problem too."""
    monkeypatch.setenv("ROWFOLD_CC", "false")
    with tempfile.TemporaryDirectory() as cache:  # whose name takes no second line
        monkeypatch.setenv("ROWFOLD_CACHE_DIR", cache)
        main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    wide = [line for line in lines if len(line) > 80 and max(map(len, line.split())) < 60]
    assert (len(lines) <= 40, wide) == (True, [])


def test_doctor_says_which_backend_is_chosen(monkeypatch, capsys):
    """Where the C compiler fails, llvmlite's is the first that works."""
    monkeypatch.setenv("ROWFOLD_CC", "false")
    chosen = printed(capsys, "doctor")["chosen"]
    assert (chosen["backend"], chosen["why"]) == ("llvm", "the first that works; c failed")


def test_doctor_says_what_to_do_about_a_compiler_that_fails(monkeypatch, capsys):
    """A problem that llvmlite goes round has its advice."""
    monkeypatch.setenv("ROWFOLD_CC", "false")
    assert [p["problem"].split(":")[0] for p in printed(capsys, "doctor")["problems"]] == ["backend c failed"]


def test_a_variable_that_is_not_valid_is_exit_code_1(monkeypatch, capsys):
    """Nothing works before it is put right."""
    monkeypatch.setenv("ROWFOLD_STRATEGY", "fast")
    assert main(["doctor"]) == 1
