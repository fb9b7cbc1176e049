"""Least-action paths: closed forms in gradient fields, invariances, and what is held among cells."""

import numpy as np
import pytest
import torch

from dynamics import action
from dynamics.action import changing_genes, least_action, middle_cell
from dynamics.basis import StateBasis
from dynamics.errors import DataError, ModelError, Stopped
from dynamics.projection import Placement
from tests.dynamics.test_landscape import Bowl, Several, cells


class DoubleWell:
    """Downhill in U = h ((x/s)² − 1)² + ½ k y², with wells at x = ±s and a barrier of h."""

    dim = 2

    def __init__(self, barrier=1.0, scale=1.0):
        self.h, self.s = barrier, scale

    def __call__(self, t, x):
        out = torch.empty_like(x)
        out[:, 0] = -4 * self.h * ((x[:, 0] / self.s) ** 2 - 1) * x[:, 0] / self.s**2
        out[:, 1] = -2 * self.h / self.s**2 * x[:, 1]
        return out


def with_ends(shots, *ends):
    """Return the snapshots with the first cells at chosen places."""
    states = shots.states.copy()
    states[: len(ends)] = np.asarray(ends, np.float32)
    return type(shots)(states, shots.time_index, shots.axis, shots.cells)


def test_uphill_costs_twice_the_height_and_downhill_nothing():
    slopes = (1.0, 3.0)
    shots = with_ends(cells(), [0.0, 0.0], [1.2, 1.0])
    found = least_action(Bowl(slopes), shots, (0, 1))
    height = 0.5 * (slopes[0] * 1.2**2 + slopes[1] * 1.0**2)
    # linear Ornstein–Uhlenbeck: the action of the climb is 2 ΔU, whatever the way curves like
    assert found.there.action == pytest.approx(2 * height, rel=0.01)
    assert found.back.action == pytest.approx(0, abs=0.02 * height)
    np.testing.assert_allclose(found.there.states[[0, -1]], shots.states[:2], atol=1e-6)
    # the cheapest climb is the way down run backwards: y falls as x to the power of the ratio of slopes
    x, y = found.there.states.T
    np.testing.assert_allclose(y[10:-1], (x[10:-1] / 1.2) ** 3, atol=0.05)


def test_from_well_to_well_only_the_climb_costs():
    shots = with_ends(cells(), [-1.0, 0.0], [1.0, 0.0])
    found = least_action(DoubleWell(barrier=1.5), shots, (0, 1))
    assert found.there.action == pytest.approx(3.0, rel=0.02)
    assert found.back.action == pytest.approx(3.0, rel=0.02)
    top = np.argmin(np.abs(found.there.states[:, 0]))
    assert found.there.rising[top] == pytest.approx(3.0, rel=0.02)  # the way down adds nothing
    assert np.abs(found.there.states[:, 1]).max() < 0.05


def test_in_a_flow_that_turns_the_way_back_goes_on_round():
    turn = Bowl((0.0, 0.0), turn=1.0)
    shots = with_ends(cells(n=600), [1.0, 0.0], [0.0, 1.0])
    found = least_action(turn, shots, (0, 1))
    assert found.there.action < 0.03
    assert found.there.times[-1] == pytest.approx(np.pi / 2, rel=0.05)  # a quarter of a turn
    assert found.back.action < 0.03
    assert found.back.times[-1] == pytest.approx(3 * np.pi / 2, rel=0.05)


@pytest.mark.parametrize("scale", [1e-2, 1e2])
def test_the_action_grows_with_the_square_of_the_states(scale):
    small = with_ends(cells(), [-1.0, 0.2], [1.0, 0.0])
    large = type(small)(scale * small.states, small.time_index, small.axis, small.cells)
    one = least_action(DoubleWell(), small, (0, 1))
    other = least_action(DoubleWell(scale**2, scale), large, (0, 1))
    assert other.there.action == pytest.approx(scale**2 * one.there.action, rel=0.01)
    np.testing.assert_allclose(other.there.states[:, 0], scale * one.there.states[:, 0], atol=0.02 * scale)


