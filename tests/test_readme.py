"""What the README shows is what happens: its quickstart, its table of variables, its set-up commands."""

import contextlib
import io
import re
from dataclasses import fields
from pathlib import Path

import pytest

from rowfold import config

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
QUICKSTART = re.findall(r"```python\n(.*?)```\n+prints\n+```text\n(.*?)```", README, re.DOTALL)
VARIABLES = re.findall(r"^\| `(ROWFOLD_\w+)` \| `(\w+)` \|", README, re.MULTILINE)
COMMANDS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def test_a_quickstart_is_there():
    """A renamed code fence must not silence the next test."""
    assert QUICKSTART


@pytest.mark.parametrize(("code", "output"), QUICKSTART)
def test_the_quickstart_prints_what_it_says(code, output, tmp_path):
    """Run as a file, because a row function's source is part of what rowfold shows."""
    script = tmp_path / "quickstart.py"
    script.write_text(code)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(script), "exec"), {"__name__": "__main__"})
    assert printed.getvalue() == output


@pytest.mark.isa("avx512")
def test_the_plan_is_the_one_that_is_printed(tmp_path):
    """Word for word; prices and caches are those of the machine that the README names."""
    scope = {"__name__": "__main__"}
    script = tmp_path / "quickstart.py"
    script.write_text(QUICKSTART[0][0])
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(QUICKSTART[0][0], str(script), "exec"), scope)
    shown = re.search(r"```text\n(softmax: speculative.*?)\n```", README, re.DOTALL)[1]
    printed = str(scope["softmax"].explain(shape=(64, 32000)))
    words = [re.sub(r"[\d.]+|L[123]|memory", "#", text).split() for text in (shown, printed)]
    assert words[0] == words[1]


def test_the_table_lists_every_variable_with_its_keyword():
    """One line a knob, in the order of the dataclass that holds them."""
    expected = [(config.variable(field.name), field.name) for field in fields(config.Config)]
    assert expected == VARIABLES


def test_there_are_two_commands_and_each_stands_alone():
    """A fresh machine needs one line: it makes its environment, installs, and does something real."""
    alone = re.compile(r"python3 -m venv \S+ && \S+/pip install .+ && \S+/python .+\n")
    assert [bool(alone.fullmatch(text)) for text in COMMANDS] == [True, True]
