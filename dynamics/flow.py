"""The flow over an embedding on a regular grid: binned, smoothed, and only where there are cells."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from dynamics.errors import DataError

FINE = {2: 4, 3: 2}
"""Fine bins per grid step, by number of axes."""

BOXES = {2: 50, 3: 22}
"""Boxes along the longest axis when there are plenty of cells, by number of axes."""

CELLS_PER_BOX = 4
"""Cells that the box of a typical cell should hold; with fewer cells the boxes are made larger."""

BLUR = 0.5
"""Width of the Gaussian blur, in grid steps, as in scVelo's `smooth`."""

THIN = 0.3
"""A box needs this many times the square root of the cells in the box of a typical cell."""

ISLAND = 0.004
"""Connected pieces of the map with a smaller share of the cells are left out."""


@dataclass(frozen=True)
class FlowGrid:
    """A smoothed velocity field on a regular grid over an embedding of two or three axes.

    Attributes
    ----------
    axes : one (n_i,) per axis
        Centres of the boxes, in embedding units; the same step along every axis.
    velocity : (e, n_0, n_1[, n_2])
        Mean velocity, in embedding units per unit of time.
    mass : (n_0, n_1[, n_2])
        Smoothed number of cells in each box.
    agreement : (n_0, n_1[, n_2])
        Mean resultant length of the directions around: 1 where all cells move alike, 0 where they cancel.
        What is drawn fades by it.
    mask : (n_0, n_1[, n_2]) bool
        Boxes with enough cells to draw the flow in.
    members : (n_0, n_1[, n_2]) or None
        Mean agreement of an ensemble's members on the cells around, 0 to 1; None where there is no ensemble.
    shown : (n_0, n_1[, n_2]) or None
        Mean cosine between the steps of the cells around and what their arrows show, 0 to 1, where known.
    """

    axes: tuple[np.ndarray, ...]
    velocity: np.ndarray = field(repr=False)
    mass: np.ndarray = field(repr=False)
    agreement: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    members: np.ndarray | None = field(default=None, repr=False)
    shown: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        optional = (part for part in (self.members, self.shown) if part is not None)
        for array in (*self.axes, self.velocity, self.mass, self.agreement, self.mask, *optional):
            array.flags.writeable = False

    @property
    def x(self) -> np.ndarray:
        return self.axes[0]

    @property
    def y(self) -> np.ndarray:
        return self.axes[1]

    @property
    def u(self) -> np.ndarray:
        """Velocity along x, indexed [x, y]."""
        return self.velocity[0]

    @property
    def v(self) -> np.ndarray:
        """Velocity along y, indexed [x, y]."""
        return self.velocity[1]

    @property
    def step(self) -> float:
        """Side of a box, in embedding units."""
        return float(self.axes[0][1] - self.axes[0][0])

    @property
    def speed(self) -> np.ndarray:
        """Speed in each box, in embedding units per unit of time."""
        return np.linalg.norm(self.velocity, axis=0)

    def share(self, boxes: np.ndarray) -> float:
        """Return the share of the drawn boxes that are among some, (n_0, n_1[, n_2]) bool."""
        return float((self.mask & boxes).sum() / max(self.mask.sum(), 1))


