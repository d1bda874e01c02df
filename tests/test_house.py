"""The budgets of the house: sizes, knobs, imports, and what may stand where. ARCHITECTURE.md gives the reasons."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "rowfold"
MODULES = sorted(PACKAGE.rglob("*.py"))
TEMPLATES = sorted((PACKAGE / "templates").rglob("*.j2"))
SCRIPTS = sorted(path for room in ("tests", "benchmarks", "examples", "tools") for path in (ROOT / room).rglob("*.py"))
FOUND = (*ROOT.glob("[!.]*.*"), *(ROOT / ".ci").iterdir(), *(ROOT / "docs").rglob("*.md"))
TEXTS = sorted(path for path in FOUND if path.is_file())
HEAVY = ("jinja2", "pycparser", "llvmlite")

# Roots of home directories and of the places where machines keep checkouts; no text of ours has a reason to name one.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|home|Users|work|opt|mnt)/\w")


def name_of(path):
    return str(path.relative_to(ROOT))


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


def functions_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", [*MODULES, *TEMPLATES, *SCRIPTS], ids=name_of)
def test_a_file_has_at_most_400_lines(path):
    """A file that needs more than 400 lines has two subjects."""
    assert len(lines_of(path)) <= 400


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_function_has_at_most_40_lines(path):
    """A function that does not fit a screen is several functions."""
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions_of(path) if f.end_lineno - f.lineno >= 40}
    assert long == {}


@pytest.mark.parametrize("path", sorted((PACKAGE / "templates" / "isa").glob("*")), ids=name_of)
def test_an_instruction_set_is_less_than_100_lines(path):
    """Hardware is vocabulary: a new instruction set is one short file of words."""
    assert len(lines_of(path)) < 100


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_no_template_asks_for_an_isa_or_a_strategy(path):
    """Templates decide layout; what differs by hardware or strategy was decided before."""
    assert not re.search(r"\b(isa|strategy)\s*(==|!=|in\b)", path.read_text(encoding="utf-8"))


def test_no_two_test_files_share_a_name():
    """Test directories are no packages: of two files of one name pytest would collect one only."""
    names = [path.name for path in SCRIPTS if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


def test_there_are_at_most_ten_variables():
    """Every knob is a field of one frozen dataclass, and ten of them are enough."""
    from rowfold import config

    assert len(config.NAMES) <= 10


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "config.py"], ids=name_of)
def test_only_config_reads_our_variables(path):
    """A ROWFOLD_ variable is read in config.py, so that its keyword twin can never be forgotten."""
    read = r"(environ(\.get|\.setdefault|\.pop)?\s*[\[(]|getenv\s*\()\s*f?[\"']ROWFOLD_"
    assert not re.search(read, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((PACKAGE / "runtime").glob("*.py")), ids=name_of)
def test_the_runtime_knows_sources_and_nothing_of_plans(path):
    """The runtime takes from codegen only the value that describes a source."""
    found = set(re.findall(r"from \.\.codegen(?:\.(\w+))? import", path.read_text(encoding="utf-8")))
    assert found <= {"source", "dtypes"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "codegen").rglob("*.py")), ids=name_of)
def test_the_code_generator_makes_its_dataclasses_quickly(path):
    """A first call makes sixty: rowfold.records does it in 2 ms, the standard library in 28."""
    assert "from dataclasses import" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [*MODULES, *TEMPLATES, *SCRIPTS, *TEXTS], ids=name_of)
def test_no_text_names_a_place_of_one_machine(path):
    """What works in one checkout only does not work."""
    assert not MACHINE_PATH.search(path.read_text(encoding="utf-8"))


def test_the_architecture_names_places_that_exist():
    """The opening table leads from the owner's words to paths, and a path that has moved misleads."""
    table = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("\n\n")[1]
    assert [path for path in re.findall(r"`((?:src|tests|examples)/[^`]*)`", table) if not (ROOT / path).exists()] == []


def printed_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_import_costs_at_most_10_ms_above_numpy():
    """The fastest of nine new processes: whatever else the machine does, it does not make an import faster."""
    code = "import time, numpy; t = time.perf_counter(); import rowfold; print(time.perf_counter() - t)"
    assert min(float(printed_by(code)) for _ in range(9)) <= 0.010


def test_import_loads_nothing_heavy():
    """Templates, C parsing and LLVM are for the first call that has to compile."""
    assert printed_by(f"import sys, rowfold; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


def test_a_warm_cache_needs_no_template_and_no_compiler_front_end():
    """A second process finds the compiled kernel and loads it with cffi alone."""
    call = "import sys, numpy, rowfold; rowfold.library.softmax(numpy.ones((2, 8), numpy.float32)); "
    printed_by(call)
    assert printed_by(call + f"print([m for m in {HEAVY} if m in sys.modules])") == "[]"
