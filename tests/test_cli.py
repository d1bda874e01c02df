"""The command line: what it prints, and its exit codes."""

import json
import subprocess
import sys

import pytest

from rowfold import library
from rowfold.cli import main
from rowfold.gallery import entries


def test_list_shows_the_ready_made_kernels(capsys):
    """One line for each kernel of the library, below a heading."""
    main(["list"])
    assert sorted(line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]) == sorted(library.__all__)


def test_list_all_as_json_has_every_kernel(capsys):
    """One object for each kernel and row of the catalogue."""
    main(["list", "--all", "--json"])
    listed = [(row["id"], row["name"]) for row in json.loads(capsys.readouterr().out)]
    assert listed == [(e.id, e.name) for e in entries()]


def test_a_terminal_has_room_for_every_line(capsys, monkeypatch):
    """Titles of papers are cut at its edge, where it is one; in a file they are whole."""
    main(["list", "--all"])
    whole = capsys.readouterr().out.splitlines()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    main(["list", "--all"])
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, whole)) > 80 == max(map(len, shown)) and len(shown) == len(whole)
    assert all(line.startswith(short.removesuffix("...")) for line, short in zip(whole, shown, strict=True))


def test_an_object_says_walks_and_paper(capsys):
    """The five keys of an object."""
    main(["list", "--json"])
    assert list(json.loads(capsys.readouterr().out)[0]) == ["name", "id", "paper", "walks_stated", "walks"]


def test_success_is_0(capsys):
    """A command that did its work says so."""
    assert main(["list"]) == 0


@pytest.mark.parametrize("words", [[], ["lst"], ["list", "--every"]])
def test_wrong_usage_is_2(words, capsys):
    """What the command line does not know is answered with the usage."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


def test_the_package_is_a_command():
    """`python -m rowfold` is the same command line."""
    done = subprocess.run([sys.executable, "-m", "rowfold", "list"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("kernel")
