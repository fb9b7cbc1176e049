"""States in which a cell would stay: the fixed points of a field at one time, and what kind each is."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dynamics.disagreement import SLOW
from dynamics.ensemble import members_of
from dynamics.jacobian import jacobians
from dynamics.neighbours import nearest, nearest_among
from dynamics.velocity import evaluate

if TYPE_CHECKING:
    from dynamics.field import VelocityField

SEEDS = 40
STEPS = 40
LONGEST = 0.25
"""A step of the search is at most this share of the spread of the states."""
STUCK = 1e4
"""A search ends where its damping has grown beyond this."""
STILL = 1e-3
"""A state is a fixed point where its speed is below this share of the cells' median speed."""
SAME = 0.05
"""Fixed points nearer to each other than this share of the spread of the states are one."""
FAR = 3.0
"""A fixed point further from the nearest cell than so many usual spacings of cells is off the data."""
RESTING = 1e-6
"""An eigenvalue below this share of the largest neither grows nor falls."""
NAMES = ("stable", "saddle", "unstable")


@dataclass(frozen=True, eq=False)
class FixedPoints:
    """Fixed points of a field at one time that lie among measured cells, the stable ones first.

    Attributes
    ----------
    states : (k, dim) float32
    kind : (k,) of str
        "stable": all directions fall back to it; "unstable": none does; "saddle": some do.
    fastest : (k,) float64
        Largest real part of an eigenvalue, per unit of time.
    n_unstable : (k,) int64
        Directions that lead away.
    distance : (k,) float64
        To the nearest cell, in usual spacings of cells.
    agreed : (k,) float64
        Share of the other members of the ensemble that also have a fixed point of this kind nearby; NaN where
        there is no ensemble.
    time : float
    n_off : int
        Fixed points that were found away from all cells and left out.
    """

    states: np.ndarray = field(repr=False)
    kind: np.ndarray
    fastest: np.ndarray
    n_unstable: np.ndarray
    distance: np.ndarray
    agreed: np.ndarray
    time: float
    n_off: int


def fixed_points(
    velocity: "VelocityField", t: float, cells: np.ndarray, *, n_seeds: int = SEEDS
) -> FixedPoints:
    """Look for fixed points at one time, from the cells that move least.

    Damped Gauss–Newton steps (Levenberg–Marquardt) on the speed; a point counts where its speed falls below a
    thousandth of the cells' median speed, and where cells were measured.

    Parameters
    ----------
    t
        In the data's unit. A field that changes in time has fixed points of the moment only.
    cells : (n, dim)
        Measured states among which to look.

    References
    ----------
    Moré, The Levenberg-Marquardt algorithm: implementation and theory, 1978; Strogatz, Nonlinear Dynamics and
    Chaos, 2nd ed. 2015 (kinds of fixed points).
    """
    cells = np.ascontiguousarray(cells, np.float32)
    own, n_off = _of_one(velocity, t, cells, n_seeds)
    others = [_of_one(member, t, cells, n_seeds)[0] for member in members_of(velocity)[1:]]
    values = np.linalg.eigvals(jacobians(velocity, t, own).astype(np.float64))
    unstable, kind = kinds(values)
    spread = _spread(cells)
    agreed = [
        np.mean(
            [
                _has(member, other, t, (own[k], kind[k]), spread)
                for member, other in others_of(velocity, others)
            ]
        )
        if others
        else np.nan
        for k in range(len(own))
    ]
    order = np.lexsort((values.real.max(axis=1, initial=-np.inf), unstable))
    return FixedPoints(
        own[order],
        kind[order],
        values.real.max(axis=1, initial=-np.inf)[order],
        unstable[order],
        _distance(cells, own)[order],
        np.array(agreed, np.float64)[order],
        float(t),
        n_off,
    )


def others_of(velocity: "VelocityField", found: list[np.ndarray]) -> list[tuple["VelocityField", np.ndarray]]:
    """Pair the other members of an ensemble with what was found for each."""
    return list(zip(members_of(velocity)[1:], found, strict=True))


