"""The list of wrong generators is one that can be used."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # whatever import mode pytest is in

from mutants import read


def test_a_hundred_mutants_fit():
    """Their texts are still in the files; more than that are listed, as files change."""
    assert sum(mutant.fits for mutant in read()) >= 100


def test_no_mutant_is_listed_twice():
    """Each changes something, and nothing that another one changes to the same."""
    found = [m[:3] for m in read()]
    assert len(set(found)) == len(found) and not [m for m in found if m[1] == m[2]]
