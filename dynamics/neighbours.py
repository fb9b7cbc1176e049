"""Nearest neighbours of states, and the weighted graph that UMAP and clustering are built on."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from dynamics.errors import DataError

EXACT_UP_TO = 50_000  # cells; above this comparing all pairs takes longer than an approximate index
BISECTIONS = 64
SMALLEST_SCALE = 1e-3  # of the mean distance


@dataclass(frozen=True)
class Neighbours:
    """Every cell's nearest cells, itself first.

    Parameters
    ----------
    indices, distances : (n, k)
        Rows of the neighbours and their Euclidean distances, ascending; the first is the cell itself.
    exact
        Whether all pairs were compared.
    """

    indices: np.ndarray
    distances: np.ndarray
    exact: bool

    @property
    def k(self) -> int:
        """Neighbours per cell, the cell itself included."""
        return self.indices.shape[1]


def nearest(states: np.ndarray, k: int, *, seed: int = 0) -> Neighbours:
    """Find the k nearest cells of every cell, itself included.

    Exact for up to 50,000 cells; above that by nearest-neighbour descent (recall about 0.99).

    Parameters
    ----------
    states : (n, dim)
    k
        Taken down to n where there are fewer cells.

    Raises
    ------
    DataError
        Fewer than two cells, or values that are missing or infinite.

    References
    ----------
    Dong et al., Efficient k-nearest neighbor graph construction for generic similarity measures, WWW 2011.
    """
    states = checked(states)
    k = min(k, len(states))
    if len(states) <= EXACT_UP_TO:
        distances, indices = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(states).kneighbors(states)
    else:
        indices, distances = _descent(states, k, seed)
    indices, distances = _self_first(indices.astype(np.int64), distances.astype(np.float32))
    return Neighbours(indices, distances, exact=len(states) <= EXACT_UP_TO)


def nearest_among(reference: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find, exactly, the k nearest reference states of each query: indices and distances, (m, k) each."""
    reference, queries = checked(reference), checked(queries, fewest=0)
    if reference.shape[1] != queries.shape[1]:
        raise DataError(
            f"The states to place have {queries.shape[1]} dimensions, the map was made from "
            f"{reference.shape[1]}; use the same representation."
        )
    k = min(k, len(reference))
    if not len(queries):
        return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
    distances, indices = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference).kneighbors(queries)
    return indices.astype(np.int64), distances.astype(np.float32)


def checked(states: np.ndarray, *, fewest: int = 2) -> np.ndarray:
    """Return states as float32, (n, dim), or say what is wrong with them."""
    states = np.ascontiguousarray(states, dtype=np.float32)
    if states.ndim != 2 or states.shape[1] == 0:
        raise DataError(f"States must be a table of cells by dimensions; the shape found is {states.shape}.")
    if len(states) < fewest:
        raise DataError(f"Neighbours need at least {fewest} cells; there are {len(states)}.")
    bad = np.flatnonzero(~np.isfinite(states).all(axis=1))
    if len(bad):
        raise DataError(
            f"{len(bad):,} of {len(states):,} cells have a missing or infinite value in their state (first: "
            f"row {bad[0]:,}). Remove these cells or choose another representation."
        )
    return states


def fuzzy_graph(found: Neighbours) -> sparse.csr_matrix:
    """Weight the neighbours as UMAP does: 1 for the nearest, falling to a sum of log2(k), then symmetric.

    Returns
    -------
    Sparse (n, n), symmetric, weights in (0, 1], no diagonal.

    References
    ----------
    McInnes et al., UMAP: uniform manifold approximation and projection, arXiv 1802.03426, section 3.1.
    """
    n, k = found.indices.shape
    nearest_other = _smallest_positive(found.distances)
    scale = bandwidth(found.distances, nearest_other)
    weight = membership(found.distances, nearest_other, scale)
    weight[found.indices == np.arange(n)[:, None]] = 0
    rows = np.repeat(np.arange(n), k)
    directed = sparse.csr_matrix((weight.ravel(), (rows, found.indices.ravel())), shape=(n, n))
    directed.eliminate_zeros()
    product = directed.multiply(directed.T)
    graph = sparse.csr_matrix(directed + directed.T - product)
    graph.sort_indices()
    return graph


def distance_graph(found: Neighbours) -> sparse.csr_matrix:
    """Distances to the k − 1 other nearest cells as a sparse (n, n) matrix, the layout that scanpy reads."""
    n, k = found.indices.shape
    pointers = np.arange(0, n * (k - 1) + 1, k - 1) if k > 1 else np.zeros(n + 1, np.int64)
    return sparse.csr_matrix(
        (found.distances[:, 1:].ravel(), found.indices[:, 1:].ravel(), pointers), shape=(n, n)
    )


def bandwidth(distances: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Find each cell's scale σ, (n,), with Σ exp(−max(0, d − offset) / σ) = log2(k) over all but the first.

    References
    ----------
    McInnes et al., arXiv 1802.03426, algorithm 3 (bisection with the same bounds as in umap-learn).
    """
    beyond = np.maximum(distances[:, 1:].astype(np.float64) - offset[:, None], 0)
    target = np.log2(distances.shape[1])
    low, high, scale = np.zeros(len(beyond)), np.full(len(beyond), np.inf), np.ones(len(beyond))
    for _ in range(BISECTIONS):
        total = np.exp(-beyond / scale[:, None]).sum(axis=1)
        above = total > target
        high, low = np.where(above, scale, high), np.where(above, low, scale)
        scale = np.where(np.isinf(high), 2 * scale, (low + high) / 2)
        if np.abs(total - target).max(initial=0) < 1e-5:
            break
    mean = np.where(offset > 0, distances.mean(axis=1), distances.mean())
    return np.maximum(scale, SMALLEST_SCALE * mean)


def membership(distances: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Weight exp(−(d − offset) / σ) of each neighbour, at most 1; (n, k) float32."""
    beyond = np.maximum(distances - offset[:, None], 0)
    return np.exp(-beyond / np.where(scale > 0, scale, 1)[:, None]).astype(np.float32)


def _smallest_positive(distances: np.ndarray) -> np.ndarray:
    """Distance to the nearest other place, (n,); 0 where all neighbours lie on the cell itself."""
    positive = np.where(distances > 0, distances, np.inf).min(axis=1)
    return np.where(np.isfinite(positive), positive, 0).astype(np.float32)


def _self_first(indices: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put each cell first in its own row, also where another cell lies on the same place."""
    own = np.arange(len(indices))
    is_own = indices == own[:, None]
    place = np.where(is_own.any(axis=1), is_own.argmax(axis=1), indices.shape[1] - 1)
    order = np.argsort(np.arange(indices.shape[1])[None] != place[:, None], axis=1, kind="stable")
    indices, distances = np.take_along_axis(indices, order, 1), np.take_along_axis(distances, order, 1)
    indices[:, 0], distances[:, 0] = own, 0
    return indices, distances


def _descent(states: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Approximate neighbours of many cells; compiles for about a minute when first used in a process."""
    indices, distances, _ = umap_learn().umap_.nearest_neighbors(
        states, k, "euclidean", {}, False, np.random.RandomState(seed), n_jobs=1
    )
    return indices, distances


def umap_learn() -> Any:
    """Load umap-learn, without its remark that tensorflow is not installed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
        import umap
    return umap