def kinds(eigenvalues: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many directions lead away and the kind, (k,) each, from eigenvalues, (k, dim)."""
    real = eigenvalues.real
    size = np.abs(eigenvalues).max(axis=1, initial=0, keepdims=True)
    unstable = (real > RESTING * size).sum(axis=1)
    which = np.where(unstable == 0, 0, np.where(unstable == real.shape[1], 2, 1))
    return unstable, np.array(NAMES)[which]


def _of_one(velocity: "VelocityField", t: float, cells: np.ndarray, n_seeds: int) -> tuple[np.ndarray, int]:
    """Return fixed points among the cells, (k, dim), and how many lie off them."""
    speed = np.linalg.norm(evaluate(velocity, t, cells), axis=1)
    usual, spread = float(np.median(speed)), _spread(cells)
    if not (usual > 0 and spread > 0):
        return np.empty((0, velocity.dim), np.float32), 0
    seeds = cells[_slow_and_apart(cells, speed, n_seeds)]
    x = _descended(velocity, t, seeds, longest=LONGEST * spread)
    still = np.linalg.norm(evaluate(velocity, t, x, measured=False), axis=1) < STILL * usual
    found = _distinct(x[still], SAME * spread)
    near = _distance(cells, found) <= FAR
    return found[near], int((~near).sum())


def _slow_and_apart(cells: np.ndarray, speed: np.ndarray, n_seeds: int) -> np.ndarray:
    """Pick seeds: half the slowest cells, half spread over all, each (rows,)."""
    slow = np.argsort(speed, kind="stable")[: max(n_seeds, int(SLOW * len(cells)))]
    some = slow[np.unique(np.linspace(0, len(slow) - 1, n_seeds // 2).astype(int))]
    even = np.unique(np.linspace(0, len(cells) - 1, n_seeds // 2).astype(int))
    return np.unique(np.concatenate([some, even]))


def _descended(velocity: "VelocityField", t: float, x: np.ndarray, *, longest: float) -> np.ndarray:
    """Take damped Gauss–Newton steps from each seed towards a speed of zero; those that are stuck stop."""
    x, damping = x.astype(np.float32), np.full(len(x), 1e-3)
    v = evaluate(velocity, t, x).astype(np.float64)
    enough = STILL * float(np.median(np.linalg.norm(v, axis=1))) / 100
    for _ in range(STEPS):
        going = np.flatnonzero((damping < STUCK) & (np.linalg.norm(v, axis=1) > enough))
        if not len(going):
            break
        step = _step(jacobians(velocity, t, x[going]), v[going], damping[going], longest=longest)
        ahead = (x[going] + step).astype(np.float32)
        then = evaluate(velocity, t, ahead, measured=False).astype(np.float64)
        better = np.linalg.norm(then, axis=1) < np.linalg.norm(v[going], axis=1)
        x[going[better]], v[going[better]] = ahead[better], then[better]
        damping[going] = np.where(better, damping[going] / 3, damping[going] * 4)
    return x


def _step(slope: np.ndarray, v: np.ndarray, damping: np.ndarray, *, longest: float) -> np.ndarray:
    """One damped step for each point, none longer than `longest`."""
    slope = slope.astype(np.float64)
    square = slope.transpose(0, 2, 1) @ slope
    size = np.trace(square, axis1=1, axis2=2)[:, None, None] / v.shape[1]
    damped = square + (damping[:, None, None] * size + np.finfo(float).tiny) * np.eye(v.shape[1])
    step = -np.linalg.solve(damped, slope.transpose(0, 2, 1) @ v[..., None])[..., 0]
    return step * (longest / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), longest))


def _distinct(points: np.ndarray, apart: float) -> np.ndarray:
    kept: list[np.ndarray] = []
    for point in points:
        if all(np.linalg.norm(point - other) > apart for other in kept):
            kept.append(point)
    return np.array(kept, np.float32).reshape(len(kept), points.shape[1])


def _distance(cells: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance of points to the nearest cell, in usual spacings of the cells."""
    if not len(points):
        return np.empty(0)
    spacing = float(np.median(nearest(cells, 2).distances[:, 1]))
    return nearest_among(cells, points, 1)[1][:, 0] / max(spacing, np.finfo(float).tiny)


def _has(
    member: "VelocityField",
    found: np.ndarray,
    t: float,
    point: tuple[np.ndarray, str],
    spread: float,
) -> bool:
    """Tell whether a member has a fixed point of the same kind within a fifth of the spread of the states."""
    if not len(found):
        return False
    _, kind = kinds(np.linalg.eigvals(jacobians(member, t, found).astype(np.float64)))
    return bool(((np.linalg.norm(found - point[0], axis=1) < LONGEST * spread) & (kind == point[1])).any())


def _spread(cells: np.ndarray) -> float:
    return float(np.sqrt(cells.var(axis=0, dtype=np.float64).sum()))
