"""The potential that fits a flow best: heights of cells whose differences are the flow between neighbours."""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import cg

from dynamics.errors import DataError
from dynamics.neighbours import nearest, nearest_among

FEWEST = 20
"""Cells that a landscape needs."""

BRIDGES = 5
"""Steps laid from each group of cells to the others, where it has no neighbour among them."""

SHORTEST = 0.05
"""Of the median step: shorter ones weigh no more than this one, so that copies of a cell do not rule."""

TOLERANCE, MOST_STEPS = 1e-8, 20_000


@dataclass(frozen=True, eq=False)
class Edges:
    """Pairs of neighbouring cells.

    Attributes
    ----------
    first, second : (e,) int64
        Rows of the cells, every pair once.
    weight : (e,) float64
        One over the squared distance, at least `SHORTEST` of the median, in units of the median: so every
        pair counts by the slope between its cells.
    n_pieces
        Groups of cells without a neighbour in another, before the nearest cells of each were paired.
    """

    first: np.ndarray = field(repr=False)
    second: np.ndarray = field(repr=False)
    weight: np.ndarray = field(repr=False)
    n_pieces: int = 1

    def __post_init__(self) -> None:
        for array in (self.first, self.second, self.weight):
            array.flags.writeable = False

    def drops(self, states: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Return how far the flow goes downhill from the first to the second cell of each pair, (e,).

        The velocity along the step is taken as the mean of that at its ends: exact where it is linear.
        """
        x, v = np.asarray(states, np.float64), np.asarray(velocity, np.float64)
        total = np.zeros(len(self.first))
        for axis in range(x.shape[1]):  # a table of all steps in all dimensions would be large
            step = x[self.second, axis] - x[self.first, axis]
            total += 0.5 * (v[self.first, axis] + v[self.second, axis]) * step
        return total


def edges(states: np.ndarray, *, k: int = 15) -> Edges:
    """Pair every cell with its k nearest ones, and groups that are apart by their nearest cells.

    Parameters
    ----------
    states : (n, dim)
    """
    found = nearest(states, k + 1)
    own = np.repeat(np.arange(len(states)), found.k)
    pairs = _once(np.column_stack([own, found.indices.ravel()]))
    n_pieces, label = _pieces(pairs, len(states))
    if n_pieces > 1:
        pairs = _once(np.vstack([pairs, *_bridges(np.asarray(states, np.float32), label, n_pieces)]))
    x = np.asarray(states, np.float64)
    squared = sum(np.square(x[pairs[:, 1], axis] - x[pairs[:, 0], axis]) for axis in range(x.shape[1]))
    usual = float(np.median(squared))
    if usual == 0:
        raise DataError("Most cells lie on the same state as others: there are no steps between them.")
    return Edges(pairs[:, 0], pairs[:, 1], 1 / np.maximum(squared / usual, SHORTEST**2), n_pieces)


def fit_potential(between: Edges, drops: np.ndarray, *, n_cells: int) -> tuple[np.ndarray, float]:
    """Return the heights of the cells that explain the drops between neighbours best, and how well.

    Minimises Σ w_ij (u_i − u_j − drop_ij)²: the gradient part of the Hodge decomposition of a flow on a
    graph. What is left goes round.

    Parameters
    ----------
    drops : (e,)
        Height lost from the first to the second cell of each pair.

    Returns
    -------
    Heights, (n,) float64, with mean zero, and the share of the weighted sum of squares that they explain,
    with regard to the number of heights fitted; at least 0.

    Raises
    ------
    DataError
        Nothing moves, or the heights did not settle.

    References
    ----------
    Jiang, Lim, Yao and Ye, Statistical ranking and combinatorial Hodge theory, Mathematical Programming 2011.
    """
    scale = float(np.sqrt(np.mean(between.weight * drops**2)))
    if not scale > 0 or not np.isfinite(scale):
        raise DataError("The flow moves no cell here, so there is no height to tell. Choose another time.")
    step = _differences(between, n_cells)
    weighted = sparse.diags_array(between.weight)
    laplacian = sparse.csr_array(step.T @ weighted @ step)
    diagonal = laplacian.diagonal()
    easier = sparse.diags_array(1 / np.where(diagonal > 0, diagonal, 1))
    target = step.T @ (between.weight * drops / scale)
    found, failed = cg(laplacian, target, rtol=TOLERANCE, maxiter=MOST_STEPS, M=easier)
    left = between.weight * np.square(step @ found - drops / scale)
    if failed:
        raise DataError(
            f"The heights did not settle in {MOST_STEPS:,} steps: some cells lie far from all others. "
            "Remove outliers on the Data page, or choose another time."
        )
    free = max(len(drops) - (n_cells - 1), 1)
    explained = 1 - left.sum() / free  # the weighted squares of the scaled drops are 1 on average
    return scale * (found - found.mean()), float(np.clip(explained, 0, 1))


def _differences(between: Edges, n_cells: int) -> sparse.csr_array:
    """Return the matrix that takes heights of cells to their differences over pairs, (e, n)."""
    n = len(between.first)
    rows = np.concatenate([np.arange(n), np.arange(n)])
    columns = np.concatenate([between.first, between.second])
    signs = np.concatenate([np.ones(n), -np.ones(n)])
    return sparse.csr_array((signs, (rows, columns)), shape=(n, n_cells))


def _once(pairs: np.ndarray) -> np.ndarray:
    """Return every pair of different cells once, the lower row first."""
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


def _pieces(pairs: np.ndarray, n: int) -> tuple[int, np.ndarray]:
    graph = sparse.csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)


def _bridges(states: np.ndarray, label: np.ndarray, n_pieces: int) -> list[np.ndarray]:
    """Pair the nearest cells of each group with the largest one and of those joined before, (5, 2) each."""
    sizes = np.bincount(label, minlength=n_pieces)
    joined = label == np.argmax(sizes)
    laid = []
    for piece in np.argsort(-sizes, kind="stable")[1:]:
        mine, others = np.flatnonzero(label == piece), np.flatnonzero(joined)
        at, d = nearest_among(states[others], states[mine], 1)
        first = np.argsort(d[:, 0], kind="stable")[:BRIDGES]
        laid.append(np.column_stack([mine[first], others[at[first, 0]]]))
        joined[mine] = True
    return laid
