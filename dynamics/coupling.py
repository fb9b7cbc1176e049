"""Couplings: which cell of one snapshot goes with which cell of the next."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import ot
from scipy.spatial.distance import cdist

from dynamics import bisection
from dynamics.errors import CouplingError, SettingsError

EXACT_ENTRIES = 1_200_000
"""Largest cost matrix, n0 × n1, that "auto" solves exactly: about 0.3 s on one core."""
EXACT_MEMORY = 4e9
"""Bytes that an exact plan may take; three matrices of float64 are held."""
MAX_ITERATIONS = 50_000_000
MARGINAL_TOLERANCE = 1e-9
PAIRING_DIMS = 15
ROUNDS = 4


@dataclass(frozen=True, eq=False)
class Coupling:
    """A plan between two snapshots, kept as its pairs.

    Attributes
    ----------
    i, j : (m,) int64
        Rows of the earlier and of the later snapshot.
    weight : (m,) float64
        Share of each pair; sums to 1.
    sizes
        Cells in the two snapshots.
    cost
        Mean squared distance that the plan moves a cell, in squared state units.
    marginal_error
        Sum of the absolute deviations from equal weight per cell, over both sides.
    exact
        The plan is the cheapest one there is.
    reason
        One sentence: what was computed, and why that.
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

    def __post_init__(self) -> None:
        for array in (self.i, self.j, self.weight):
            array.flags.writeable = False

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw `n` pairs with replacement, in proportion to their weight; returns `(i, j)`, each (n,)."""
        pairs = np.searchsorted(np.cumsum(self.weight), rng.random(n) * self.weight.sum(), side="right")
        pairs = np.minimum(pairs, len(self.weight) - 1)
        return self.i[pairs], self.j[pairs]

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
        }


def independent(x0: np.ndarray, x1: np.ndarray, *, seed: int = 0) -> Coupling:
    """Couple every cell with every other at random, without regard to distance.

    The plan itself has n0 × n1 pairs; it is held as one random pairing of repeated cells, in which every cell
    appears equally often.
    """
    n0, n1 = len(x0), len(x1)
    rng = np.random.default_rng(seed)
    copies = max(4, int(np.ceil(4096 / max(n0, n1))))
    i, mass0 = _tiled(n0, n1, copies)
    j, mass1 = _tiled(n1, n0, copies)
    i, j, mass = _align((rng.permutation(i), mass0), (rng.permutation(j), mass1))
    reason = "every cell is paired at random with cells of the next time; distances play no role"
    return _coupling(x0, x1, (i, j, mass), name="independent", exact=False, reason=reason)


def exact(x0: np.ndarray, x1: np.ndarray, *, seed: int = 0) -> Coupling:
    """Couple two snapshots by the plan of least total squared distance.

    Raises
    ------
    CouplingError
        The plan would not fit in memory, or the solver did not converge.

    References
    ----------
    Bonneel et al., Displacement interpolation using Lagrangian mass transport, SIGGRAPH Asia 2011.
    """
    n0, n1 = len(x0), len(x1)
    if 24 * n0 * n1 > EXACT_MEMORY:
        raise CouplingError(
            f"An exact pairing of {n0:,} with {n1:,} cells needs {24e-9 * n0 * n1:.0f} GB of memory; "
            f'{EXACT_MEMORY / 1e9:.0f} GB are allowed. Choose the pairing "bisection" or "auto".'
        )
    common = np.gcd(n0, n1)
    plan = _solve(np.full(n0, n1 // common), np.full(n1, n0 // common), cdist(x0, x1, "sqeuclidean"))
    i, j = np.nonzero(np.rint(plan))
    reason = f"the cheapest plan there is, for {n0:,} × {n1:,} cells"
    return _coupling(x0, x1, (i, j, np.rint(plan[i, j])), name="exact", exact=True, reason=reason)


def fast(x0: np.ndarray, x1: np.ndarray, *, seed: int = 0) -> Coupling:
    """Couple two large snapshots at nearly the least total squared distance, in close to linear time.

    States of more than 15 dimensions are paired on the 15 leading principal components of the two snapshots
    together; the reason says which share of the variance these hold.

    References
    ----------
    See `dynamics.bisection.pair`.
    """
    z0, z1, note = _leading(x0, x1)
    rng = np.random.default_rng(seed)
    pairs = bisection.pair(z0, z1, solve=_solve, rounds=ROUNDS, rng=rng)
    reason = f"{len(x0):,} × {len(x1):,} cells: near-exact pairing by bisection and local improvement{note}"
    return _coupling(x0, x1, pairs, name="bisection", exact=False, reason=reason)


def automatic(x0: np.ndarray, x1: np.ndarray, *, seed: int = 0) -> Coupling:
    """Couple exactly where that takes a moment, else by bisection."""
    return (exact if len(x0) * len(x1) <= EXACT_ENTRIES else fast)(x0, x1, seed=seed)


COUPLINGS: dict[str, Callable[..., Coupling]] = {
    "auto": automatic,
    "exact": exact,
    "bisection": fast,
    "independent": independent,
}


def couple(x0: np.ndarray, x1: np.ndarray, *, name: str = "auto", seed: int = 0) -> Coupling:
    """Couple two snapshots.

    Parameters
    ----------
    x0, x1 : (n0, dim), (n1, dim)
        States at the earlier and the later time.
    name
        One of `COUPLINGS`.

    Raises
    ------
    SettingsError
        Unknown name.
    CouplingError
        Empty snapshots, other widths, values that are not finite, or no convergence.
    """
    if name not in COUPLINGS:
        raise SettingsError(f"Unknown pairing {name!r}. Known: {', '.join(COUPLINGS)}.")
    x0, x1 = np.asarray(x0, np.float64), np.asarray(x1, np.float64)
    if x0.ndim != 2 or x1.ndim != 2 or x0.shape[1] != x1.shape[1] or 0 in (*x0.shape, *x1.shape):
        raise CouplingError(
            f"Snapshots of shapes {x0.shape} and {x1.shape} cannot be paired: both need cells of one width."
        )
    bad = int((~np.isfinite(x0)).any(axis=1).sum() + (~np.isfinite(x1)).any(axis=1).sum())
    if bad:
        raise CouplingError(
            f"{bad:,} of {len(x0) + len(x1):,} cells have missing or infinite values. Remove them first."
        )
    return COUPLINGS[name](x0, x1, seed=seed)


def _solve(a: np.ndarray, b: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Solve one transport problem with whole masses of equal sum; the plan is whole too."""
    if len(a) == 1 or len(b) == 1:
        return a[:, None] * b[None] / a.sum()
    with warnings.catch_warnings():  # what POT warns of is checked below
        warnings.simplefilter("ignore")
        plan, log = ot.emd(
            a.astype(np.float64),
            b.astype(np.float64),
            cost,
            MAX_ITERATIONS,
            log=True,
            center_dual=False,
            check_marginals=False,
        )
    if log["result_code"] != 1:
        raise CouplingError(
            f"The exact pairing of {len(a):,} with {len(b):,} cells did not converge in {MAX_ITERATIONS:,} "
            'steps. Choose the pairing "bisection".'
        )
    return plan


