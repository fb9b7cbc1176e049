"""How strictly growth must be equal: the relaxation of a pairing, chosen from the data by one rule."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from dynamics.transport_plans import Sides, check_converged, gibbs, mean_square, solve, some

KNEE_GRID = 10 ** np.arange(-1.0, 2.6, 0.25)
KNEE_CELLS, KNEE_INTERVALS, KNEE_REG, KNEE_TOLERANCE = 400, 8, 0.05, 1e-3
FLAT = 0.05
"""A curve is flat where it rises by less than this power of the abscissa."""
DECADE = 10.0


@dataclass(frozen=True, eq=False)
class Knee:
    """The relaxation at the knee of the cost, and the curve that it was read from.

    Attributes
    ----------
    reg_m
        In units of the mean squared distance between neighbouring times.
    grid, cost : (m,)
        Relaxations, and the cost of the plan relative to that of the strictest one, averaged over intervals.
    """

    reg_m: float
    grid: np.ndarray
    cost: np.ndarray


def knee(clouds: Sequence[tuple[np.ndarray, np.ndarray]], *, seed: int = 0) -> Knee:
    """Choose how strictly cells keep to equal growth: where movement hardly depends on the choice.

    Where populations lie apart, the cost of movement has a plateau: growth differs between populations, not
    between neighbouring cells. The middle of the first plateau is taken, and half a decade beyond its begin
    where it is longer than a decade. Up to 8 intervals and 400 cells of each time are looked at.
    """
    some = np.unique(np.linspace(0, len(clouds) - 1, KNEE_INTERVALS).astype(int))
    curves = [_costs(*(x[_few(len(x), seed)] for x in clouds[k])) for k in some]
    cost = np.mean([curve / max(curve[-1], np.finfo(float).tiny) for curve in curves], axis=0)
    grid = KNEE_GRID
    steps = np.diff(np.log(np.maximum(cost, np.finfo(float).tiny))) / np.diff(np.log(grid))
    flat = np.append(steps <= FLAT, True)
    first = int(np.argmax(flat))
    steep = np.flatnonzero(~flat[first:])
    last = first + int(steep[0]) if len(steep) else len(grid) - 1
    return Knee(float(grid[first] * np.sqrt(min(grid[last] / grid[first], DECADE))), grid, cost)


def _few(n: int, seed: int) -> np.ndarray:
    return some(n, min(KNEE_CELLS / n, 1.0), seed)


def _costs(x0: np.ndarray, x1: np.ndarray) -> np.ndarray:
    """Cost of the plan with relaxed rows at every relaxation of the grid, (m,)."""
    cost, unit = cdist(x0, x1, "sqeuclidean"), mean_square(x0, x1)
    reg = KNEE_REG * mean_square(x0, x1, centred=True)
    a, b = np.full(len(x0), 1 / len(x0)), np.full(len(x1), 1 / len(x1))
    found, costs = None, []
    for relaxation in KNEE_GRID[::-1]:
        sides = Sides(a, b, row_relaxation=relaxation * unit)
        found = solve(cost, sides, reg=reg, start=found, tolerance=KNEE_TOLERANCE)
        check_converged(found, KNEE_TOLERANCE, unit=reg / KNEE_REG)
        plan = gibbs(cost, found.f, found.g, reg) * (a[:, None] * b)
        costs.append(float((plan * cost).sum() / plan.sum()))
    return np.array(costs[::-1])
