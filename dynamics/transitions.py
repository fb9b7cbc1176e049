"""The flow as a chain over measured cells: which cells of the next time each cell becomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from dynamics import growth as growing
from dynamics.ensemble import members_of
from dynamics.errors import DataError, SettingsError, Stopped
from dynamics.field import Progress, no_progress
from dynamics.integrate import integrate
from dynamics.projection import MARGIN, OWN_QUANTILE, TREE_DIMS
from dynamics.velocity import check_width, evaluate, sound

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots

GROWTH = ("auto", "model", "genes", "none")
"""Where growth is taken from: "auto" asks the model, then the genes, then leaves it out."""

NEIGHBOURS = 30
"""Real cells that a cell cannot be told apart from, and that the end of a path is connected to, at most."""

FEWEST_NEIGHBOURS = 3
SHARE_OF_CELLS = 0.05
"""In small snapshots so much of the cells at most, at least three."""

BANDWIDTH = 1.0
"""Width of the Gaussian kernel, in distances of the cells around to their own last neighbour."""

EDGES = 15
"""Neighbours of a cell in the chain inside the last snapshot."""

DIRECTED = 4.0
"""How strongly that chain follows the velocity: weight exp(4 cos) of an edge at that angle to it."""

UNDIRECTED = 0.2
"""Share of that chain's steps that go to any neighbour, as cells also spread by chance."""

MOST_LOG = 30.0
"""Growth over one interval is kept within a factor of exp(±30)."""


@dataclass(frozen=True, eq=False)
class Transitions:
    """A chain over measured cells, built from a velocity field.

    Attributes
    ----------
    rows : (n_k,) for each time k
        Positions in the snapshots of the cells of each time.
    around : sparse (n_k, n_k) for each time
        Cells of the same time that each cell cannot be told apart from, itself among them; rows sum to one.
    landed : sparse (n_k, n_{k+1}) for each interval
        Real cells of the next time at the end of each cell's own path: rows sum to one, or to zero where the
        cell could not be followed.
    within : sparse (n_K, n_K)
        Where the cells of the last time go on to, along the velocity there; rows sum to one.
    weights : (n_k,) for each interval, or None
        How many cells each one becomes by the next time; None where no growth is known.
    off : (n_k,) for each interval
        Share of the paths that end off the measured cells of the next time: they are connected to the nearest
        ones all the same, but nothing measured supports it.
    n_cells
        Cells of the snapshots.
    growth
        "model", "genes" or "none": where `weights` come from.
    """

    rows: tuple[np.ndarray, ...] = field(repr=False)
    around: tuple[sparse.csr_matrix, ...] = field(repr=False)
    landed: tuple[sparse.csr_matrix, ...] = field(repr=False)
    within: sparse.csr_matrix = field(repr=False)
    weights: tuple[np.ndarray, ...] | None = field(repr=False)
    off: tuple[np.ndarray, ...] = field(repr=False)
    n_cells: int
    growth: str = "none"

    def __post_init__(self) -> None:
        for array in (*self.rows, *self.off, *(self.weights or ())):
            array.flags.writeable = False

    @property
    def n_times(self) -> int:
        return len(self.rows)

    def matrix(self, k: int) -> sparse.csr_matrix:
        """Return the chance that a cell of time k is each of time k + 1, sparse (n_k, n_{k+1})."""
        return sparse.csr_matrix(self.around[k] @ self.landed[k])

    def pull(self, k: int, values: np.ndarray) -> np.ndarray:
        """Return what the cells of time k can expect of values of the cells of time k + 1, (n_{k+1}, …)."""
        return self.around[k] @ (self.landed[k] @ values)

    def push(self, k: int, mass: np.ndarray) -> np.ndarray:
        """Return where mass on the cells of time k, (n_k,), is at time k + 1."""
        return self.landed[k].T @ (self.around[k].T @ mass)

    @property
    def share_off(self) -> float:
        """Share of all steps that end off the measured cells."""
        return float(np.concatenate(self.off).mean())


