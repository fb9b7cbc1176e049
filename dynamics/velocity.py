"""Ask a velocity field for the velocities of many cells at once."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from dynamics.errors import ModelError

if TYPE_CHECKING:
    from dynamics.field import VelocityField

CHUNK = 65_536
LARGEST = 1e18
"""Velocities from here on are beyond all measure: their squares are near the end of float32."""


def evaluate(
    field: "VelocityField", t: float | np.ndarray, x: np.ndarray, *, measured: bool = True
) -> np.ndarray:
    """Return the velocity of each cell.

    Parameters
    ----------
    t : scalar or (n,)
        One time for all cells, or the time of each, in the data's unit.
    x : (n, dim)
        States in the data's own coordinates.
    measured
        The states are those of measured cells, where every model must give numbers.

    Returns
    -------
    (n, dim) float32, in those coordinates per unit of time.

    Raises
    ------
    ModelError
        The states are not as wide as the field, or the velocities of measured cells are no numbers.
    """
    x = np.ascontiguousarray(x, dtype=np.float32)
    check_width(field, x)
    velocity = _at(field, float(t), x) if np.ndim(t) == 0 else _at_own_times(field, t, x)
    if measured:
        check_finite(velocity)
    return velocity


def sound(velocity: np.ndarray) -> np.ndarray:
    """Tell whose velocities are numbers that can be reckoned with, (n,)."""
    return (np.abs(velocity) < LARGEST).all(axis=-1)


def check_finite(velocity: np.ndarray) -> None:
    """Refuse velocities that are no numbers; raises ModelError with how many cells have such."""
    bad = int((~sound(velocity)).sum())
    if bad:
        raise ModelError(
            f"The model gives {bad:,} of {len(velocity):,} cells a velocity that is no number or beyond all "
            "measure, so nothing can be told from it. Train again with a smaller learning rate, or open "
            "another model."
        )


def _at_own_times(field: "VelocityField", t: np.ndarray, x: np.ndarray) -> np.ndarray:
    values, group = np.unique(np.asarray(t, dtype=np.float64), return_inverse=True)
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group[order], np.arange(len(values) + 1))
    velocity = np.empty_like(x)
    for value, first, last in zip(values, edges[:-1], edges[1:], strict=True):
        rows = order[first:last]
        velocity[rows] = _at(field, float(value), x[rows])
    return velocity


def check_width(field: "VelocityField", x: np.ndarray) -> None:
    """Refuse states that the field was not made for; raises ModelError with both widths."""
    if x.ndim != 2 or x.shape[1] != field.dim:
        raise ModelError(
            f"The model describes motion in {field.dim} dimensions, and the states have shape {x.shape}. "
            f"Use the first {field.dim} dimensions of the representation that the model was trained on."
        )


def _at(field: "VelocityField", t: float, x: np.ndarray) -> np.ndarray:
    velocity = np.empty_like(x)
    with torch.no_grad():
        for first in range(0, len(x), CHUNK):
            part = torch.from_numpy(x[first : first + CHUNK].copy())
            velocity[first : first + CHUNK] = field(t, part).numpy()
    return velocity
