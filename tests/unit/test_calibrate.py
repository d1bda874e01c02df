"""What a calibration makes of measurements that disagree."""

import pytest

from rowfold.commands.calibrate import gains, settled


def test_rounds_that_agree_give_their_median():
    """One round that something else ran in does not count."""
    assert settled([1.0, 1.02, 9.0, 0.98, 1.01]) == 1.01


def test_rounds_that_disagree_give_nothing():
    """On a busy machine the values of before stay."""
    assert settled([1.0, 1.5, 2.0, 1.2, 0.9]) is None


@pytest.mark.parametrize(("faster", "verdict"), [(5, True), (4, True), (3, None), (2, None), (1, False), (0, False)])
def test_a_gain_is_one_in_all_rounds_but_one(faster, verdict):
    """Three rounds of five are chance."""
    pairs = [(1.0, 2.0)] * faster + [(2.0, 1.0)] * (5 - faster)
    assert gains(pairs) is verdict
