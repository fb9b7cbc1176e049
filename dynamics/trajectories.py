"""Predicted paths of cells, and what is read off them: where they end, of what kind, with which genes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from sklearn.neighbors import NearestNeighbors

from dynamics.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynamics.basis import StateBasis
    from dynamics.snapshots import Snapshots

VOTES = 15
"""Measured cells that decide on the type of a predicted one."""

EQUAL = 1e-9
"""Times that differ by this share of the measured span are the same."""

BAND = (10, 90)
"""Percentiles of the band around a gene trend."""


@dataclass(frozen=True)
class Trajectories:
    """Predicted states of cells at several times.

    Attributes
    ----------
    times : (T,) float64
        In the data's unit; falling when cells were followed backwards. The first is the time of the start.
    states : (T, n, dim) float32
        In the data's coordinates; NaN from where a cell could not be followed any further.
    inside : (T, n) bool
        Whether the cell is among measured cells; once it has left them it stays marked as outside.
    failed : (n,) bool
        Cells that could not be followed to the end: they ran far out of the data, or to infinity.
    xy : (T, n, e) float32 or None
        Places on the embedding, when the integration was given one.
    weights : (T, n) float32 or None
        How many cells each one stands for, 1 at the start, where the model knows growth.
    method, step, unit
        Solver, its step in the data's unit (0 when it chooses its own), and that unit.
    notes
        What a reader must know, as sentences.
    measured
        First and last measured time, where the field knows them; beyond, nothing supports a prediction.
    near : (T, n, k) int32 or None
        The measured cells nearest to each state, nearest first, −1 where there is none, when the integration
        was given the measured cells; rows among all `n_measured` of them.
    """

    times: np.ndarray
    states: np.ndarray = field(repr=False)
    inside: np.ndarray = field(repr=False)
    failed: np.ndarray = field(repr=False)
    xy: np.ndarray | None = field(default=None, repr=False)
    method: str = "rk4"
    step: float = 0.0
    unit: str = ""
    notes: tuple[str, ...] = ()
    weights: np.ndarray | None = field(default=None, repr=False)
    measured: tuple[float, float] | None = None
    near: np.ndarray | None = field(default=None, repr=False)
    n_measured: int = 0

    def __post_init__(self) -> None:
        for array in (self.times, self.states, self.inside, self.failed, self.xy, self.weights, self.near):
            if array is not None:
                array.flags.writeable = False

    @property
    def n_cells(self) -> int:
        return self.states.shape[1]

    @property
    def n_failed(self) -> int:
        return int(self.failed.sum())

    @property
    def n_left(self) -> np.ndarray:
        """Cells outside the data at each time, (T,)."""
        return (~self.inside).sum(axis=1)

    @property
    def beyond(self) -> np.ndarray:
        """Times before the first or after the last measured one, (T,) bool."""
        return beyond(self.times, self.measured)

    @property
    def message(self) -> str:
        """How far to trust these paths, in words; empty when no cell left the data and none failed."""
        sentences = list(self.notes)
        left = self.n_left
        if left.any():
            first = f"{self.times[np.argmax(left > 0)]:.4g} {self.unit}".strip()
            last = f"{self.times[-1]:.4g} {self.unit}".strip()
            sentences.insert(
                0,
                f"{left[-1]:,} of {self.n_cells:,} trajectories ({left[-1] / self.n_cells:.1%}) have left "
                f"the measured cells by t = {last} (the first at t = {first}); from there on they are "
                "extrapolated.",
            )
        if self.beyond.any():
            span = "{:.4g} to {:.4g} {}".format(*self.measured, self.unit).strip()
            sentences.append(
                f"Cells were measured at t = {span}: what lies beyond is extrapolated in time, and nothing "
                "measured supports it."
            )
        if self.n_failed:
            sentences.append(
                f"{self.n_failed:,} of {self.n_cells:,} trajectories ran far out of the data range and end "
                "early."
            )
        return " ".join(sentences)


@dataclass(frozen=True)
class Composition:
    """Share of each cell type among the predicted cells over time.

    Attributes
    ----------
    times : (T,)
    names
        Cell types, in the order of the labels' categories.
    share : (T, n_types)
        Share among the cells that are still inside the data, each counting with its weight where the model
        knows growth; rows sum to one, or are NaN when none is left.
    n_inside : (T,)
        Predicted cells that each row rests on.
    """

    times: np.ndarray
    names: tuple[str, ...]
    share: np.ndarray
    n_inside: np.ndarray


@dataclass(frozen=True)
class GeneTrends:
    """Expression along predicted trajectories, on the scale that the basis was fitted on.

    Attributes
    ----------
    times : (T,)
    genes
    mean, low, high : (T, n_genes)
        Mean over the cells inside the data, and the 10th and the 90th percentile; NaN when none is inside.
    r2 : (n_genes,)
        How much of a gene's variance the states know; a trend of a gene near 0 says nothing.
    """

    times: np.ndarray
    genes: tuple[str, ...]
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    r2: np.ndarray


def composition(trajectories: Trajectories, snapshots: "Snapshots", labels: np.ndarray) -> Composition:
    """Return which cell types the predicted cells resemble at each time.

    Parameters
    ----------
    labels : (n_snapshot_cells,) categorical, or anything that can be read as text
        Cell type of each cell of `snapshots`; cells without one do not vote.
    """
    names, codes = coded(labels, len(snapshots.states))
    types = nearest_type(trajectories, snapshots, (names, codes))
    weights = np.ones(types.shape) if trajectories.weights is None else trajectories.weights
    rows = list(zip(types, weights, strict=True))
    counts = np.stack([np.bincount(row[row >= 0], w[row >= 0], minlength=len(names)) for row, w in rows])
    n_inside = (types >= 0).sum(axis=1)
    share = np.full(counts.shape, np.nan)
    np.divide(counts, counts.sum(axis=1, keepdims=True), out=share, where=n_inside[:, None] > 0)
    return Composition(times=trajectories.times, names=names, share=share, n_inside=n_inside)


def ends(trajectories: Trajectories, snapshots: "Snapshots", labels: np.ndarray) -> dict[str, float]:
    """Return the share of each cell type among the cells at the end of their paths, largest first.

    Cells that have left the data are not counted; the shares sum to one unless no cell is left.
    """
    result = composition(last(trajectories), snapshots, labels)
    order = np.argsort(-np.nan_to_num(result.share[-1]), kind="stable")
    return {result.names[k]: float(result.share[-1, k]) for k in order if result.share[-1, k] > 0}


def beyond(times: np.ndarray, measured: tuple[float, float] | None) -> np.ndarray:
    """Tell which times lie before the first or after the last measured one, (T,); none if unknown."""
    if measured is None:
        return np.zeros(len(times), dtype=bool)
    slack = EQUAL * (measured[1] - measured[0])
    return (times < measured[0] - slack) | (times > measured[1] + slack)


def last(trajectories: Trajectories) -> Trajectories:
    """Return only the last time of trajectories."""
    return Trajectories(
        times=trajectories.times[-1:].copy(),
        states=trajectories.states[-1:].copy(),
        inside=trajectories.inside[-1:].copy(),
        failed=trajectories.failed.copy(),
        unit=trajectories.unit,
        weights=None if trajectories.weights is None else trajectories.weights[-1:].copy(),
        measured=trajectories.measured,
        near=None if trajectories.near is None else trajectories.near[-1:].copy(),
        n_measured=trajectories.n_measured,
    )


def nearest_type(
    trajectories: Trajectories,
    snapshots: "Snapshots",
    labels: np.ndarray | tuple[tuple[str, ...], np.ndarray],
) -> np.ndarray:
    """Return the type that most of the nearest measured cells have, (T, n) codes, −1 outside the data.

    Parameters
    ----------
    labels : (n_snapshot_cells,), or the names of the types and the code of each cell
    """
    names, codes = labels if isinstance(labels, tuple) else coded(labels, len(snapshots.states))
    known = np.flatnonzero(codes >= 0)
    if not len(known):
        raise DataError("No cell has a cell type here. Choose another column as cell type on the Data page.")
    types = np.full(trajectories.inside.shape, -1)
    inside = trajectories.inside & np.isfinite(trajectories.states).all(axis=2)
    if not inside.any():
        return types
    if _surveyed(trajectories, snapshots) and len(known) == len(codes):
        neighbours = trajectories.near[inside][:, :VOTES]
    else:
        search = NearestNeighbors(n_neighbors=min(VOTES, len(known)), algorithm=_algorithm(snapshots.dim))
        search.fit(snapshots.states[known])
        neighbours = known[search.kneighbors(trajectories.states[inside], return_distance=False)]
    types[inside] = _majority(codes[neighbours], len(names))
    return types


def gene_trends(trajectories: Trajectories, basis: "StateBasis", genes: "Sequence[str]") -> GeneTrends:
    """Return the mean and the spread of genes over the predicted cells at each time.

    The states are mapped back to genes by the linear basis; values are on the scale it was fitted on.
    """
    genes = tuple(genes)
    shape = (len(trajectories.times), len(genes))
    mean, low, high = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    inside = trajectories.inside & np.isfinite(trajectories.states).all(axis=2)
    for k in np.flatnonzero(inside.any(axis=1)):
        values = basis.to_genes(trajectories.states[k][inside[k]], genes)
        mean[k] = values.mean(axis=0)
        low[k], high[k] = np.percentile(values, BAND, axis=0)
    return GeneTrends(trajectories.times, genes, mean, low, high, basis.r2[basis.columns(genes)])


def coded(labels: np.ndarray, n_cells: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the types, in their order, and the code of each cell, −1 where it has none."""
    if len(labels) != n_cells:
        raise DataError(f"{len(labels):,} cell types were given for {n_cells:,} cells.")
    if hasattr(labels, "cat"):
        labels = labels.cat
    if hasattr(labels, "categories"):
        return tuple(str(name) for name in labels.categories), np.asarray(labels.codes, np.int64)
    values = np.asarray(labels, dtype=object)
    missing = np.array([value is None or value != value for value in values])
    names, codes = np.unique(values.astype(str), return_inverse=True)
    codes = np.where(missing, -1, codes)
    used = np.unique(codes[~missing])
    return tuple(str(name) for name in names[used]), np.where(missing, -1, np.searchsorted(used, codes))


def _surveyed(trajectories: Trajectories, snapshots: "Snapshots") -> bool:
    """Tell whether the nearest of these cells were found already, when the paths were placed among them."""
    return trajectories.near is not None and trajectories.n_measured == snapshots.n_cells


def _majority(votes: np.ndarray, n_types: int) -> np.ndarray:
    """Return the most frequent code of each row, (m,); the lowest code wins a tie."""
    rows = np.repeat(np.arange(len(votes)), votes.shape[1])
    counts = np.bincount(rows * n_types + votes.ravel(), minlength=len(votes) * n_types)
    return counts.reshape(len(votes), n_types).argmax(axis=1)


def _algorithm(dim: int) -> str:
    return "kd_tree" if dim <= 15 else "brute"
