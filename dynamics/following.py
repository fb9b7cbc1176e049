"""What following cells has in common, with chance or without: checks, steps, limits, and what is marked."""

from collections.abc import Sequence
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from dynamics.errors import IntegrationError
from dynamics.trajectories import Trajectories
from dynamics.velocity import check_width

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.projection import Placement

STEPS_IN_ALL = 80
"""Fixed steps over the whole span, where the snapshot times are not known."""

MOST_STEPS = 20_000

LATEST = 1e15
MOST_BYTES = 8e9

SECONDS = 600.0
"""Time that following cells may take, unless another limit is given."""

BOX = 3.0
"""Cells are given up where they leave a box this many times as wide as the data."""


class Watch:
    """Stops the following of cells that takes too long, with a word on how far it came.

    It never changes a result: what ends in time is the same on a fast and on a slow machine.
    """

    def __init__(self, seconds: float, n_cells: int, unit: str = "") -> None:
        self.seconds, self.n_cells, self.unit = seconds, n_cells, unit
        self.done = 0
        self._until = monotonic() + seconds

    def __call__(self, t: float) -> None:
        """Go on, or raise IntegrationError where the time is over."""
        if monotonic() > self._until:
            raise IntegrationError(
                f"Following the cells took longer than {self.seconds:g} s and was stopped: {self.done:,} of "
                f"{self.n_cells:,} cells were done, and the next ones had come to t = "
                f"{f'{float(t):.4g} {self.unit}'.strip()}. Follow fewer cells, a shorter span of time, or "
                "with fixed steps."
            )


def checked(
    field: "VelocityField", x0: np.ndarray, times: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the starting states, (n, dim) float32, and the times, (T,) float64, or say what is wrong."""
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
    if np.abs(times).max() > LATEST:
        raise IntegrationError(
            f"The times go to {np.abs(times).max():.3g}; cells are followed up to {LATEST:.0e} at most."
        )
    size = len(times) * x0.nbytes
    if size > MOST_BYTES:
        raise IntegrationError(
            f"The states of {len(x0):,} cells at {len(times):,} times would take {size / 1e9:.1f} GB; at "
            f"most {MOST_BYTES / 1e9:.0f} GB are kept. Ask for fewer times, or follow fewer cells."
        )
    return x0, times


def check_steps(n_steps: float, *, step: float) -> None:
    """Refuse more steps than anyone would wait for."""
    if n_steps > MOST_STEPS:
        raise IntegrationError(
            f"{n_steps:,.0f} steps of {step:.3g} would be needed; at most {MOST_STEPS:,} are taken. "
            "Choose a longer step, or a shorter span of time."
        )


def smooth_between(field: "VelocityField", breaks: Sequence[float] | None) -> np.ndarray:
    """Return the times between which a field is smooth: those given, or the snapshot times of a model."""
    if breaks is None:
        breaks = getattr(getattr(field, "axis", None), "values", ())
    return np.unique(np.asarray(breaks, dtype=np.float64))


def measured_span(field: "VelocityField") -> tuple[float, float] | None:
    """Return the first and the last time that a model was trained on; None for a field without data."""
    values = getattr(getattr(field, "axis", None), "values", ())
    return (float(values[0]), float(values[-1])) if len(values) else None


def grid_between(low: float, high: float, breaks: np.ndarray, *, steps: int) -> np.ndarray:
    """Return a grid of `steps` an interval, as fine beyond the breaks as in the interval next to them."""
    if len(breaks) < 2:
        return np.linspace(low, high, STEPS_IN_ALL + 1)
    widths = np.diff(breaks)
    knots = np.unique(np.concatenate([[low], breaks[(breaks > low) & (breaks < high)], [high]]))
    parts = []
    for start, stop in pairwise(knots):
        interval = np.clip(np.searchsorted(breaks, (start + stop) / 2) - 1, 0, len(widths) - 1)
        n_steps = (stop - start) / widths[interval] * steps
        check_steps(n_steps, step=widths[interval] / steps)
        parts.append(np.linspace(start, stop, max(1, int(np.ceil(n_steps - 1e-9))) + 1)[:-1])
    return np.concatenate([*parts, [high]])


def box_around(
    x0: np.ndarray, support: "Placement | None", field: "VelocityField | None" = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the box out of which cells are given up; infinite when the data are not known.

    It lies around the cells of `support`, else around those that a model was trained on.
    """
    low, high = (
        (getattr(field, "low", None), getattr(field, "high", None))
        if support is None
        else (support.lower, support.upper)
    )
    if low is None or high is None:
        return np.full(x0.shape[1], -np.inf, np.float32), np.full(x0.shape[1], np.inf, np.float32)
    width = high - low
    half = BOX / 2 * np.maximum(width, 0.1 * width.max())
    middle = (high + low) / 2
    corners = np.concatenate([[middle - half, middle + half], x0[np.isfinite(x0).all(axis=1)]])
    return corners.min(axis=0).astype(np.float32), corners.max(axis=0).astype(np.float32)


def alive(states: np.ndarray, box: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Tell which cells are finite and in the box, and have been so far, (T, n)."""
    low, high = box
    within = ((states >= low) & (states <= high) & np.isfinite(states)).all(axis=2)
    return np.logical_and.accumulate(within, axis=0)


def described(
    states: np.ndarray,
    times: np.ndarray,
    *,
    support: "Placement | None",
    method: str,
    step: float,
    unit: str = "",
    notes: tuple[str, ...] = (),
    measured: tuple[float, float] | None = None,
) -> Trajectories:
    """Return trajectories of given states, (T, n, dim): placed on the map, and marked off the data."""
    finite = np.isfinite(states).all(axis=2)
    xy, inside, near = None, finite, None
    if support is not None:
        flat, distance, nearest = support.surveyed(states.reshape(-1, states.shape[2]))
        xy, near = flat.reshape(*finite.shape, -1), nearest.reshape(*finite.shape, -1)
        inside = finite & (distance.reshape(finite.shape) <= 1)
    return Trajectories(
        times=times,
        states=states,
        inside=np.logical_and.accumulate(inside, axis=0),
        failed=~finite[-1],
        xy=xy,
        method=method,
        step=step,
        unit=unit,
        notes=notes,
        measured=measured,
        near=near,
        n_measured=0 if support is None else support.n_given,
    )
