"""The chain over measured cells, against flows whose ends are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dynamics.errors import DataError, ModelError, SettingsError
from dynamics.snapshots import from_arrays
from dynamics.transitions import Landing, chains, growth_source, transitions
from tests.dynamics.fields import Function, Linear


class Growing(Linear):
    """A linear field on which all cells multiply at one rate."""

    has_growth = True
    rate = 0.7

    def growth(self, t, x):
        return torch.full((len(x),), self.rate, dtype=x.dtype)


class Two(Linear):
    """An ensemble of two fields."""

    @property
    def members(self):
        return (Linear(self.matrix), Linear(2 * self.matrix))


@pytest.fixture
def moved(rng):
    """Cells that are shifted by (1, 0) from time to time, the same cells at each."""
    cells = rng.normal(size=(400, 2)).astype(np.float32)
    states = np.concatenate([cells + np.array([k, 0]) for k in range(3)])
    return from_arrays(states, np.repeat([0.0, 1.0, 2.0], 400))


SHIFT = Linear(np.zeros((2, 2)), np.array([1.0, 0.0]))


def test_a_cell_lands_on_where_the_flow_brings_it(moved):
    chain = transitions(SHIFT, moved)
    for k in range(2):
        landed = chain.landed[k]
        np.testing.assert_allclose(landed.sum(axis=1), 1, atol=1e-9)
        assert (np.asarray(landed.argmax(axis=1)).ravel() == np.arange(400)).all()
        mean = landed @ moved.at(k + 1).astype(float)
        assert np.abs(mean - moved.at(k) - [1, 0]).mean() < 0.1
    assert chain.share_off == 0
    assert chain.weights is None
    assert chain.growth == "none"


def test_rows_of_the_whole_chain_sum_to_one(moved):
    chain = transitions(SHIFT, moved)
    for matrix in (chain.matrix(0), chain.within, *chain.around):
        assert matrix.data.min() >= 0
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-9)


def test_push_is_the_adjoint_of_pull(moved, rng):
    chain = transitions(SHIFT, moved)
    mass, values = rng.random(400), rng.random(400)
    assert chain.push(0, mass) @ values == pytest.approx(mass @ chain.pull(0, values))


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_chain_does_not_depend_on_scale(moved, scale):
    small = from_arrays(scale * moved.states, moved.times)
    shift = Linear(np.zeros((2, 2)), np.array([scale, 0.0]))
    first, second = transitions(SHIFT, moved), transitions(shift, small)
    for one, other in ((first.matrix(0), second.matrix(0)), (first.within, second.within)):
        assert abs(one - other).max() < 1e-3


def test_cells_in_another_order_give_the_same_chain(moved, rng):
    order = rng.permutation(moved.n_cells)
    mixed = moved.take(order)
    values = rng.random(moved.n_cells)
    first, second = transitions(SHIFT, moved), transitions(SHIFT, mixed)
    told = np.empty(moved.n_cells)
    told[first.rows[0]] = first.pull(0, values[first.rows[1]])
    again = np.empty(moved.n_cells)
    again[second.rows[0]] = second.pull(0, values[order][second.rows[1]])
    np.testing.assert_allclose(again[np.argsort(order)][first.rows[0]], told[first.rows[0]], atol=1e-5)


def test_ends_off_the_data_are_marked(moved):
    away = Linear(np.zeros((2, 2)), np.array([50.0, 0.0]))
    chain = transitions(away, moved)
    assert chain.share_off == 1
    np.testing.assert_allclose(chain.landed[0].sum(axis=1), 1)


def test_a_cell_that_cannot_be_followed_lands_nowhere(moved):
    nowhere = Function(2, lambda t, x: torch.where(x[:, :1] > 0, torch.nan, 1.0).expand_as(x))
    chain = transitions(nowhere, moved)
    lost = np.asarray(chain.landed[0].sum(axis=1)).ravel() == 0
    assert lost.any()
    assert not lost.all()
    assert (moved.at(0)[lost, 0] > -1).all()


def test_inside_the_last_time_cells_go_along_the_velocity(moved):
    chain = transitions(SHIFT, moved)
    cells = moved.at(2).astype(float)
    step = chain.within @ cells - cells
    inner = np.abs(cells - cells.mean(axis=0)).max(axis=1) < 1
    assert (step[inner, 0] > 0).mean() > 0.95


def test_growth_of_the_model_is_that_of_the_closed_form(moved):
    chain = transitions(Growing(np.zeros((2, 2)), np.array([1.0, 0.0])), moved)
    assert chain.growth == "model"
    np.testing.assert_allclose(chain.weights[0], np.exp(0.7), rtol=1e-4)


def test_growth_of_genes_is_the_mean_of_both_ends(moved):
    chain = transitions(SHIFT, replace(moved, prior_growth=np.repeat([1.0, 2.0, 4.0], 400)))
    assert chain.growth == "genes"
    np.testing.assert_allclose(chain.weights[0], np.exp(1.5))
    np.testing.assert_allclose(chain.weights[1], np.exp(3.0))
    assert transitions(SHIFT, replace(moved, prior_growth=np.ones(1200)), growth="none").weights is None


def test_growth_that_is_not_known_is_refused(moved):
    with pytest.raises(DataError, match="knows no growth"):
        growth_source(SHIFT, moved, "model")
    with pytest.raises(DataError, match="No growth is known from genes"):
        growth_source(SHIFT, moved, "genes")
    with pytest.raises(SettingsError, match="auto, model, genes, none"):
        growth_source(SHIFT, moved, "numbers")


def test_every_member_has_its_chain(moved):
    found = chains(Two(np.zeros((2, 2))), moved)
    assert len(found) == 2


def test_a_field_of_another_width_is_refused(moved):
    with pytest.raises(ModelError):
        transitions(Linear(np.zeros((3, 3))), moved)


def test_one_time_is_refused(moved):
    with pytest.raises(DataError, match="at least two times"):
        transitions(SHIFT, moved.take(moved.rows(0)))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_tiny_snapshots_work(n, rng):
    cells = from_arrays(rng.normal(size=(2 * n, 3)), np.repeat([0, 1], n))
    chain = transitions(Linear(np.zeros((3, 3))), cells)
    np.testing.assert_allclose(chain.matrix(0).sum(axis=1), 1)
    np.testing.assert_allclose(chain.within.sum(axis=1), 1)


def test_cells_on_one_place_work():
    landing = Landing(np.zeros((50, 3)))
    found, off = landing.connect(np.zeros((4, 3)))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert not off.any()
    assert landing.neighbours.shape == (50, 15)
    assert (landing.neighbours != np.arange(50)[:, None]).all()
