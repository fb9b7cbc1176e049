"""What the snapshots leave open: models that assume different things, and where they agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dynamics.disagreement import hardly_moves
from dynamics.snapshots import Snapshots
from dynamics.trajectories import Trajectories, nearest_type
from dynamics.velocity import evaluate
from models import holdout
from models.config import TrainConfig
from models.methods import find
from models.train import fit

SMOOTH = "spline-cfm"
ASSUMED = {
    "ot-cfm": "every cell takes the shortest straight way",
    SMOOTH: "paths bend smoothly through all times",
    "sf2m": "cells are also pushed by chance",
    "growth-cfm": "cells divide and die on the way",
}
"""Methods, each with what it takes for granted; the same snapshots are explained by all of them."""
MOST = 20_000
"""Cells at which the models are compared; of more, a fixed random choice."""
STREAM = 18
SAME_WAY = 0.5
"""Mean cosine below which the direction depends on the assumption: more than 60° apart."""
FEWEST = 20


@dataclass(frozen=True, eq=False)
class Assumed:
    """One model's answer at the compared cells.

    Attributes
    ----------
    velocity : (m, dim) float32
        Of each cell at its own time, in state units per unit of time.
    ends : (m, dim) float32
        Where each cell is at the last time.
    """

    method: str
    velocity: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far models with different assumptions agree on each compared cell.

    Attributes
    ----------
    rows : (m,) int64
        Rows of the snapshots.
    methods
        That were trained.
    direction : (m,) float32
        Mean cosine between the velocities of any two models: 1 all the same way, 0 at right angles; NaN where
        one of them hardly moves the cell.
    fate : (m,) float32
        Share of the models that bring the cell to the type that most of them do; NaN without cell types.
    """

    rows: np.ndarray
    methods: tuple[str, ...]
    direction: np.ndarray
    fate: np.ndarray


def methods_for(snapshots: Snapshots) -> list[str]:
    """Return the methods that can learn from such data; between two times smooth paths are straight."""
    size = {"n_times": snapshots.n_times, "dim": snapshots.dim}
    known = [name for name in ASSUMED if not find(name).why_not(**size)]
    return [name for name in known if name != SMOOTH or snapshots.n_times > 2]


def compared(snapshots: Snapshots) -> np.ndarray:
    """Return the rows of the cells that the models are compared at, (m,)."""
    rng = np.random.default_rng(STREAM)
    n = snapshots.n_cells
    return np.arange(n) if n <= MOST else np.sort(rng.choice(n, MOST, replace=False))


def assumed(snapshots: Snapshots, config: TrainConfig) -> Assumed:
    """Train a model and ask it for the velocities and the ends of the compared cells."""
    model, rows = fit(snapshots, config), compared(snapshots)
    states, index, times = snapshots.states[rows], snapshots.time_index[rows], snapshots.axis.values
    ends = states.copy()
    for k in range(snapshots.n_times - 1):
        here = index == k
        if here.any():
            ends[here] = holdout.push(model, states[here], float(times[k]), float(times[-1]))[0]
    return Assumed(config.method, evaluate(model, times[index], states), ends)


def agreement(
    snapshots: Snapshots, found: Sequence[Assumed], *, groups: np.ndarray, names: Sequence[str]
) -> Agreement:
    """Compare the answers of several models.

    Parameters
    ----------
    groups : (n,) int64
        Code of the cell type of each cell of the snapshots, −1 for none; may be empty. A cell's fate is the
        type of most of the nearest measured cells where it ends.
    """
    rows = compared(snapshots)
    fate = np.full(len(rows), np.nan, np.float32)
    if (groups >= 0).any():
        types = np.stack([_end_types(snapshots, one, groups, names) for one in found])
        before_end = snapshots.time_index[rows] < snapshots.n_times - 1
        fate[before_end] = _commonest_share(types[:, before_end])
    direction = _mean_cosine([one.velocity for one in found])
    return Agreement(rows, tuple(one.method for one in found), direction, fate)


def to_json(found: Agreement, *, groups: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Return the agreement in figures, over all compared cells and for each cell type."""
    told = {
        "assumptions": {name: ASSUMED[name] for name in found.methods},
        "n_cells": len(found.rows),
        **_shares(found.direction, found.fate),
        "types": [],
    }
    codes = groups[found.rows] if len(groups) else np.empty(0, np.int64)
    for code, name in enumerate(names):
        mine = codes == code
        if mine.sum() >= FEWEST:
            shares = _shares(found.direction[mine], found.fate[mine])
            told["types"].append({"type": name, "n_cells": int(mine.sum()), **shares})
    return told


def _shares(direction: np.ndarray, fate: np.ndarray) -> dict[str, float | None]:
    told, fated = direction[np.isfinite(direction)], fate[np.isfinite(fate)]
    return {
        "median_cosine": float(np.median(told)) if len(told) else None,
        "direction_depends": float((told < SAME_WAY).mean()) if len(told) else None,
        "fate_depends": float((fated < 1).mean()) if len(fated) else None,
    }


def _mean_cosine(velocities: Sequence[np.ndarray]) -> np.ndarray:
    """Mean cosine over all pairs, (m,): (|Σ u|² − k) / (k (k − 1)) of unit vectors u."""
    v = np.stack(velocities).astype(np.float64)
    speed = np.linalg.norm(v, axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = (v / speed[..., None]).sum(axis=0)
    k = len(v)
    cosine = ((total**2).sum(axis=1) - k) / (k * (k - 1))
    slow = np.any([hardly_moves(one) for one in speed], axis=0)
    return np.where(slow, np.nan, cosine).astype(np.float32)


def _end_types(snapshots: Snapshots, found: Assumed, groups: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Type of most of the nearest measured cells of each end, (m,)."""
    ends = Trajectories(
        times=snapshots.axis.values[-1:].copy(),
        states=found.ends[None],
        inside=np.ones((1, len(found.ends)), bool),
        failed=np.zeros(len(found.ends), bool),
    )
    return nearest_type(ends, snapshots, (tuple(names), groups))[0]


def _commonest_share(types: np.ndarray) -> np.ndarray:
    """Share of the models that agree with most of them, (m,), from their answers, (models, m)."""
    same = (types[:, None] == types[None]).sum(axis=1)
    return (same.max(axis=0) / len(types)).astype(np.float32)
