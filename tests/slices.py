"""The default run takes a slice of what the long run goes through: compiling is dear, portable C above all."""

import pytest


def sliced(cases, quick):
    """The cases as parameters; those that are not `quick` are left to the long run."""
    return [case if quick(case) else pytest.param(*_tuple(case), marks=pytest.mark.slow) for case in cases]


def _tuple(case):
    return case if isinstance(case, tuple) else (case,)
