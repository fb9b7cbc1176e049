"""Follow cells with chance: many possible paths from one state, forward or backward in time."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch

from dynamics.errors import IntegrationError, ModelError, Stopped
from dynamics.field import Progress, no_progress
from dynamics.following import (
    SECONDS,
    Watch,
    alive,
    box_around,
    check_steps,
    checked,
    described,
    grid_between,
    measured_span,
    smooth_between,
)
from dynamics.trajectories import Trajectories

if TYPE_CHECKING:
    from dynamics.projection import Placement

STEPS_PER_INTERVAL = 20
"""Steps between two neighbouring snapshot times."""

CHUNK = 8_192
"""Cells that are followed at once; each group has a stream of random numbers of its own."""

JUST_INSIDE = 1e-6
"""Noise and score may jump at measured times, so a step looks at them this share of itself from its ends."""


@runtime_checkable
class StochasticField(Protocol):
    """A velocity field with noise and with the score of where cells are."""

    dim: int

    def __call__(self, t: "float | torch.Tensor", x: "torch.Tensor") -> "torch.Tensor": ...

    def noise(self, t: float) -> np.ndarray:
        """Noise g, (dim,), in state units per square root of the unit of time."""
        ...

    def drifts(self, t: float, x: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """Velocity v and score drift ½ g² ∇log p, each (n, dim), in state units per unit of time."""
        ...


def simulate(
    field: StochasticField,
    x0: np.ndarray,
    times: Sequence[float] | np.ndarray,
    *,
    seed: int,
    substeps: int = STEPS_PER_INTERVAL,
    support: "Placement | None" = None,
    seconds: float = SECONDS,
    unit: str = "",
    progress: Progress = no_progress,
) -> Trajectories:
    """Draw one possible path of each cell; for several paths of a cell give it several times.

    Forward dx = (v + s) dt + g dW, backward in time dx = (−v + s) dt' + g dW, with s = ½ g² ∇log p. At each
    time the cells are distributed as those that follow the velocity alone. Solved by Heun's scheme, whose
    error at the end is of second order in the step as far as there is no chance in it.

    Parameters
    ----------
    x0 : (n, dim)
        States at the first time, in the data's coordinates.
    times : (T,)
        Strictly rising, or strictly falling to follow cells backwards, in the data's unit.
    seed
        The same seed gives the same paths.
    substeps
        Steps from one measured time to the next.
    support
        The measured cells: marks states off the data, gives up those far out, adds places on the map.
    seconds
        Time that the work may take.

    Raises
    ------
    ModelError
        The model has no noise.
    IntegrationError
        The times are not strictly rising or falling, no cell is given, there are too many steps, or the work
        takes longer than `seconds`.
    Stopped
        `progress` returned False.

    References
    ----------
    Tong et al., Simulation-free Schrödinger bridges via score and flow matching, AISTATS 2024, eq. 6–8;
    Kloeden and Platen, Numerical Solution of Stochastic Differential Equations, 1992, section 15.1.
    """
    if not getattr(field, "is_stochastic", isinstance(field, StochasticField)):
        name = getattr(field, "name", type(field).__name__)
        raise ModelError(
            f'The model "{name}" has no noise: each cell has one path. Follow cells without chance, or train '
            "a model with sf2m."
        )
    x0, times = checked(field, x0, times)
    if substeps < 1:
        raise IntegrationError(f"{substeps} steps between measured times: at least 1 is needed.")
    grid = _grid(field, times, substeps)
    box, watch = box_around(x0, support, field), Watch(seconds, len(x0), unit)
    states = np.full((len(times), *x0.shape), np.nan, np.float32)
    states[0] = x0
    known = np.flatnonzero(np.isfinite(x0).all(axis=1))
    for number, first in enumerate(range(0, len(known) if len(times) > 1 else 0, CHUNK)):
        rows = known[first : first + CHUNK]
        rng = np.random.default_rng([seed, number])

        def report(done: float, first: int = first, size: int = len(rows)) -> bool:
            watch(float(grid[round(done * (len(grid) - 1))]))
            return progress((first + done * size) / len(known), f"following {len(known):,} cells with chance")

        found = _walk(field, x0[rows], grid, times, rng=rng, report=report)
        states[:, rows] = np.where(alive(found, box)[:, :, None], found, np.nan)
        watch.done += len(rows)
    step = float(np.abs(np.diff(grid)).max()) if len(times) > 1 else 0.0
    return described(
        states,
        times,
        support=support,
        method="stochastic",
        step=step,
        unit=unit,
        measured=measured_span(field),
    )


def _grid(field: StochasticField, times: np.ndarray, substeps: int) -> np.ndarray:
    """Return the times of all steps; every output time and every measured time is among them."""
    if len(times) < 2:
        return times
    low, high = float(times.min()), float(times.max())
    grid = np.union1d(grid_between(low, high, smooth_between(field, None), steps=substeps), times)
    check_steps(len(grid) - 1, step=(high - low) / (len(grid) - 1))
    return grid if times[-1] > times[0] else grid[::-1].copy()


def _walk(
    field: StochasticField,
    x0: np.ndarray,
    grid: np.ndarray,
    times: np.ndarray,
    *,
    rng: np.random.Generator,
    report: Progress,
) -> np.ndarray:
    """Return the states of some cells at the output times, (T, n, dim)."""
    states = np.empty((len(times), *x0.shape), np.float32)
    states[0], written = x0, 1
    x = torch.from_numpy(x0.copy())
    with torch.no_grad():
        for k, (start, stop) in enumerate(pairwise(grid.tolist())):
            if not report(k / (len(grid) - 1)):
                raise Stopped
            x = _step(field, x, (start, stop), rng)
            if stop == times[written]:
                states[written] = x.numpy()
                written += 1
    return states


def _step(
    field: StochasticField, x: torch.Tensor, span: tuple[float, float], rng: np.random.Generator
) -> torch.Tensor:
    """Make one step of Heun's scheme."""
    start, stop = span
    h, sign = abs(stop - start), 1.0 if stop > start else -1.0
    edge = JUST_INSIDE * (stop - start)

    def drift(t: float, at: torch.Tensor) -> torch.Tensor:
        velocity, score = field.drifts(t, at)
        return sign * velocity + score

    g = torch.from_numpy(np.asarray(field.noise((start + stop) / 2) * np.sqrt(h), np.float32))
    kick = g * torch.from_numpy(rng.standard_normal(tuple(x.shape), np.float32))
    first = drift(start + edge, x)
    second = drift(stop - edge, x + h * first + kick)
    return x + h / 2 * (first + second) + kick