def _coupling(
    x0: np.ndarray,
    x1: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    name: str,
    exact: bool,
    reason: str,
) -> Coupling:
    """Put pairs with whole masses in order, check their marginals and price them."""
    i, j, mass = pairs
    order = np.lexsort((j, i))
    i, j, weight = (
        i[order].astype(np.int64),
        j[order].astype(np.int64),
        mass[order] / np.sum(mass, dtype=float),
    )
    error = sum(
        float(np.abs(np.bincount(rows, weight, minlength=n) - 1 / n).sum())
        for rows, n in ((i, len(x0)), (j, len(x1)))
    )
    if error > MARGINAL_TOLERANCE:
        raise CouplingError(
            f'The pairing "{name}" left {error:.1e} of the cells\' weight unpaired (allowed: '
            f"{MARGINAL_TOLERANCE:.0e}). Try another pairing; extreme outliers can cause this."
        )
    cost = float(weight @ np.square(x0[i] - x1[j]).sum(axis=1))
    return Coupling(i, j, weight, (len(x0), len(x1)), cost, error, exact, name, reason)


def _leading(x0: np.ndarray, x1: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Both snapshots on the leading principal components of the two together, and a note that says so."""
    if x0.shape[1] <= PAIRING_DIMS:
        return x0, x1, ""
    both = np.concatenate([x0, x1])
    values, vectors = np.linalg.eigh(np.cov(both.T))
    axes = vectors[:, : -PAIRING_DIMS - 1 : -1]
    share = values[-PAIRING_DIMS:].sum() / max(values.sum(), np.finfo(float).tiny)
    centre = both.mean(axis=0)
    return (
        (x0 - centre) @ axes,
        (x1 - centre) @ axes,
        f", on {PAIRING_DIMS} components with {share:.0%} of the variance",
    )


def _tiled(n: int, other: int, copies: int) -> tuple[np.ndarray, np.ndarray]:
    """`copies` pieces of every one of `n` cells, with the whole mass of each piece."""
    return np.tile(np.arange(n), copies), np.full(n * copies, other // np.gcd(n, other))


def _align(
    side0: tuple[np.ndarray, np.ndarray], side1: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair two rows of pieces of equal total mass in the order in which they stand."""
    ends0, ends1 = np.cumsum(side0[1]), np.cumsum(side1[1])
    ends = np.union1d(ends0, ends1)
    mass = np.diff(ends, prepend=0)
    return side0[0][np.searchsorted(ends0, ends)], side1[0][np.searchsorted(ends1, ends)], mass
