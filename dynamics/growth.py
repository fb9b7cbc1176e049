"""Growth: weights of cells along their paths, and how a population's size follows from them."""

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from dynamics.errors import DataError, ModelError
from dynamics.integrate import integrate
from dynamics.velocity import CHUNK, check_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynamics.trajectories import Trajectories

STEPS = 10
"""Evaluations of the growth rate between two neighbouring measured times."""
STEPS_IN_ALL = 80
"""The same over the whole span, where the measured times are not known."""
CLOSE = 1e-9
"""A measured time this near to a wanted one, as a share of the span, is taken to be the same."""
MOST_LOG = 80.0
"""Weights are kept within exp(±80), so that sums of them stay finite."""


class GrowthField(Protocol):
    """A velocity field that knows growth: `growth(t, x) -> (n,)`, d log(weight)/dt per unit of time."""

    dim: int

    def __call__(self, t: "float | torch.Tensor", x: "torch.Tensor") -> "torch.Tensor": ...

    def growth(self, t: "float | torch.Tensor", x: "torch.Tensor") -> "torch.Tensor": ...


def has_growth(field: Any) -> bool:
    """Tell whether a field knows how cells multiply and die."""
    return bool(getattr(field, "has_growth", False))


def growth_rate(field: GrowthField, t: float | np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the growth rate of each cell, (n,) float32, per unit of time.

    Parameters
    ----------
    t : scalar or (n,)
        One time for all cells, or the time of each, in the data's unit.
    x : (n, dim)
        States in the data's own coordinates.

    Raises
    ------
    ModelError
        The model knows no growth, or the states are not as wide as the field.
    """
    if not has_growth(field):
        raise ModelError(
            "This model knows no growth: cells neither divide nor die. Train one with growth-cfm."
        )
    x = np.ascontiguousarray(x, dtype=np.float32)
    check_width(field, x)
    times = torch.from_numpy(np.broadcast_to(np.asarray(t, np.float64), len(x)).copy())
    rate = np.empty(len(x), np.float32)
    with torch.no_grad():
        for first in range(0, len(x), CHUNK):
            part = slice(first, first + CHUNK)
            rate[part] = field.growth(times[part], torch.from_numpy(x[part].copy())).numpy()
    return rate


def follow(
    field: GrowthField,
    x0: np.ndarray,
    times: "Sequence[float] | np.ndarray",
    *,
    breaks: "Sequence[float] | None" = None,
    **options: Any,
) -> "Trajectories":
    """Follow cells and their weights: dx/dt = v(t, x), d log(w)/dt = g(t, x), w = 1 at the first time.

    The growth rate is summed by the midpoint rule, so that it is never asked for at a measured time, around
    which it may change fast.

    Parameters
    ----------
    breaks
        Times between which the field is smooth; by default the measured times of the model.
    options
        As in `dynamics.integrate.integrate`.

    References
    ----------
    Sha et al., Reconstructing growth and dynamic trajectories from single-cell transcriptomics data, Nature
    Machine Intelligence 2024 (TIGON), eq. 2.
    """
    times = np.asarray(times, np.float64).ravel()
    if breaks is None:
        breaks = getattr(getattr(field, "axis", None), "values", ())
    edges = _edges(times, np.asarray(breaks, np.float64))
    middles = (edges[1:] + edges[:-1]) / 2
    dense = np.empty(len(edges) + len(middles))
    dense[::2], dense[1::2] = edges, middles
    fine = integrate(field, x0, dense, breaks=breaks, **options)
    log_weight = np.zeros((len(edges), fine.n_cells))
    for k, (t, step) in enumerate(zip(middles, np.diff(edges), strict=True)):
        rate = growth_rate(field, t, fine.states[2 * k + 1])
        log_weight[k + 1] = np.clip(log_weight[k] + step * rate, -MOST_LOG, MOST_LOG)
    at = np.searchsorted(edges, times) if len(times) < 2 or times[1] > times[0] else _falling(edges, times)
    kept = 2 * at
    xy = None if fine.xy is None else fine.xy[kept]
    return replace(
        fine,
        times=times,
        states=fine.states[kept],
        inside=fine.inside[kept],
        xy=xy,
        weights=np.exp(log_weight[at]).astype(np.float32),
    )


def _falling(edges: np.ndarray, times: np.ndarray) -> np.ndarray:
    return len(edges) - 1 - np.searchsorted(edges[::-1], times)


def _edges(times: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Times from the first to the last, in their order, between which growth is taken at the midpoint."""
    low, high = times.min(), times.max()
    if low == high:
        return times[:1]
    per_interval = STEPS
    if len(breaks) < 2:
        breaks, per_interval = np.array([low, high]), STEPS_IN_ALL
    apart = np.abs(breaks[:, None] - times).min(axis=1) > CLOSE * (high - low)
    knots = np.unique(np.concatenate([times, breaks[apart & (breaks > low) & (breaks < high)]]))
    parts = []
    for start, stop in pairwise(knots):
        interval = np.clip(np.searchsorted(breaks, (start + stop) / 2) - 1, 0, len(breaks) - 2)
        share = (stop - start) / (breaks[interval + 1] - breaks[interval])
        parts.append(np.linspace(start, stop, max(1, int(np.ceil(share * per_interval - 1e-9))) + 1)[:-1])
    edges = np.concatenate([*parts, [high]])
    return edges if times[-1] >= times[0] else edges[::-1].copy()


def relative_mass_error(weights: np.ndarray, n_k: int, n_0: int) -> float:
    """Return how far a predicted population is from the size of the measured one, as a share of the latter.

    |Σw − n_k/n_0| / (n_k/n_0)

    Parameters
    ----------
    weights : (n_0,)
        Weights of the cells of the first time, followed to time k from 1/n_0 each.
    n_k, n_0
        Cells measured at time k and at the first time.

    References
    ----------
    Zhang et al., Learning stochastic dynamics from snapshots through regularized unbalanced optimal
    transport, ICLR 2025 (DeepRUOT), relative mass error.
    """
    if not n_k > 0 or not n_0 > 0:
        raise DataError(f"There are {n_k} cells at the time and {n_0} at the first one: both must have some.")
    ratio = n_k / n_0
    return float(abs(np.sum(weights, dtype=np.float64) - ratio) / ratio)
