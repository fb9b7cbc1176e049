"""Bands of an ensemble: right ones are left alone, too narrow ones are found out and widened."""

import numpy as np
import pytest

from dynamics.errors import DataError
from models.calibration import calibrate, misses


def times_with_members(*, bias: float, spread: float, n_times: int = 4):
    """Ensembles whose members are off by their spread, and together by `bias`."""
    rng = np.random.default_rng(0)
    for _ in range(n_times):
        real = rng.standard_normal((2_000, 20))
        off = bias * rng.standard_normal(20)
        members = [
            rng.standard_normal((2_000, 20)) + off + spread * rng.standard_normal(20) for _ in range(5)
        ]
        yield misses(members, real, rng=rng)


def test_members_that_scatter_as_the_truth_does_hold_what_they_say():
    found = calibrate(list(times_with_members(bias=0.3, spread=0.3)))
    assert found.fine
    assert found.n_values == 4 * 3 * 20
    assert 0.7 < found.factor < 1.4


def test_members_that_agree_on_what_is_wrong_are_widened():
    found = calibrate(list(times_with_members(bias=1.0, spread=0.1)))
    assert not found.fine
    assert found.covered < 0.5
    assert found.factor > 2
    assert found.covered_widened == pytest.approx(0.8, abs=0.12)


def test_one_time_cannot_judge_its_own_correction():
    found = calibrate(list(times_with_members(bias=1.0, spread=0.1, n_times=1)))
    assert found.covered_widened is None


def test_two_members_are_no_band():
    with pytest.raises(DataError, match="3 members of an ensemble or more; there are 2"):
        misses([np.zeros((5, 2))] * 2, np.zeros((5, 2)), rng=np.random.default_rng(0))
