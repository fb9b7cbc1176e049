"""Landscapes: a height for every cell such that cells roll downhill, and the surface of it over the map."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from dynamics.ensemble import band, members_of
from dynamics.errors import DataError, ModelError
from dynamics.flow import flow_on_grid
from dynamics.neighbours import nearest, nearest_among
from dynamics.potential_fit import FEWEST, Edges, edges, fit_potential
from dynamics.projection import cells_at
from dynamics.velocity import evaluate

if TYPE_CHECKING:
    from dynamics.field import VelocityField
    from dynamics.snapshots import Snapshots

MODEL, FLOW, DENSITY = "model", "flow", "density"
"""Where heights come from: the potential that a model has learned, the potential that fits the flow best, and
minus the logarithm of the density of cells."""

NEIGHBOURS = 15
MOST = 8_000
"""Cells whose heights are worked out; of more, some at random with a fixed seed."""

LEAST_EXPLAINED = 0.5
"""A surface is drawn where a potential explains this share of the flow: where it explains less, most of the
motion goes round, and downhill on the surface is mostly not where cells go."""

REFINED = 2
"""Points of the surface along each side of a box of the flow's grid."""


@dataclass(frozen=True, eq=False)
class Heights:
    """Height of measured cells, zero on average; cells roll downhill.

    Attributes
    ----------
    source
        `MODEL`, `FLOW` or `DENSITY`.
    rows : (m,) int64
        Which cells of the snapshots.
    height : (m,) float64
        In squared state units per unit of time; for `DENSITY` in natural logarithms.
    time
        The time at which the flow was read; None where each cell is at its own.
    explained
        Share of the flow between neighbours that the heights explain, 0 to 1, for as many heights as there
        are; None where they were not fitted to the flow.
    by_member, explained_by_member : (k, m), (k,) or None
        The same of every member of an ensemble; None where there is one member.
    n_pieces
        Groups of cells without a neighbour in another; heights between them rest on few, long steps.
    n_cells
        Cells at this time, of which `rows` are some.
    """

    source: str
    rows: np.ndarray = field(repr=False)
    height: np.ndarray = field(repr=False)
    time: float | None
    explained: float | None = None
    by_member: np.ndarray | None = field(default=None, repr=False)
    explained_by_member: np.ndarray | None = None
    n_pieces: int = 1
    n_cells: int = 0

    def __post_init__(self) -> None:
        for array in (self.rows, self.height, self.by_member, self.explained_by_member):
            if array is not None:
                array.flags.writeable = False

    @property
    def can_be_drawn(self) -> bool:
        """Whether heights explain enough of the flow to be shown as a landscape."""
        return self.explained is None or self.explained >= LEAST_EXPLAINED

    @cached_property
    def consistency(self) -> float | None:
        """Mean correlation between the heights of two members, −1 to 1; None where there is one."""
        if self.by_member is None or not (np.ptp(self.by_member, axis=1) > 0).all():
            return None
        between = np.corrcoef(self.by_member)
        return float(between[np.triu_indices(len(between), 1)].mean())


