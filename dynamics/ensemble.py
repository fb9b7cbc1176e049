"""Several fields learned from the same cells: which they are, and how far they agree."""

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from dynamics.velocity import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dynamics.field import VelocityField


NOMINAL = 0.8
"""Share of cases that a band is meant to hold."""


def members_of(field: "VelocityField") -> "tuple[VelocityField, ...]":
    """Return the members of an ensemble, the field itself first; only itself where it is none."""
    return tuple(getattr(field, "members", (field,)))


def consensus(field: "VelocityField", states: np.ndarray, *, times: float | np.ndarray) -> np.ndarray:
    """Return how far the members of an ensemble move each cell alike, (n,) float64.

    |mean of their velocities| / mean of |their velocities|: 1 where all point the same way (and where there
    is one member only), 0 where they cancel, NaN where none moves the cell. Members that point in unrelated
    directions give about 1/√(number of members).

    Parameters
    ----------
    states : (n, dim)
        In the data's coordinates.
    times : scalar or (n,)
        One time for all cells, or that of each, in the data's unit.
    """
    total = np.zeros(np.shape(states), np.float64)
    length = np.zeros(len(states), np.float64)
    for velocity in _velocities(field, states, times):
        total += velocity
        length += np.linalg.norm(velocity, axis=1)
    agreed = np.full(len(states), np.nan)
    np.divide(np.linalg.norm(total, axis=1), length, out=agreed, where=length > 0)
    return np.minimum(agreed, 1.0)


def spread(field: "VelocityField", states: np.ndarray, *, times: float | np.ndarray) -> np.ndarray:
    """Return how far the velocities of an ensemble's members lie apart at each cell, (n,) float64.

    Root mean square over the members of the distance of their velocities from the mean, in state units per
    unit of time; zero where there is one member only. Parameters as for `consensus`.
    """
    velocity = np.stack(list(_velocities(field, states, times)))
    return np.sqrt(np.square(velocity - velocity.mean(axis=0)).sum(axis=2).mean(axis=0))


def band(by_member: np.ndarray, *, widened: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high, (...), between which one more training would come to lie in 8 of 10 cases.

    Parameters
    ----------
    by_member : (members, ...)
        What each of two members or more says; NaN where any does not know gives NaN.
    widened
        Times by which the half-width is multiplied: what held-out times called for.

    References
    ----------
    The prediction interval of a further draw, Student 1908.
    """
    k = len(by_member)
    mean = np.mean(by_member, axis=0)
    half = (
        widened
        * stats.t.ppf((1 + NOMINAL) / 2, k - 1)
        * np.sqrt((1 + 1 / k) * np.var(by_member, axis=0, ddof=1))
    )
    return mean - half, mean + half


def _velocities(
    field: "VelocityField", states: np.ndarray, times: float | np.ndarray
) -> "Iterator[np.ndarray]":
    """Evaluate one member after the other, (n, dim) float64 each."""
    for member in members_of(field):
        yield evaluate(member, times, states).astype(np.float64)
