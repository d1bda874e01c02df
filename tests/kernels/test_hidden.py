"""What `where=` hides has no part in a result, whatever it is: not a bit of it."""

from itertools import product

import numpy as np
import pytest
from slices import sliced

from rowfold import library
from rowfold.errors import PlanError
from rowfold.runtime.cpu import host_isas

NAMES = sorted(set(library.__all__) - {"masked_softmax", "cross_entropy"})  # called with other than rows
SETTINGS = {"softmax_topk": {"k": 3}}
HIDDEN = (np.nan, np.inf, -np.inf, 1e30)
BACKENDS = [("c", isa) for isa in host_isas()] + [("llvm", "auto"), ("numpy", "auto")]
OFTEN = (BACKENDS[0], *BACKENDS[-2:])
GIVEN = {"kl_div": 2, "layer_norm": 3, "rms_norm": 2}


def leaks(name, dtype, backend, isa, strategy="auto", columns=35):
    """The hidden values that change a result's bits."""
    rng = np.random.default_rng(0)
    kernel = getattr(library, name).using(backend=backend, isa=isa, strategy=strategy)
    x, where = rng.normal(size=(3, columns)).astype(dtype), rng.random((3, columns)) < 0.7
    further = [rng.normal(size=(3, columns)).astype(dtype) for _ in range(GIVEN.get(name, 1) - 1)]

    def called(value):
        rows = [np.where(where, row, dtype(value)) for row in (x, *further)]
        found = kernel(*rows, where=where, **SETTINGS.get(name, {}))
        return b"".join(part.tobytes() for part in (found if isinstance(found, tuple) else (found,)))

    plain = called(0.5)
    return [value for value in HIDDEN if called(value) != plain]


@pytest.mark.parametrize(
    ("name", "backend"),
    sliced(product(NAMES, BACKENDS), lambda c: c[1] in OFTEN or c[0] in ("softmax", "entropy")),
)
def test_hidden_elements_change_no_bit(name, backend):
    """NaN, infinities and large numbers under a False give the bits that small numbers give there."""
    assert leaks(name, np.float32, *backend) == []


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["three_pass_recompute", "three_pass_reload", "two_pass", "online", "speculative"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("backend", BACKENDS, ids="-".join)
@pytest.mark.parametrize("name", NAMES)
def test_hidden_elements_change_no_bit_in_any_strategy(name, backend, dtype, strategy):
    """The same under every strategy, in rows that no cache block holds."""
    try:
        assert leaks(name, dtype, *backend, strategy, 1025) == []
    except PlanError as error:
        pytest.skip(str(error).splitlines()[0])
