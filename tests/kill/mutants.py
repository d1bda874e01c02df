"""Wrong generators as data: one text of one file of the package, and what stands there instead."""

import shutil
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "src" / "rowfold"


class Mutant(NamedTuple):
    """`reason`: why no test of a result can tell it from the right one; None for all but a few."""

    file: str
    old: str
    new: str
    reason: str | None = None

    @property
    def fits(self):
        """Whether the text is still there to be replaced."""
        path = PACKAGE / self.file
        return path.is_file() and self.old in path.read_text(encoding="utf-8")


def read():
    """The mutants of mutants.txt, numbered by their place."""
    blocks = (HERE / "mutants.txt").read_text(encoding="utf-8").split("\n\n")
    return [_mutant(block.strip("\n").split("\n")) for block in blocks if not block.startswith("#")]


def _mutant(lines):
    parts = {line[0]: line[2:].replace("\\n", "\n") for line in lines[1:]}
    return Mutant(lines[0], parts["-"], parts["+"], parts.get("!"))


def mutated(mutant, folder):
    """A folder with a copy of the package, the first such text of the file replaced."""
    copy = Path(folder) / "mutant"
    shutil.copytree(PACKAGE, copy / "rowfold", ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "rowfold" / mutant.file
    text = path.read_text(encoding="utf-8")
    assert mutant.old in text, f"{mutant.file} has no {mutant.old!r} any more"
    path.write_text(text.replace(mutant.old, mutant.new, 1), encoding="utf-8")
    return copy
