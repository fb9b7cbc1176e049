"""Placing states on an embedding, and velocities there against the derivative of a known map."""

import numpy as np
import pytest
import torch
from fields import Function, Linear
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics import projection
from dynamics.errors import DataError
from dynamics.flow import flow_on_grid
from dynamics.projection import Placement, cells_at, embedded_velocity
from dynamics.snapshots import from_arrays

SWIRL = np.zeros((5, 5))
SWIRL[0, 1], SWIRL[1, 0], SWIRL[2, 2], SWIRL[3, 0] = -1, 1, 0.2, 0.1
FIELD = Linear(SWIRL, [0, 0, 0.4, 0, 0])


def curved(x: np.ndarray) -> np.ndarray:
    """A nonlinear map of five dimensions to two."""
    return np.stack(
        [
            x[:, 0] + 0.3 * np.sin(1.3 * x[:, 1]),
            x[:, 1] * np.exp(0.2 * x[:, 2]) + 0.2 * x[:, 3],
        ],
        axis=1,
    )


def sheet(n: int, seed: int = 0) -> np.ndarray:
    """A curved, noisy two-dimensional sheet in five dimensions."""
    rng = np.random.default_rng(seed)
    s, w = rng.uniform(0, 3, n), rng.normal(0, 0.4, n)
    columns = [np.cos(s) * (2 + w), np.sin(s) * (2 + w), 0.5 * s, 0.3 * w * s, 0.2 * np.sin(2 * s)]
    return np.stack(columns, axis=1) + 0.02 * rng.normal(size=(n, 5))


@pytest.fixture(scope="module")
def snapshots():
    x = sheet(4000)
    return from_arrays(x, np.repeat([0.0, 1.0, 3.0, 4.0], 1000), unit="day")


@pytest.fixture(scope="module")
def placement(snapshots):
    return Placement(snapshots.states, curved(snapshots.states))


def cosines(a, b):
    return np.sum(a * b, axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)


def truth(states, field=FIELD, h=1e-3):
    v = states @ field.matrix.T + field.shift
    return (curved(states + h * v) - curved(states - h * v)) / (2 * h)


def test_measured_cells_have_their_own_place(snapshots, placement):
    error = np.abs(placement.place(snapshots.states) - curved(snapshots.states)).max()
    assert error < 1e-3


def test_new_states_are_placed_where_the_map_puts_them(placement):
    fresh = sheet(500, seed=1)
    error = np.linalg.norm(placement.place(fresh) - curved(fresh), axis=1)
    assert np.median(error) < 0.03
    assert np.quantile(error, 0.95) < 0.15


def test_places_move_without_jumps(placement):
    fresh = sheet(2, seed=2)
    path = fresh[0] + np.linspace(0, 1, 4001)[:, None] * (fresh[1] - fresh[0])
    steps = np.linalg.norm(np.diff(placement.place(path), axis=0), axis=1)
    assert steps.max() < 0.02


def test_distance_tells_the_data_from_what_lies_outside(snapshots, placement):
    assert np.mean(placement.distance(snapshots.states) > 1) == 0
    assert np.mean(placement.distance(sheet(2000, seed=3)) > 1) <= 0.02
    assert np.mean(placement.distance(sheet(500) + np.array([0, 0, 3, 0, 0])) > 1) >= 0.95
    assert placement.distance(np.full((1, 5), np.nan))[0] == np.inf
    assert np.isnan(placement.place(np.full((1, 5), np.nan))).all()


@pytest.mark.parametrize("time", [None, 1.5])
def test_velocity_on_a_curved_map_is_its_derivative(snapshots, placement, time):
    moving = embedded_velocity(FIELD, snapshots, placement, time=time)
    wanted = truth(snapshots.states[moving.rows].astype(np.float64))
    cosine = cosines(moving.v, wanted)
    ratio = np.linalg.norm(moving.v, axis=1) / np.linalg.norm(wanted, axis=1)
    assert np.mean(cosine) >= 0.97
    assert np.median(cosine) >= 0.99
    assert 0.8 < np.median(ratio) < 1.1
    np.testing.assert_allclose(moving.speed, np.linalg.norm(moving.state_v, axis=1))
    np.testing.assert_allclose(moving.xy, curved(snapshots.states[moving.rows]), atol=1e-5)


