"""Groups of cells that a network is made of: all, a cell type, a time, the cells on their way to a type."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dynamics.ensemble import members_of
from dynamics.integrate import integrate
from dynamics.regulation import FEWEST
from dynamics.trajectories import nearest_type

if TYPE_CHECKING:
    import pandas as pd

    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots

ALL = "All cells"
STEPS = 2
"""Output times of a path: only its end is looked at."""
MOST_FOLLOWED = 4_000
MOST_TYPES = 12
"""Cell types, and as many times, that get networks of their own: those with the most cells."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Groups of cells, by name.

    Attributes
    ----------
    kinds
        For each region "all", "type", "time" or "towards".
    names
        What it is called: the type or the time.
    cells : (k, n) bool
        Which cells of the snapshots belong to it.
    """

    kinds: tuple[str, ...]
    names: tuple[str, ...]
    cells: np.ndarray = field(repr=False)


def regions(
    snapshots: "Snapshots", labels: "pd.Series | None" = None, *, velocity: "VelocityField | None" = None
) -> Regions:
    """Return the regions of 20 cells or more.

    Parameters
    ----------
    labels : (n,)
        Cell type of each cell, as categories.
    velocity
        With a field and cell types also the cells on their way to each type: those that the field carries
        there by the last time.
    """
    found = [("all", ALL, np.ones(snapshots.n_cells, bool))]
    if labels is not None:
        found += _largest(
            [("type", str(name), (labels == name).to_numpy()) for name in labels.cat.categories]
        )
    if snapshots.n_times > 1:
        times = range(snapshots.n_times)
        found += _largest([("time", snapshots.axis.name(k), snapshots.time_index == k) for k in times])
    if labels is not None and velocity is not None:
        found += _largest(_towards(snapshots, labels, velocity))
    kept = [one for one in found if one[2].sum() >= FEWEST] or found[:1]
    kinds, names, cells = zip(*kept, strict=True)
    return Regions(kinds, names, np.stack(cells))


def _largest(found: list[tuple[str, str, np.ndarray]]) -> list[tuple[str, str, np.ndarray]]:
    """Keep those with the most cells, in the order in which they were."""
    sizes = [int(one[2].sum()) for one in found]
    kept = sorted(np.argsort(sizes, kind="stable")[::-1][:MOST_TYPES].tolist())
    return [found[k] for k in kept]


def _towards(
    snapshots: "Snapshots", labels: "pd.Series", velocity: "VelocityField"
) -> list[tuple[str, str, np.ndarray]]:
    """Follow cells of every time to the last one, and group them by the type that they end among."""
    names = tuple(str(name) for name in labels.cat.categories)
    codes, last = labels.cat.codes.to_numpy(), float(snapshots.axis.values[-1])
    ends = np.full(snapshots.n_cells, -1)
    for k in range(snapshots.n_times - 1):
        rows = snapshots.rows(k)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_FOLLOWED // snapshots.n_times).astype(int))]
        times = np.linspace(float(snapshots.axis.values[k]), last, STEPS)
        own = members_of(velocity)[0]
        paths = integrate(own, snapshots.states[rows], times, breaks=snapshots.axis.values)
        ends[rows] = nearest_type(paths, snapshots, (names, codes))[-1]
    return [("towards", name, ends == code) for code, name in enumerate(names)]
