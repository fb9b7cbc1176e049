"""What a strength of noise means for a data set, told before anything is trained."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from dynamics.snapshots import Snapshots
from models.objectives.bridges import BridgeSettings, chosen_noise, spread_within
from models.train import standardisation

LOOKED_AT = 500
"""Cells of each time whose nearest neighbours are looked for."""


@dataclass(frozen=True)
class NoisePreview:
    """The noise of bridges beside the data's own distances, all in state units.

    In a whitened model they are distances in whitened states, times the mean scale.
    """

    noise: float
    """× the spread of the states, as the setting is."""
    wander: float
    """Typical distance by which chance moves a cell off its way, half-way between two measured times."""
    neighbour: float
    """Median distance from a cell to the nearest cell of the same time; 0 where there is none."""
    spread: float
    """Typical distance of a cell from the mean of its time."""
    sentence: str


def preview(
    settings: BridgeSettings, snapshots: Snapshots, *, whiten: bool = False, seed: int = 0
) -> NoisePreview:
    """Tell what the noise of `settings` means for the cells of each time.

    Raises
    ------
    DataError
        All states are the same.
    """
    shift, scale = standardisation(snapshots, whiten=whiten)
    scaled = ((snapshots.states - shift) / scale).astype(np.float32)
    states = tuple(scaled[snapshots.rows(k)] for k in range(snapshots.n_times))
    unit = float(np.sqrt(np.square(scale).mean()))
    noise, across = chosen_noise(settings, states), unit * np.sqrt(snapshots.dim)
    wander, spread = noise / 2 * across, spread_within(states) * across
    neighbour = unit * _nearest_distance(states, np.random.default_rng(seed))
    near = f"{wander / neighbour:.2g} × the distance to its nearest neighbour" if neighbour else ""
    wide = f"{wander / spread:.2g} × its distance from the mean of its time" if spread else ""
    told = " and ".join(words for words in (near, wide) if words) or "the cells of each time are all alike"
    sentence = f"Half-way between two times, noise has moved a typical cell {wander:.2g} off its way: {told}."
    return NoisePreview(noise, wander, neighbour, spread, sentence)


def _nearest_distance(states: tuple[np.ndarray, ...], rng: np.random.Generator) -> float:
    """Median distance from a cell to the nearest one of its time, over some cells of each time."""
    found = [
        cKDTree(one).query(one[rng.permutation(len(one))[:LOOKED_AT]], k=2)[0][:, 1]
        for one in states
        if len(one) > 1
    ]
    return float(np.median(np.concatenate(found))) if found else 0.0