@pytest.mark.parametrize("n_axes", [2, 3])
def test_wide_states_are_compared_with_every_cell(rng, n_axes):
    latent = sheet(3000)
    turn = np.linalg.qr(rng.normal(size=(30, 30)))[0][:, :5]
    x = latent @ turn.T + 0.01 * rng.normal(size=(3000, 30))
    snapshots = from_arrays(x, np.repeat([0.0, 1.0, 2.0], 1000))
    field = Linear(turn @ SWIRL @ turn.T, turn @ FIELD.shift)
    places = np.concatenate([curved(latent), latent[:, 2:3]], axis=1)[:, :n_axes]
    moving = embedded_velocity(field, snapshots, Placement(snapshots.states, places))
    wanted = np.concatenate([truth(latent), (latent @ SWIRL.T + FIELD.shift)[:, 2:3]], axis=1)[:, :n_axes]
    assert np.mean(cosines(moving.v, wanted)) >= 0.97


def test_speed_scales_with_the_field_and_not_with_the_data(snapshots, placement):
    slow = embedded_velocity(FIELD, snapshots, placement).v
    fast = embedded_velocity(Linear(10 * SWIRL, 10 * FIELD.shift), snapshots, placement).v
    np.testing.assert_allclose(fast, 10 * slow, rtol=1e-3, atol=1e-3)
    large = from_arrays(1000 * snapshots.states, snapshots.times)
    scaled = embedded_velocity(
        Linear(SWIRL, 1000 * FIELD.shift), large, Placement(large.states, curved(snapshots.states))
    ).v
    assert np.mean(cosines(scaled, slow)) > 0.999


def test_a_representation_that_is_the_map_keeps_its_velocity(rng):
    x = rng.normal(size=(300, 2))
    snapshots = from_arrays(x, np.repeat([0.0, 1.0], 150))
    placement = Placement(snapshots.states, snapshots.states)
    assert placement.linear
    moving = embedded_velocity(Linear([[0, -1], [1, 0]]), snapshots, placement)
    np.testing.assert_allclose(moving.v, np.stack([-x[:, 1], x[:, 0]], axis=1), rtol=1e-5)
    np.testing.assert_allclose(placement.place(x + 9), x + 9, rtol=1e-6)


def test_each_cell_is_asked_at_its_own_time_or_at_the_time_given(rng):
    x = rng.normal(size=(200, 2))
    snapshots = from_arrays(x, np.repeat([0.0, 1.0, 5.0], [50, 50, 100]))
    field = Function(2, lambda t, x: torch.ones_like(x) * t)
    placement = Placement(snapshots.states, snapshots.states)
    np.testing.assert_allclose(embedded_velocity(field, snapshots, placement).v[:, 0], snapshots.times)
    np.testing.assert_allclose(embedded_velocity(field, snapshots, placement, time=2.5).v, 2.5)


def test_a_time_uses_the_snapshots_around_it(snapshots):
    rows, weight = cells_at(snapshots, 1.5)
    assert set(snapshots.times[rows]) == {1.0, 3.0}
    np.testing.assert_allclose(weight[snapshots.times[rows] == 1.0], 0.75)
    assert set(snapshots.times[cells_at(snapshots, 3.0)[0]]) == {3.0}
    assert set(snapshots.times[cells_at(snapshots, 99.0)[0]]) == {4.0}
    assert set(snapshots.times[cells_at(snapshots, -1.0)[0]]) == {0.0}
    assert len(cells_at(snapshots, None)[0]) == 4000


@given(seed=st.integers(0, 100))
@settings(max_examples=5, deadline=None)
def test_the_order_of_cells_does_not_matter(seed):
    x = sheet(400)
    order = np.random.default_rng(seed).permutation(400)
    fresh = sheet(50, seed=9)
    first, second = Placement(x, curved(x)), Placement(x[order], curved(x)[order])
    np.testing.assert_allclose(first.place(fresh), second.place(fresh), atol=1e-4)
    np.testing.assert_allclose(first.distance(fresh), second.distance(fresh), rtol=1e-5)


