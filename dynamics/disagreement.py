"""Where two velocity fields disagree: the angle between their velocities at measured cells."""

from dataclasses import dataclass

import numpy as np

from dynamics.errors import ModelError
from dynamics.field import VelocityField
from dynamics.velocity import evaluate

SLOW = 0.2
"""A cell moves slowly where a field gives it less than this share of that field's median speed."""


@dataclass(frozen=True, eq=False)
class Disagreement:
    """How far two fields point apart at each cell.

    Attributes
    ----------
    angle : (n,) float32
        Degrees between the two velocities, 0 to 180; NaN where a cell moves slowly or not at all.
    longer : (n,) float32
        Difference of the two speeds over their mean, first less second: −2 to 2; NaN where neither moves.
    slow : (n,) bool
        Cells that at least one field hardly moves: their direction means little.
    """

    angle: np.ndarray
    longer: np.ndarray
    slow: np.ndarray

    @property
    def slow_share(self) -> float:
        """Share of the cells whose angle is not told."""
        return float(self.slow.mean()) if len(self.slow) else 0.0

    @property
    def median(self) -> float:
        """Median angle over the cells that move, in degrees; NaN where there are none."""
        told = self.angle[~self.slow]
        return float(np.median(told)) if len(told) else float("nan")


def disagreement(
    first: VelocityField, second: VelocityField, states: np.ndarray, *, times: np.ndarray
) -> Disagreement:
    """Compare two fields at measured cells, each at its own time, in the dimensions that both have.

    Parameters
    ----------
    states : (n, dim)
        Measured cells, as wide as the wider field; the narrower one is given their leading dimensions.
    times : (n,)
        Time of each cell, in the data's unit.

    Raises
    ------
    ModelError
        The states are narrower than a field.
    """
    both = min(first.dim, second.dim)
    if states.shape[1] < max(first.dim, second.dim):
        raise ModelError(
            f"The models move cells in {first.dim} and {second.dim} dimensions, these states have "
            f"{states.shape[1]}. Compare models of one data set and one representation."
        )
    v, w = (
        evaluate(field, times, np.ascontiguousarray(states[:, : field.dim]))[:, :both].astype(float)
        for field in (first, second)
    )
    fast, quick = np.linalg.norm(v, axis=1), np.linalg.norm(w, axis=1)
    slow = hardly_moves(fast) | hardly_moves(quick)
    with np.errstate(invalid="ignore", divide="ignore"):
        angle = np.degrees(2 * np.arctan2(*_halves(v / fast[:, None], w / quick[:, None])))
        longer = 2 * (fast - quick) / (fast + quick)
    angle[slow] = np.nan
    return Disagreement(angle.astype(np.float32), longer.astype(np.float32), slow)


def by_group(found: Disagreement, groups: np.ndarray, *, least: int = 5) -> list[tuple[str, float, int]]:
    """Return (group, median angle, number of moving cells), the group that disagrees most first.

    Groups with fewer than `least` moving cells are left out.
    """
    told = ~found.slow
    names = np.asarray(groups)[told].astype(str)
    angle = found.angle[told]
    rows = [
        (str(name), float(np.median(angle[names == name])), int((names == name).sum()))
        for name in np.unique(names)
    ]
    return sorted((row for row in rows if row[2] >= least), key=lambda row: (-row[1], row[0]))


def hardly_moves(speed: np.ndarray) -> np.ndarray:
    """Tell which cells a field hardly moves, (n,) bool, from the speed that it gives each: `SLOW`."""
    usual = np.median(speed) if len(speed) else 0.0
    return (speed < SLOW * usual) | (speed == 0)


def _halves(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of half the angle between unit vectors, up to a common factor."""
    return np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1)
