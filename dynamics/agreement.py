"""How well the velocities of neighbouring cells agree."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from dynamics.projection import TREE_DIMS

NEIGHBOURS = 15
COMPARED = 50_000
"""Cells that each cell of a wide state space is compared with; more are thinned at random."""


def confidence(states: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Return the mean cosine between the velocity of each cell and those of its nearest cells, (n,)."""
    n = len(states)
    if n < 3:
        return np.full(n, np.nan)
    tree = states.shape[1] <= TREE_DIMS
    known = np.arange(n)
    if not tree and n > COMPARED:
        known = np.sort(np.random.default_rng(0).choice(n, COMPARED, replace=False))
    search = NearestNeighbors(algorithm="kd_tree" if tree else "brute").fit(states[known])
    speed = np.linalg.norm(velocity, axis=1, keepdims=True)
    heading = velocity / np.maximum(speed, np.finfo(np.float32).tiny)
    near = search.kneighbors(states, n_neighbors=min(NEIGHBOURS + 1, len(known)), return_distance=False)
    neighbours = known[near]
    others = neighbours != np.arange(n)[:, None]
    cosines = np.einsum("nd,nkd->nk", heading, heading[neighbours])
    return (cosines * others).sum(axis=1) / np.maximum(others.sum(axis=1), 1)
