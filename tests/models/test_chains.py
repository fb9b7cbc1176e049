"""Chains follow the pairings; the curves through them are the textbook's."""

import itertools

import numpy as np
import pytest
from scipy.interpolate import CubicSpline, PchipInterpolator

from dynamics.coupling import couple
from models.chains import Bundle, Chains, Shape, cubic, monotone_slopes, natural_slopes

TIMES = np.array([0.0, 1.0, 3.0, 4.5, 5.0])


@pytest.fixture
def knots(rng):
    return rng.standard_normal((5, 7, 2))


@pytest.mark.parametrize(("slopes", "curve"), [(natural_slopes, CubicSpline), (monotone_slopes, None)])
def test_curves_are_those_of_scipy(knots, slopes, curve):
    known = curve(TIMES, knots, bc_type="natural") if curve else PchipInterpolator(TIMES, knots)
    found = slopes(TIMES, knots)
    for k, share in ((0, 0.0), (1, 0.3), (2, 0.5), (3, 1.0)):
        gap = TIMES[k + 1] - TIMES[k]
        s = np.full((7, 1), share)
        x, u = cubic((knots[k], knots[k + 1]), (found[k], found[k + 1]), gap=gap, s=s)
        t = TIMES[k] + share * gap
        np.testing.assert_allclose(x, known(t), atol=1e-12)
        np.testing.assert_allclose(u, known(t, 1), atol=1e-12)


@pytest.mark.parametrize("slopes", [natural_slopes, monotone_slopes])
def test_between_two_times_the_curve_is_straight(rng, slopes):
    ends = rng.standard_normal((2, 4, 3))
    np.testing.assert_allclose(slopes(np.array([1.0, 3.0]), ends)[0], (ends[1] - ends[0]) / 2)


def test_chains_keep_their_pair_and_follow_one_to_one_pairings(rng):
    clouds = [rng.standard_normal((60, 2)) for _ in range(4)]
    couplings = [couple(*pair, name="exact") for pair in itertools.pairwise(clouds)]
    rows = Chains(couplings).draw(1, (couplings[1].i, couplings[1].j), rng)
    for k, one in enumerate(couplings):
        assert set(zip(rows[k], rows[k + 1], strict=True)) == set(zip(one.i, one.j, strict=True))


def test_every_cell_appears_as_often_as_the_pairings_say(rng):
    clouds = [rng.standard_normal((n, 2)) for n in (20, 31, 12)]
    couplings = [couple(*pair, name="exact") for pair in itertools.pairwise(clouds)]
    rows = Chains(couplings).draw(0, couplings[0].sample(60_000, rng), rng)
    for k, cloud in enumerate(clouds):
        share = np.bincount(rows[k], minlength=len(cloud)) / 60_000
        np.testing.assert_allclose(share, 1 / len(cloud), rtol=0.15)
    pairs = np.zeros((31, 12))
    np.add.at(pairs, (rows[1], rows[2]), 1 / 60_000)
    plan = np.zeros((31, 12))
    plan[couplings[1].i, couplings[1].j] = couplings[1].weight
    np.testing.assert_allclose(pairs, plan, atol=0.004)


def bundle(rng, *, n: int = 80) -> Bundle:
    """Three clouds on a bent band."""
    angle = [rng.uniform(low, low + 0.4, n) for low in (0.0, 1.2, 2.4)]
    states = [np.stack([np.cos(a), np.sin(a)], axis=1).astype(np.float32) for a in angle]
    couplings = [couple(*pair, name="exact") for pair in itertools.pairwise(states)]
    return Bundle(states, np.array([0.0, 1.0, 3.0]), couplings)


@pytest.mark.parametrize("shape", [Shape(), Shape(smoothness=0.5), Shape("monotone", 1.0), Shape(pull=0.6)])
def test_paths_join_their_pairs_and_velocities_are_their_slopes(rng, shape):
    paths = bundle(rng)
    pairs = paths.chains.couplings[1].i, paths.chains.couplings[1].j

    def at(s):
        same = np.random.default_rng(3)
        return paths.points(1, pairs, np.full((len(pairs[0]), 1), s), shape=shape, rng=same)

    np.testing.assert_allclose(at(0.0)[0], paths.states[1][pairs[0]], atol=1e-6)
    np.testing.assert_allclose(at(1.0)[0], paths.states[2][pairs[1]], atol=1e-6)
    h = 1e-4
    slope = (at(0.4 + h)[0] - at(0.4 - h)[0]) / (2 * h * 2.0)
    np.testing.assert_allclose(at(0.4)[1], slope, atol=1e-4)


def test_smooth_and_pulled_paths_keep_to_the_band(rng):
    paths = bundle(rng)
    pairs = paths.chains.couplings[0].i, paths.chains.couplings[0].j
    s = np.full((len(pairs[0]), 1), 0.5)

    def off(shape):
        x, _ = paths.points(0, pairs, s, shape=shape, rng=rng)
        return np.abs(np.linalg.norm(x, axis=1) - 1).mean()

    assert off(Shape(smoothness=1.0)) < 0.9 * off(Shape())
    assert off(Shape(pull=0.6)) < 0.9 * off(Shape())
    assert str(Shape(smoothness=0.5, pull=0.6)) == "half-smoothed natural paths, drawn to the cells"