def flow_on_grid(
    xy: np.ndarray,
    v: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    members: np.ndarray | None = None,
    shown: np.ndarray | None = None,
    n: int | None = None,
    min_mass: float = 1.0,
) -> FlowGrid:
    """Average the velocities of cells on a grid over the embedding.

    Cells are counted in fine bins, blurred with a Gaussian, and summed up in boxes. A box is drawn in when it
    holds a cell, the blurred count reaches `min_mass`, and it is part of a large enough piece of the map.

    Parameters
    ----------
    xy, v : (m, e)
        Places and velocities of cells on an embedding with two or three axes.
    weight : (m,)
        How much each cell counts; by default 1.
    members, shown : (m,)
        Agreement of an ensemble's members on each cell, and how much of its step its arrow shows, where
        known: averaged over the cells that have a value, those below 0 counting as 0.
    n
        Boxes along the longest axis; by default 50 (22 in three dimensions), and fewer when cells are few.
    min_mass
        Smoothed count of cells, in multiples of their mean weight, that a box needs at least.

    Raises
    ------
    DataError
        The embedding has neither two nor three axes, or no cell has a place and a velocity.
    """
    known, xy, v, weight = _known(xy, v, weight)
    n_axes = xy.shape[1]
    n = _boxes(xy) if n is None else n
    low, step, shape = _layout(xy, n)
    fine = FINE[n_axes]
    place = np.floor((xy - low) / (step / fine)).astype(np.int64)
    flat = np.ravel_multi_index(tuple(place.T), tuple(fine * s for s in shape))
    speed = np.linalg.norm(v, axis=1, keepdims=True)
    heading = v / np.maximum(speed, np.finfo(np.float64).tiny)

    def smoothed(values: np.ndarray) -> np.ndarray:
        return _smoothed(flat, values, shape=shape, fine=fine)

    mass = smoothed(weight)
    safe = np.maximum(mass, 1e-12 * max(float(mass.max()), 1e-30))
    velocity = np.stack([smoothed(weight * v[:, axis]) for axis in range(n_axes)]) / safe
    agreement = _length([smoothed(weight * heading[:, axis]) for axis in range(n_axes)]) / safe
    members, shown = (
        None if values is None else _mean(smoothed, np.asarray(values, np.float64)[known], weight)
        for values in (members, shown)
    )
    count = _box_counts(place // fine, shape)
    mass = mass / weight.mean()
    enough = max(min_mass, THIN * float(np.median(mass[tuple((place // fine).T)])) ** 0.5)
    mask = _drop_islands((count > 0) & (mass >= min(enough, 0.5 * mass.max())), count)
    axes = tuple(low[axis] + step * (np.arange(shape[axis]) + 0.5) for axis in range(n_axes))
    return FlowGrid(axes, velocity, mass, np.clip(agreement, 0, 1), mask, members, shown)


def faded(grid: FlowGrid, *, by_shown: bool) -> FlowGrid:
    """Return the flow as it is drawn: `agreement` is the lowest of what speaks against a box's arrow.

    Parameters
    ----------
    by_shown
        Whether what the map cannot show fades too; disagreement of neighbours and of members always does.
    """
    parts = [grid.agreement, grid.members, grid.shown if by_shown else None]
    lowest = np.minimum.reduce([part for part in parts if part is not None])
    return replace(grid, agreement=lowest)


def interpolate(grid: FlowGrid, values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Read values on the grid, (..., n_0, n_1[, n_2]), at points, (m, e), linearly between box centres."""
    position = box_position(grid, points).T
    shape = grid.mask.shape
    stacked = values.reshape(-1, *shape)
    read = [ndimage.map_coordinates(part, position, order=1, mode="nearest") for part in stacked]
    return np.stack(read).reshape(*values.shape[: values.ndim - len(shape)], len(points))


def box_position(grid: FlowGrid, points: np.ndarray) -> np.ndarray:
    """Return positions of points in boxes, (m, e): 0 is the centre of the first box."""
    origin = np.array([axis[0] for axis in grid.axes])
    return (points - origin) / grid.step


def _known(
    xy: np.ndarray, v: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return which cells have a place and a velocity, (m,) bool, and what is known of those."""
    xy, v = np.asarray(xy, dtype=np.float64), np.asarray(v, dtype=np.float64)
    weight = np.ones(len(xy)) if weight is None else np.asarray(weight, dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] not in FINE or xy.shape != v.shape:
        raise DataError(
            f"The flow is drawn on two or three axes; the places have shape {xy.shape}, the velocities "
            f"{v.shape}. Choose another embedding."
        )
    known = np.isfinite(xy).all(axis=1) & np.isfinite(v).all(axis=1) & (weight > 0)
    if not known.any():
        raise DataError(
            f"None of the {len(xy):,} cells has both a place on the embedding and a velocity. "
            "Choose another time or another embedding; if it stays like this, train the model again."
        )
    return known, xy[known], v[known], weight[known]


def _boxes(xy: np.ndarray) -> int:
    """Return the number of boxes along the longest axis at which a typical cell's box holds enough cells."""
    n = most = BOXES[xy.shape[1]]
    while n > 10:
        low, step, shape = _layout(xy, n)
        place = np.floor((xy - low) / step).astype(np.int64)
        counts = _box_counts(place, shape)
        if np.median(counts[tuple(place.T)]) >= CELLS_PER_BOX:
            return n
        n -= max(1, most // 12)
    return n


def _layout(xy: np.ndarray, n: int) -> tuple[np.ndarray, float, tuple[int, ...]]:
    """Return the lower corner, the side of a box, and the number of boxes along each axis."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    longest = float(np.max(high - low))
    step = max(longest * 1.02 / n, 1e-9 * max(float(np.abs(xy).max()), 1e-6))
    extent = np.maximum(high - low, 0) + 0.02 * longest
    shape = np.maximum(np.ceil(extent / step * (1 - 1e-9)).astype(int), 3)
    return (low + high) / 2 - shape * step / 2, step, tuple(int(s) for s in shape)


def _smoothed(flat: np.ndarray, values: np.ndarray, *, shape: tuple[int, ...], fine: int) -> np.ndarray:
    """Return the blurred sum of values in a box around each box centre."""
    fine_shape = tuple(fine * s for s in shape)
    total = np.bincount(flat, values, minlength=int(np.prod(fine_shape))).reshape(fine_shape)
    blurred = ndimage.gaussian_filter(total, BLUR * fine, mode="constant", truncate=3)
    for axis in range(len(shape)):
        parts = np.split(blurred, shape[axis], axis=axis)
        blurred = np.concatenate([part.sum(axis=axis, keepdims=True) for part in parts], axis=axis)
    return blurred


def _mean(smoothed: Callable[[np.ndarray], np.ndarray], values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the mean over the cells around each box that have a value; 0 where none has."""
    weight = np.where(np.isfinite(values), weight, 0)
    mass = smoothed(weight)
    safe = np.maximum(mass, 1e-12 * max(float(mass.max()), 1e-30))
    return np.clip(smoothed(weight * np.nan_to_num(np.maximum(values, 0))) / safe, 0, 1)


def _box_counts(place: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    flat = np.ravel_multi_index(tuple(place.T), shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)


def _length(parts: list[np.ndarray]) -> np.ndarray:
    return np.sqrt(sum(part**2 for part in parts))


def _drop_islands(mask: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Leave out connected pieces that hold few cells; always keep the largest."""
    pieces, n_pieces = ndimage.label(mask)
    if n_pieces == 0:
        return mask
    cells = ndimage.sum_labels(count, pieces, index=np.arange(1, n_pieces + 1))
    enough = cells >= min(cells.max(), max(3.0, ISLAND * count.sum()))
    return np.concatenate([[False], enough])[pieces]
