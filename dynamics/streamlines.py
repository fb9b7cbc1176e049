"""Streamlines: evenly spaced lines along a flow that stay where there are cells."""

from dataclasses import dataclass, field

import numpy as np

from dynamics.flow import FlowGrid, interpolate

STRIDE = 0.3
"""Length of an integration step, in boxes."""

LINES_ACROSS = 30
"""Lines side by side along the longest axis at density 1."""

SPARSE = 3
"""The first lines start from every third box."""

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
        1 puts about 30 lines side by side across the longest axis; 2 twice as many.
    min_length
        Shortest line that is drawn, in boxes.

    References
    ----------
    Jobard and Lefer, Creating Evenly-Spaced Streamlines of Arbitrary Density, 1997 (the spacing).
    """
    seeds = np.argwhere(grid.mask).astype(np.float64)
    first = (seeds % SPARSE == 0).all(axis=1)
    room = _Room(max(grid.mask.shape) / (LINES_ACROSS * density), grid.mask.shape)
    chosen = []
    for some in (seeds[first], seeds[~first]):  # most of the later seeds lie near lines of the first ones
        paths = _both_ways(grid, some[~room.near(some)])
        chosen += _evenly_spaced(paths, room, min_steps=int(min_length / STRIDE))
    origin = np.array([axis[0] for axis in grid.axes])
    return _described(grid, [origin + grid.step * path for path in chosen])


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


@dataclass(frozen=True)
class _Paths:
    """Paths of equal room, (m, 2 n_steps + 1, e) in boxes; each is valid from its `start` to its `stop`."""

    points: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    @property
    def middle(self) -> int:
        """Where each path has its seed."""
        return self.points.shape[1] // 2


def _both_ways(grid: FlowGrid, seeds: np.ndarray) -> _Paths:
    """Follow the flow from seeds, (m, e) in boxes, both ways."""
    n_seeds = len(seeds)
    sign = np.repeat([1.0, -1.0], n_seeds)[:, None]
    points, length = _follow(grid, np.concatenate([seeds, seeds]), sign)
    ahead, behind = points[:, :n_seeds], points[:, n_seeds:]
    middle = len(points) - 1
    both = np.concatenate([behind[:0:-1], ahead]).swapaxes(0, 1).copy()
    return _Paths(both, middle - length[n_seeds:] + 1, middle + length[:n_seeds])


def _follow(grid: FlowGrid, seeds: np.ndarray, sign: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take midpoint steps of equal length for all seeds at once, until each leaves the mask.

    `sign`, (m, 1), is 1 to go with the flow and −1 to go against it. Returns the points,
    (n_steps + 1, m, e) in boxes, and how many of them each path has, (m,).
    """
    heading = _headings(grid)
    n_steps = int(LONGEST * max(grid.mask.shape) / STRIDE)
    points = np.zeros((n_steps + 1, *seeds.shape))
    points[0] = seeds
    length = np.ones(len(seeds), dtype=np.int64)
    alive, here, stride = np.arange(len(seeds)), seeds, STRIDE * sign
    for k in range(n_steps):
        middle = _read(heading, here + 0.5 * stride * _unit(_read(heading, here)))
        new = here + stride * _unit(middle)
        moving = middle.any(axis=1) & _inside(grid, new)
        alive, here, stride = alive[moving], new[moving], stride[moving]
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
    strides = np.append(np.cumprod(shape[:0:-1])[::-1], 1)
    points = np.minimum(np.maximum(points, 0), shape - 1)
    low = np.minimum(points.astype(np.int64), shape - 2)
    share = points - low
    sides = (1 - share, share)
    base, flat = low @ strides, values.reshape(-1, values.shape[-1])
    total = np.zeros((len(points), values.shape[-1]))
    for corner in np.ndindex(*(2,) * len(shape)):
        weight = sides[corner[0]][:, 0]
        for axis in range(1, len(shape)):
            weight = weight * sides[corner[axis]][:, axis]
        total += weight[:, None] * flat.take(base + int(np.dot(corner, strides)), axis=0)
    return total


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.sqrt(np.maximum(np.einsum("me,me->m", v, v), 1e-24))[:, None]


