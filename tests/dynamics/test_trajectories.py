"""What is read off trajectories: types, ends, genes, and words."""

import numpy as np
import pandas as pd
import pytest
import torch
from fields import Function

from dynamics.basis import StateBasis
from dynamics.errors import DataError
from dynamics.integrate import integrate
from dynamics.projection import Placement
from dynamics.snapshots import from_arrays
from dynamics.trajectories import Trajectories, composition, ends, gene_trends, nearest_type
from dynamics.trajectories import last as tail


@pytest.fixture
def snapshots(rng):
    """Two groups of cells, left (x < 0) and right, at two times."""
    x = rng.normal(size=(400, 2)) * [0.5, 0.5] + np.repeat([[-3, 0], [3, 0]], 200, axis=0)
    return from_arrays(x, np.tile([0.0, 1.0], 200), unit="day")


@pytest.fixture
def labels():
    return pd.Categorical(np.repeat(["left", "right"], 200), categories=["right", "unused", "left"])


def paths(states, inside=None, times=None):
    states = np.asarray(states, dtype=np.float32)
    inside = np.ones(states.shape[:2], bool) if inside is None else np.asarray(inside)
    times = np.arange(len(states), dtype=float) if times is None else np.asarray(times)
    return Trajectories(times, states, inside, ~np.isfinite(states[-1]).all(axis=1), unit="day")


def test_composition_follows_cells_from_one_type_to_the_other(snapshots, labels):
    half = np.stack([[[-3.0, 0], [-3, 0.1]], [[-3, 0], [3, 0]], [[3, 0], [3, 0.2]]])
    result = composition(paths(half), snapshots, labels)
    assert result.names == ("right", "unused", "left")
    np.testing.assert_allclose(result.share, [[0, 0, 1], [0.5, 0, 0.5], [1, 0, 0]])
    assert ends(paths(half), snapshots, labels) == {"right": 1.0}


def test_cells_outside_the_data_are_not_counted(snapshots, labels):
    states = np.tile([[-3.0, 0], [3, 0]], (2, 1, 1))
    result = composition(paths(states, inside=[[True, True], [True, False]]), snapshots, labels)
    np.testing.assert_allclose(result.share[1], [0, 0, 1])
    assert result.n_inside.tolist() == [2, 1]
    none_left = composition(paths(states, inside=[[True, True], [False, False]]), snapshots, labels)
    assert np.isnan(none_left.share[1]).all()
    states[1, 1] = np.nan
    assert nearest_type(paths(states), snapshots, labels).tolist() == [[2, 0], [2, -1]]


@pytest.mark.parametrize("kind", [np.array, pd.Series, list])
def test_labels_may_be_plain_and_incomplete(snapshots, kind):
    plain = np.repeat(["left", "right"], 200).astype(object)
    plain[::3] = None
    plain[1::3] = np.nan
    result = composition(paths([[[-3.0, 0]]]), snapshots, kind(plain))
    assert result.names == ("left", "right")
    np.testing.assert_allclose(result.share, [[1, 0]])


def test_wrong_labels_are_refused(snapshots):
    with pytest.raises(DataError, match="399 cell types were given for 400 cells"):
        composition(paths([[[0.0, 0]]]), snapshots, ["a"] * 399)
    with pytest.raises(DataError, match="No cell has a cell type"):
        composition(paths([[[0.0, 0]]]), snapshots, [None] * 400)


def test_gene_trends_are_the_basis_along_the_path():
    basis = StateBasis(
        ("Gata1", "Spi1"),
        np.array([[1.0, 0], [0, -2]], np.float32),
        np.array([1.0, 5], np.float32),
        np.array([0.9, 0.1], np.float32),
    )
    states = np.zeros((3, 101, 2))
    states[1, :, 0] = np.linspace(0, 10, 101)
    states[2] = np.nan
    trend = gene_trends(paths(states), basis, ["Spi1", "Gata1"])
    assert trend.genes == ("Spi1", "Gata1")
    np.testing.assert_allclose(trend.mean[:2], [[5, 1], [5, 6]], rtol=1e-5)
    np.testing.assert_allclose([trend.low[1, 1], trend.high[1, 1]], [2, 10], rtol=1e-4)
    assert np.isnan(trend.mean[2]).all()
    np.testing.assert_allclose(trend.r2, [0.1, 0.9])
    with pytest.raises(DataError, match="Sox2"):
        gene_trends(paths(states), basis, ["Sox2"])


def test_the_message_counts_who_left_and_when(snapshots):
    field = Function(2, lambda t, x: torch.tensor([[2.0, 0.0]]).expand_as(x))
    start = snapshots.states[snapshots.states[:, 0] < 0][:50]
    result = integrate(
        field, start, np.linspace(0, 6, 25), support=Placement(snapshots.states, snapshots.states), unit="day"
    )
    assert result.message.startswith(
        "50 of 50 trajectories (100.0%) have left the measured cells by t = 6 day (the first"
    )
    assert (np.diff(result.n_left) >= 0).all()
    assert paths([[[0.0, 0]]]).message == ""


@pytest.mark.parametrize(("first", "last", "outside"), [(0, 3, 0), (0, 4, 2), (3, -1, 2), (1, 2, 0)])
def test_times_beyond_the_measured_ones_are_marked_and_said(snapshots, first, last, outside):
    field = Function(2, lambda t, x: torch.zeros_like(x))
    field.axis = from_arrays(np.zeros((3, 2)), np.array([0.0, 1.0, 3.0])).axis
    result = integrate(field, snapshots.states[:3], np.linspace(first, last, 2 * abs(last - first) + 1))
    assert result.measured == (0, 3)
    assert result.beyond.sum() == outside
    assert ("extrapolated in time" in result.message) == bool(outside)
    assert tail(result).beyond.tolist() == [bool(outside)]
    del field.axis
    assert not integrate(field, snapshots.states[:3], [0.0, 50.0]).beyond.any()


def test_arrays_cannot_be_changed():
    result = paths([[[0.0, 0]]])
    with pytest.raises(ValueError, match="read-only"):
        result.states[0] = 1
