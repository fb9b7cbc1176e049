"""Streamlines: evenly spaced lines along a flow that stay where there are cells."""

from dataclasses import dataclass, field

import numpy as np

from dynamics.flow import FlowGrid, interpolate

STRIDE = 0.25
"""Length of an integration step, in boxes."""

LINES_ACROSS = 22
"""Lines side by side along the longest axis at density 1."""

LONGEST = 1.2
"""Longest half of a line, in lengths of the longest axis."""


@dataclass(frozen=True)
class Streamlines:
    """Lines along a flow, in embedding units.

    Attributes
    ----------
    lines : one (m, e) per line
        Vertices, in the direction of the flow.
    speed, agreement : one (m,) per line
        Speed of the flow, and agreement of neighbouring cells (0 to 1), at each vertex.
    arrows : (n_lines, 2 e)
        Arrowheads, one in the middle of each line: position, then direction of length one.
    """

    lines: tuple[np.ndarray, ...] = field(repr=False)
    speed: tuple[np.ndarray, ...] = field(repr=False)
    agreement: tuple[np.ndarray, ...] = field(repr=False)
    arrows: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        for array in (*self.lines, *self.speed, *self.agreement, self.arrows):
            array.flags.writeable = False

    @property
    def n_lines(self) -> int:
        return len(self.lines)


def streamlines(grid: FlowGrid, *, density: float = 1.0, min_length: float = 2.5) -> Streamlines:
    """Draw evenly spaced lines along a flow, in two or three dimensions.

    Lines start from the centre of every box of the mask and follow the flow both ways until they leave the
    mask. The longest is taken first; every other is cut where it comes closer to a drawn one than half the
    spacing, and left out when it starts too close to one or is too short.

    Parameters
    ----------
    density
        1 puts about 22 lines side by side across the longest axis; 2 twice as many.
    min_length
        Shortest line that is drawn, in boxes.

    References
    ----------
    Jobard and Lefer, Creating Evenly-Spaced Streamlines of Arbitrary Density, 1997 (the spacing).
    """
    seeds = np.argwhere(grid.mask)
    paths = _both_ways(grid, seeds.astype(np.float64))
    spacing = max(grid.mask.shape) / (LINES_ACROSS * density)
    chosen = _evenly_spaced(paths, spacing=spacing, shape=grid.mask.shape, min_steps=int(min_length / STRIDE))
    origin = np.array([axis[0] for axis in grid.axes])
    lines = [origin + grid.step * path for path in chosen]
    return _described(grid, lines)


def grid_arrows(grid: FlowGrid, *, every: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one arrow per box as an alternative to lines.

    Parameters
    ----------
    every
        Use every second box (2), every third (3), ... along each axis.

    Returns
    -------
    points : (m, e), vectors : (m, e), agreement : (m,)
        Vectors are in embedding units, the longest typical one (95th percentile of speed) as long as a box.
    """
    thin = np.zeros_like(grid.mask)
    thin[(slice(every // 2, None, every),) * grid.mask.ndim] = True
    boxes = np.argwhere(grid.mask & thin)
    index = tuple(boxes.T)
    points = np.stack([axis[i] for axis, i in zip(grid.axes, index, strict=True)], axis=1)
    vectors = grid.velocity[(slice(None), *index)].T
    speed = np.linalg.norm(vectors, axis=1, keepdims=True)
    typical = float(np.quantile(speed, 0.95)) if len(speed) else 1.0
    scale = grid.step * every / max(typical, np.finfo(np.float64).tiny)
    shrink = np.minimum(1, typical / np.maximum(speed, np.finfo(np.float64).tiny))
    return points, vectors * shrink * scale, grid.agreement[index]


def _both_ways(grid: FlowGrid, seeds: np.ndarray) -> list[np.ndarray]:
    """Follow the flow from seeds, (m, e) in boxes, both ways; one path (k, e) in boxes per seed."""
    ahead, n_ahead = _follow(grid, seeds, 1.0)
    behind, n_behind = _follow(grid, seeds, -1.0)
    paths = []
    for k in range(len(seeds)):
        back = behind[n_behind[k] - 1 : 0 : -1, k] if n_behind[k] > 1 else behind[:0, k]
        paths.append(np.concatenate([back, ahead[: n_ahead[k], k]]))
    return paths


def _follow(grid: FlowGrid, seeds: np.ndarray, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """Take midpoint steps of equal length for all seeds at once, until each leaves the mask.

    Returns the points, (n_steps, m, e) in boxes, and how many of them each path has, (m,).
    """
    heading = _headings(grid)
    n_steps = int(LONGEST * max(grid.mask.shape) / STRIDE)
    points = np.full((n_steps + 1, *seeds.shape), np.nan)
    points[0] = seeds
    length = np.ones(len(seeds), dtype=np.int64)
    alive, here = np.arange(len(seeds)), seeds
    for k in range(n_steps):
        first = _read(heading, here)
        middle = _read(heading, here + 0.5 * sign * STRIDE * _unit(first))
        new = here + sign * STRIDE * _unit(middle)
        moving = (np.linalg.norm(middle, axis=1) > 0) & _inside(grid, new)
        alive, here = alive[moving], new[moving]
        if not len(alive):
            break
        points[k + 1, alive] = here
        length[alive] += 1
    return points, length


def _headings(grid: FlowGrid) -> np.ndarray:
    """Return unit velocities, (n_0, n_1[, n_2], e), zero where nothing moves."""
    speed = grid.speed
    still = speed <= 1e-9 * max(float(speed[grid.mask].max(initial=0)), 1e-300)
    return np.moveaxis(np.where(still, 0, grid.velocity / np.where(still, 1, speed)), 0, -1)


def _read(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return values, (n_0, n_1[, n_2], e), linearly interpolated at points, (m, e) in boxes."""
    shape = np.array(values.shape[:-1])
    low = np.clip(np.floor(points).astype(np.int64), 0, shape - 2)
    share = np.clip(points - low, 0, 1)
    total = np.zeros((len(points), values.shape[-1]))
    for corner in np.ndindex(*(2,) * len(shape)):
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)
        total += weight[:, None] * values[tuple((low + corner).T)]
    return total


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12)


