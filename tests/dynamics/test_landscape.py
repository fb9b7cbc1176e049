"""Heights of cells and the surface over the map: closed forms first, then invariances."""

import numpy as np
import pytest
import torch

from dynamics import landscape as scape
from dynamics.errors import DataError, ModelError
from dynamics.landscape import DENSITY, FLOW, MODEL, height_of, heights, landscape, surface
from dynamics.potential_fit import edges
from dynamics.snapshots import Snapshots
from dynamics.times import TimeAxis


class Bowl:
    """The steepest descent of ½ x·Ax, with a turn on top: v = −Ax + Rx."""

    has_landscape = True

    def __init__(self, slopes=(1.0, 3.0), turn=0.0, scale=1.0):
        self.dim, self.turn, self.scale = len(slopes), turn, scale
        self.a = torch.diag(torch.tensor(slopes, dtype=torch.float64))

    def __call__(self, t, x):
        turned = torch.zeros_like(x)
        turned[:, 0], turned[:, 1] = -x[:, 1], x[:, 0]
        return (-(x.double() @ self.a)).to(x.dtype) + self.turn * turned

    def potential(self, t, x):
        return 0.5 * ((x @ self.a) * x).sum(axis=1)


class Several(Bowl):
    """An ensemble of bowls."""

    @property
    def members(self):
        return (self, Bowl((1.1, 2.8)), Bowl((0.9, 3.1)))


