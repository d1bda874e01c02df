"""The whole catalogue by NumPy alone: within its bounds, and a replay has the bits of the call that was recorded."""

import numpy as np
import pytest
from samples import arguments
from test_formulas import ENTRIES, WIDTH, every_kernel, results


@pytest.mark.slow
@every_kernel
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_keeps_the_bounds(name, dtype):
    """A first call records, and a second one replays."""
    entry, width = ENTRIES[name], WIDTH.get(name, 333)
    given, kernel = arguments(name, entry.made, width, dtype), entry.made.using(backend="numpy", threads=1)
    first, second = (results(kernel, given, entry.settings) for _ in range(2))
    floats = [np.asarray(a).dtype.kind == "f" for a in first]
    assert all(np.array_equal(a, b, equal_nan=f) for a, b, f in zip(first, second, floats, strict=True))
    assert kernel.check(*given, **entry.settings).ok
