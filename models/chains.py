"""Chains: one cell of every time, joined through all pairings, and smooth curves through them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.linalg import solve_banded

from dynamics.coupling import Coupling
from dynamics.neighbours import nearest_among

NEIGHBOURS = 10
LANDMARKS = 5_000
"""Cells, spread evenly over all times, among which neighbours are looked for."""
KNOTS = 7
"""Points at which a path is pulled, its ends included."""


@dataclass(frozen=True)
class Shape:
    """The form of paths between paired cells."""

    curve: str = "natural"
    """One of `SLOPES`."""
    smoothness: float = 0.0
    """λ: 0 for straight lines from time to time, 1 for the full curve."""
    pull: float = 0.0
    """β: how far the middle of a path is moved towards the mean of its nearest cells."""

    def __str__(self) -> str:
        """The form in words."""
        names = {0.0: "straight paths", 1.0: f"{self.curve} cubic paths"}
        curve = names.get(self.smoothness, f"half-smoothed {self.curve} paths")
        return curve + (", drawn to the cells" if self.pull else "")


class Chains:
    """Draws chains of cells: a pair of one interval, prolonged forward and backward through all the others.

    Every prolongation follows the pairing of its interval given the cell that is reached, so that each cell
    of each time appears as often as the pairings say.

    References
    ----------
    Rohbeck et al., Modeling complex system dynamics with flow matching across time and conditions, ICLR 2025
    (multi-marginal flow matching along splines through chained optimal transport).
    """

    def __init__(self, couplings: Sequence[Coupling]) -> None:
        self.couplings = tuple(couplings)

    def draw(self, k: int, pairs: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Prolong pairs `(i, j)` of interval `k`, each (n,), to rows of every time, (n_times, n)."""
        rows = np.empty((len(self.couplings) + 1, len(pairs[0])), np.int64)
        rows[k], rows[k + 1] = pairs
        for q in range(k + 1, len(self.couplings)):
            rows[q + 1] = self._forward[q](rows[q], rng)
        for q in range(k - 1, -1, -1):
            rows[q] = self._backward[q](rows[q + 1], rng)
        return rows

    @cached_property
    def _forward(self) -> list["_Partners"]:
        return [_Partners(one.i, one.j, one.weight, one.sizes[0]) for one in self.couplings]

    @cached_property
    def _backward(self) -> list["_Partners"]:
        return [_Partners(one.j, one.i, one.weight, one.sizes[1]) for one in self.couplings]