def cells(n=400, dim=2, n_times=2, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    states = (spread * rng.normal(size=(n, dim))).astype(np.float32)
    index = np.sort(rng.integers(n_times, size=n)).astype(np.int32)
    axis = TimeAxis(
        values=np.arange(n_times, dtype=float),
        labels=tuple(str(k) for k in range(n_times)),
        unit="day",
        n_cells=tuple(int(k) for k in np.bincount(index)),
    )
    return Snapshots(states=states, time_index=index, axis=axis, cells=np.arange(n))


def exact(field, shots, rows):
    u = field.potential(0, torch.from_numpy(shots.states[rows].astype(np.float64))).numpy()
    return u - u.mean()


@pytest.mark.parametrize("time", [None, 1.0])
def test_the_potential_of_a_gradient_is_found_up_to_a_constant(time):
    field, shots = Bowl((1.0, 3.0, 0.5)), cells(dim=3)
    found = heights(field, shots, time=time)
    # the mean of the velocities at both ends is exact where the field is linear
    np.testing.assert_allclose(found.height, exact(field, shots, found.rows), atol=1e-4)
    assert found.explained > 0.9999
    assert len(found.rows) == (shots.n_cells if time is None else len(shots.rows(1)))


def test_a_turn_has_no_landscape():
    field, shots = Bowl((0.0, 0.0), turn=2.0), cells()
    found = heights(field, shots)
    assert found.explained < 0.1
    assert not found.can_be_drawn
    with pytest.raises(DataError, match="goes round"):
        surface(found, shots.states)


def test_a_turn_on_top_of_a_bowl_lowers_what_is_explained_and_leaves_the_bowl():
    shots = cells(n=1500)
    plain, turned = Bowl((1.0, 1.0)), Bowl((1.0, 1.0), turn=0.5)
    found = heights(turned, shots)
    # at every cell the turn is at right angles to the slope and half as fast: 1 / (1 + ¼); the outermost
    # cells have their neighbours inwards, along the slope, so that it counts a little more
    assert found.explained == pytest.approx(0.8, abs=0.05)
    assert np.corrcoef(found.height, exact(plain, shots, found.rows))[0, 1] > 0.99


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_heights_grow_with_the_square_of_the_states(scale):
    one, other = cells(), cells(spread=scale)
    field = Bowl((1.0, 2.0), turn=0.4)
    first, second = heights(field, one), heights(field, other)
    np.testing.assert_allclose(second.height, scale**2 * first.height, rtol=1e-3, atol=1e-4 * scale**2)
    assert second.explained == pytest.approx(first.explained, abs=1e-5)
    dense, wide = (heights(field, shots, source=DENSITY) for shots in (one, other))
    np.testing.assert_allclose(wide.height, dense.height, atol=1e-3)


@pytest.mark.parametrize("source", [FLOW, DENSITY])
def test_the_order_of_the_cells_does_not_matter(source):
    shots, order = cells(), np.random.default_rng(1).permutation(400)
    field = Bowl((1.0, 2.0), turn=0.4)
    first, second = heights(field, shots, source=source), heights(field, shots.take(order), source=source)
    np.testing.assert_allclose(second.height, first.height[order], atol=1e-5)


def test_dense_places_lie_low_as_in_a_population_at_rest():
    shots = cells(n=3000)
    found = heights(Bowl(), shots, source=DENSITY)
    # −log of a Gaussian is half the squared distance from its middle
    half = 0.5 * np.square(shots.states).sum(axis=1)
    slope = np.polyfit(half, found.height, 1)[0]
    assert slope == pytest.approx(1.0, abs=0.15)
    assert found.explained is None


def test_a_learned_potential_is_read_as_it_is_at_one_time_only():
    shots = cells()
    found = heights(Bowl(), shots, source=MODEL, time=0.0)
    np.testing.assert_allclose(found.height, exact(Bowl(), shots, found.rows), atol=1e-6)
    with pytest.raises(DataError, match="one time only"):
        heights(Bowl(), shots, source=MODEL)
    plain = Bowl()
    plain.has_landscape = False
    with pytest.raises(ModelError, match="no landscape"):
        heights(plain, shots, source=MODEL, time=0.0)
    assert scape.sources(plain) == (FLOW, DENSITY)
    assert scape.sources(Bowl())[0] == MODEL


def test_groups_of_cells_far_apart_are_joined_and_counted():
    states = cells(n=200).states.copy()
    states[100:] += np.array([30.0, 0.0], np.float32)
    between = edges(states, k=5)
    assert between.n_pieces == 2
    shots = cells(n=200)
    shots = Snapshots(states, shots.time_index, shots.axis, shots.cells)
    found = heights(Bowl(), shots)
    np.testing.assert_allclose(found.height, exact(Bowl(), shots, found.rows), rtol=1e-4, atol=1e-2)
    assert found.n_pieces == 2


def test_an_ensemble_gives_a_band_and_says_how_alike_its_members_are():
    shots = cells()
    found = landscape(Several(), shots, shots.states)
    assert found.cells.consistency == pytest.approx(1.0, abs=0.02)
    assert len(found.cells.explained_by_member) == 3
    mask = found.mask
    assert (found.low[mask] <= found.high[mask]).all()
    wider = surface(found.cells, shots.states, widened=2.0)
    assert (wider.high - wider.low)[mask] == pytest.approx(2 * (found.high - found.low)[mask])


def test_the_surface_follows_the_heights_where_there_are_cells():
    shots = cells(n=3000)
    found = landscape(Bowl((1.0, 1.0)), shots, shots.states)
    at = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, -1.0], [40.0, 0.0], [np.nan, 0.0]])
    read = found.at(at)
    assert np.isnan(read[3:]).all()
    # the surface is a little flatter than the bowl, by the width of its kernel
    np.testing.assert_allclose(read[1:3] - read[0], 0.5, atol=0.15)
    assert found.shown > 0.95
    near = height_of(found.cells, shots, at[:3])
    np.testing.assert_allclose(near[1:] - near[0], 0.5, atol=0.05)


def test_what_lies_on_the_same_spot_is_averaged_and_this_is_told():
    shots = cells(n=1000, dim=3)
    flat = landscape(Bowl((0.2, 0.2, 3.0)), shots, shots.states[:, :2])
    assert flat.shown < 0.4  # nearly all of the height is along the axis that the map does not have


def test_many_cells_are_thinned_with_a_fixed_seed():
    shots = cells()
    found, again = (heights(Bowl(), shots, most=100) for _ in range(2))
    assert len(found.rows) == 100
    assert found.n_cells == 400
    np.testing.assert_array_equal(found.rows, again.rows)


@pytest.mark.parametrize(
    ("field", "shots", "words"),
    [
        (Bowl(), cells(n=15), "at least 20"),
        (Bowl((0.0, 0.0)), cells(), "moves no cell"),
    ],
)
def test_what_has_no_landscape_is_refused(field, shots, words):
    with pytest.raises(DataError, match=words):
        heights(field, shots)


def test_an_unknown_source_lists_the_known_ones():
    with pytest.raises(DataError, match="model, flow, density"):
        heights(Bowl(), cells(), source="hope")
