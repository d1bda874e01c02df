"""Every stage can be read, written to a directory and read back from it."""

import numpy as np
import pytest

import rowfold as rf
from rowfold.building.build import plan_key
from rowfold.codegen.generate import source_of
from rowfold.config import Config
from rowfold.errors import CompileError
from rowfold.inspecting.stagefiles import inspected, safe_name
from rowfold.runtime import compiler

FILES = ["00-program.txt", "01-plan.txt", "02-kernel.c", "03-kernel.s", "04-cc.log"]


@rf.kernel
def total(x: rf.Row):
    """A kernel that compiles fast."""
    return np.sum(x)


SMALL = total.using(isa="portable")
PLAN = SMALL.plan((2, 8))


def run(plan=PLAN, **chosen):
    return inspected(plan, source_of(plan), plan_key(plan), Config(isa="portable", **chosen))


def answer(loaded):
    return loaded.ufunc(np.arange(4, dtype=np.float32))


def edited(folder, old, new, name="total"):
    """A dump of PLAN below `folder` whose C was changed by hand."""
    run(dump=str(folder))
    path = folder / name / "02-kernel.c"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


# stages


def test_the_keys():
    """Exactly these, in the order in which they are made."""
    assert list(SMALL.stages()) == ["program", "plan", "c", "llvm", "mlir", "asm"]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("program", "program total\n"),
        ("plan", "total: one_pass"),
        ("c", "#include <stdint.h>"),
        ("llvm", "define internal void @rows("),
        ("mlir", "func.func @rowfold_total_f32"),
        ("asm", ".text"),
    ],
)
def test_a_stage(key, said):
    """Each stage is text, and one that this version lacks says so."""
    assert said in SMALL.stages()[key]


def test_stages_are_made_when_asked_for(monkeypatch):
    """Looking at the program emits and compiles nothing."""
    monkeypatch.setattr("rowfold.codegen.generate.source_of", None)
    assert SMALL.stages()["program"].startswith("program total")


def test_a_stage_is_made_once():
    """Asking again gives the text that was made."""
    stages = SMALL.stages()
    assert stages["c"] is stages["c"]


def test_a_stage_whose_tool_is_absent_says_so():
    """Without a compiler there is one sentence instead of assembly."""
    with rf.options(cc="no-such-compiler", backend="c"):
        text = SMALL.stages()["asm"]
    assert text.startswith("There is no asm text: no C compiler was found (") and text.count("\n") == 0


def test_a_stage_that_fails_says_so(monkeypatch):
    """Even a fault of ours does not stop somebody who looks around."""
    monkeypatch.setattr("rowfold.codegen.generate.source_of", None)
    assert SMALL.stages()["c"] == "There is no c text: 'NoneType' object is not callable."


def test_assembly_refuses_flags_as_compiling_does():
    """A flag that names a file is not handed to a compiler, whatever is asked of it."""
    with pytest.raises(CompileError, match="not allowed"):
        compiler.assembly("", ("-fplugin=x.so",), compiler.find())


# debug


@pytest.mark.parametrize(
    ("level", "seen"),
    [(1, (False, False, False)), (2, (True, False, False)), (3, (True, True, False)), (4, (True, True, True))],
)
def test_debug_shows_more_at_each_level(level, seen, capsys):
    """1: a line per compile, 2: rejected plans, 3: C, 4: assembly."""
    run(debug=level)
    text = capsys.readouterr().err
    assert tuple(word in text for word in ("rejected online", "#include", ".text\n")) == seen


def test_debug_says_what_was_compiled(capsys, tmp_path):
    """One line with symbol, compiler and time; and another one when the cache had it."""
    run(debug=1, cache_dir=str(tmp_path / "cache"))
    run(debug=1, cache_dir=str(tmp_path / "cache"))
    first, second = capsys.readouterr().err.splitlines()
    symbol = source_of(PLAN).symbol
    assert f"rowfold: loaded {symbol} from the cache" in second and symbol in first


def test_the_kernel_is_the_same_under_inspection(capsys):
    """Looking does not change the answer."""
    with rf.options(debug=1):
        assert SMALL(np.arange(4, dtype=np.float32)) == 6.0


# dump


def test_a_dump(tmp_path):
    """Every stage is a file, in a folder with the kernel's name."""
    run(dump=str(tmp_path))
    assert sorted(p.name for p in (tmp_path / "total").iterdir()) == FILES


