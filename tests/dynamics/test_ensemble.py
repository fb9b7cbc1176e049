"""Agreement of an ensemble's members in closed form."""

import numpy as np
import pytest
import torch
from fields import Function, Linear

from dynamics.ensemble import band, consensus, members_of, spread


def constant(*velocity):
    return Function(len(velocity), lambda t, x: torch.tensor([velocity], dtype=x.dtype).expand_as(x))


class Several(Function):
    """The first of some fields, with all of them as members."""

    def __init__(self, *members):
        super().__init__(members[0].dim, members[0])
        self.members = members


STATES = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("velocities", "expected"),
    [
        ([(1, 0), (1, 0)], 1),
        ([(1, 0), (5, 0)], 1),
        ([(1, 0), (-1, 0)], 0),
        ([(1, 0), (0, 1)], 2**-0.5),
        ([(3, 0), (-1, 0)], 0.5),
        ([(2, 0), (0, 0)], 1),
        ([(0, 0), (0, 0)], np.nan),
        ([(1e-30, 0), (1e-30, 0)], 1),
        ([(1e17, 0), (1e17, 0)], 1),
    ],
)
def test_consensus_in_closed_form(velocities, expected):
    field = Several(*(constant(*map(float, velocity)) for velocity in velocities))
    np.testing.assert_allclose(consensus(field, STATES, times=0.0), expected, rtol=1e-6)


def test_one_member_agrees_with_itself(rng):
    field = Linear(np.eye(2))
    assert members_of(field) == (field,)
    states = rng.normal(size=(20, 2))
    np.testing.assert_allclose(consensus(field, states, times=np.arange(20.0)), 1)


def test_each_cell_is_asked_at_its_own_time():
    still = Function(2, lambda t, x: torch.ones_like(x))
    turning = Function(2, lambda t, x: torch.ones_like(x) * (1 if t < 1 else -1))
    agreed = consensus(Several(still, turning), STATES, times=np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(agreed, [1, 0, 0])


@pytest.mark.parametrize(
    ("velocities", "expected"),
    [
        ([(1, 2)], 0),
        ([(1, 0), (1, 0), (1, 0)], 0),
        ([(3, 0), (-3, 0)], 3),
        ([(3, 4), (-3, -4), (0, 0)], 5 * (2 / 3) ** 0.5),
    ],
)
def test_spread_in_closed_form(velocities, expected):
    field = Several(*(constant(*map(float, velocity)) for velocity in velocities))
    np.testing.assert_allclose(spread(field, STATES, times=0.0), expected, rtol=1e-6)


def test_spread_follows_the_units_of_the_states_and_the_time_of_each_cell():
    turning = Function(2, lambda t, x: torch.ones_like(x) * (1000.0 if t < 1 else -1000.0))
    still = Function(2, lambda t, x: 1000.0 * torch.ones_like(x))
    found = spread(Several(still, turning), STATES, times=np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(found, [0, 1000 * 2**0.5, 1000 * 2**0.5], rtol=1e-6)


def test_a_band_holds_one_more_draw_in_eight_of_ten_cases(rng):
    draws = rng.normal(size=(6, 20_000))
    low, high = band(draws[:5])
    assert ((low < draws[5]) & (draws[5] < high)).mean() == pytest.approx(0.8, abs=0.01)
    wide_low, wide_high = band(draws[:5], widened=2.0)
    np.testing.assert_allclose(wide_high - wide_low, 2 * (high - low))
