"""How the velocity of a cell changes with its state: the Jacobian of a field, and what is read off it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from dynamics.errors import DataError, Stopped
from dynamics.field import Progress, no_progress
from dynamics.velocity import check_width

if TYPE_CHECKING:
    from dynamics.basis import StateBasis
    from dynamics.field import VelocityField

CHUNK = 512
"""Cells whose Jacobians are worked out at once."""


@dataclass(frozen=True, eq=False)
class Stability:
    """How a field spreads or gathers cells that are close together, at each cell.

    Attributes
    ----------
    divergence : (n,) float64
        Rate at which a small cloud of cells around the cell grows in volume, per unit of time; negative where
        it is drawn together. The trace of the Jacobian.
    fastest : (n,) float64
        Rate at which the direction that grows fastest grows, per unit of time: the largest real part of an
        eigenvalue. Positive where neighbouring cells part.
    turning : (n,) float64
        Largest imaginary part of an eigenvalue, in radians per unit of time: cells circle each other.
    """

    divergence: np.ndarray = field(repr=False)
    fastest: np.ndarray = field(repr=False)
    turning: np.ndarray = field(repr=False)


def jacobians(velocity: "VelocityField", t: float | np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return ∂v_i/∂x_j at each cell, (n, dim, dim) float32, per unit of time.

    Parameters
    ----------
    t : scalar or (n,)
        One time for all cells, or the time of each, in the data's unit.
    states : (n, dim)
        In the data's coordinates.

    Raises
    ------
    ModelError
        The states are not as wide as the field.
    """
    states = np.ascontiguousarray(states, np.float32)
    found = np.empty((len(states), velocity.dim, velocity.dim), np.float32)
    for rows, part in _in_chunks(velocity, t, states):
        found[rows] = part
    return found


def mean_jacobian(
    velocity: "VelocityField",
    times: float | np.ndarray,
    states: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    progress: Progress = no_progress,
) -> np.ndarray:
    """Return the mean over cells of ∂v_i/∂x_j, (dim, dim) float64, without keeping that of each cell.

    Parameters
    ----------
    weights : (n,) or (k, n)
        How much each cell counts; all alike by default. With k rows k means are returned, (k, dim, dim).

    Raises
    ------
    DataError
        There are no cells, or no weight.
    Stopped
        `progress` returned False.
    """
    states = np.ascontiguousarray(states, np.float32)
    weight = np.ones(len(states)) if weights is None else np.asarray(weights, np.float64)
    if not (len(states) and (weight.sum(axis=-1) > 0).all()):
        raise DataError("There are no cells to average the Jacobian over. Choose cells that were measured.")
    total = np.zeros((*weight.shape[:-1], velocity.dim, velocity.dim))
    for rows, part in _in_chunks(velocity, times, states):
        total += np.tensordot(weight[..., rows], part.astype(np.float64), axes=1)
        if not progress(rows.stop / len(states), "Working out the Jacobian"):
            raise Stopped
    return total / weight.sum(axis=-1)[..., None, None]


def stability(velocity: "VelocityField", t: float | np.ndarray, states: np.ndarray) -> Stability:
    """Tell at each cell whether the field draws cells together or apart; parameters as for `jacobians`."""
    states = np.ascontiguousarray(states, np.float32)
    divergence, fastest, turning = (np.empty(len(states)) for _ in range(3))
    for rows, part in _in_chunks(velocity, t, states):
        part = part.astype(np.float64)
        values = np.linalg.eigvals(part)
        divergence[rows] = np.trace(part, axis1=1, axis2=2)
        fastest[rows] = values.real.max(axis=1)
        turning[rows] = values.imag.max(axis=1)
    return Stability(divergence, fastest, turning)


def divergence(velocity: "VelocityField", t: float | np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return the trace of the Jacobian at each cell, (n,) float64; parameters as for `jacobians`."""
    found = np.empty(len(states))
    for rows, part in _in_chunks(velocity, t, np.ascontiguousarray(states, np.float32)):
        found[rows] = np.trace(part.astype(np.float64), axis1=1, axis2=2)
    return found


def gene_map(basis: "StateBasis", columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how states follow from genes, (n_genes, dim), and chosen genes from states, (dim, m).

    A gene that rises moves the state as the representation would: by the least-squares inverse of the
    loadings, which for principal components are the loadings themselves.
    """
    loadings = basis.loadings.astype(np.float64)
    return np.linalg.pinv(loadings), loadings[:, columns]


def to_genes(jacobian: np.ndarray, basis: "StateBasis", columns: np.ndarray) -> np.ndarray:
    """Map Jacobians of states, (..., dim, dim), to genes: [i, j] is d(dg_i/dt)/dg_j, (..., m, m).

    Parameters
    ----------
    columns : (m,)
        The genes, as columns of the basis.
    """
    into_states, out = gene_map(basis, columns)
    return out.T @ jacobian @ into_states[columns].T


def _in_chunks(
    velocity: "VelocityField", t: float | np.ndarray, states: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Give rows and their Jacobians, (c, dim, dim), a chunk at a time.

    Reverse mode, one pass for each dimension over a whole chunk of cells, each of which depends on its own
    state only.
    """
    check_width(velocity, states)
    times = None if np.ndim(t) == 0 else np.asarray(t, np.float64)
    each = torch.eye(velocity.dim)
    for first in range(0, len(states), CHUNK):
        rows = slice(first, min(first + CHUNK, len(states)))
        at = float(t) if times is None else torch.from_numpy(times[rows].copy())
        x = torch.from_numpy(states[rows].copy())
        with torch.no_grad():
            _, pull = torch.func.vjp(lambda row, at=at: velocity(at, row), x)
            seeds = each[:, None].expand(-1, len(x), -1)
            (found,) = torch.func.vmap(pull)(seeds)
        yield rows, found.permute(1, 0, 2).detach().numpy()