def test_a_dump_holds_what_was_compiled(tmp_path):
    """The C file is the text that the compiler got."""
    run(dump=str(tmp_path))
    assert (tmp_path / "total" / "02-kernel.c").read_text() == source_of(PLAN).text


def test_another_plan_has_a_folder_of_its_own(tmp_path):
    """The float64 kernel does not overwrite the float32 one."""
    for dtype in ("f4", "f8", "f4"):
        run(SMALL.plan((2, 8), dtype), dump=str(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["total", "total-2"]


def test_a_log_of_a_failure(tmp_path, capsys, monkeypatch):
    """When the compiler fails, its words are in the log and on stderr, and the error is raised as ever."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where the compiler keeps a source that failed
    edited(tmp_path / "edits", "rf_leave(env);", "rf_leave(env); undeclared = 1;")
    with pytest.raises(CompileError):
        run(override=str(tmp_path / "edits"), dump=str(tmp_path / "dump"))
    log = (tmp_path / "dump" / "total" / "04-cc.log").read_text()
    assert "undeclared" in log and "undeclared" in capsys.readouterr().err


def test_a_dump_that_cannot_be_written(tmp_path, capsys):
    """The kernel runs on, and stderr says what is missing."""
    (tmp_path / "file").touch()
    loaded = run(dump=str(tmp_path / "file"))
    assert answer(loaded) == 6.0 and "cannot dump total" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../../etc", "/absolute", "", "..", "a b;c$(d)", "softmax-2", "ß" * 300])
def test_a_name_is_no_path(name):
    """Whatever a kernel is called, its folder stays below the directory."""
    safe = safe_name(name)
    assert safe.replace("_", "a").isalnum() and safe.isascii() and len(safe) <= 60


# override


def test_an_edited_kernel_is_loaded_and_said(tmp_path, capsys):
    """The hand-edited C decides the answer."""
    path = edited(tmp_path, "rf_leave(env);", "rf_leave(env); *(float *)args[1] = 42.0f;")
    assert answer(run(override=str(tmp_path))) == 42.0 and f"is compiled from {path}" in capsys.readouterr().err


def test_an_edited_kernel_is_gone_with_its_variable(tmp_path):
    """The cache never leads from a plan to a hand-edited library."""
    edited(tmp_path, "rf_leave(env);", "rf_leave(env); *(float *)args[1] = 41.0f;")
    run(override=str(tmp_path))
    assert answer(run(debug=1)) == 6.0


def test_an_unedited_kernel_is_no_override(tmp_path, capsys):
    """A dump that was not touched is what rowfold emits, so there is nothing to say."""
    run(dump=str(tmp_path))
    run(override=str(tmp_path))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [("rowfold_total_f32", "rowfold_total_f16"), ("(void)data;", "(void)data; (void)args[2];")],
    ids=["symbol", "arguments"],
)
def test_a_file_for_another_kernel_is_not_loaded(old, new, tmp_path, capsys):
    """A file of another symbol or with other arguments is left alone, and stderr says so."""
    edited(tmp_path, old, new)
    assert answer(run(override=str(tmp_path))) == 6.0 and "compiled as emitted" in capsys.readouterr().err


def test_a_file_for_another_program_is_not_loaded(tmp_path, capsys):
    """The program beside the C has to be the plan's."""
    path = edited(tmp_path, "rf_leave(env);", "rf_leave(env); *(float *)args[1] = 40.0f;")
    path.with_name("00-program.txt").write_text("program total\n  another one\n")
    assert answer(run(override=str(tmp_path))) == 6.0 and "compiled as emitted" in capsys.readouterr().err


def test_a_directory_that_is_missing_is_said(tmp_path, capsys):
    """A misspelt directory does not pass for one without edits."""
    run(override=str(tmp_path / "nowhere"))
    assert "is not a directory" in capsys.readouterr().err


def test_a_dump_never_overwrites_an_edit(tmp_path, capsys):
    """Dumping to the directory of the edits leaves the edit of another plan as it is."""
    path = edited(tmp_path, "rowfold_total_f32", "rowfold_total_f16")
    text = path.read_text()
    run(override=str(tmp_path), dump=str(tmp_path))
    assert path.read_text() == text and "not dumped" in capsys.readouterr().err