def test_the_order_of_the_cells_does_not_matter():
    shots = with_ends(cells(), [-1.0, 0.2], [1.0, 0.0])
    order = np.random.default_rng(1).permutation(shots.n_cells)
    where = np.argsort(order)
    one = least_action(DoubleWell(), shots, (0, 1))
    other = least_action(DoubleWell(), shots.take(order), (int(where[0]), int(where[1])))
    assert other.there.action == pytest.approx(one.there.action, rel=1e-3)


class Slow:
    """Fast downwards among the cells, nearly still away from them, where nothing was measured."""

    dim = 2

    def __call__(self, t, x):
        out = torch.zeros_like(x)
        out[:, 0] = -2 * torch.exp(-(x[:, 1] ** 2) / 0.5)
        return out


def test_a_path_is_held_among_measured_cells():
    rng = np.random.default_rng(0)
    shots = cells(n=600)
    strip = np.column_stack([rng.uniform(-3, 3, 600), rng.normal(0, 0.05, 600)])
    shots = type(shots)(strip.astype(np.float32), shots.time_index, shots.axis, shots.cells)
    shots = with_ends(shots, [-2.5, 0.0], [2.5, 0.0])
    free = least_action(Slow(), shots, (0, 1))
    held = least_action(Slow(), shots, (0, 1), support=Placement(shots.states, shots.states))
    assert np.abs(free.there.states[:, 1]).max() > 0.5  # round the flow, through no man's land
    assert held.there.off_support < 0.05
    assert held.there.action > free.there.action
    assert held.there.xy.shape == (action.N_POINTS, 2)


class Ageing(Bowl):
    """A bowl whose slopes grow with time."""

    def __call__(self, t, x):
        return (1 + t) * super().__call__(t, x)


def test_the_flow_is_that_of_the_chosen_time_or_of_the_cells_around():
    shots = with_ends(cells(), [0.0, 0.0], [1.0, 0.0])
    field = Ageing((1.0, 1.0))
    at = [least_action(field, shots, (0, 1), time=t).there.action for t in (0.0, 1.0)]
    assert at[0] == pytest.approx(1.0, rel=0.02)
    assert at[1] == pytest.approx(2.0, rel=0.02)
    late = type(shots)(shots.states, np.ones_like(shots.time_index), shots.axis, shots.cells)
    assert least_action(field, late, (0, 1)).there.action == pytest.approx(at[1], rel=0.02)


def test_an_ensemble_gives_an_interval_for_both_ways_and_their_difference():
    shots = with_ends(cells(), [0.0, 0.0], [1.0, 0.0])
    found = least_action(Several((1.0, 3.0)), shots, (0, 1))
    np.testing.assert_allclose(found.by_member[:, 0], [1.0, 1.1, 0.9], rtol=0.02)
    low, high = found.intervals()
    assert low[0] < 1.0 < high[0]
    assert 0 <= low[1] < 1e-6
    assert least_action(Bowl(), shots, (0, 1)).intervals() is None


def test_genes_that_change_most_come_first_and_unknown_ones_last():
    shots = with_ends(cells(), [0.0, 0.0], [1.0, 0.0])
    path = least_action(Bowl((1.0, 1.0)), shots, (0, 1)).there
    loadings = np.array([[0.5, 3.0, 2.0], [0.0, 0.0, 0.0]], np.float32)
    basis = StateBasis(("A", "B", "C"), loadings, np.zeros(3, np.float32), np.array([1, 0.0, 1], np.float32))
    found = changing_genes(path, basis, most=2)
    assert found.genes == ("C", "A")
    np.testing.assert_allclose(found.values[-1], [2.0, 0.5], atol=1e-5)


def test_the_middle_cell_is_one_of_the_group():
    states = np.array([[0, 0], [1, 0], [2, 0], [9, 9]], np.float32)
    assert middle_cell(states, np.array([0, 1, 2])) == 1
    with pytest.raises(DataError, match="No cell is chosen"):
        middle_cell(states, np.array([], int))


def test_what_cannot_be_done_is_said():
    shots = cells()
    with pytest.raises(DataError, match="same state"):
        least_action(Bowl(), shots, (3, 3))
    with pytest.raises(ModelError, match="3 dimensions"):
        least_action(Bowl((1.0, 1.0, 1.0)), shots, (0, 1))
    with pytest.raises(Stopped):
        least_action(Bowl(), shots, (0, 1), progress=lambda *_, **__: False)
