"""How far apart two clouds of cells are: transport distances, and the maximum mean discrepancy.

Clouds are (n, dim) arrays in the same coordinates; weights, where given, are positive shares of any sum and
are normalised to 1. All distances are 0 between equal clouds and symmetric.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import ot
from scipy.spatial.distance import cdist, pdist

from dynamics.errors import DataError

MAX_ITERATIONS = 50_000_000
MEMORY = 4e9
"""Bytes that the distances between two clouds may take."""
MEDIAN_CELLS = 2_000
"""Cells, evenly spaced over both clouds, from which the median distance is taken."""


def w1(x: np.ndarray, y: np.ndarray, *, a: np.ndarray | None = None, b: np.ndarray | None = None) -> float:
    """Least mean distance that cells must move to turn one cloud into the other, in state units.

    Parameters
    ----------
    x, y : (n, dim), (m, dim)
        States.
    a, b : (n,), (m,)
        Weights of the cells; equal by default.

    Raises
    ------
    DataError
        Empty clouds, other widths, values that are not finite, weights that do not fit, or too many cells.

    References
    ----------
    Peyré and Cuturi, Computational optimal transport, 2019, eq. 2.16 (p = 1); exact, by network simplex.
    """
    return _transported(x, y, weights=(a, b), metric="euclidean")


def w2(x: np.ndarray, y: np.ndarray, *, a: np.ndarray | None = None, b: np.ndarray | None = None) -> float:
    """Root of the least mean squared distance that turns one cloud into the other, in state units.

    Parameters, errors and reference as for `w1` (p = 2).
    """
    return float(np.sqrt(_transported(x, y, weights=(a, b), metric="sqeuclidean")))


def transport_costs(x: np.ndarray, y: np.ndarray, *, a: np.ndarray | None = None) -> np.ndarray:
    """Mean distance that the cheapest plan moves cells of `x` to bring them onto each cell of `y`, (m,).

    The mean over `y` is `w1`, so each cell of `y` is told its part in it. Parameters, errors and reference as
    for `w1`; in state units.
    """
    x, y, a, b = _checked(x, y, (a, None))
    cost = cdist(x, y)
    if len(x) == 1:
        return cost[0]
    with warnings.catch_warnings():  # what POT warns of is checked below
        warnings.simplefilter("ignore")
        plan, log = ot.emd(a, b, cost, numItermax=MAX_ITERATIONS, log=True, center_dual=False)
    _check_solved(log, x, y)
    return (plan * cost).sum(axis=0) / b


def mmd(
    x: np.ndarray,
    y: np.ndarray,
    *,
    a: np.ndarray | None = None,
    b: np.ndarray | None = None,
    bandwidth: float | None = None,
) -> float:
    """Maximum mean discrepancy between two clouds under a Gaussian kernel, from 0 to about 1.4; no unit.

    The kernel is exp(−d²/2h²). All pairs enter the means, a cell with itself too (the V-statistic), so that
    the value is never negative, and 0 only between equal clouds.

    Parameters
    ----------
    x, y, a, b
        As for `w1`.
    bandwidth
        Width h of the kernel, in state units; by default the median distance between cells of both clouds
        together. Give one where several clouds are compared with the same one.

    References
    ----------
    Gretton et al., A kernel two-sample test, JMLR 2012, eq. 5, and section 8 for the median.
    """
    x, y, a, b = _checked(x, y, (a, b))
    h = median_distance(x, y) if bandwidth is None else bandwidth
    if not h > 0:
        return 0.0  # there is but one state
    total = 0.0
    for u, v, p, q, sign in ((x, x, a, a, 1), (y, y, b, b, 1), (x, y, a, b, -2)):
        total += sign * float(p @ np.exp(-cdist(u, v, "sqeuclidean") / (2 * h**2)) @ q)
    return float(np.sqrt(max(total, 0.0)))


def median_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Median distance between different cells of two clouds together, in state units; 0 if there are none.

    It is taken from an even choice of 2,000 cells.
    """
    both = np.concatenate([np.asarray(x, np.float64), np.asarray(y, np.float64)])
    rows = np.unique(np.linspace(0, len(both) - 1, min(len(both), MEDIAN_CELLS)).astype(int))
    apart = pdist(both[rows])
    return float(np.median(apart[apart > 0])) if (apart > 0).any() else 0.0


def _transported(
    x: np.ndarray,
    y: np.ndarray,
    *,
    weights: tuple[np.ndarray | None, np.ndarray | None],
    metric: str,
) -> float:
    """Cost of the cheapest plan."""
    x, y, a, b = _checked(x, y, weights)
    cost = cdist(x, y, metric)
    if len(x) == 1 or len(y) == 1:
        return float(a @ cost @ b)
    with warnings.catch_warnings():  # what POT warns of is checked below
        warnings.simplefilter("ignore")
        value, log = ot.emd2(a, b, cost, numItermax=MAX_ITERATIONS, log=True, center_dual=False)
    _check_solved(log, x, y)
    return float(max(value, 0.0))


def _check_solved(log: Mapping[str, Any], x: np.ndarray, y: np.ndarray) -> None:
    if log["result_code"] != 1:
        raise DataError(
            f"The distance between {len(x):,} and {len(y):,} cells was not found in "
            f"{MAX_ITERATIONS:,} steps. Compare fewer cells."
        )


def _checked(
    x: np.ndarray, y: np.ndarray, weights: tuple[np.ndarray | None, np.ndarray | None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or 0 in (*x.shape, *y.shape):
        raise DataError(
            f"Clouds of shapes {x.shape} and {y.shape} cannot be compared: both need cells of one width."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError(
            "Clouds with missing or infinite values cannot be compared. Remove these cells first."
        )
    if 8 * len(x) * len(y) > MEMORY:
        raise DataError(
            f"The distances between {len(x):,} and {len(y):,} cells need {8e-9 * len(x) * len(y):.0f} GB of "
            f"memory; {MEMORY / 1e9:.0f} GB are allowed. Compare fewer cells."
        )
    return x, y, _normalised(weights[0], len(x)), _normalised(weights[1], len(y))


def _normalised(weight: np.ndarray | None, n: int) -> np.ndarray:
    if weight is None:
        return np.full(n, 1 / n)
    weight = np.asarray(weight, np.float64)
    if weight.shape != (n,) or not np.isfinite(weight).all() or (weight < 0).any() or not weight.sum() > 0:
        raise DataError(
            f"The weights of {n:,} cells must be {n:,} finite numbers of at least 0, not all 0; "
            f"found an array of shape {weight.shape}."
        )
    return weight / weight.sum()
