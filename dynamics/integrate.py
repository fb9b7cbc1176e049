"""Follow cells along a velocity field, forward or backward in time.

The default is torchdiffeq's fixed-step fourth-order scheme on a grid of its own, read off in between by cubic
Hermite polynomials: each step's first velocity is kept, so that the outputs cost no further evaluation of the
field. (torchdiffeq's own `interp="cubic"` asks the field once more for every output.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchdiffeq import odeint

from dynamics.errors import IntegrationError, Stopped
from dynamics.field import Progress, no_progress
from dynamics.trajectories import Trajectories
from dynamics.velocity import check_width

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.projection import Placement

METHODS = ("rk4", "dopri5")

STEPS_PER_INTERVAL = 10
"""Fixed steps between two neighbouring snapshot times."""

STEPS_IN_ALL = 80
"""Fixed steps over the whole span, where the snapshot times are not known."""

MOST_STEPS = 20_000

BOX = 3.0
"""Cells are given up where they leave a box this many times as wide as the data."""

CHUNK = 16_384
CHUNK_BYTES = 256 * 2**20


@dataclass(frozen=True)
class _Solver:
    """How to solve: the scheme, the fixed grid and, for an adaptive one, its tolerances and limit."""

    method: str
    grid: np.ndarray
    rtol: float
    max_steps: int


class _TooManySteps(Exception):
    """An adaptive solver used up its evaluations."""


def integrate(
    field: "VelocityField",
    x0: np.ndarray,
    times: Sequence[float] | np.ndarray,
    *,
    method: str = "rk4",
    step: float | None = None,
    breaks: Sequence[float] | None = None,
    support: "Placement | None" = None,
    rtol: float = 1e-5,
    max_steps: int = 1000,
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
        Length of the fixed steps, in the data's unit. By default 10 steps from one break to the next.
    breaks
        Times between which the field is smooth; by default the snapshot times of the model.
    support
        The measured cells: marks states off the data, gives up those far out, adds places on the map.
    rtol
        Tolerance of "dopri5", relative to the spread of the data.
    max_steps
        Steps that "dopri5" may take for a group of cells; groups that need more are done with fixed steps,
        and this is said in the notes.
    unit
        Name of the unit of time, for messages.

    Raises
    ------
    IntegrationError
        The times are not strictly rising or falling, no cell is given, the method is unknown, or more than
        20,000 steps would be needed.
    Stopped
        `progress` returned False.

    References
    ----------
    Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, 1993: the 3/8 rule (II.1),
    Dormand and Prince (II.5), Hermite dense output (II.6).
    """
    x0, times = _checked(field, x0, times)
    if method not in METHODS:
        raise IntegrationError(f"There is no method “{method}”; choose one of {', '.join(METHODS)}.")
    solver = _Solver(method, _grid(field, times, step=step, breaks=breaks), rtol, max_steps)
    low, high = _box(x0, support)
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
            states[:, rows] = _followed(field, x0[rows], times, solver=solver, box=(low, high), fallen=fallen)
    notes = _notes(fallen, max_steps)
    return _trajectories(states, times, support=support, solver=solver, unit=unit, notes=notes)


