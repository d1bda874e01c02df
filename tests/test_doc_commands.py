"""What the documentation tells people to run exists, and takes the options that it is given there."""

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", *map(str, ROOT.glob("docs/**/*.md")))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", TEXT))]
CODE += [line for fence in FENCE.findall(TEXT) for line in fence.splitlines()]
SCRIPT = re.compile(r"(?:^|[/ ])(run|forms|cycles|sizes|flat|strategies|threads|vocabulary|chart|dispatch)\.py\b(.*)")
COMMANDS = sorted({found.groups() for code in CODE if (found := SCRIPT.search(code))})
COMMIT = re.compile(r"\b[0-9a-f]{7}\b")


def options_of(script):
    """The options that a benchmark has, by its own --help."""
    command = [sys.executable, ROOT / "benchmarks" / f"{script}.py", "--help"]
    return set(re.findall(r"--[a-z][\w-]*", subprocess.run(command, capture_output=True, text=True, check=True).stdout))


@pytest.mark.parametrize("script", sorted({name for name, _ in COMMANDS} - {"dispatch"}))
def test_a_benchmark_has_the_options_that_are_named(script):
    """It starts, and no page gives it an option that it does not know."""
    named = {option for name, rest in COMMANDS if name == script for option in re.findall(r"--[a-z][\w-]*", rest)}
    assert named - options_of(script) == set()


def test_operators_shapes_and_peers_are_known(monkeypatch):
    """The lists that are given to run.py are of its own words."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import problem
    from peers import PEERS

    words = [shlex.split(rest) for name, rest in COMMANDS if name == "run"]
    given = [(o, v) for line in words for o, v in itertools.pairwise(line) if o.startswith("--") and v != "..."]
    assert len(given) > 20
    known = {"--operators": {*problem.OPERATORS, "all"}, "--peers": {p.name for p in PEERS}}
    assert [(o, v) for o, v in given if o in known and not set(v.split(",")) <= known[o]] == []
    shapes = [v for o, v in given if o == "--shapes" and v not in ("all", "readme")]
    assert [v for v in shapes if not re.fullmatch(r"\d+x\d+(,\d+x\d+)*", v)] == []


def test_every_path_that_is_run_is_there():
    """Scripts, tests, tools and examples that a page names."""
    paths = set(re.findall(r"\b((?:benchmarks|examples|tests|tools)/[\w/]+\.(?:py|c))\b", TEXT))
    paths |= set(re.findall(r"(?<![\w/])(\.ci/[\w-]+)", TEXT))
    assert len(paths) > 20 and sorted(p for p in paths if not (ROOT / p).exists()) == []


def test_every_commit_that_is_compared_is_there():
    """`forms.py COMMIT^ COMMIT`, in a clone that has the history."""
    page = FENCE.sub("", (ROOT / "docs" / "performance.md").read_text(encoding="utf-8"))
    commits = {c for code in re.findall(r"`([^`]+)`", page) for c in COMMIT.findall(code) if not c.isdecimal()}
    known = subprocess.run(["git", "-C", ROOT, "cat-file", "-e", "HEAD^"], capture_output=True, check=False)
    if known.returncode:
        pytest.skip("this is no clone with its history")
    found = {c: subprocess.run(["git", "-C", ROOT, "cat-file", "-e", f"{c}^{{commit}}"], check=False) for c in commits}
    assert len(commits) > 8 and [c for c, done in found.items() if done.returncode] == []


@pytest.mark.parametrize("script", ["forms", "cycles", "sizes"])
@pytest.mark.slow
def test_a_small_run_prints_its_table(script):
    """What draws and measures, at its smallest."""
    small = {
        "forms": [ROOT, ROOT, "--shapes", "8x100", "--rounds", "1", "--isa", "portable"],
        "cycles": ["--rounds", "1"],
        "sizes": ["--isas", "portable"],
    }
    command = [sys.executable, ROOT / "benchmarks" / f"{script}.py", *map(str, small[script])]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    expected = {"forms": r"8x100  before [\d.]+", "cycles": r"softmax +[\d.]+ +[\d.]+", "sizes": r"portable +\d+"}
    assert re.search(expected[script], printed)
