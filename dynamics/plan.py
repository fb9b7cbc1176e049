"""A plan between two snapshots: which cell goes with which, with what weight, and how well it was found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dynamics.errors import CouplingError

MARGINAL_TOLERANCE = 1e-9
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""`i`, `j`, mass: one entry per pair."""


@dataclass(frozen=True, eq=False)
class Coupling:
    """A plan between two snapshots, kept as its pairs.

    Attributes
    ----------
    i, j : (m,) int64
        Rows of the earlier and of the later snapshot, sorted by `i`, then `j`.
    weight : (m,) float64
        Share of each pair; sums to 1.
    sizes
        Cells in the two snapshots.
    cost
        Mean squared distance that the plan moves a cell, in squared state units.
    marginal_error
        Sum of the absolute deviations from the weight that each cell ought to have, over the sides on which
        that is prescribed.
    exact
        The plan is the cheapest one there is between its marginals.
    reason
        One sentence: what was computed, and why that.
    mass
        Total mass: 1, or less where cells may be left out, or the later cells where these are counted.
    converged
        The solver met its tolerance.
    details
        Settings and figures of the solver, such as `reg`, `reg_m` and `iterations`.
    """

    i: np.ndarray
    j: np.ndarray
    weight: np.ndarray
    sizes: tuple[int, int]
    cost: float
    marginal_error: float
    exact: bool
    name: str
    reason: str
    mass: float = 1.0
    converged: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for array in (self.i, self.j, self.weight):
            array.flags.writeable = False

    @cached_property
    def row_mass(self) -> np.ndarray:
        """Mass that leaves each earlier cell, (n0,), in the unit of `mass`."""
        return self.mass * np.bincount(self.i, self.weight, minlength=self.sizes[0])

    @cached_property
    def column_mass(self) -> np.ndarray:
        """Mass that reaches each later cell, (n1,), in the unit of `mass`."""
        return self.mass * np.bincount(self.j, self.weight, minlength=self.sizes[1])

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw `n` pairs with replacement, in proportion to their weight; returns `(i, j)`, each (n,)."""
        pairs = np.searchsorted(self._ends, rng.random(n) * self._ends[-1], side="right")
        pairs = np.minimum(pairs, len(self.weight) - 1)
        return self.i[pairs], self.j[pairs]

    def partners(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a later cell for each given earlier one, (n,); every one of these must have mass."""
        first, last = (np.searchsorted(self.i, rows, side=side) for side in ("left", "right"))
        low = np.where(first > 0, self._ends[first - 1], 0.0)
        drawn = low + (self._ends[last - 1] - low) * rng.random(len(rows))
        return self.j[np.clip(np.searchsorted(self._ends, drawn, side="right"), first, last - 1)]

    def push(self, weight: np.ndarray) -> np.ndarray:
        """Carry weights of earlier cells, (n0,), to the later cells, (n1,): Σ_i w_i π_ij / Σ_j π_ij."""
        share = np.asarray(weight, np.float64)[self.i] * self.mass * self.weight / self.row_mass[self.i]
        return np.bincount(self.j, share, minlength=self.sizes[1])

    def pull(self, weight: np.ndarray) -> np.ndarray:
        """Carry weights of later cells, (n1,), back to the earlier cells, (n0,): Σ_j w_j π_ij / Σ_i π_ij."""
        share = np.asarray(weight, np.float64)[self.j] * self.mass * self.weight / self.column_mass[self.j]
        return np.bincount(self.i, share, minlength=self.sizes[0])

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.weight)

    def to_json(self) -> dict[str, object]:
        """Return the diagnostics that travel with a model."""
        return {
            "name": self.name,
            "cells": list(self.sizes),
            "pairs": len(self.i),
            "cost": self.cost,
            "marginal_error": self.marginal_error,
            "exact": self.exact,
            "reason": self.reason,
            "mass": self.mass,
            "converged": self.converged,
            **self.details,
        }


@dataclass(frozen=True)
class About:
    """What is said with a plan."""

    name: str
    reason: str
    exact: bool = False
    mass: float = 1.0
    details: Mapping[str, Any] = field(default_factory=dict)


def finished(
    x0: np.ndarray,
    x1: np.ndarray,
    pairs: Pairs,
    *,
    about: About,
    goal: tuple[np.ndarray, np.ndarray] | None = None,
) -> Coupling:
    """Put pairs in order, check their marginals against those prescribed, if any, and price them.

    Parameters
    ----------
    goal : (n0,), (n1,)
        Masses that the two sides ought to have, in any unit; without them the plan's own count.

    Raises
    ------
    CouplingError
        The marginals are not those prescribed.
    """
    i, j, mass = pairs
    order = np.lexsort((j, i))
    i, j, weight = (
        i[order].astype(np.int64),
        j[order].astype(np.int64),
        mass[order] / np.sum(mass, dtype=float),
    )
    error = 0.0
    for rows, side in zip((i, j), goal or (), strict=False):
        reached = np.bincount(rows, weight, minlength=len(side))
        error += float(np.abs(reached - side / np.sum(side, dtype=float)).sum())
    if error > MARGINAL_TOLERANCE:
        raise CouplingError(
            f'The pairing "{about.name}" left {error:.1e} of the cells\' weight unpaired (allowed: '
            f"{MARGINAL_TOLERANCE:.0e}). Try another pairing; extreme outliers can cause this."
        )
    cost = float(weight @ np.square(x0[i] - x1[j]).sum(axis=1))
    return Coupling(
        i,
        j,
        weight,
        (len(x0), len(x1)),
        cost,
        error,
        about.exact,
        about.name,
        about.reason,
        about.mass,
        details=about.details,
    )
