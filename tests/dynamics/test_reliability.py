"""Reliability of arrows in closed form."""

import numpy as np
import pytest
import torch
from fields import Function

from dynamics.reliability import TRUSTED, combined, pairwise, reliability
from dynamics.snapshots import from_arrays


class Several(Function):
    def __init__(self, *members):
        super().__init__(members[0].dim, members[0])
        self.members = members


def towards(*direction):
    return Function(len(direction), lambda t, x: torch.tensor([direction], dtype=x.dtype).expand_as(x))


@pytest.fixture
def cells(rng):
    return from_arrays(rng.normal(size=(300, 2)), np.tile([0.0, 1.0, 2.0], 100))


@pytest.mark.parametrize("degrees", [0, 40, 90, 180])
@pytest.mark.parametrize("n_members", [2, 4])
def test_members_at_an_angle_score_its_mean_cosine(cells, degrees, n_members):
    angle = np.radians(degrees)
    one, other = (1.0, 0.0), (float(np.cos(angle)), float(np.sin(angle)))
    field = Several(*(towards(*(one if k % 2 else other)) for k in range(n_members)))
    found = reliability(field, cells)
    pairs = [(a, b) for a in range(n_members) for b in range(a)]
    cosine = np.mean([1 if (a - b) % 2 == 0 else np.cos(angle) for a, b in pairs])
    np.testing.assert_allclose(found.score, max(cosine, 0), atol=1e-5)
    assert found.unreliable.all() == (cosine < TRUSTED)
    np.testing.assert_allclose(found.neighbours, 1, atol=1e-5)
    assert found.n_members == n_members


def test_members_at_random_score_nothing_however_many_they_are(rng):
    for n_members in (2, 5, 20):
        velocity = rng.normal(size=(n_members, 4000, 50))
        velocity /= np.linalg.norm(velocity, axis=2, keepdims=True)
        agreed = np.linalg.norm(velocity.mean(axis=0), axis=1)
        assert pairwise(agreed, n_members).mean() < 0.08


def test_one_member_rests_on_neighbours(cells):
    alone = reliability(towards(1.0, 2.0), cells)
    np.testing.assert_allclose(alone.score, 1, atol=1e-5)
    assert alone.n_members == 1
    chaotic = Function(2, lambda t, x: torch.sin(1e4 * x))
    found = reliability(chaotic, cells)
    assert np.median(found.score) < 0.5
    np.testing.assert_array_equal(found.score, found.neighbours)
    np.testing.assert_array_equal(found.consensus, 1)


def test_what_does_not_move_is_not_trusted(cells):
    still = reliability(Several(towards(0.0, 0.0), towards(0.0, 0.0)), cells)
    assert np.isnan(still.consensus).all()
    assert still.unreliable.all()
    np.testing.assert_array_equal(combined(np.array([np.nan, 0.2]), np.array([1.0, 0.9])), [0, 0.2])


def test_the_unit_of_state_and_time_does_not_matter(cells):
    def made(scale):
        bent = Function(2, lambda t, x: scale * torch.cat([x[:, 1:] / scale, -x[:, :1] / scale], dim=1))
        return Several(bent, towards(scale, 0.0))

    large = from_arrays(100 * cells.states, cells.times)
    np.testing.assert_allclose(
        reliability(made(100.0), large).score, reliability(made(1.0), cells).score, atol=1e-4
    )