@dataclass(frozen=True, eq=False)
class Landscape:
    """A surface over the map: the mean height of the cells around each place.

    Attributes
    ----------
    x, y : (n_x,), (n_y,)
        Points of the grid, in units of the map.
    height : (n_x, n_y)
        NaN where no cells were measured.
    low, high : (n_x, n_y) or None
        Between which one more training would put it in 8 of 10 cases; None without an ensemble.
    shown
        Share of the differences in height between cells that the surface shows, 0 to 1: what is lost are
        differences between cells that lie on the same spot of the map.
    cells
        The heights of cells that it was made from.
    xy : (m, 2)
        Their places.
    """

    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    height: np.ndarray = field(repr=False)
    low: np.ndarray | None = field(repr=False)
    high: np.ndarray | None = field(repr=False)
    shown: float
    cells: Heights
    xy: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        for array in (self.x, self.y, self.height, self.low, self.high, self.xy):
            if array is not None:
                array.flags.writeable = False

    @property
    def mask(self) -> np.ndarray:
        """Points of the grid where cells were measured, (n_x, n_y) bool."""
        return np.isfinite(self.height)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Return the height of the surface at places on the map, (m,); NaN where no cells were measured."""
        origin, step = np.array([self.x[0], self.y[0]]), self.x[1] - self.x[0]
        position = ((np.asarray(places, np.float64)[:, :2] - origin) / step).T
        known = np.isfinite(position).all(axis=0)
        on = np.where(known, position, -9.0)
        inside = ndimage.map_coordinates(self.mask.astype(np.int8), on, order=0, mode="constant") > 0
        read = ndimage.map_coordinates(self._filled, on, order=1, mode="nearest")
        return np.where(inside & known, read, np.nan)

    @cached_property
    def _filled(self) -> np.ndarray:
        near = ndimage.distance_transform_edt(~self.mask, return_distances=False, return_indices=True)
        return self.height[tuple(near)]


def sources(velocity_field: "VelocityField") -> tuple[str, ...]:
    """Return where heights may come from with a field, the best first."""
    return (MODEL, FLOW, DENSITY) if getattr(velocity_field, "has_landscape", False) else (FLOW, DENSITY)


def heights(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    *,
    source: str = FLOW,
    time: float | None = None,
    most: int = MOST,
) -> Heights:
    """Return how high measured cells lie in a landscape that they roll down.

    `MODEL` reads the potential that the model has learned. `FLOW` finds the heights u with the least
    Σ w_ij (u_i − u_j − ½(v_i + v_j)·(x_j − x_i))² over neighbouring cells, w = 1/|x_j − x_i|²: the part of
    the flow that has a potential. `DENSITY` is −log of the density of the cells, the quasi-potential of a
    population at rest: it knows nothing of the flow, and what is sampled more often lies lower.

    Parameters
    ----------
    time
        In the data's unit: the cells around it, with the flow at that time. By default all cells, each at its
        own time; a model's own potential can only be compared within one time, so it needs one.

    Raises
    ------
    DataError
        There are too few cells at this time, or nothing moves.
    ModelError
        The model has no potential.

    References
    ----------
    Jiang et al., Statistical ranking and combinatorial Hodge theory, Mathematical Programming 2011; Wang et
    al., Quantifying the Waddington landscape and biological paths for development and differentiation, PNAS
    2011 (−log density); Levina and Bickel, Maximum likelihood estimation of intrinsic dimension, NIPS 2004.
    """
    if source not in (MODEL, FLOW, DENSITY):
        raise DataError(f"Heights cannot come from {source!r}; choose one of {MODEL}, {FLOW}, {DENSITY}.")
    rows, _ = cells_at(snapshots, time)
    n_cells = len(rows)
    if n_cells < FEWEST:
        raise DataError(
            f"A landscape needs at least {FEWEST} cells; there are {n_cells} here. Choose all times."
        )
    if n_cells > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    if source == DENSITY:
        height = _minus_log_density(snapshots.states[rows])
        return Heights(DENSITY, rows, height - height.mean(), time, n_cells=n_cells)
    if source == MODEL:
        return _own(velocity_field, snapshots.states[rows], rows, time=time, n_cells=n_cells)
    when = snapshots.times[rows] if time is None else time
    return _fitted(velocity_field, snapshots.states[rows], rows, times=when, n_cells=n_cells)


def surface(found: Heights, xy: np.ndarray, *, widened: float = 1.0) -> Landscape:
    """Lay heights over the map: the mean height of the cells around each place, by a Gaussian kernel.

    Parameters
    ----------
    xy : (m, 2 or more)
        Places of the cells `found.rows`; the first two axes are used.
    widened
        Times by which intervals are multiplied: what held-out times called for.

    Raises
    ------
    DataError
        A potential explains too little of the flow, or no cell has a place.

    References
    ----------
    Nadaraya, On estimating regression, Theory of Probability and its Applications 1964; Watson, Smooth
    regression analysis, Sankhyā A 1964.
    """
    if not found.can_be_drawn:
        raise DataError(
            f"A landscape explains {found.explained:.0%} of this flow, at least {LEAST_EXPLAINED:.0%} are "
            "needed: the rest goes round, which no landscape can show. Look at the flow instead, or choose "
            "the density of the cells as height."
        )
    xy = np.asarray(xy, np.float64)[:, :2]
    placed = np.isfinite(xy).all(axis=1)
    grid = flow_on_grid(xy, np.zeros_like(xy))
    x, y = (_refined(axis) for axis in grid.axes)
    mask = ndimage.binary_dilation(np.kron(grid.mask, np.ones((REFINED, REFINED), bool)))
    near_x, near_y = (_kernel(axis, xy[placed, k], grid.step) for k, axis in enumerate((x, y)))
    mass = near_x @ near_y.T
    mask &= mass > 0

    def regressed(values: np.ndarray) -> np.ndarray:
        total = (near_x * values[placed]) @ near_y.T
        return np.where(mask, total / np.where(mass > 0, mass, 1), np.nan)

    low = high = None
    if found.by_member is not None:
        low, high = band(np.stack([regressed(one) for one in found.by_member]), widened=widened)
    made = Landscape(x, y, regressed(found.height), low, high, 0.0, found, xy)
    lost = found.height - made.at(xy)
    known = np.isfinite(lost)
    var = float(np.var(found.height[known])) if known.any() else 0.0
    shown = float(np.clip(1 - np.var(lost[known]) / var, 0, 1)) if var > 0 else 1.0
    return Landscape(x, y, made.height, low, high, shown, found, xy)


def landscape(
    velocity_field: "VelocityField",
    snapshots: "Snapshots",
    xy: np.ndarray,
    *,
    source: str = FLOW,
    time: float | None = None,
) -> Landscape:
    """Return the landscape of a field over a map: `heights` of the cells, laid over it by `surface`.

    Parameters
    ----------
    xy : (n, 2 or more)
        Places of all cells of the snapshots.
    """
    found = heights(velocity_field, snapshots, source=source, time=time)
    return surface(found, np.asarray(xy)[found.rows])


def height_of(found: Heights, snapshots: "Snapshots", states: np.ndarray) -> np.ndarray:
    """Return the mean height of the 15 measured cells nearest to each state, (m,); nearer ones count more."""
    reference = snapshots.states[found.rows]
    near, d = nearest_among(reference, states, NEIGHBOURS + 1)
    reach = d[:, -1:].astype(np.float64)
    weight = np.maximum(reach - d, 1e-9 * reach + np.finfo(float).tiny)
    return (weight * found.height[near]).sum(axis=1) / weight.sum(axis=1)


def _own(
    velocity_field: "VelocityField",
    states: np.ndarray,
    rows: np.ndarray,
    *,
    time: float | None,
    n_cells: int,
) -> Heights:
    """Read the potential that a model, and every member of its ensemble, has learned."""
    if not getattr(velocity_field, "has_landscape", False):
        raise ModelError("This model has learned no landscape; choose the one that fits its flow best.")
    if time is None:
        raise DataError(
            "Heights of a learned landscape can be compared within one time only, and all times were asked "
            "for. Choose one time, or the landscape that fits the flow best."
        )
    read = [_potential(one, time, states) for one in members_of(velocity_field)]
    by_member = np.stack(read) if len(read) > 1 else None
    return Heights(MODEL, rows, read[0], time, by_member=by_member, n_cells=n_cells)


def _potential(member: "VelocityField", time: float, states: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        found = member.potential(time, torch.from_numpy(np.array(states, np.float64))).numpy()
    return found.astype(np.float64) - found.mean()


def _fitted(
    velocity_field: "VelocityField",
    states: np.ndarray,
    rows: np.ndarray,
    *,
    times: float | np.ndarray,
    n_cells: int,
) -> Heights:
    """Fit heights to the flow of a field, and of every member of its ensemble."""
    between = edges(states, k=NEIGHBOURS)
    time = None if np.ndim(times) else float(times)
    fits = [_fit(between, states, evaluate(one, times, states)) for one in members_of(velocity_field)]
    several = len(fits) > 1
    return Heights(
        FLOW,
        rows,
        fits[0][0],
        time,
        explained=fits[0][1],
        by_member=np.stack([one[0] for one in fits]) if several else None,
        explained_by_member=np.array([one[1] for one in fits]) if several else None,
        n_pieces=between.n_pieces,
        n_cells=n_cells,
    )


def _fit(between: Edges, states: np.ndarray, velocity: np.ndarray) -> tuple[np.ndarray, float]:
    return fit_potential(between, between.drops(states, velocity), n_cells=len(states))


def _minus_log_density(states: np.ndarray) -> np.ndarray:
    """Return −log of the density of cells at each, (m,), from the distance to the 15th neighbour.

    The number of dimensions that the cells fill around each other is the maximum likelihood estimate, with
    its inverse averaged over the cells.
    """
    d = nearest(states, NEIGHBOURS + 1).distances[:, 1:].astype(np.float64)
    reach = d[:, -1]
    if not (reach > 0).any():
        raise DataError("All cells lie on the same state, so they have no density. Choose another source.")
    floor = 1e-6 * float(np.median(reach[reach > 0]))
    d = np.maximum(d, floor)
    logs = np.log(d[:, -1:] / d[:, :-1]).mean()
    dim = min(1 / max(float(logs), 1e-6), states.shape[1])
    return dim * np.log(d[:, -1])


def _refined(axis: np.ndarray) -> np.ndarray:
    """Return the centres of boxes cut into `REFINED` along each side."""
    step = axis[1] - axis[0]
    parts: Sequence[float] = (np.arange(REFINED) + 0.5) / REFINED - 0.5
    return (axis[:, None] + step * np.asarray(parts)[None]).ravel()


def _kernel(axis: np.ndarray, places: np.ndarray, width: float) -> np.ndarray:
    """Return the weight of each cell at each point of an axis, (n_axis, m)."""
    return np.exp(-0.5 * np.square((axis[:, None] - places[None]) / width))
