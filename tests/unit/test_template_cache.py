"""What Jinja makes of the templates is kept beside them, where that may be."""

import os
import sys

import pytest
from jinja2 import Environment, FunctionLoader

from rowfold.codegen.c.words import Kept


@pytest.fixture(autouse=True)
def writes_bytecode(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def rendered(folder, text="{{ a }} rows"):
    made = Environment(loader=FunctionLoader(lambda name: text), bytecode_cache=Kept(str(folder)), autoescape=True)
    return made.get_template("page").render(a=3)


def test_the_second_process_compiles_no_template(tmp_path, monkeypatch):
    """A template that did not change is read from its file; one that did is compiled again."""
    folder = tmp_path / "__pycache__"
    assert rendered(folder) == "3 rows"
    assert len(os.listdir(folder)) == 1
    with monkeypatch.context() as m:
        m.setattr(Environment, "_generate", None)
        assert rendered(folder) == "3 rows"
    assert rendered(folder, "{{ a }} columns") == "3 columns"


def test_nothing_is_written_where_python_writes_no_bytecode(tmp_path, monkeypatch):
    """-B and PYTHONDONTWRITEBYTECODE hold for templates."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered(tmp_path / "none") == "3 rows"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("kind", ["a file stands there", "damaged"])
def test_a_place_that_cannot_be_used_costs_nothing(tmp_path, kind):
    """No directory to write to, or bytes that are not ours: the template is compiled."""
    folder = tmp_path / "__pycache__"
    if kind == "damaged":
        rendered(folder)
        (folder / os.listdir(folder)[0]).write_bytes(b"j2\x00nonsense")
    else:
        folder.write_text("")
    assert rendered(folder) == "3 rows"
