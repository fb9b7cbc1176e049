"""Ancestors and descendants of chosen cells at other times, by the chain over measured cells."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dynamics.errors import DataError
from dynamics.fates import interval

if TYPE_CHECKING:
    from dynamics.transitions import Transitions


@dataclass(frozen=True, eq=False)
class Kin:
    """Which cells of one time the ancestors, or descendants, of a selection are.

    Attributes
    ----------
    rows : (m,)
        Positions in the snapshots of the cells of that time.
    weights : (m,)
        Probability of each, mean over the members; sums to one.
    low, high : (m,) or None
        Nominal 80 % interval from the members; None where there is one.
    missing
        Share of the selection without kin there: cells that no path leads to, or that could not be followed.
    by_member : (n_members, m)
    """

    rows: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    low: np.ndarray | None = field(repr=False)
    high: np.ndarray | None = field(repr=False)
    missing: float
    by_member: np.ndarray = field(repr=False)

    def spread_over(self, n_cells: int) -> np.ndarray:
        """Return the weights among all cells of the snapshots, (n_cells,), 0 at other times."""
        everywhere = np.zeros(n_cells)
        everywhere[self.rows] = self.weights
        return everywhere


def ancestors(
    chains: "Transitions | Sequence[Transitions]", cells: np.ndarray, *, at: int, growth: bool = True
) -> Kin:
    """Return which cells of an earlier time chosen cells come from.

    By Bayes' rule from the chain, all cells of a time being equally likely beforehand: the cell j of the next
    time comes from i with probability w_i T_ij / Σ w_i' T_i'j, and so on. Every chosen cell counts alike.

    Parameters
    ----------
    chains
        One chain, or that of each member.
    cells : (m,)
        Positions in the snapshots; all of one time.
    at
        Number of the earlier time among those that have cells, from 0.
    growth
        Whether a cell that multiplies is the likelier ancestor, where growth is known.

    References
    ----------
    Schiebinger et al., Optimal-transport analysis of single-cell gene expression identifies developmental
    trajectories in reprogramming, Cell 2019 (ancestors by pulling back).
    """
    members, now = _members(chains, cells)
    if not 0 <= at < now:
        raise DataError(
            f"Ancestors are looked for at an earlier time: time number {at} is not before {now}, that of the "
            "chosen cells. Choose an earlier time, or cells of a later one."
        )
    found = []
    for chain in members:
        mass = _chosen(chain, cells, now)
        for k in reversed(range(at, now)):
            mass = _pulled(chain, k, mass, growth=growth)
        found.append(mass)
    return _kin(members[0].rows[at], found)


def descendants(
    chains: "Transitions | Sequence[Transitions]", cells: np.ndarray, *, at: int, growth: bool = True
) -> Kin:
    """Return which cells of a later time chosen cells become; parameters as for `ancestors`.

    With growth, a chosen cell counts as often as it multiplies on the way.
    """
    members, now = _members(chains, cells)
    last = members[0].n_times - 1
    if not now < at <= last:
        raise DataError(
            f"Descendants are looked for at a later time: number {at} is not one of {now + 1} to {last}. "
            "Choose a later time, or cells of an earlier one."
        )
    found = []
    for chain in members:
        mass = _chosen(chain, cells, now)
        for k in range(now, at):
            kept = chain.push(k, mass).sum()
            mass = chain.push(k, mass * _weights(chain, k, growth=growth))
            mass = mass * (kept / mass.sum()) if kept > 0 else mass
        found.append(mass)
    return _kin(members[0].rows[at], found)


def time_of(chain: "Transitions", cells: np.ndarray) -> int:
    """Return the number of the one time that cells are of, or say that they are of several."""
    if not len(cells):
        raise DataError("No cell is chosen. Draw around some cells on the map, or choose a cell type.")
    times = [k for k, rows in enumerate(chain.rows) if np.isin(cells, rows).any()]
    if len(times) != 1:
        raise DataError(f"The chosen cells are of {len(times)} times; choose cells of one time.")
    return times[0]


def _members(
    chains: "Transitions | Sequence[Transitions]", cells: np.ndarray
) -> tuple[tuple["Transitions", ...], int]:
    members = tuple(chains) if isinstance(chains, Sequence) else (chains,)
    return members, time_of(members[0], np.asarray(cells))


def _chosen(chain: "Transitions", cells: np.ndarray, now: int) -> np.ndarray:
    chosen = np.isin(chain.rows[now], cells).astype(np.float64)
    return chosen / chosen.sum()


def _pulled(chain: "Transitions", k: int, mass: np.ndarray, *, growth: bool) -> np.ndarray:
    """Move mass on the cells of time k + 1 back to those of time k; what no path leads to is lost."""
    weights = _weights(chain, k, growth=growth)
    arriving, share = chain.push(k, weights), np.zeros(len(mass))
    np.divide(mass, arriving, out=share, where=arriving > 0)
    return weights * chain.pull(k, share)


def _weights(chain: "Transitions", k: int, *, growth: bool) -> np.ndarray:
    return chain.weights[k] if growth and chain.weights is not None else np.ones(len(chain.rows[k]))


def _kin(rows: np.ndarray, found: list[np.ndarray]) -> Kin:
    total = np.array([mass.sum() for mass in found])
    if not (total > 0).all():
        raise DataError(
            "The flow leads from no cell of that time to the chosen ones, or they could not be followed. "
            "Choose more cells, or a nearer time."
        )
    by_member = np.stack(found) / total[:, None]
    low, high = interval(by_member)
    return Kin(rows, by_member.mean(axis=0), low, high, float(1 - total.mean()), by_member)