class Landing:
    """Connects states to the nearest measured cells of one time, by a Gaussian kernel as wide as they lie.

    Parameters
    ----------
    cells : (n, dim)
        Measured states of one time.
    neighbours
        Cells that a state is connected to; fewer where there are few cells.
    """

    def __init__(self, cells: np.ndarray, *, neighbours: int = NEIGHBOURS) -> None:
        self.cells = np.ascontiguousarray(cells, np.float32)
        n = len(self.cells)
        self.k = min(n, max(FEWEST_NEIGHBOURS, min(neighbours, int(np.ceil(SHARE_OF_CELLS * n)))))
        self._query = _search(self.cells)
        self._own, self._near = self._query(self.cells, min(n, max(self.k, EDGES) + 1))
        extent = float(np.ptp(self.cells, axis=0).max())
        smallest = max(1e-6 * extent, float(np.finfo(np.float32).tiny))
        self._width = np.maximum(self._own[:, min(self.k, n - 1)], smallest)
        own = float(np.quantile(self._own[:, 1], OWN_QUANTILE)) if n > 1 else np.inf
        self.reach = MARGIN * max(own, smallest)

    @cached_property
    def around(self) -> sparse.csr_matrix:
        """Weights of the nearest cells of each cell, itself among them, sparse (n, n); rows sum to one."""
        return self._weights(self._own[:, : self.k], self._near[:, : self.k])

    @cached_property
    def neighbours(self) -> np.ndarray:
        """The 15 nearest other cells of each cell, (n, 15) or fewer."""
        n, k = len(self.cells), min(EDGES, len(self.cells) - 1)
        near = self._near[:, : k + 1]
        others = near != np.arange(n)[:, None]
        others[others.all(axis=1), -1] = False  # a cell whose twins fill its list is not on it
        return near[others].reshape(n, k)

    def connect(self, states: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Return the weights of the nearest cells of each state, sparse (m, n), and which are off, (m,) bool.

        Rows sum to one; a state that is not finite has an empty row and counts as off. A state is off where
        its nearest cell is further than 1.5 times the distance within which 99 % of the cells have another.
        """
        known = np.flatnonzero(np.isfinite(states).all(axis=1))
        off = np.ones(len(states), bool)
        if not len(known):
            return sparse.csr_matrix((len(states), len(self.cells))), off
        d, near = self._query(np.ascontiguousarray(states[known], np.float32), self.k)
        off[known] = d[:, 0] > self.reach
        found = self._weights(d, near)
        if len(known) == len(states):
            return found, off
        rows = np.repeat(known, self.k)
        shape = (len(states), len(self.cells))
        return sparse.csr_matrix((found.data, (rows, found.indices)), shape=shape), off

    def _weights(self, d: np.ndarray, near: np.ndarray) -> sparse.csr_matrix:
        """Turn distances of the nearest cells, (m, k), into weights."""
        width = BANDWIDTH * self._width[near].mean(axis=1, keepdims=True)
        weight = np.exp(-(d**2 - d[:, :1] ** 2) / (2 * width**2))
        weight /= weight.sum(axis=1, keepdims=True)
        pointers = np.arange(0, near.size + 1, near.shape[1])
        return sparse.csr_matrix((weight.ravel(), near.ravel(), pointers), shape=(len(d), len(self.cells)))


def chains(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    *,
    neighbours: int = NEIGHBOURS,
    growth: str = "auto",
    progress: Progress = no_progress,
) -> tuple[Transitions, ...]:
    """Build the chain of every member of an ensemble, the model itself first; parameters as `transitions`."""
    check_width(velocity_field, snapshots.states)
    rows = _rows_by_time(snapshots)
    landings = tuple(Landing(snapshots.states[mine], neighbours=neighbours) for mine in rows)
    members = members_of(velocity_field)
    found = []
    for number, member in enumerate(members):
        if not progress(number / len(members), f"following {snapshots.n_cells:,} cells"):
            raise Stopped
        found.append(_chain(member, snapshots, rows, landings=landings, growth=growth))
    return tuple(found)


def transitions(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    *,
    neighbours: int = NEIGHBOURS,
    growth: str = "auto",
) -> Transitions:
    """Connect each measured cell to the cells of the next time that a velocity field brings it to.

    A cell follows the field with fixed steps from its own time to the next measured one, and is connected
    to the nearest real cells there by a Gaussian kernel, whose width is the distance at which those cells
    have their own neighbours. A state is measured with noise, which a deterministic flow would carry on as
    if it were known; so the paths of the cells around count for a cell as well, by the same kernel. Inside
    the last snapshot cells go on to those neighbours that lie in the direction of the velocity.

    Parameters
    ----------
    neighbours
        Cells of each kernel; in snapshots of fewer than 600 cells a twentieth of them, at least three.
    growth
        One of `GROWTH`. "model": the growth rate along the path; "genes": `snapshots.prior_growth`, the mean
        of the rates where the path begins and ends.

    Raises
    ------
    DataError
        Fewer than two times have cells, or growth is asked for where none is known.
    ModelError
        The field has another width than the snapshots.

    References
    ----------
    Lange et al., CellRank for directed single-cell fate mapping, Nature Methods 2022 (the chain along the
    velocity on the neighbour graph); Weiler et al., CellRank 2: unified fate mapping in multiview single-cell
    data, Nature Methods 2024 (a chain over measured times, with one inside the last).
    """
    check_width(velocity_field, snapshots.states)
    rows = _rows_by_time(snapshots)
    landings = tuple(Landing(snapshots.states[mine], neighbours=neighbours) for mine in rows)
    return _chain(velocity_field, snapshots, rows, landings=landings, growth=growth)


def growth_source(velocity_field: "VelocityField", snapshots: "Snapshots", growth: str = "auto") -> str:
    """Return where growth comes from, "model", "genes" or "none", or say why what is asked for is not known.

    Raises
    ------
    SettingsError
        Another word than those of `GROWTH`.
    DataError
        The model, or the data set, knows no growth.
    """
    if growth not in GROWTH:
        raise SettingsError(f"Growth can be taken from {', '.join(GROWTH)}; “{growth}” was asked for.")
    model, genes = growing.has_growth(velocity_field), snapshots.prior_growth is not None
    if growth == "auto":
        return "model" if model else "genes" if genes else "none"
    if growth == "model" and not model:
        raise DataError(
            "This model knows no growth: it was not trained to tell how cells divide and die. Train one with "
            "growth-cfm, or take growth from genes."
        )
    if growth == "genes" and not genes:
        raise DataError(
            "No growth is known from genes for these cells: too few cell-cycle genes, or no genes "
            "at all. Take growth from a model that learns it, or leave it out."
        )
    return growth


def _chain(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    rows: tuple[np.ndarray, ...],
    *,
    landings: tuple[Landing, ...],
    growth: str,
) -> Transitions:
    source = growth_source(velocity_field, snapshots, growth)
    times = [float(snapshots.times[mine[0]]) for mine in rows]
    landed, off, weights = [], [], []
    for k, landing in enumerate(landings[1:]):
        span, around = times[k : k + 2], landings[k].around
        ends, weight = _followed(velocity_field, snapshots, rows[k], span=span, source=source)
        step, away = landing.connect(ends)
        if source == "genes":
            rate = snapshots.prior_growth
            weight = np.exp(np.diff(span)[0] * (rate[rows[k]] + step @ rate[rows[k + 1]]) / 2)
        landed.append(step)
        off.append(around @ away.astype(np.float64))
        if weight is not None:
            known = np.clip(np.nan_to_num(weight, nan=1.0), np.exp(-MOST_LOG), np.exp(MOST_LOG))
            weights.append(around @ known.astype(np.float64))
    velocity = evaluate(velocity_field, times[-1], snapshots.states[rows[-1]], measured=False)
    return Transitions(
        rows=rows,
        around=tuple(landing.around for landing in landings),
        landed=tuple(landed),
        within=_along_velocity(landings[-1], velocity),
        weights=tuple(weights) if weights else None,
        off=tuple(off),
        n_cells=snapshots.n_cells,
        growth=source,
    )


def _followed(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    rows: np.ndarray,
    *,
    span: Sequence[float],
    source: str,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return where cells are at the next time, (n, dim), and what each has grown to by the model, (n,)."""
    follow = growing.follow if source == "model" else integrate
    paths = follow(velocity_field, snapshots.states[rows], span, breaks=snapshots.axis.values)
    return paths.states[-1], None if paths.weights is None else paths.weights[-1]


def _along_velocity(landing: Landing, velocity: np.ndarray) -> sparse.csr_matrix:
    """Return the chain inside one snapshot, sparse (n, n): to the neighbours that the velocity points to."""
    cells, n = landing.cells.astype(np.float64), len(landing.cells)
    velocity = np.where(sound(velocity)[:, None], velocity, 0).astype(np.float64)  # else: to any neighbour
    if n < 2:
        return sparse.identity(n, format="csr")
    near = landing.neighbours
    edge = cells[near] - cells[:, None]
    length = np.linalg.norm(edge, axis=2) * np.linalg.norm(velocity, axis=1)[:, None]
    cosine = np.zeros(near.shape)
    np.divide(np.einsum("nkd,nd->nk", edge, velocity), length, out=cosine, where=length > 0)
    weight = np.exp(DIRECTED * cosine)
    weight = (1 - UNDIRECTED) * weight / weight.sum(axis=1, keepdims=True) + UNDIRECTED / near.shape[1]
    rows = np.repeat(np.arange(n), near.shape[1])
    return sparse.csr_matrix((weight.ravel(), (rows, near.ravel())), shape=(n, n))


def _rows_by_time(snapshots: "Snapshots") -> tuple[np.ndarray, ...]:
    """Positions of the cells of every time that has some."""
    rows = tuple(snapshots.rows(k) for k in range(snapshots.n_times))
    rows = tuple(mine for mine in rows if len(mine))
    if len(rows) < 2:
        raise DataError(
            f"Fates need cells of at least two times; {len(rows)} has any. Choose another time column on the "
            "Data page, or more cells."
        )
    return rows


def _search(cells: np.ndarray) -> Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]:
    """Return a search for the k nearest cells: distances and positions, (m, k) each."""
    query = (
        cKDTree(cells).query
        if cells.shape[1] <= TREE_DIMS
        else NearestNeighbors(algorithm="brute").fit(cells).kneighbors
    )

    def search(states: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        d, near = query(states, k)
        shape = (len(states), k)
        return np.asarray(d, np.float64).reshape(shape), np.asarray(near, np.int64).reshape(shape)

    return search
