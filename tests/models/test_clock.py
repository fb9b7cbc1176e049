"""The clock: features of order one, speeds that follow the intervals."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.clock import N_FEATURES, Clock, typical_speeds

gaps = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12)


@settings(deadline=None, max_examples=40)
@given(gaps, st.integers(0, 2**32 - 1))
def test_features_are_of_order_one_and_speeds_between_those_of_the_intervals(gaps, seed):
    times = np.concatenate([[5.0], 5.0 + np.cumsum(gaps)])
    speeds = np.exp(np.random.default_rng(seed).normal(size=len(gaps)))
    clock = Clock(times, speeds)
    t = torch.linspace(float(times[0]), float(times[-1]), 200, dtype=torch.float64)
    assert clock.features(t).shape == (200, N_FEATURES)
    assert clock.features(t).abs().max() <= 1 + 1e-5
    assert clock.speed(t).min() >= speeds.min() * (1 - 1e-9)
    assert clock.speed(t).max() <= speeds.max() * (1 + 1e-9)
    middles = torch.from_numpy((times[1:] + times[:-1]) / 2)
    np.testing.assert_allclose(clock.speed(middles), speeds, rtol=1e-9)


def test_one_time_is_the_same_as_many():
    clock = Clock(np.array([0.0, 1.0, 4.0]), np.array([1.0, 2.0]))
    t = torch.tensor([0.0, 0.9, 1.0, 4.0], dtype=torch.float64)
    for k in range(4):
        assert torch.equal(clock.features(t[k]), clock.features(t)[k])
        assert torch.equal(clock.speed(t[k]), clock.speed(t)[k])


def test_beyond_the_data_the_speed_stays():
    clock = Clock(np.array([0.0, 1.0, 4.0]), np.array([1.0, 2.0]))
    outside = torch.tensor([-10.0, 90.0], dtype=torch.float64)
    np.testing.assert_allclose(clock.speed(outside), [1.0, 2.0])
    assert torch.isfinite(clock.features(outside)).all()


@pytest.mark.parametrize(
    ("moved", "speeds"), [([2.0, 2.0], [2.0, 1.0]), ([0.0, 2.0], [1e-3, 1.0]), ([0.0, 0.0], [1.0, 0.5])]
)
def test_speeds_are_never_zero(moved, speeds):
    np.testing.assert_allclose(typical_speeds(np.array([0.0, 1.0, 3.0]), np.array(moved)), speeds)