def test_odd_data_are_placed(rng):
    few = Placement(np.eye(4), np.eye(4)[:, :2] + 0.5)
    assert np.isfinite(few.place(rng.normal(size=(5, 4)))).all()
    same = Placement(np.zeros((50, 3)), rng.normal(size=(50, 2)))
    assert np.isfinite(same.place(np.zeros((2, 3)))).all()
    doubled = np.repeat(sheet(100), 2, axis=0)
    places = Placement(doubled, curved(doubled)).place(doubled)
    np.testing.assert_allclose(places, curved(doubled), atol=1e-3)


def test_cells_without_a_place_are_left_out(snapshots):
    places = curved(snapshots.states)
    places[:10] = np.nan
    placement = Placement(snapshots.states, places)
    assert np.isfinite(placement.place(snapshots.states[:10])).all()
    assert embedded_velocity(FIELD, snapshots, placement).rows.min() == 10


def test_too_few_places_or_other_lengths_are_refused():
    with pytest.raises(DataError, match="Only 0 cells have a place"):
        Placement(np.zeros((9, 3)), np.full((9, 2), np.nan))
    with pytest.raises(DataError, match="9 states were given, and 8 places"):
        Placement(np.zeros((9, 3)), np.zeros((8, 2)))


def test_many_wide_cells_are_thinned(monkeypatch, rng):
    monkeypatch.setattr(projection, "COMPARED", 1000)
    x = np.concatenate([sheet(3000), np.zeros((3000, 20))], axis=1)
    placement = Placement(x, curved(x))
    error = np.linalg.norm(placement.place(x) - curved(x), axis=1)
    assert np.median(error) < 0.1


def test_the_flow_on_a_grid_follows_the_field(snapshots, placement):
    moving = embedded_velocity(FIELD, snapshots, placement, time=2.0)
    grid = flow_on_grid(moving.xy, moving.v, weight=moving.weight)
    assert grid.mask.any()
    assert grid.agreement[grid.mask].mean() > 0.9


def test_the_direction_of_a_push_is_found_among_a_sketch_of_the_cells(rng, monkeypatch):
    latent = sheet(4000)
    turn = np.linalg.qr(rng.normal(size=(30, 30)))[0][:, :5]
    x = latent @ turn.T + 0.05 * rng.normal(size=(4000, 30))
    snapshots = from_arrays(x, np.repeat([0.0, 1.0], 2000))
    field = Linear(turn @ SWIRL @ turn.T, turn @ FIELD.shift)
    monkeypatch.setattr(projection, "SKETCHED", 1500)
    placement = Placement(snapshots.states, curved(latent))
    moving = embedded_velocity(field, snapshots, placement)
    assert np.mean(cosines(moving.v, truth(latent))) >= 0.97
    np.testing.assert_allclose(placement.place(snapshots.states), curved(latent), atol=1e-2)


def test_at_most_so_many_cells_are_used(snapshots, placement):
    some = embedded_velocity(FIELD, snapshots, placement, most=100)
    every = embedded_velocity(FIELD, snapshots, placement)
    assert len(some.rows) == len(some.v) == 100
    np.testing.assert_allclose(some.v, every.v[some.rows], atol=1e-5)


def test_the_fingerprint_is_that_of_the_content(snapshots, placement):
    places = curved(snapshots.states)
    assert Placement(snapshots.states, places).fingerprint == placement.fingerprint
    places[3, 1] += 1e-3
    assert Placement(snapshots.states, places).fingerprint != placement.fingerprint


@pytest.mark.parametrize("dim", [3, 40])
def test_the_cells_around_a_measured_one_begin_with_itself(rng, dim):
    states = rng.normal(size=(50, dim)).astype(np.float32)
    d, near, places = Placement(states, states[:, 1:3]).around(states[:4], 5)
    assert d.shape == (4, 5)
    np.testing.assert_array_equal(near[:, 0], states[:4])
    np.testing.assert_array_equal(places, near[:, :, 1:3])
    np.testing.assert_allclose(np.linalg.norm(near - states[:4, None], axis=2), d, atol=1e-2)
    assert Placement(states, states[:, 1:3]).around(states[:1], 90)[0].shape == (1, 50)