class _Partners:
    """Draws a partner of each given cell, in proportion to the weight of the pair."""

    def __init__(self, own: np.ndarray, other: np.ndarray, weight: np.ndarray, n: int) -> None:
        order = np.argsort(own, kind="stable")
        self.other, self.ends = other[order], np.cumsum(weight[order])
        self.first = np.searchsorted(own[order], np.arange(n))
        self.last = np.searchsorted(own[order], np.arange(n), side="right") - 1

    def __call__(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        first, last = self.first[rows], self.last[rows]
        low = np.where(first > 0, self.ends[first - 1], 0.0)
        drawn = low + (self.ends[last] - low) * rng.random(len(rows))
        return self.other[np.clip(np.searchsorted(self.ends, drawn, side="right"), first, last)]


def natural_slopes(times: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Slopes at the knots of the natural cubic spline through `points`, (n_times, ...), same shape.

    References
    ----------
    de Boor, A practical guide to splines, 1978, chapter IV.
    """
    n, h = len(times), np.diff(times)
    secants = np.diff(points, axis=0) / h.reshape(-1, *[1] * (points.ndim - 1))
    if n == 2:
        return np.concatenate([secants, secants])
    bands = np.zeros((3, n))
    bands[0, 1:] = [1.0, *h[:-1]]
    bands[1] = [2.0, *(2 * (h[:-1] + h[1:])), 2.0]
    bands[2, :-1] = [*h[1:], 1.0]
    shape = (-1, *[1] * (points.ndim - 1))
    middle = 3 * (h[1:].reshape(shape) * secants[:-1] + h[:-1].reshape(shape) * secants[1:])
    right = np.concatenate([3 * secants[:1], middle, 3 * secants[-1:]])
    return solve_banded((1, 1), bands, right.reshape(n, -1)).reshape(points.shape)


def monotone_slopes(times: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Slopes at the knots of the cubic that never overshoots its points in any dimension; shape of `points`.

    References
    ----------
    Fritsch and Butland, A method for constructing local monotone piecewise cubic interpolants, 1984.
    """
    if len(times) == 2:
        return natural_slopes(times, points)
    return PchipInterpolator(times, points, axis=0).derivative()(times)


SLOPES = {"natural": natural_slopes, "monotone": monotone_slopes}


class Bundle:
    """All paths between the cells of a course: samples points on them.

    Parameters
    ----------
    states
        Cells at each time, (n_k, dim).
    times : (n_times,)
        Rising; their unit is that of the velocities' time.
    couplings
        Pairing of each interval.
    """

    def __init__(
        self, states: Sequence[np.ndarray], times: np.ndarray, couplings: Sequence[Coupling]
    ) -> None:
        self.states, self.times = states, times
        self.chains = Chains(couplings)

    def points(
        self,
        k: int,
        pairs: tuple[np.ndarray, np.ndarray],
        s: np.ndarray,
        *,
        shape: Shape,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return points, (n, dim), on the paths through given pairs, and the velocities there.

        The path is x_s = (1 − λ) straight + λ cubic, the cubic going through the whole chain. With a pull β,
        seven points of each path are moved by 4 s (1 − s) β towards the mean m of their ten nearest cells of
        any time, and joined by a natural cubic: a simple stand-in for paths that are short in a metric of
        the data. Only the part of |m − x| counts that exceeds the same distance of a typical cell, so that
        points among cells stay where they are, however many dimensions there are.

        Parameters
        ----------
        pairs : (n,), (n,)
            Rows at the ends of interval `k`.
        s : (n, 1)
            Position along the interval.
        """
        ends, slopes = self._ends(k, pairs, shape, rng)
        gap = self.times[k + 1] - self.times[k]
        if not shape.pull:
            return cubic(ends, slopes, gap=gap, s=s)
        x, u = Pulled(*self._knots(ends, slopes, gap=gap, pull=shape.pull)).points(np.arange(len(s)), s)
        return x, u / gap

    def pulled(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], *, shape: Shape, rng: np.random.Generator
    ) -> "Pulled":
        """Return whole pulled paths through given pairs, to be sampled from many times."""
        ends, slopes = self._ends(k, pairs, shape, rng)
        gap = self.times[k + 1] - self.times[k]
        return Pulled(*self._knots(ends, slopes, gap=gap, pull=shape.pull))

    def _ends(
        self, k: int, pairs: tuple[np.ndarray, np.ndarray], shape: Shape, rng: np.random.Generator
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Cells at the ends of the paths and the slopes of the paths there, per unit of time."""
        ends = tuple(self.states[k + end][pairs[end]].astype(np.float64) for end in (0, 1))
        straight = (ends[1] - ends[0]) / (self.times[k + 1] - self.times[k])
        if not shape.smoothness:
            return ends, (straight, straight)
        chain = zip(self.states, self.chains.draw(k, pairs, rng), strict=True)
        knots = np.stack([states[rows] for states, rows in chain]).astype(np.float64)
        slopes = SLOPES[shape.curve](self.times, knots)[k : k + 2]
        return ends, tuple(straight + shape.smoothness * (slope - straight) for slope in slopes)

    def _knots(
        self,
        ends: tuple[np.ndarray, np.ndarray],
        slopes: tuple[np.ndarray, np.ndarray],
        *,
        gap: float,
        pull: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Points of pulled paths at even positions, (KNOTS, n, dim), and the slopes there per unit of `s`."""
        s = np.linspace(0, 1, KNOTS)[:, None, None]
        x, _ = cubic(ends, slopes, gap=gap, s=s)
        inner = x[1:-1].reshape(-1, x.shape[2])
        rows, _ = nearest_among(self._landmarks, inner, NEIGHBOURS)
        way = self._landmarks[rows].mean(axis=1) - inner
        length = np.linalg.norm(way, axis=1, keepdims=True)
        beyond = np.clip(1 - self._typical_distance / np.maximum(length, np.finfo(float).tiny), 0, 1)
        x[1:-1] += (4 * s * (1 - s) * pull)[1:-1] * (beyond * way).reshape(x[1:-1].shape)
        return x, natural_slopes(s.ravel(), x)

    @cached_property
    def _typical_distance(self) -> float:
        """Median distance of a cell to the mean of its nearest other cells."""
        cells = self._landmarks
        rows, _ = nearest_among(cells, cells, NEIGHBOURS + 1)
        means = (cells[rows].sum(axis=1) - cells) / max(rows.shape[1] - 1, 1)
        return float(np.median(np.linalg.norm(cells - means, axis=1)))

    @cached_property
    def _landmarks(self) -> np.ndarray:
        cells = np.concatenate(self.states).astype(np.float64)
        return cells[np.unique(np.linspace(0, len(cells) - 1, LANDMARKS).astype(int))]


@dataclass(frozen=True, eq=False)
class Pulled:
    """Paths as cubics through even positions of `s`: knots and slopes, (KNOTS, n, dim)."""

    knots: np.ndarray
    slopes: np.ndarray

    def points(self, paths: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points and velocities per unit of `s` on some of the paths, (m,), at positions (m, 1)."""
        gap = 1 / (KNOTS - 1)
        part = np.minimum((s[:, 0] / gap).astype(int), KNOTS - 2)
        ends = self.knots[part, paths], self.knots[part + 1, paths]
        slopes = self.slopes[part, paths], self.slopes[part + 1, paths]
        return cubic(ends, slopes, gap=gap, s=s / gap - part[:, None])


def cubic(
    ends: tuple[np.ndarray, np.ndarray], slopes: tuple[np.ndarray, np.ndarray], *, gap: float, s: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Point and velocity per unit of time on the cubic with given ends and slopes, each (n, dim).

    Parameters
    ----------
    s : (n, 1)
        Position between the ends, from 0 to 1.
    gap
        Time between the ends.
    """
    (x0, x1), (m0, m1) = ends, slopes
    straight = (x1 - x0) / gap
    bend0, bend1 = m0 - straight, m1 - straight
    x = x0 + s * (x1 - x0) + gap * s * (1 - s) * ((1 - s) * bend0 - s * bend1)
    u = straight + (1 - s) * (1 - 3 * s) * bend0 + s * (3 * s - 2) * bend1
    return x, u
