"""Where cells gather and where they part: stability at measured cells, and fixed points, for the map."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dynamics.ensemble import members_of
from dynamics.field import Progress, no_progress
from dynamics.fixed_points import FixedPoints, fixed_points
from dynamics.jacobian import divergence, stability

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots

MOST = 4_000
"""Cells at which stability is worked out, drawn evenly."""
AMONG = 2_000
"""Cells of a time among which fixed points are looked for."""
MOST_TIMES = 8


@dataclass(frozen=True, eq=False)
class StabilityMap:
    """Stability at some of the cells, each at its own time, and fixed points at measured times.

    Attributes
    ----------
    rows : (m,) int64
        Cells of the snapshots.
    divergence, fastest, turning : (m,) float64
        As in `dynamics.jacobian.Stability`.
    agree : (m,) float64
        Share of the ensemble's members that give the divergence the same sign; NaN without one.
    points
        One for each measured time that was looked at.
    """

    rows: np.ndarray = field(repr=False)
    divergence: np.ndarray = field(repr=False)
    fastest: np.ndarray = field(repr=False)
    turning: np.ndarray = field(repr=False)
    agree: np.ndarray = field(repr=False)
    points: tuple[FixedPoints, ...] = field(repr=False)


def stability_map(
    velocity: "VelocityField", snapshots: "Snapshots", *, progress: Progress = no_progress
) -> StabilityMap:
    """Work out stability at up to 4,000 cells, and fixed points at up to eight of the measured times."""
    rows = np.unique(np.linspace(0, snapshots.n_cells - 1, MOST).astype(np.int64))
    times, states = snapshots.times[rows], snapshots.states[rows]
    own, *others = members_of(velocity)
    found = stability(own, times, states)
    signs = [np.sign(divergence(one, times, states)) == np.sign(found.divergence) for one in others]
    agree = np.mean([np.ones(len(rows)), *signs], axis=0) if signs else np.full(len(rows), np.nan)
    points, looked = [], _some_times(snapshots.n_times)
    for number, k in enumerate(looked):
        progress((number + 1) / (len(looked) + 1), "Looking for fixed points")
        cells = snapshots.at(k)
        cells = cells[np.unique(np.linspace(0, len(cells) - 1, AMONG).astype(int))]
        if len(cells) > 2:
            points.append(fixed_points(velocity, float(snapshots.axis.values[k]), cells))
    return StabilityMap(rows, found.divergence, found.fastest, found.turning, agree, tuple(points))


def _some_times(n: int) -> list[int]:
    return np.unique(np.linspace(0, n - 1, min(n, MOST_TIMES)).round().astype(int)).tolist()