def _checked(
    field: "VelocityField", x0: np.ndarray, times: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    x0 = np.array(x0, dtype=np.float32, ndmin=2)
    times = np.array(times, dtype=np.float64).ravel()
    if not len(x0):
        raise IntegrationError("No starting cell is chosen. Choose cells on the map, by type or by time.")
    check_width(field, x0)
    gaps = np.diff(times)
    if not len(times) or not np.isfinite(times).all() or not ((gaps > 0).all() or (gaps < 0).all()):
        shown = ", ".join(f"{time:g}" for time in times[:8])
        raise IntegrationError(
            f"The times must be finite and strictly rising, or strictly falling to go back: {shown}."
        )
    return x0, times


def _grid(
    field: "VelocityField",
    times: np.ndarray,
    *,
    step: float | None,
    breaks: Sequence[float] | None,
) -> np.ndarray:
    """Return the times at which fixed steps begin and end, from the first output time to the last."""
    first, last = float(times[0]), float(times[-1])
    low, high = min(first, last), max(first, last)
    if low == high:
        return times
    if step is None:
        grid = _grid_between(low, high, _breaks(field, breaks))
    else:
        if not step > 0:
            raise IntegrationError(f"The step must be larger than 0; it is {step:g}.")
        _check_steps((high - low) / step, step=step)
        grid = np.linspace(low, high, int(np.ceil((high - low) / step * (1 - 1e-12))) + 1)
    _check_steps(len(grid) - 1, step=(high - low) / (len(grid) - 1))
    return grid if last > first else grid[::-1].copy()


def _check_steps(n_steps: float, *, step: float) -> None:
    if n_steps > MOST_STEPS:
        raise IntegrationError(
            f"{n_steps:,.0f} steps of {step:.3g} would be needed; at most {MOST_STEPS:,} are taken. "
            "Choose a longer step, or a shorter span of time."
        )


def _breaks(field: "VelocityField", breaks: Sequence[float] | None) -> np.ndarray:
    if breaks is None:
        breaks = getattr(getattr(field, "axis", None), "values", ())
    return np.unique(np.asarray(breaks, dtype=np.float64))


def _grid_between(low: float, high: float, breaks: np.ndarray) -> np.ndarray:
    """Return a grid with 10 steps an interval, as fine beyond the breaks as in the interval next to them."""
    if len(breaks) < 2:
        return np.linspace(low, high, STEPS_IN_ALL + 1)
    widths = np.diff(breaks)
    knots = np.unique(np.concatenate([[low], breaks[(breaks > low) & (breaks < high)], [high]]))
    parts = []
    for start, stop in pairwise(knots):
        interval = np.clip(np.searchsorted(breaks, (start + stop) / 2) - 1, 0, len(widths) - 1)
        n_steps = (stop - start) / widths[interval] * STEPS_PER_INTERVAL
        _check_steps(n_steps, step=widths[interval] / STEPS_PER_INTERVAL)
        parts.append(np.linspace(start, stop, max(1, int(np.ceil(n_steps - 1e-9))) + 1)[:-1])
    return np.concatenate([*parts, [high]])


def _box(x0: np.ndarray, support: "Placement | None") -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the box out of which cells are given up; infinite when the data are not known."""
    if support is None:
        return np.full(x0.shape[1], -np.inf, np.float32), np.full(x0.shape[1], np.inf, np.float32)
    width = support.upper - support.lower
    half = BOX / 2 * np.maximum(width, 0.1 * width.max())
    middle = (support.upper + support.lower) / 2
    return np.minimum(middle - half, x0.min(axis=0)), np.maximum(middle + half, x0.max(axis=0))


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
    return _fixed(field, x0, times, grid=solver.grid, box=box)


def _notes(fallen: list[int], max_steps: int) -> tuple[str, ...]:
    if not fallen:
        return ()
    return (
        f"{sum(fallen):,} cells could not be followed with adaptive steps (more than {max_steps:,} were "
        "needed, or they became too small); fixed steps were used for them.",
    )


class _Recorder:
    """A velocity field that keeps the state and the velocity at which each fixed step begins."""

    def __init__(self, field: "VelocityField") -> None:
        self._field = field
        self._begins = False
        self.states: list[torch.Tensor] = []
        self.velocities: list[torch.Tensor] = []

    def callback_step(self, t0: torch.Tensor, y0: torch.Tensor, dt: torch.Tensor) -> None:
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
    grid: np.ndarray,
    box: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    recorder = _Recorder(field)
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
    alive = _alive(states.numpy(), box)
    return _dense(times, grid, states.numpy(), velocities=velocities.numpy(), alive=alive)


def _alive(states: np.ndarray, box: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Tell which cells are finite and in the box, and have been so far, (T, n)."""
    low, high = box
    within = ((states >= low) & (states <= high) & np.isfinite(states)).all(axis=2)
    return np.logical_and.accumulate(within, axis=0)


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
    return np.where(_alive(states, box)[:, :, None], states, np.nan)


def _worst_cell(error: torch.Tensor) -> torch.Tensor:
    """Return the largest root mean square of any cell: the mean over all would hide the few that go wrong."""
    return error.abs().pow(2).mean(dim=-1).sqrt().max()


def _scale(field: "VelocityField", x0: np.ndarray, times: np.ndarray) -> float:
    """Return a length of the motion: the spread of the cells, or how far they would go."""
    with torch.no_grad():
        v = field(torch.tensor(times[0], dtype=torch.float32), torch.from_numpy(x0)).numpy()
    moved = float(np.sqrt(np.mean(np.nan_to_num(v, posinf=0, neginf=0) ** 2))) * abs(times[-1] - times[0])
    return max(float(x0.std(axis=0).mean()), min(moved, float(np.abs(x0).max()) + 1.0), 1e-30)


def _trajectories(
    states: np.ndarray,
    times: np.ndarray,
    *,
    support: "Placement | None",
    solver: _Solver,
    unit: str,
    notes: tuple[str, ...],
) -> Trajectories:
    finite = np.isfinite(states).all(axis=2)
    xy, inside = None, finite
    if support is not None:
        flat, distance = support.locate(states.reshape(-1, states.shape[2]))
        xy = flat.reshape(*finite.shape, -1)
        inside = finite & (distance.reshape(finite.shape) <= 1)
    fixed = solver.method == "rk4" and len(times) > 1
    return Trajectories(
        times=times,
        states=states,
        inside=np.logical_and.accumulate(inside, axis=0),
        failed=~finite[-1],
        xy=xy,
        method=solver.method,
        step=float(np.abs(np.diff(solver.grid)).max()) if fixed else 0.0,
        unit=unit,
        notes=notes,
    )
