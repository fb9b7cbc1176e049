"""UMAP: a two- or three-dimensional map of states, and places on it for states that were not there.

The neighbour graph is made in `dynamics.neighbours`; umap-learn lays it out. Both a fit and a placement are
the same whenever the seed is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from dynamics.errors import DataError
from dynamics.neighbours import (
    Neighbours,
    bandwidth,
    checked,
    fuzzy_graph,
    membership,
    nearest,
    nearest_among,
    umap_learn,
)

if TYPE_CHECKING:
    from anndata import AnnData

SKETCH_ABOVE = 200_000  # cells; beyond this a random part is laid out and the rest placed among it
SKETCH_SIZE = 50_000
REFERENCE_KEY = "umap_reference"
EPOCHS = 300
EPOCHS_MANY = 200
LEARNING_RATE = 1.0
NEGATIVE_SAMPLES = 5
PLACEMENT_EPOCHS = 100
PLACEMENT_EPOCHS_MANY = 30
MANY = 10_000
N_NEIGHBOURS = 15
MIN_DIST = 0.5
SPREAD = 1.0
PLACEMENT_SEED = 42


@dataclass(frozen=True)
class FittedUmap:
    """A map that new states can be placed on.

    Parameters
    ----------
    states : (n, dim)
        The states that were laid out.
    coordinates : (n, 2) or (n, 3)
        Their places.
    n_neighbours
        Neighbours that a place is made from.
    a, b
        Shape of the attraction: 1 / (1 + a d^(2b)).
    """

    states: np.ndarray
    coordinates: np.ndarray
    n_neighbours: int
    a: float
    b: float

    def transform(self, states: np.ndarray, *, refine: bool = True) -> np.ndarray:
        """Place states on the map, (m, 2) or (m, 3), float32.

        Each state starts at the weighted mean of its neighbours' places and is then moved by UMAP's own
        forces while the map stays as it is. A state of the map itself keeps its place.

        Parameters
        ----------
        states : (m, dim)
        refine
            False leaves out the forces: quicker, and smooth along a trajectory.

        Raises
        ------
        DataError
            The states have another number of dimensions, or values that are missing or infinite.
        """
        states = checked(states, fewest=0)
        indices, distances = nearest_among(self.states, states, self.n_neighbours)
        if not len(states):
            return np.empty((0, self.coordinates.shape[1]), np.float32)
        graph = self._graph(indices, distances)
        places = _row_means(graph, self.coordinates)
        if refine:
            places = self._layout(places, graph.tocoo())
        known = (self.states[indices[:, 0]] == states).all(axis=1)
        places[known] = self.coordinates[indices[known, 0]]
        return places

    def _graph(self, indices: np.ndarray, distances: np.ndarray) -> sparse.csr_matrix:
        """Weights of the map's states as neighbours of the new ones, (m, n)."""
        m, k = indices.shape
        zero = np.zeros(m, np.float32)
        weight = membership(distances, zero, bandwidth(distances, zero))
        rows = np.repeat(np.arange(m), k)
        return sparse.csr_matrix((weight.ravel(), (rows, indices.ravel())), shape=(m, len(self.states)))

    def _layout(self, start: np.ndarray, graph: sparse.coo_matrix) -> np.ndarray:
        umap = umap_learn()
        n_epochs = PLACEMENT_EPOCHS if len(start) <= MANY else PLACEMENT_EPOCHS_MANY
        strong = graph.data >= graph.data.max() / n_epochs
        seeds = np.random.RandomState(PLACEMENT_SEED).randint(-(2**31) + 1, 2**31 - 2, 3).astype(np.int64)
        return umap.layouts.optimize_layout_euclidean(
            start.copy(),
            self.coordinates.astype(np.float32, copy=True),
            graph.row[strong].astype(np.int32),
            graph.col[strong].astype(np.int32),
            n_epochs,
            graph.shape[1],
            umap.umap_.make_epochs_per_sample(graph.data[strong], n_epochs),
            self.a,
            self.b,
            seeds,
            1.0,
            LEARNING_RATE / 4,
            NEGATIVE_SAMPLES,
            False,
        )


def lay_out(
    states: np.ndarray,
    graph: sparse.spmatrix,
    *,
    n_components: int = 2,
    min_dist: float = MIN_DIST,
    spread: float = SPREAD,
    seed: int = 0,
) -> tuple[np.ndarray, float, float]:
    """Lay a neighbour graph out in two or three dimensions.

    Returns
    -------
    Coordinates, (n, n_components) float32, and the constants a and b of the attraction.

    References
    ----------
    McInnes et al., UMAP: uniform manifold approximation and projection, arXiv 1802.03426.
    """
    umap = umap_learn()
    a, b = (float(value) for value in umap.umap_.find_ab_params(spread, min_dist))
    coordinates, _ = umap.umap_.simplicial_set_embedding(
        states,
        graph.tocoo(),
        n_components,
        LEARNING_RATE,
        a,
        b,
        1.0,
        NEGATIVE_SAMPLES,
        EPOCHS if len(states) <= MANY else EPOCHS_MANY,
        _start(states, n_components),
        np.random.RandomState(seed),
        "euclidean",
        {},
        False,
        {},
        False,
    )
    return np.asarray(coordinates, np.float32), a, b


