"""The map, and places on it for states that were not there."""

import anndata as ad
import numpy as np
import pytest

from dynamics import embedding
from dynamics.errors import DataError
from dynamics.neighbours import nearest_among

N_TYPES = 4


def branches(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cells along four arms that leave from one place, in six dimensions: states and arm."""
    arm = rng.integers(N_TYPES, size=n)
    along = rng.uniform(2, 12, n)
    states = rng.normal(0, 0.4, (n, 6))
    states[np.arange(n), arm] += along
    return states.astype(np.float32), arm


@pytest.fixture(scope="module")
def cells():
    return branches(700, np.random.default_rng(1))


@pytest.fixture(scope="module")
def fitted(cells):
    """One fit for all tests; umap-learn compiles once."""
    return embedding.fit(cells[0], seed=4)


def test_a_fit_is_the_same_whenever_the_seed_is(cells, fitted):
    again = embedding.fit(cells[0], seed=4)
    np.testing.assert_array_equal(again.coordinates, fitted.coordinates)
    assert fitted.coordinates.shape == (700, 2)
    assert np.isfinite(fitted.coordinates).all()


def test_neighbours_in_space_are_neighbours_on_the_map(cells, fitted):
    arm = cells[1]
    indices, _ = nearest_among(fitted.coordinates, fitted.coordinates, 11)
    assert (arm[indices[:, 1:]] == arm[:, None]).mean() > 0.95


def test_states_of_the_map_keep_their_places(fitted):
    np.testing.assert_array_equal(fitted.transform(fitted.states[::7]), fitted.coordinates[::7])


def test_states_close_to_those_of_the_map_land_close_to_them(fitted):
    placed = fitted.transform(fitted.states + 1e-3)
    distance = np.linalg.norm(placed - fitted.coordinates, axis=1)
    extent = np.ptp(fitted.coordinates, axis=0).max()
    assert np.median(distance) < 0.03 * extent


@pytest.mark.parametrize("refine", [True, False])
def test_new_cells_land_among_their_type(cells, fitted, refine):
    states, arm = branches(200, np.random.default_rng(2))
    placed = fitted.transform(states, refine=refine)
    indices, _ = nearest_among(fitted.coordinates, placed, 9)
    votes = np.stack([(cells[1][indices] == k).sum(axis=1) for k in range(N_TYPES)])
    assert (votes.argmax(axis=0) == arm).mean() > 0.95


def test_placement_is_deterministic_and_does_not_touch_the_map(fitted):
    states, _ = branches(50, np.random.default_rng(3))
    before = fitted.coordinates.copy()
    np.testing.assert_array_equal(fitted.transform(states), fitted.transform(states))
    np.testing.assert_array_equal(fitted.coordinates, before)
    assert fitted.transform(states[:0]).shape == (0, 2)


def test_a_map_is_restored_without_fitting(cells, fitted, monkeypatch):
    adata = ad.AnnData(obsm={"X_latent": cells[0], "X_umap": fitted.coordinates})
    params = {"a": fitted.a, "b": fitted.b, "n_neighbors": 15, "use_rep": "X_latent", "n_pcs": 6}
    adata.uns["umap"] = {"params": params}
    monkeypatch.setattr(embedding, "lay_out", None)
    restored = embedding.restore(adata)
    states, _ = branches(30, np.random.default_rng(5))
    np.testing.assert_array_equal(restored.transform(states), fitted.transform(states))
    wider = np.hstack([states, np.ones((30, 2), np.float32)])
    np.testing.assert_array_equal(embedding.transform(adata, wider), fitted.transform(states))


def test_restoring_from_a_sketch_uses_the_cells_it_was_made_from(cells, fitted):
    chosen = np.arange(700) % 2 == 0
    adata = ad.AnnData(obsm={"X_pca": cells[0], "X_umap": fitted.coordinates})
    adata.obs[embedding.REFERENCE_KEY] = chosen
    assert len(embedding.restore(adata).states) == 350


def test_a_sketch_places_all_cells_among_their_type(cells):
    fitted, chosen = embedding.fit_sketch(cells[0], size=350, seed=0)
    assert chosen.sum() == 350
    placed = fitted.transform(cells[0], refine=False)
    np.testing.assert_array_equal(placed[chosen], fitted.coordinates)
    indices, _ = nearest_among(placed, placed, 6)
    assert (cells[1][indices[:, 1:]] == cells[1][:, None]).mean() > 0.9


def test_a_map_in_space_and_one_of_very_few_cells(cells):
    assert embedding.fit(cells[0][:60], n_components=3).coordinates.shape == (60, 3)
    tiny = embedding.fit(cells[0][:5], n_neighbours=15)
    assert np.isfinite(tiny.coordinates).all()
    assert tiny.n_neighbours == 5


def test_what_is_missing_is_named(cells):
    adata = ad.AnnData(obsm={"X_umap": np.zeros((700, 2))})
    with pytest.raises(DataError, match="X_pca is not in the data set"):
        embedding.restore(adata)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_placement_agrees_with_umap_learn(cells, fitted):
    import umap

    states, _ = branches(200, np.random.default_rng(2))
    theirs = umap.UMAP(n_neighbors=15, min_dist=0.5, random_state=0, n_jobs=1).fit(cells[0])
    theirs.embedding_ = fitted.coordinates
    distance = np.linalg.norm(theirs.transform(states) - fitted.transform(states), axis=1)
    assert np.median(distance) < 0.05 * np.ptp(fitted.coordinates, axis=0).max()