def _inside(grid: FlowGrid, points: np.ndarray) -> np.ndarray:
    """Tell which points, (m, e) in boxes, lie in a box of the mask."""
    box = np.rint(points).astype(np.int64)
    within = ((box >= 0) & (box < grid.mask.shape)).all(axis=1)
    box = np.clip(box, 0, np.array(grid.mask.shape) - 1)
    return within & grid.mask[tuple(box.T)]


def _evenly_spaced(
    paths: list[np.ndarray], *, spacing: float, shape: tuple[int, ...], min_steps: int
) -> list[np.ndarray]:
    """Choose paths, longest first, and cut them where they come close to one chosen before."""
    wide, narrow = _Occupancy(spacing, shape), _Occupancy(spacing / 2, shape)
    chosen = []
    for k in np.argsort([-len(path) for path in paths], kind="stable"):
        path = paths[k]
        if len(path) < min_steps:
            break
        path = _without_return(path, narrow)
        free = ~narrow.taken(path) & ~wide.taken(path)
        start, stop = _longest_run(free)
        start, stop = _extended(~narrow.taken(path), start, stop)
        if stop - start >= min_steps:
            chosen.append(path[start:stop])
            narrow.take(path[start:stop])
            wide.take(path[start:stop])
    return chosen


class _Occupancy:
    """Which cells of a lattice with a given pitch, in boxes, lines have been drawn in."""

    def __init__(self, pitch: float, shape: tuple[int, ...]) -> None:
        self._pitch = pitch
        self._taken = np.zeros([int(np.ceil((s + 1) / pitch)) + 1 for s in shape], dtype=bool)

    def cells(self, path: np.ndarray) -> np.ndarray:
        """Return the flat cell of each vertex, (m,)."""
        cell = ((path + 0.5) / self._pitch).astype(np.int64)
        return np.ravel_multi_index(tuple(cell.T), self._taken.shape)

    def taken(self, path: np.ndarray) -> np.ndarray:
        return self._taken.ravel()[self.cells(path)]

    def take(self, path: np.ndarray) -> None:
        self._taken.ravel()[self.cells(path)] = True


def _without_return(path: np.ndarray, occupancy: _Occupancy) -> np.ndarray:
    """Cut a path where it comes back to a cell that it had left, as on a closed orbit."""
    cells = occupancy.cells(path)
    entries = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
    _, first = np.unique(cells[entries], return_index=True)
    again = np.setdiff1d(np.arange(len(entries)), first)
    return path if not len(again) else path[: entries[again[0]]]


def _longest_run(free: np.ndarray) -> tuple[int, int]:
    """Return start and stop of the longest stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free.astype(np.int8), [0]])))
    if not len(edges):
        return 0, 0
    starts, stops = edges[::2], edges[1::2]
    k = int(np.argmax(stops - starts))
    return int(starts[k]), int(stops[k])


def _extended(free: np.ndarray, start: int, stop: int) -> tuple[int, int]:
    """Extend a stretch both ways as long as `free` holds."""
    if start == stop:
        return start, stop
    before = np.flatnonzero(~free[:start])
    after = np.flatnonzero(~free[stop:])
    return (int(before[-1]) + 1 if len(before) else 0), (stop + int(after[0]) if len(after) else len(free))


def _described(grid: FlowGrid, lines: list[np.ndarray]) -> Streamlines:
    """Attach speed, agreement and arrowheads to lines, each (m, e) in embedding units."""
    n_axes = len(grid.axes)
    if not lines:
        return Streamlines((), (), (), np.empty((0, 2 * n_axes)))
    points = np.concatenate(lines)
    cuts = np.cumsum([len(line) for line in lines])[:-1]
    speed = np.split(interpolate(grid, grid.speed, points), cuts)
    agreement = np.split(interpolate(grid, grid.agreement, points), cuts)
    arrows = np.stack([_arrow(line) for line in lines])
    return Streamlines(tuple(lines), tuple(speed), tuple(agreement), arrows)


def _arrow(line: np.ndarray) -> np.ndarray:
    middle = len(line) // 2
    ahead = line[min(middle + 1, len(line) - 1)] - line[max(middle - 1, 0)]
    return np.concatenate([line[middle], ahead / max(float(np.linalg.norm(ahead)), 1e-300)])
