"""How much of a cell's step the map can show: its arrow, carried back to the state space, beside the step."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dynamics.errors import DataError

if TYPE_CHECKING:
    from dynamics.projection import Placement

NEIGHBOURS = 30
"""Cells that the map around a cell is learned from."""

RIDGE = 0.01
"""Weight of the ridge penalty, in mean squared offsets on the map along one axis."""

SHOWN = 0.5
"""Cosine from which on an arrow counts as showing the step: below it, under a quarter of the squared step."""

CHUNK = 2_048


@dataclass(frozen=True)
class Visibility:
    """How much of each cell's step its arrow on the map shows.

    Attributes
    ----------
    cosine : (n,)
        Between the step and the step in the state space that the arrow stands for, −1 to 1. Its square is
        the share of the squared step that the arrow shows at best. NaN where the cell does not move.
    length : (n,)
        Length of what the arrow stands for, in lengths of the step.
    reach : (n,)
        Cosine that the best arrow at this place of the map could have, 0 to 1.
    chance : float
        √(e/dim): about what a direction drawn at random keeps on a map with e axes of dim dimensions.
    """

    cosine: np.ndarray = field(repr=False)
    length: np.ndarray = field(repr=False)
    reach: np.ndarray = field(repr=False)
    chance: float

    def __post_init__(self) -> None:
        for array in (self.cosine, self.length, self.reach):
            array.flags.writeable = False

    @cached_property
    def hidden(self) -> float:
        """Share of the moving cells whose arrow shows less than a quarter of the squared step."""
        moving = np.isfinite(self.cosine)
        return float((self.cosine[moving] < SHOWN).mean()) if moving.any() else float("nan")

    @cached_property
    def median(self) -> float:
        """Median cosine of the moving cells."""
        moving = np.isfinite(self.cosine)
        return float(np.median(self.cosine[moving])) if moving.any() else float("nan")


def visibility(
    states: np.ndarray, steps: np.ndarray, arrows: np.ndarray, *, placement: "Placement"
) -> Visibility:
    """Tell how much of the steps of measured cells their arrows on the map can show.

    Around each cell the map is a linear picture of the states: offsets of its 30 nearest cells in the state
    space are fitted by B times their offsets on the map (with weights that fall with distance, and a small
    ridge penalty). An arrow a then stands for the step B a, and no arrow can show what lies outside the span
    of B. A direction drawn at random in dim dimensions keeps about √(e/dim) of its length in a span of e
    directions, so cosines about there say nothing. Below 0.5 an arrow does not count as showing the step:
    even drawn at its best length it would leave over three quarters of the squared step unexplained, and the
    step lies at more than 60° to it.

    Parameters
    ----------
    states, steps : (n, dim)
        States and their velocities (or steps: only directions and ratios of lengths count).
    arrows : (n, e)
        The velocities on the map, per the same time.
    placement
        The measured cells and their places; in wide state spaces at most 6,000 of them are compared with.

    Raises
    ------
    DataError
        Steps or arrows are not of the size of the states and the map.

    References
    ----------
    Cleveland, Robust locally weighted regression and smoothing scatterplots, J. Am. Stat. Assoc. 1979 (fits
    around each point); Hoerl and Kennard, Ridge regression, Technometrics 1970.
    """
    n, n_axes = len(states), placement.n_axes
    if np.shape(steps) != np.shape(states) or np.shape(arrows) != (n, n_axes):
        raise DataError(
            f"There are states of shape {np.shape(states)}, steps of {np.shape(steps)} and arrows of "
            f"{np.shape(arrows)}; each state has one step of its width and one arrow of {n_axes} axes."
        )
    cosine, length, reach = (np.full(n, np.nan) for _ in range(3))
    for first in range(0, n, CHUNK):
        part = slice(first, first + CHUNK)
        picture = local_pictures(states[part], placement)
        step, arrow = np.asarray(steps[part], np.float64), np.asarray(arrows[part], np.float64)
        cosine[part], length[part], reach[part] = _compared(picture, step, arrow)
    return Visibility(cosine, length, reach, chance=min(1.0, (n_axes / placement.dim) ** 0.5))


def local_pictures(states: np.ndarray, placement: "Placement") -> np.ndarray:
    """Return B, (n, dim, e): offsets of states around each state as a linear function of offsets on the map.

    Where the map is part of the state space, that part is exact.
    """
    d, near, places = placement.around(states, NEIGHBOURS)
    scale = np.maximum(np.median(d, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    weight = np.exp(-0.5 * (d / scale) ** 2)
    weight = (weight / weight.sum(axis=1, keepdims=True))[:, :, None]
    offsets = near - (weight * near).sum(axis=1, keepdims=True)
    on_map = places - (weight * places).sum(axis=1, keepdims=True)
    weighted = (weight * on_map).transpose(0, 2, 1)
    square = weighted @ on_map
    n_axes = placement.n_axes
    mean = np.trace(square, axis1=1, axis2=2) / n_axes
    penalty = np.maximum(RIDGE * mean, np.finfo(np.float64).tiny)
    square += penalty[:, None, None] * np.eye(n_axes)
    picture = np.linalg.solve(square, weighted @ offsets).transpose(0, 2, 1)
    if placement.linear:
        picture[:, :n_axes] = np.eye(n_axes)
    return picture


def _compared(
    picture: np.ndarray, step: np.ndarray, arrow: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cosine, length and reach of arrows as pictures of steps, each (n,)."""
    size = np.linalg.norm(step, axis=1)
    shown = np.einsum("nde,ne->nd", picture, arrow)
    shown_size = np.linalg.norm(shown, axis=1)
    along = np.einsum("nde,nd->ne", picture, step)
    inverse = np.linalg.pinv(picture.transpose(0, 2, 1) @ picture, rcond=1e-10, hermitian=True)
    kept = np.sqrt(np.maximum(np.einsum("ne,nef,nf->n", along, inverse, along), 0))
    moving = (size > 0) & np.isfinite(size)
    cosine, length, reach = (np.full(len(step), np.nan) for _ in range(3))
    both = np.where(shown_size > 0, shown_size, np.inf) * size
    np.divide((shown * step).sum(axis=1), both, out=cosine, where=moving)
    np.divide(shown_size, size, out=length, where=moving)
    np.divide(kept, size, out=reach, where=moving)
    return np.clip(cosine, -1, 1), length, np.clip(reach, 0, 1)
