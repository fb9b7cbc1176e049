"""Snapshots: the states of all cells, grouped by the time at which they were measured."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dynamics.errors import DataError
from dynamics.roles import Roles
from dynamics.times import TimeAxis, parse_times

if TYPE_CHECKING:
    from anndata import AnnData

DIMS_RANGE = (5, 30)
VARIANCE_KEPT = 0.9


@dataclass(frozen=True)
class Snapshots:
    """States of cells at known times, as unpaired snapshots.

    Attributes
    ----------
    states : (n, dim) float32
        In the units of the representation; read-only. Cells without a time are left out.
    time_index : (n,) int32
        Position of each cell's time on `axis`.
    cells : (n,) int64
        Row of each state in the data set that it came from.
    rep
        Name of the representation, such as "X_pca".
    prior_growth : (n,) float64, optional
        Growth rate of each cell expected from its proliferation and apoptosis genes, per unit of time.
    """

    states: np.ndarray
    time_index: np.ndarray
    axis: TimeAxis
    cells: np.ndarray = field(repr=False)
    rep: str = "X"
    prior_growth: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for array in (self.states, self.time_index, self.cells):
            array.flags.writeable = False

    @property
    def n_cells(self) -> int:
        return len(self.states)

    @property
    def n_times(self) -> int:
        return len(self.axis.values)

    @property
    def dim(self) -> int:
        return self.states.shape[1]

    @property
    def unit(self) -> str:
        return self.axis.unit

    @cached_property
    def times(self) -> np.ndarray:
        """Time of each cell, (n,), in `unit`."""
        return self.axis.values[self.time_index]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the states, their times and the representation's name."""
        digest = hashlib.sha256(f"{self.rep} {self.states.shape} {self.unit}".encode())
        for array in (self.states, self.time_index, self.axis.values):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def rows(self, k: int) -> np.ndarray:
        """Positions of the cells of the `k`-th time, (n_k,)."""
        return np.flatnonzero(self.time_index == k)

    def take(self, rows: np.ndarray) -> "Snapshots":
        """Return some of the cells, in this order; all times stay on the axis."""
        index, prior = self.time_index[rows], self.prior_growth
        counts = np.bincount(index, minlength=self.n_times)
        return replace(
            self,
            states=self.states[rows],
            time_index=index,
            axis=replace(self.axis, n_cells=tuple(int(n) for n in counts)),
            cells=self.cells[rows],
            prior_growth=None if prior is None else prior[rows],
        )

    def at(self, k: int) -> np.ndarray:
        """States at the `k`-th time, (n_k, dim)."""
        return self.states[self.rows(k)]


def default_dims(states: np.ndarray) -> int:
    """Return how many leading components to learn in: 90 % of the variance kept, at least 5 and at most 30.

    Parameters
    ----------
    states : (n, dim)
        A representation whose columns are ordered by importance, as principal components are.
    """
    low, high = DIMS_RANGE
    if states.shape[1] <= low:
        return states.shape[1]
    share = np.cumsum(states.var(axis=0, dtype=np.float64))
    enough = int(np.searchsorted(share, VARIANCE_KEPT * share[-1])) + 1
    return min(max(enough, low), high, states.shape[1])


def is_ordered(rep: str) -> bool:
    """Tell whether the columns of a representation are ordered by importance, so that it can be cut short."""
    return "pca" in rep.lower() or "svd" in rep.lower() or "lsi" in rep.lower()


def from_anndata(adata: "AnnData", roles: Roles, *, dims: int | None = None) -> Snapshots:
    """Group the cells of a data set by time, in its state representation.

    Parameters
    ----------
    dims
        Leading components to use; by default `default_dims` for principal components, else all.

    Raises
    ------
    DataError
        No time column, no representation, fewer than two times, or values that are not finite.
    """
    if roles.time_key is None:
        raise DataError(
            "This data set has no time column, so there is no motion to learn between times. "
            "Choose the column that holds the time of sampling on the Data page."
        )
    if roles.rep is None:
        raise DataError(
            "This data set has no state representation (such as X_pca). Prepare it on the Data page first."
        )
    axis, time_index = parse_times(
        adata.obs[roles.time_key],
        values=roles.time_values,
        as_index=roles.time_as == "index",
        unit=roles.time_unit,
    )
    if len(axis.values) < 2:
        raise DataError(
            f"Every cell has the same time ({axis.name(0)}); learning motion needs two time points or more. "
            "What is possible with one time point: the map, its colours and the cell types."
        )
    states = _dense(adata.obsm[roles.rep])
    states = states[:, : _n_dims(states, roles.rep, dims)]
    cells = np.flatnonzero(time_index >= 0)
    return _checked(states[cells], time_index[cells], axis, cells=cells, rep=roles.rep)


def from_arrays(
    states: np.ndarray,
    times: Sequence[float] | np.ndarray,
    *,
    unit: str = "",
    rep: str = "X",
    labels: Sequence[str] | None = None,
) -> Snapshots:
    """Group simulated or ready-made states by time.

    Parameters
    ----------
    states : (n, dim)
    times : (n,)
        Time of each state in `unit`.
    labels : (n_times,)
        Names of the times in increasing order; by default the values.
    """
    values, index, counts = np.unique(np.asarray(times, float), return_inverse=True, return_counts=True)
    axis = TimeAxis(
        labels=tuple(labels or (f"{value:g}" for value in values)),
        values=values,
        unit=unit,
        n_cells=tuple(int(count) for count in counts),
    )
    return _checked(np.asarray(states), index, axis, cells=np.arange(len(states)), rep=rep)


def _dense(states: object) -> np.ndarray:
    if hasattr(states, "toarray"):
        states = states.toarray()
    return np.asarray(states)


def _n_dims(states: np.ndarray, rep: str, dims: int | None) -> int:
    available = states.shape[1]
    if dims is None:
        return default_dims(states) if is_ordered(rep) else available
    if not 1 <= dims <= available:
        raise DataError(f"{dims} dimensions were asked for; {rep} has {available}. Choose 1 to {available}.")
    return dims


def _checked(
    states: np.ndarray, time_index: np.ndarray, axis: TimeAxis, *, cells: np.ndarray, rep: str
) -> Snapshots:
    bad = ~np.isfinite(states).all(axis=1)
    if bad.any():
        raise DataError(
            f"{bad.sum():,} of {len(bad):,} cells have missing or infinite values in {rep}. "
            f"Remove these cells, or prepare the data set again so that {rep} is computed anew."
        )
    return Snapshots(
        states=np.ascontiguousarray(states, dtype=np.float32).copy(),
        time_index=np.asarray(time_index, np.int32).copy(),
        axis=axis,
        cells=np.asarray(cells, np.int64).copy(),
        rep=rep,
    )