def fit(
    states: np.ndarray,
    *,
    found: Neighbours | None = None,
    graph: sparse.spmatrix | None = None,
    n_neighbours: int = N_NEIGHBOURS,
    n_components: int = 2,
    min_dist: float = MIN_DIST,
    spread: float = SPREAD,
    seed: int = 0,
) -> FittedUmap:
    """Make a map of states, (n, dim).

    Parameters
    ----------
    found, graph
        Neighbours or their weighted graph, where they are known already.
    """
    states = checked(states)
    if graph is None:
        graph = fuzzy_graph(found or nearest(states, n_neighbours, seed=seed))
    coordinates, a, b = lay_out(
        states, graph, n_components=n_components, min_dist=min_dist, spread=spread, seed=seed
    )
    return FittedUmap(states, coordinates, min(n_neighbours, len(states)), a, b)


def fit_sketch(
    states: np.ndarray, *, size: int = SKETCH_SIZE, seed: int = 0, **settings
) -> tuple[FittedUmap, np.ndarray]:
    """Make a map of a random part of many states.

    Returns
    -------
    The map, and which of the states it was made from, (n,) bool. Place the others with `transform`.
    """
    rows = np.sort(np.random.default_rng(seed).choice(len(states), size, replace=False))
    chosen = np.zeros(len(states), bool)
    chosen[rows] = True
    return fit(states[chosen], seed=seed, **settings), chosen


def restore(adata: "AnnData", *, rep: str | None = None, embedding: str = "X_umap") -> FittedUmap:
    """Rebuild a map from a prepared data set, without fitting anything.

    Works for any embedding of any states; what `uns["umap"]["params"]` does not say takes its default.

    Parameters
    ----------
    rep
        Key in `obsm` of the states; by default the one that the map was made from.

    Raises
    ------
    DataError
        The states or the embedding are not there, or not of the same cells.
    """
    params = _params(adata)
    rep = rep or str(params.get("use_rep", "X_pca"))
    for key in (rep, embedding):
        if key not in adata.obsm:
            raise DataError(
                f"New states cannot be placed on {embedding}: {key} is not in the data set, which has "
                f"{', '.join(adata.obsm) or 'no obsm arrays'}. Compute the UMAP again on the Data page."
            )
    n_dims = int(params.get("n_pcs", 0)) or np.shape(adata.obsm[rep])[1]
    states = checked(np.asarray(adata.obsm[rep])[:, :n_dims])
    coordinates = np.asarray(adata.obsm[embedding], np.float32)
    if REFERENCE_KEY in adata.obs:
        chosen = adata.obs[REFERENCE_KEY].to_numpy(bool)
        states, coordinates = states[chosen], coordinates[chosen]
    return FittedUmap(
        states,
        checked(coordinates),
        int(params.get("n_neighbors", N_NEIGHBOURS)),
        float(params.get("a", 0.5830300203414425)),  # for min_dist = 0.5 and spread = 1
        float(params.get("b", 1.3341669924314914)),
    )


def transform(adata: "AnnData", states: np.ndarray, *, refine: bool = True) -> np.ndarray:
    """Place states, (m, dim), on the UMAP of a prepared data set; (m, 2) or (m, 3)."""
    fitted = restore(adata)
    return fitted.transform(np.asarray(states)[:, : fitted.states.shape[1]], refine=refine)


def warm_up() -> None:
    """Load umap-learn and compile what a fit and a placement run, on a small random cloud."""
    cloud = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    fit(cloud, n_neighbours=5).transform(cloud[:20] + 0.01)


def _params(adata: "AnnData") -> Mapping[str, Any]:
    """What the data set says about how its UMAP was made."""
    entry = adata.uns.get("umap", {})
    return entry.get("params", {}) if isinstance(entry, Mapping) else {}


def _start(states: np.ndarray, n_components: int) -> str:
    """Start from the graph's eigenvectors; the few cells for which there are none start at random."""
    return "spectral" if len(states) > n_components + 2 else "random"


def _row_means(graph: sparse.csr_matrix, coordinates: np.ndarray) -> np.ndarray:
    """Mean place of each row's neighbours by their weights."""
    total = np.asarray(graph.sum(axis=1)).ravel()
    return ((graph @ coordinates) / np.where(total > 0, total, 1)[:, None]).astype(np.float32)