def _inside(grid: FlowGrid, points: np.ndarray) -> np.ndarray:
    """Tell which points, (m, e) in boxes, lie in a box of the mask."""
    box = (points + 0.5).astype(np.int64)
    within = ((points >= -0.5) & (box < grid.mask.shape)).all(axis=1)
    box = np.minimum(box, np.array(grid.mask.shape) - 1)
    return within & grid.mask[tuple(box.T)]


class _Room:
    """Which cells of two lattices, one with the spacing and one with half of it, have lines in them."""

    def __init__(self, spacing: float, shape: tuple[int, ...]) -> None:
        self._pitches = (spacing, spacing / 2)
        self._shapes = [[int(np.ceil((s + 1) / pitch)) + 1 for s in shape] for pitch in self._pitches]
        self._taken = [np.zeros(int(np.prod(n_cells)), dtype=bool) for n_cells in self._shapes]

    def near(self, points: np.ndarray) -> np.ndarray:
        """Tell which points, (m, e) in boxes, are within the spacing of a line."""
        return self._taken[0][self._cells(points, 0)]

    def close(self, points: np.ndarray) -> np.ndarray:
        """Tell which points, (m, e) in boxes, are within half the spacing of a line."""
        return self._taken[1][self._cells(points, 1)]

    def narrow(self, points: np.ndarray) -> np.ndarray:
        """Return the cell of each point, (m,), on the lattice with half the spacing."""
        return self._cells(points, 1)

    def take(self, points: np.ndarray) -> None:
        """Take the cells that a line, (m, e) in boxes, goes through."""
        for which, taken in enumerate(self._taken):
            taken[self._cells(points, which)] = True

    def _cells(self, points: np.ndarray, which: int) -> np.ndarray:
        cell = ((points + 0.5) / self._pitches[which]).astype(np.int64)
        return np.ravel_multi_index(tuple(cell.T), self._shapes[which])


def _evenly_spaced(paths: _Paths, room: _Room, *, min_steps: int) -> list[np.ndarray]:
    """Choose paths, longest first, and cut them where they come close to one chosen before."""
    length = paths.stop - paths.start
    chosen = []
    for k in np.argsort(-length, kind="stable"):
        if length[k] < min_steps:
            break
        if room.near(paths.points[k, paths.middle][None])[0]:
            continue
        path = paths.points[k, paths.start[k] : paths.stop[k]]
        seed = paths.middle - int(paths.start[k])
        start, stop = _free_run(room.close(path), seed)
        start, stop = _without_return(room.narrow(path), start, stop, seed=seed)
        if stop - start >= min_steps:
            chosen.append(path[start:stop].copy())
            room.take(chosen[-1])
    return chosen


def _free_run(taken: np.ndarray, seed: int) -> tuple[int, int]:
    """Return start and stop of the stretch around the seed that is not taken."""
    if taken[seed]:
        return seed, seed
    before, after = np.flatnonzero(taken[:seed]), np.flatnonzero(taken[seed:])
    return (int(before[-1]) + 1 if len(before) else 0), (seed + int(after[0]) if len(after) else len(taken))


def _without_return(cells: np.ndarray, start: int, stop: int, *, seed: int) -> tuple[int, int]:
    """Cut a path where it comes back to a cell of its own, as on a closed orbit; first ahead, then behind."""
    if start == stop:
        return start, stop
    stop = seed + _first_return(cells[seed:stop], cells[:0])
    start = seed + 1 - _first_return(cells[start : seed + 1][::-1], cells[seed:stop])
    return start, stop


def _first_return(cells: np.ndarray, visited: np.ndarray) -> int:
    """Return how many steps a path goes before it enters a cell that it, or a path before it, was in."""
    entries = np.flatnonzero(np.diff(cells, prepend=-1))
    values, first = np.unique(cells[entries], return_index=True)
    new = np.zeros(len(entries), dtype=bool)
    new[first[~np.isin(values, visited[visited != cells[0]])]] = True
    new[0] = True
    again = np.flatnonzero(~new)
    return int(entries[again[0]]) if len(again) else len(cells)


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
