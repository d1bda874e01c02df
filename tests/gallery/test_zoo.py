"""Every kernel keeps the bound that the oracle derives, on rows of every kind and with every special value."""

import numpy as np
import pytest
from samples import arguments, quickly

from rowfold.gallery import entries
from rowfold.testing.values import FINITE, SPECIAL

ENTRIES = {e.name: e for e in entries() if not e.parts}
WIDTH = {"nucleus_filter": 80}


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_rows_of_every_kind_are_within_the_bound(name):
    """A float32 row of every kind for each parameter, other kinds side by side."""
    entry, kernel = ENTRIES[name], quickly(ENTRIES[name].made, sorted(ENTRIES).index(name))
    given = arguments(name, entry.made, WIDTH.get(name, 100), np.float32, (*FINITE, *SPECIAL))
    assert kernel.check(*given, **entry.settings)
