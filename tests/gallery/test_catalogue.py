"""Every row of the catalogue has its kernels, and every kernel takes at most the walks that its row states."""

import re
from pathlib import Path

import pytest
from catalogue import CATALOGUE

from rowfold import gallery
from rowfold.gallery import entries

FOUND = entries()


def test_no_row_is_without_a_kernel():
    """The package lists the catalogue's rows, each with the kernels and walks that the tests' own list has."""
    listed = {}
    for entry in FOUND:
        listed.setdefault(entry.id, {})[entry.name] = entry.walks_stated
    assert {row: kernels for row, kernels in listed.items() if row} == CATALOGUE


@pytest.mark.parametrize("entry", FOUND, ids=lambda e: f"{e.id}-{e.name}")
def test_a_kernel_reaches_the_walks_of_its_row(entry):
    """Fusion allows as few walks as the catalogue states."""
    assert entry.walks() <= entry.walks_stated


@pytest.mark.parametrize("strategy", ["two_pass", "online", "three_pass_recompute", "three_pass_reload"])
def test_the_published_forms_have_the_sweeps_of_their_papers(strategy):
    """C1 to C4 are softmax under a strategy, in two and in three sweeps."""
    name = {"three_pass_recompute": "recompute", "three_pass_reload": "reload"}.get(strategy, strategy)
    assert len(getattr(gallery, f"softmax_{name}").plan((64, 4096)).sweeps) == 2 + strategy.startswith("three")


def test_every_row_names_its_paper():
    """A kernel of the catalogue says where it comes from."""
    assert [e.name for e in FOUND if e.id and not e.paper] == []


def test_a_name_means_one_thing():
    """No two kernels share a name."""
    made = {}
    for entry in FOUND:
        made.setdefault(entry.name, set()).add(id(entry.made))
    assert [name for name, things in made.items() if len(things) > 1] == []


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt kernel is told as a misspelt attribute."""
    with pytest.raises(AttributeError, match="has no attribute 'softmaxx'"):
        _ = gallery.softmaxx


def test_the_list_has_every_row_of_the_catalogue():
    """The ids of the catalogue's tables, where the project's shared copy is at hand."""
    shared = Path(__file__).parents[3] / "shared" / "catalogue.md"
    if not shared.exists():
        pytest.skip("the shared catalogue is not beside this checkout")
    rows = re.findall(r"^\| ((?:[CNLSOGPB]\d+)|(?:\d\.\d+)) \|", shared.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) == set(CATALOGUE)
