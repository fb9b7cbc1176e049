"""Neighbours and their weighted graph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics import neighbours
from dynamics.errors import DataError


@pytest.fixture
def states(rng):
    return rng.normal(size=(300, 6)).astype(np.float32)


def test_neighbours_are_those_of_all_distances(states):
    found = neighbours.nearest(states, 10)
    distance = np.linalg.norm(states[:, None].astype(float) - states[None], axis=2)
    np.testing.assert_array_equal(found.indices, np.argsort(distance, axis=1, kind="stable")[:, :10])
    np.testing.assert_allclose(found.distances, np.sort(distance, axis=1)[:, :10], atol=1e-5)
    assert found.exact


def test_each_cell_comes_first_also_among_copies_of_itself(states):
    copies = np.repeat(states[:40], 5, axis=0)
    found = neighbours.nearest(copies, 4)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(200))
    np.testing.assert_allclose(found.distances, 0, atol=1e-5)
    for row in found.indices:
        assert len(set(row)) == 4


@settings(deadline=None, max_examples=15)
@given(scale=st.sampled_from([1e-3, 1.0, 1e4]), shift=st.floats(-5, 5), seed=st.integers(0, 1000))
def test_graph_does_not_depend_on_scale_place_or_order(scale, shift, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 3))
    order = rng.permutation(60)
    graph = neighbours.fuzzy_graph(neighbours.nearest(x, 8)).toarray()
    moved = neighbours.fuzzy_graph(neighbours.nearest(scale * (x[order] + shift), 8)).toarray()
    np.testing.assert_allclose(moved, graph[np.ix_(order, order)], atol=2e-3)


def test_graph_is_symmetric_without_diagonal_and_full_weight_to_the_nearest(states):
    found = neighbours.nearest(states, 15)
    graph = neighbours.fuzzy_graph(found)
    assert abs(graph - graph.T).max() < 1e-6
    assert graph.diagonal().max() == 0
    assert graph.data.min() > 0
    assert graph.data.max() <= 1 + 1e-6
    nearest = np.asarray(graph[np.arange(300), found.indices[:, 1]]).ravel()
    np.testing.assert_allclose(nearest, 1, atol=1e-6)


def test_bandwidth_solves_its_equation(states):
    found = neighbours.nearest(states, 15)
    offset = found.distances[:, 1]
    scale = neighbours.bandwidth(found.distances, offset)
    total = neighbours.membership(found.distances, offset, scale)[:, 1:].sum(axis=1)
    np.testing.assert_allclose(total, np.log2(15), rtol=1e-3)


def test_distance_graph_is_read_by_scanpy_conventions(states):
    found = neighbours.nearest(states, 15)
    graph = neighbours.distance_graph(found)
    assert graph.shape == (300, 300)
    assert (np.diff(graph.indptr) == 14).all()
    assert graph[0, found.indices[0, 3]] == found.distances[0, 3]


def test_fewer_cells_than_neighbours(states):
    found = neighbours.nearest(states[:4], 15)
    assert found.k == 4
    assert neighbours.fuzzy_graph(found).shape == (4, 4)


def test_states_that_cannot_be_compared_are_refused(states):
    states[7, 2] = np.inf
    with pytest.raises(DataError, match=r"1 of 300 cells .* row 7"):
        neighbours.nearest(states, 5)
    with pytest.raises(DataError, match="at least 2 cells"):
        neighbours.nearest(states[:1], 5)
    with pytest.raises(DataError, match=r"have 5 dimensions, .* from 6"):
        neighbours.nearest_among(states[8:], states[8:, :5], 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_graph_agrees_with_umap_learn(states):
    from umap.umap_ import fuzzy_simplicial_set

    found = neighbours.nearest(states, 15)
    expected, _, _ = fuzzy_simplicial_set(
        states,
        15,
        np.random.RandomState(0),
        "euclidean",
        knn_indices=found.indices,
        knn_dists=found.distances,
    )
    assert abs(neighbours.fuzzy_graph(found) - expected).max() < 1e-4


@pytest.mark.slow
def test_many_cells_are_compared_approximately(states, monkeypatch):
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 100)
    found = neighbours.nearest(states, 10, seed=1)
    monkeypatch.undo()
    exact = neighbours.nearest(states, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(found.indices, exact.indices, strict=True)]
    assert not found.exact
    assert np.mean(shared) > 9.5
