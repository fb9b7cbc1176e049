"""Follow cells along a velocity field, forward or backward in time.

The default is torchdiffeq's fixed-step fourth-order scheme on a grid of its own, read off in between by cubic
Hermite polynomials: each step's first velocity is kept, so that the outputs cost no further evaluation of the
field. (torchdiffeq's own `interp="cubic"` asks the field once more for every output.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchdiffeq import odeint

from dynamics.errors import IntegrationError, Stopped
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
    from dynamics.field import VelocityField
    from dynamics.projection import Placement

METHODS = ("rk4", "dopri5")

STEPS_PER_INTERVAL = 10
"""Fixed steps between two neighbouring snapshot times."""

CHUNK = 16_384
CHUNK_BYTES = 256 * 2**20


@dataclass(frozen=True)
class _Solver:
    """How to solve: the scheme, the fixed grid, for an adaptive one its tolerances, and the limits."""

    method: str
    grid: np.ndarray
    rtol: float
    max_steps: int
    watch: Watch


class _TooManySteps(Exception):
    """An adaptive solver used up its evaluations."""


def integrate(
    field: "VelocityField",
    x0: np.ndarray,
    times: Sequence[float] | np.ndarray,
    *,
    method: str = "rk4",
    step: float | None = None,
    steps: int = STEPS_PER_INTERVAL,
    breaks: Sequence[float] | None = None,
    support: "Placement | None" = None,
    rtol: float = 1e-5,
    max_steps: int = 1000,
    seconds: float = SECONDS,
    unit: str = "",
    progress: Progress = no_progress,
) -> Trajectories:
    """Predict where cells are at several times, by following a velocity field.

    Parameters
    ----------
    x0 : (n, dim)
        States at the first time, in the data's coordinates.
    times : (T,)
        Strictly rising, or strictly falling to follow cells backwards, in the data's unit. The first is the
        time of `x0`.
    method
        "rk4": fixed steps of fourth order (the 3/8 rule). "dopri5": chooses its steps for the cell that is
        hardest to follow.
    step
        Length of the fixed steps, in the data's unit. By default `steps` steps from one break to the next.
    breaks
        Times between which the field is smooth; by default the snapshot times of the model.
    support
        The measured cells: marks states off the data, gives up those far out, adds places on the map.
    rtol
        Tolerance of "dopri5", relative to the spread of the data.
    max_steps
        Steps that "dopri5" may take for a group of cells; groups that need more are done with fixed steps,
        and this is said in the notes.
    seconds
        Time that the work may take.
    unit
        Name of the unit of time, for messages.

    Raises
    ------
    IntegrationError
        The times are not strictly rising or falling, no cell is given, the method is unknown, more than
        20,000 steps would be needed, or the work takes longer than `seconds`.
    Stopped
        `progress` returned False.

    References
    ----------
    Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, 1993: the 3/8 rule (II.1),
    Dormand and Prince (II.5), Hermite dense output (II.6).
    """
    x0, times = checked(field, x0, times)
    if method not in METHODS:
        raise IntegrationError(f"There is no method “{method}”; choose one of {', '.join(METHODS)}.")
    watch = Watch(seconds, len(x0), unit)
    grid = _grid(field, times, step=step, steps=steps, breaks=breaks)
    solver = _Solver(method, grid, rtol, max_steps, watch)
    box = box_around(x0, support, field)
    states = np.full((len(times), *x0.shape), np.nan, dtype=np.float32)
    states[0] = x0
    known = np.flatnonzero(np.isfinite(x0).all(axis=1))
    fallen: list[int] = []
    if len(times) > 1:
        chunk = _chunk(x0.shape[1], len(solver.grid), len(times))
        for first in range(0, len(known), chunk):
            if not progress(first / max(len(known), 1), f"following {len(known):,} cells"):
                raise Stopped
            rows = known[first : first + chunk]
            states[:, rows] = _followed(field, x0[rows], times, solver=solver, box=box, fallen=fallen)
            watch.done += len(rows)
    notes = _notes(fallen, max_steps)
    fixed = method == "rk4" and len(times) > 1
    step = float(np.abs(np.diff(solver.grid)).max()) if fixed else 0.0
    return described(
        states,
        times,
        support=support,
        method=method,
        step=step,
        unit=unit,
        notes=notes,
        measured=measured_span(field),
    )


def _grid(
    field: "VelocityField",
    times: np.ndarray,
    *,
    step: float | None,
    steps: int,
    breaks: Sequence[float] | None,
) -> np.ndarray:
    """Return the times at which fixed steps begin and end, from the first output time to the last."""
    first, last = float(times[0]), float(times[-1])
    low, high = min(first, last), max(first, last)
    if low == high:
        return times
    if step is None:
        grid = grid_between(low, high, smooth_between(field, breaks), steps=steps)
    else:
        if not step > 0:
            raise IntegrationError(f"The step must be larger than 0; it is {step:g}.")
        check_steps((high - low) / step, step=step)
        grid = np.linspace(low, high, int(np.ceil((high - low) / step * (1 - 1e-12))) + 1)
    check_steps(len(grid) - 1, step=(high - low) / (len(grid) - 1))
    return grid if last > first else grid[::-1].copy()


def _chunk(dim: int, n_grid: int, n_times: int) -> int:
    """Return how many cells to follow at once, so that their steps fit in memory."""
    return int(np.clip(CHUNK_BYTES // (4 * dim * (2 * n_grid + n_times)), 64, CHUNK))


def _followed(
    field: "VelocityField",
    x0: np.ndarray,
    times: np.ndarray,
    *,
    solver: _Solver,
    box: tuple[np.ndarray, np.ndarray],
    fallen: list[int],
) -> np.ndarray:
    """Return the states of some cells, (T, n, dim), NaN from where they were given up.

    Adds to `fallen` the number of cells that adaptive steps failed for; after two groups no more are tried.
    """
    if solver.method == "dopri5" and len(fallen) < 2:
        try:
            return _adaptive(field, x0, times, solver=solver, box=box)
        except (_TooManySteps, AssertionError):  # torchdiffeq asserts that its steps do not vanish
            fallen.append(len(x0))
    elif solver.method == "dopri5":
        fallen.append(len(x0))
    return _fixed(field, x0, times, solver=solver, box=box)


def _notes(fallen: list[int], max_steps: int) -> tuple[str, ...]:
    if not fallen:
        return ()
    return (
        f"{sum(fallen):,} cells could not be followed with adaptive steps (more than {max_steps:,} were "
        "needed, or they became too small); fixed steps were used for them.",
    )


class _Recorder:
    """A velocity field that keeps the state and the velocity at which each fixed step begins."""

    def __init__(self, field: "VelocityField", watch: Watch) -> None:
        self._field, self._watch = field, watch
        self._begins = False
        self.states: list[torch.Tensor] = []
        self.velocities: list[torch.Tensor] = []

    def callback_step(self, t0: torch.Tensor, y0: torch.Tensor, dt: torch.Tensor) -> None:
        self._watch(t0)
        self.states.append(y0)
        self._begins = True

    def __call__(self, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        v = self._field(t, x)
        if self._begins:
            self.velocities.append(v)
            self._begins = False
        return v


def _fixed(
    field: "VelocityField",
    x0: np.ndarray,
    times: np.ndarray,
    *,
    solver: _Solver,
    box: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    recorder, grid = _Recorder(field, solver.watch), solver.grid
    steps = torch.from_numpy(grid)
    with torch.no_grad():
        end = odeint(
            recorder,
            torch.from_numpy(x0),
            steps[[0, -1]],
            method="rk4",
            options={"grid_constructor": lambda func, y0, t: steps},
        )[-1]
        states = torch.stack([*recorder.states, end])
        velocities = torch.stack([*recorder.velocities, field(steps[-1].to(end.dtype), end)])
    known = alive(states.numpy(), box)
    return _dense(times, grid, states.numpy(), velocities=velocities.numpy(), alive=known)


def _dense(
    times: np.ndarray, grid: np.ndarray, states: np.ndarray, *, velocities: np.ndarray, alive: np.ndarray
) -> np.ndarray:
    """Return states at the output times, (T, n, dim), by a cubic between neighbouring grid times."""
    sign = 1.0 if grid[-1] > grid[0] else -1.0
    k = np.clip(np.searchsorted(sign * grid, sign * times, side="right") - 1, 0, len(grid) - 2)
    out = np.empty((len(times), *states.shape[1:]), dtype=np.float32)
    for j, (i, time) in enumerate(zip(k.tolist(), times.tolist(), strict=True)):
        h = float(grid[i + 1] - grid[i])
        s = (time - float(grid[i])) / h
        known = alive[i]
        out[j] = states[i]
        if s > 0:
            known = alive[i + 1] & np.isfinite(velocities[i + 1]).all(axis=1)
            with np.errstate(invalid="ignore", over="ignore"):
                out[j] *= (1 + 2 * s) * (1 - s) ** 2
                out[j] += (s**2 * (3 - 2 * s)) * states[i + 1]
                out[j] += (h * s * (1 - s) ** 2) * velocities[i]
                out[j] += (h * s**2 * (s - 1)) * velocities[i + 1]
        if not known.all():
            out[j, ~known] = np.nan
    return out


def _adaptive(
    field: "VelocityField",
    x0: np.ndarray,
    times: np.ndarray,
    *,
    solver: _Solver,
    box: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    low, high = (torch.from_numpy(np.asarray(side, np.float32)) for side in box)
    left = 7 * solver.max_steps

    def velocity(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        nonlocal left
        solver.watch(t)
        left -= 1
        if left < 0:
            raise _TooManySteps
        within = ((x >= low) & (x <= high)).all(dim=1, keepdim=True)
        return torch.where(within, field(t, x), torch.zeros((), dtype=x.dtype))

    with torch.no_grad():
        states = odeint(
            velocity,
            torch.from_numpy(x0),
            torch.from_numpy(times),
            rtol=solver.rtol,
            atol=solver.rtol * _scale(field, x0, times),
            method="dopri5",
            options={"norm": _worst_cell},
        ).numpy()
    return np.where(alive(states, box)[:, :, None], states, np.nan)


def _worst_cell(error: torch.Tensor) -> torch.Tensor:
    """Return the largest root mean square of any cell: the mean over all would hide the few that go wrong."""
    return error.abs().pow(2).mean(dim=-1).sqrt().max()


def _scale(field: "VelocityField", x0: np.ndarray, times: np.ndarray) -> float:
    """Return a length of the motion: the spread of the cells, or how far they would go."""
    with torch.no_grad():
        v = field(torch.tensor(times[0], dtype=torch.float32), torch.from_numpy(x0)).numpy()
    v = np.nan_to_num(v.astype(np.float64), posinf=0, neginf=0)
    moved = float(np.sqrt(np.mean(v**2))) * abs(times[-1] - times[0])
    return max(float(x0.std(axis=0).mean()), min(moved, float(np.abs(x0).max()) + 1.0), 1e-30)
