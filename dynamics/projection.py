"""From the state space onto the map: places of new states, their distance to the data, and velocities."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from dynamics.errors import DataError
from dynamics.velocity import evaluate

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.field import VelocityField
    from dynamics.roles import Roles
    from dynamics.snapshots import Snapshots

TREE_DIMS = 15
"""Up to this width a tree finds neighbours faster than comparing with every cell."""

COMPARED = 10_000
"""Cells that a wider state is compared with; more are thinned at random."""

SKETCHED = 6_000
"""Cells that a wider state is compared with where only the direction of a small push is asked for."""

DRAWN = 30_000
"""Cells that a flow is drawn from; more are thinned at random."""

PROBED = 2_000
"""Cells at which the local spacing of the data is measured."""

PUSH = 1.5
"""How far cells are pushed to see where they go, in mean distances to their nearest cells."""

OWN_QUANTILE = 0.99
MARGIN = 1.5
"""A state is off the data beyond this multiple of the distance at which 99 % of cells have a neighbour."""


class Placement:
    """Places states among measured cells, and tells how far from them they are.

    The place of a state is the mean place of its nearest cells, weighted by (R − d) / (R d) with d the
    distance to a cell and R that to the first one left out. So a measured cell has exactly its own place, and
    a moving state moves without jumps.

    Parameters
    ----------
    states : (n, dim)
        Measured states.
    embedding : (n, e)
        Their places on the map; cells without a finite place are left out.
    k
        Neighbours that a place is averaged over.

    Raises
    ------
    DataError
        States and embedding differ in length, or fewer than three cells have a place.

    References
    ----------
    Franke and Nielson, Smooth interpolation of large sets of scattered data, Int. J. Numer. Methods Eng. 1980
    (the weights).
    """

    def __init__(self, states: np.ndarray, embedding: np.ndarray, k: int = 15) -> None:
        states = np.asarray(states, dtype=np.float32)
        embedding = np.asarray(embedding, dtype=np.float32)
        if len(states) != len(embedding):
            raise DataError(f"{len(states):,} states were given, and {len(embedding):,} places on the map.")
        placed = np.isfinite(embedding).all(axis=1) & np.isfinite(states).all(axis=1)
        if placed.sum() < 3:
            raise DataError(
                f"Only {placed.sum()} cells have a place on the embedding; at least 3 are needed. "
                "Choose another embedding on the Data page, or compute a UMAP."
            )
        self._given, self._own_places = states, embedding
        states, embedding = states[placed], embedding[placed]
        self.linear = np.array_equal(states[:, : embedding.shape[1]], embedding)
        self.lower, self.upper = states.min(axis=0), states.max(axis=0)
        self.dim, self.n_axes = states.shape[1], embedding.shape[1]
        some = _thinned(states, COMPARED)
        self._near = _Neighbourhood(states[some], embedding[some])
        self._rows = np.flatnonzero(placed)[some].astype(np.int32)
        wide, few = self.dim > TREE_DIMS and len(states) > SKETCHED, _thinned(states, SKETCHED)
        self._sketch = _Neighbourhood(states[few], embedding[few]) if wide else self._near
        self.k = min(k, len(self._near.states) - 2)
        self._measure_spacing()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the states and their places."""
        digest = hashlib.sha256(f"{self._given.shape} {self._own_places.shape} {self.k}".encode())
        for array in (self._given, self._own_places):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def locate(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of states, (m, e), and their distances from the data, (m,), in one search.

        States that are not finite get a place of NaN and an infinite distance.
        """
        return self.surveyed(states)[:2]

    def surveyed(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return places, distances, and the nearest cells, (m, k) int32, in one search.

        The cells are rows of the states that were given, nearest first; −1 for states that are not finite.
        """
        states = np.asarray(states, dtype=np.float32)
        xy = np.full((len(states), self.n_axes), np.nan, dtype=np.float32)
        distance = np.full(len(states), np.inf)
        nearest = np.full((len(states), self.k), -1, dtype=np.int32)
        known = np.isfinite(states).all(axis=1)
        if known.any():
            d, rows = self._near.nearest(states[known], self.k + 1)
            places = self._near.embedding[rows]
            distance[known] = d[:, 0] / self.spacing
            xy[known] = states[known, : self.n_axes] if self.linear else self._mean_place(d, places)
            nearest[known] = self._rows[rows[:, :-1]]
        return xy, distance, nearest

    @property
    def n_given(self) -> int:
        """How many cells there are, of which `surveyed` tells the nearest."""
        return len(self._given)

    def place(self, states: np.ndarray) -> np.ndarray:
        """Return the places of states on the embedding, (m, e)."""
        if self.linear:
            return np.asarray(states, dtype=np.float32)[:, : self.n_axes].copy()
        return self.locate(states)[0]

    def shift(self, states: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return how far the place moves from `states - step` to `states + step`, (m, e).

        In wide state spaces both are placed among at most 6,000 of the cells: enough for a direction.
        """
        ends = (np.asarray(states + sign * step, dtype=np.float32) for sign in (1, -1))
        ahead, behind = (self._mean_place(*self._sketch.search(end, self.k + 1)) for end in ends)
        return ahead - behind

    def around(self, states: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return distances, (m, k), states, (m, k, dim), and places, (m, k, e), of the k nearest cells.

        In wide state spaces these are among at most 6,000 of the cells, as for `shift`.
        """
        return self._sketch.around(states, min(k, len(self._sketch.states)))

    def distance(self, states: np.ndarray) -> np.ndarray:
        """Return how far states are from the nearest measured cell, (m,); above 1 they are off the data.

        The unit is 1.5 times the distance within which 99 % of the measured cells have another one.
        """
        return self.locate(states)[1]

    def own_places(self, snapshots: "Snapshots", rows: np.ndarray) -> np.ndarray:
        """Return the places of measured cells, (m, e); NaN for a cell that has none on this embedding."""
        if np.array_equal(self._given, snapshots.states):
            return self._own_places[rows].copy()
        return self.place(snapshots.states[rows])

    def local_spacing(self, xy: np.ndarray) -> np.ndarray:
        """Return the mean distance, in state units, between neighbouring cells around places, (m,)."""
        _, near = self._probes.query(xy, k=min(5, self._probes.n))
        return self._probe_spacing[near].reshape(len(xy), -1).mean(axis=1)

    def _mean_place(self, d: np.ndarray, places: np.ndarray) -> np.ndarray:
        tiny = 1e-9 * self.spacing
        reach = np.maximum(d[:, -1:], tiny)
        d = np.maximum(d[:, :-1], tiny)
        weight = np.maximum(reach - d, 1e-6 * reach) / (reach * d)
        weight /= weight.sum(axis=1, keepdims=True)
        return np.einsum("mk,mke->me", weight, places[:, :-1])

    def _measure_spacing(self) -> None:
        n = len(self._near.states)
        some = np.sort(np.random.default_rng(0).permutation(n)[:PROBED])
        d, _ = self._near.search(self._near.states[some], self.k + 1)
        own = float(np.quantile(d[:, 1], OWN_QUANTILE))
        extent = float(np.max(self.upper - self.lower))
        smallest = max(1e-6 * extent, float(np.finfo(np.float32).tiny))
        self.spacing = MARGIN * max(own, smallest)
        self._probes = cKDTree(self._near.embedding[some])
        self._probe_spacing = np.maximum(d[:, 1:].mean(axis=1), smallest)


class _Neighbourhood:
    """Cells among which the nearest ones of a state are found exactly."""

    def __init__(self, states: np.ndarray, embedding: np.ndarray) -> None:
        self.states, self.embedding = states, embedding
        if states.shape[1] <= TREE_DIMS:
            self.nearest = cKDTree(states).query
        else:
            self.nearest = NearestNeighbors(algorithm="brute").fit(states).kneighbors

    def search(self, states: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the distances of the k nearest cells, nearest first, (m, k), and their places, (m, k, e)."""
        d, rows = self.nearest(states, k)
        return d, self.embedding[rows]

    def around(self, states: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the distances, the states, (m, k, dim), and the places of the k nearest cells."""
        d, rows = self.nearest(states, k)
        return d, self.states[rows], self.embedding[rows]


def placement(adata: "AnnData", roles: "Roles", snapshots: "Snapshots") -> Placement | None:
    """Return the way from the states of a data set to its embedding; None where it has no embedding."""
    if roles.embedding is None:
        return None
    return Placement(snapshots.states, np.asarray(adata.obsm[roles.embedding])[snapshots.cells])


@dataclass(frozen=True)
class EmbeddedVelocity:
    """Velocities of measured cells, in the state space and on the embedding.

    Attributes
    ----------
    rows : (m,) int64
        Which cells of the snapshots.
    xy, v : (m, e)
        Places on the embedding, and velocities there, in embedding units per unit of time.
    state_v : (m, dim)
        Velocities in the state space, in its units per unit of time.
    weight : (m,)
        How much each cell counts: 1, or less when its snapshot is not at the time asked for.
    time
        The time asked for; None when each cell has its own.
    """

    rows: np.ndarray
    xy: np.ndarray = field(repr=False)
    v: np.ndarray = field(repr=False)
    state_v: np.ndarray = field(repr=False)
    weight: np.ndarray = field(repr=False)
    time: float | None = None

    @property
    def speed(self) -> np.ndarray:
        """Speed in the state space, (m,), in its units per unit of time."""
        return np.linalg.norm(self.state_v, axis=1)


def embedded_velocity(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    placement: Placement,
    *,
    time: float | None = None,
    push: float = PUSH,
    most: int | None = None,
) -> EmbeddedVelocity:
    """Return how measured cells move on the embedding.

    Each cell is pushed a little along its velocity and a little against it; both are placed among the
    measured cells, and the difference of the places is divided by the time between them. Where the map is
    part of the state space itself, the velocity is taken as it is.

    Parameters
    ----------
    time
        In the data's unit: the cells of the snapshots around it, those nearer in time counting more.
        By default all cells, each at its own time.
    push
        Length of the push each way, in mean distances of the cell to its nearest cells.
    most
        Use at most so many cells, drawn at random with a fixed seed; by default all.
    """
    rows, weight = cells_at(snapshots, time)
    if most is not None and len(rows) > most:
        some = np.sort(np.random.default_rng(0).choice(len(rows), most, replace=False))
        rows, weight = rows[some], weight[some]
    xy = placement.own_places(snapshots, rows)
    placed = np.isfinite(xy).all(axis=1)
    rows, weight, xy = rows[placed], weight[placed], xy[placed]
    states = snapshots.states[rows]
    state_v = evaluate(velocity_field, snapshots.times[rows] if time is None else time, states)
    if placement.linear:
        v = state_v[:, : placement.n_axes].copy()
    else:
        v = _pushed(states, state_v, placement, xy=xy, push=push)
    return EmbeddedVelocity(rows=rows, xy=xy, v=v, state_v=state_v, weight=weight, time=time)


def cells_at(snapshots: "Snapshots", time: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells that stand for a time, (m,), and how much each counts, (m,).

    Between two snapshots both are used, weighted by closeness in time; outside of them the nearest one.
    """
    if time is None:
        return np.arange(snapshots.n_cells), np.ones(snapshots.n_cells, dtype=np.float32)
    values = snapshots.axis.values
    position = np.interp(time, values, np.arange(len(values)))
    before = min(int(position), len(values) - 1)
    parts = [(before, 1 - (position - before)), (before + 1, position - before)]
    chosen = [(snapshots.rows(k), share) for k, share in parts if share > 0.02]
    rows = np.concatenate([rows for rows, _ in chosen])
    weight = np.concatenate([np.full(len(rows), share, dtype=np.float32) for rows, share in chosen])
    order = np.argsort(rows, kind="stable")
    return rows[order], weight[order]


def _pushed(
    states: np.ndarray, v: np.ndarray, placement: Placement, *, xy: np.ndarray, push: float
) -> np.ndarray:
    """Return the directional derivative of the place along the velocity, times the speed, (m, e)."""
    speed = np.linalg.norm(v, axis=1, keepdims=True)
    length = push * placement.local_spacing(xy)[:, None]
    step = (length * v / np.maximum(speed, np.finfo(np.float32).tiny)).astype(np.float32)
    return (placement.shift(states, step) * (speed / (2 * length))).astype(np.float32)


def _thinned(states: np.ndarray, most: int) -> np.ndarray:
    """Return the rows of at most so many states; all of narrow ones, among which a tree searches."""
    if states.shape[1] <= TREE_DIMS or len(states) <= most:
        return np.arange(len(states))
    return np.sort(np.random.default_rng(0).choice(len(states), most, replace=False))
