"""Every kernel of the catalogue from parts of rows is within the bound that the oracle derives for whole ones."""

import itertools

import numpy as np
import pytest
from samples import Role, arguments

import rowfold as rf
from rowfold.codegen.bounding.oracle import judge, oracle
from rowfold.codegen.ir import THRESHOLDS
from rowfold.gallery import entries
from rowfold.testing.values import FINITE, SPECIAL

ENTRIES = {e.name: e for e in entries() if not e.parts}
CUTS = (0, 40, 41, 100)
WIDE = (Role.ROW, Role.MASK, Role.INT_ROW)


def in_parts(entry, args, wide):
    """The results of the parts' merged states, rows put together again."""
    k = entry.made
    cut = [[a[..., i:j] if w else a for a, w in zip(args, wide, strict=True)] for i, j in itertools.pairwise(CUTS)]
    state, done = None, 0
    while done == 0 or done < rounds(k):
        parts = [k.partial(*c, offset=i, given=state, **entry.settings) for c, i in zip(cut, CUTS, strict=False)]
        state, done = k.merge(parts[0], k.merge(parts[2], parts[1])), done + 1
    if not any(r.row for r in results(entry, args)):
        return several(k.finish(state))
    rows = [[a for a, w in zip(c, wide, strict=True) if w] for c in cut]
    found = [several(k.finish(state, *r, offset=i)) for r, i in zip(rows, CUTS, strict=False)]
    kinds = [r.row for r in results(entry, args)]
    return tuple(
        np.concatenate(p, axis=-1) if row else p[0] for p, row in zip(zip(*found, strict=True), kinds, strict=True)
    )


def rounds(kernel):
    return max(known.layout.rounds for known in kernel._parts.values() if hasattr(known, "layout"))


def results(entry, args):
    return entry.made._results(None, program_of(entry, args))


def program_of(entry, args):
    parameters = [p for p in entry.made.parameters if not p.optional]
    booleans = frozenset(
        p.name for p, a in zip(parameters, args, strict=True) if p.role is Role.ROW and a.dtype == bool
    )
    static = {name: v for name, v in entry.settings.items() if name in entry.made.static}
    return entry.made.program(static, frozenset(p.name for p in parameters), booleans)


def several(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_parts_keep_the_bound_of_the_whole(name):
    """Rows of every kind in three parts, one of them a single element, merged out of order."""
    entry = ENTRIES[name]
    parameters = [p for p in entry.made.parameters if not p.optional]
    args = arguments(name, entry.made, CUTS[-1], np.float32, (*FINITE, *SPECIAL))
    if any(getattr(n, "op", "") in THRESHOLDS | {"lookup"} for n in program_of(entry, args).nodes):
        with pytest.raises(rf.PlanError, match="no state to merge"):
            in_parts(entry, args, [p.role in WIDE for p in parameters])
        return
    got = in_parts(entry, args, [p.role in WIDE for p in parameters])
    floats = {s.name: float(entry.settings.get(s.name, s.default)) for s in entry.made.settings if not s.static}
    given = {p.name: a for p, a in zip(parameters, args, strict=True)}
    expected = oracle(program_of(entry, args), given, floats, np.dtype(np.float32))
    assert max(judge(g, w).worst for g, w in zip(got, expected, strict=True)) <= 1
