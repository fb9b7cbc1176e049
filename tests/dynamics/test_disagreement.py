"""Where two fields disagree: angles that are known, and what must not change them."""

import numpy as np
import pytest
import torch

from dynamics.disagreement import by_group, disagreement
from dynamics.errors import ModelError


class Turned:
    """One velocity everywhere, in the plane of the first two axes, at an angle and with a speed."""

    def __init__(self, degrees, *, speed=1.0, dim=3):
        self.dim = dim
        turn = np.radians(degrees)
        self.velocity = torch.zeros(dim, dtype=torch.float64)
        self.velocity[0], self.velocity[1] = speed * np.cos(turn), speed * np.sin(turn)

    def __call__(self, t, x):
        return self.velocity.to(x.dtype).expand_as(x)


class Clocked(Turned):
    """The direction turns with time, 10 degrees in each unit."""

    def __call__(self, t, x):
        return Turned(10 * float(t), dim=self.dim)(t, x)


@pytest.fixture
def states(rng):
    return rng.normal(size=(60, 3)).astype(np.float32)


@pytest.mark.parametrize("degrees", [0, 1e-2, 30, 90, 179.99, 180])
def test_the_angle_is_that_of_the_velocities(states, degrees):
    found = disagreement(Turned(20), Turned(20 + degrees), states, times=np.zeros(60))
    np.testing.assert_allclose(found.angle, degrees, atol=2e-3)
    assert found.slow_share == 0
    assert found.median == pytest.approx(degrees, abs=2e-3)


def test_each_cell_is_asked_at_its_own_time(states):
    times = np.repeat([0.0, 3.0, 9.0], 20)
    found = disagreement(Turned(0), Clocked(0), states, times=times)
    np.testing.assert_allclose(found.angle, 10 * times, atol=1e-3)


def test_speed_changes_the_difference_of_lengths_only(states):
    found = disagreement(Turned(0, speed=3), Turned(45, speed=1), states, times=np.zeros(60))
    np.testing.assert_allclose(found.angle, 45, atol=1e-3)
    np.testing.assert_allclose(found.longer, 1.0, atol=1e-5)
    back = disagreement(Turned(45, speed=1), Turned(0, speed=3), states, times=np.zeros(60))
    np.testing.assert_allclose(back.angle, found.angle, atol=1e-4)
    np.testing.assert_allclose(back.longer, -found.longer, atol=1e-6)


class Slowing(Turned):
    """Cells left of the origin hardly move."""

    def __call__(self, t, x):
        return super().__call__(t, x) * torch.where(x[:, :1] < -0.5, 1e-3, 1.0)


def test_slow_cells_have_no_angle(states):
    found = disagreement(Slowing(0), Turned(90), states, times=np.zeros(60))
    np.testing.assert_array_equal(found.slow, states[:, 0] < -0.5)
    assert np.isnan(found.angle[found.slow]).all()
    np.testing.assert_allclose(found.angle[~found.slow], 90, atol=1e-3)
    still = disagreement(Turned(0, speed=0), Turned(0, speed=0), states, times=np.zeros(60))
    assert still.slow.all()
    assert np.isnan(still.median)
    assert by_group(still, np.repeat("a", 60)) == []


def test_a_narrower_field_is_compared_in_its_own_dimensions(states):
    found = disagreement(Turned(0), Turned(30, dim=2), states, times=np.zeros(60))
    np.testing.assert_allclose(found.angle, 30, atol=1e-3)
    with pytest.raises(ModelError, match="3 and 5 dimensions, these states have 3"):
        disagreement(Turned(0), Turned(0, dim=5), states, times=np.zeros(60))


def test_groups_come_in_order_of_their_median_angle(states):
    times = np.repeat([0.0, 3.0, 9.0], [4, 26, 30])
    found = disagreement(Turned(0), Clocked(0), states, times=times)
    rows = by_group(found, times.astype(int))
    assert [(name, round(angle), n) for name, angle, n in rows] == [("9", 90, 30), ("3", 30, 26)]
