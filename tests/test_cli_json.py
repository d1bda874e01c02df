"""docs/cli.md names what `--json` prints."""

import json
import re
from pathlib import Path

import pytest

from rowfold.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
SMALL = ["--shape", "2x20"]
CALLED = {
    "list": ["list"],
    "explain": ["explain", "softmax", *SMALL],
    "check": ["check", "max", "--dtype", "float32", *SMALL],
    "bench": ["bench", "softmax", "--repeats", "1", *SMALL],
    "doctor": ["doctor"],
    "cache": ["cache"],
}
OPEN = ("self_test", "settings", "not_run", "versions", "cache_sizes")  # their keys are names of other things


def names_in(value):
    """Every key, at any depth."""
    match value:
        case dict():
            inner = [names_in(v) for k, v in value.items() if k not in OPEN]
            return set(value).union(*inner)
        case list():
            return set().union(*map(names_in, value))
    return set()


@pytest.mark.parametrize("command", CALLED)
def test_every_name_is_documented(command, capsys):
    """No key that the page does not know in the section of its command."""
    section = re.search(rf"^### {command}\n(.*?)(?=^### |\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]
    main([*CALLED[command], "--json"])
    assert names_in(json.loads(capsys.readouterr().out)) - set(re.findall(r"`(\w+)`", section)) == set()
