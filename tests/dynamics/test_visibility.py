"""How much of a step an arrow shows: closed forms on flat data, invariances, and chance."""

import numpy as np
import pytest

from dynamics.errors import DataError
from dynamics.projection import Placement
from dynamics.visibility import Visibility, visibility

DIM = 10


@pytest.fixture
def plane(rng):
    """Places on a plane, that plane in ten dimensions (orthonormal axes), and a direction across it."""
    places = rng.normal(size=(600, 2))
    axes = np.linalg.qr(rng.normal(size=(DIM, 3)))[0].T
    return places, axes[:2], axes[2]


def shown(places, states, steps, arrows):
    placement = Placement(states, places)
    return visibility(np.asarray(states, np.float32), steps, arrows, placement=placement)


def test_a_step_in_the_plane_that_is_the_map_is_all_shown(plane, rng):
    places, axes, _ = plane
    arrows = rng.normal(size=places.shape)
    found = shown(places, places @ axes, arrows @ axes, arrows)
    np.testing.assert_allclose(found.cosine, 1, atol=2e-3)
    np.testing.assert_allclose(found.reach, 1, atol=1e-5)
    np.testing.assert_allclose(found.length, 1, atol=0.05)
    assert found.hidden == 0
    assert found.chance == pytest.approx(0.2**0.5)


def test_a_step_out_of_the_plane_cannot_be_shown(plane, rng):
    places, axes, across = plane
    arrows = rng.normal(size=places.shape)
    found = shown(places, places @ axes, np.tile(across, (len(places), 1)), arrows)
    np.testing.assert_allclose(found.reach, 0, atol=1e-5)
    np.testing.assert_allclose(found.cosine, 0, atol=1e-5)
    assert found.hidden == 1


@pytest.mark.parametrize("across_share", [0.3, 0.6, 0.9])
def test_what_is_out_of_the_plane_lowers_the_cosine_as_it_should(plane, across_share):
    places, axes, across = plane
    arrows = np.tile([0.6, 0.8], (len(places), 1))
    steps = (1 - across_share**2) ** 0.5 * arrows @ axes + across_share * across
    found = shown(places, places @ axes, steps, arrows)
    np.testing.assert_allclose(found.cosine, (1 - across_share**2) ** 0.5, atol=2e-3)
    np.testing.assert_allclose(found.reach, (1 - across_share**2) ** 0.5, atol=1e-4)


def test_an_arrow_that_points_astray_shows_less_than_the_best_one(plane):
    places, axes, _ = plane
    arrows = np.tile([1.0, 0], (len(places), 1))
    steps = np.tile([0.5, 0.75**0.5], (len(places), 1)) @ axes
    found = shown(places, places @ axes, steps, arrows)
    np.testing.assert_allclose(np.median(found.cosine), 0.5, atol=1e-2)
    np.testing.assert_allclose(found.reach, 1, atol=1e-5)
    opposite = shown(places, places @ axes, -steps, arrows)
    np.testing.assert_allclose(opposite.cosine, -found.cosine, atol=1e-6)


def test_units_and_orientation_do_not_matter(rng):
    places = rng.normal(size=(300, 2))
    states = np.concatenate([places, places**2, 0.1 * rng.normal(size=(300, 4))], axis=1)
    steps, arrows = rng.normal(size=states.shape), rng.normal(size=places.shape)
    usual = shown(places + 5, states, steps, arrows)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    flip = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    turned = shown(7e3 * places @ flip, 1e3 * states @ turn, 20 * steps @ turn, 7e3 * arrows @ flip)
    for name in ("cosine", "reach"):
        np.testing.assert_allclose(getattr(turned, name), getattr(usual, name), atol=2e-3)
    np.testing.assert_allclose(turned.length, 50 * usual.length, rtol=1e-2)


@pytest.mark.parametrize("flat", [False, True])
def test_a_map_that_is_the_whole_state_shows_everything(rng, flat):
    states = rng.normal(size=(200, 2)) * [1, 0 if flat else 1]
    steps = rng.normal(size=states.shape)
    found = shown(states, states, steps, steps)
    np.testing.assert_allclose(found.cosine, 1, atol=1e-12)
    np.testing.assert_allclose(found.length, 1, atol=1e-12)
    np.testing.assert_allclose(found.reach, 1, atol=1e-6)


def test_three_axes_show_the_third_direction(rng):
    places = rng.normal(size=(500, 3))
    states = np.concatenate([places, np.zeros((500, 3))], axis=1)[:, ::-1].copy()
    steps = np.zeros((500, 6))
    steps[:, 3] = 1
    arrows = np.tile([0.0, 0, 1], (500, 1))
    found = shown(places, states, steps, arrows)
    np.testing.assert_allclose(found.cosine, 1, atol=5e-3)
    assert found.chance == pytest.approx(0.5**0.5)


def test_steps_at_random_keep_what_chance_leaves(rng):
    states = rng.normal(size=(1500, 32)).astype(np.float32)
    places = rng.normal(size=(1500, 2))
    found = shown(places, states, rng.normal(size=states.shape), rng.normal(size=places.shape))
    assert np.sqrt(np.mean(found.reach**2)) == pytest.approx(found.chance, rel=0.1)
    assert abs(found.median) < 0.05


def test_cells_that_stand_still_and_arrows_of_no_length(plane):
    places, axes, _ = plane
    steps, arrows = places @ axes, places.copy()
    steps[0], arrows[1] = 0, 0
    found = shown(places, places @ axes, steps, arrows)
    assert np.isnan([found.cosine[0], found.length[0], found.reach[0]]).all()
    assert (found.cosine[1], found.length[1]) == (0, 0)
    assert np.isfinite(found.cosine[1:]).all()
    nothing = Visibility(np.full(3, np.nan), np.ones(3), np.ones(3), 0.2)
    assert np.isnan([nothing.hidden, nothing.median]).all()


def test_all_places_on_one_line_or_one_point_are_no_error(rng):
    states = rng.normal(size=(60, 5))
    for places in (np.zeros((60, 2)), np.stack([states[:, 0], states[:, 0]], axis=1)):
        found = shown(places, states, states, places)
        assert np.isfinite(found.cosine).all()
        assert np.isfinite(found.reach).all()


def test_sizes_that_do_not_belong_together_are_refused(plane):
    places, axes, _ = plane
    with pytest.raises(DataError, match="one arrow of 2 axes"):
        shown(places, places @ axes, places @ axes, np.ones((600, 3)))
