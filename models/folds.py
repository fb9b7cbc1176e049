"""One held-out time, looked at closely: every prediction on many draws of cells, by cell type and by gene."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from dynamics.basis import StateBasis
from dynamics.coupling import Coupling, couple
from dynamics.field import Progress, no_progress
from dynamics.snapshots import Snapshots
from models import holdout
from models.calibration import Misses, misses
from models.cell_model import CellModel
from models.holdout import Baseline, Score, Task
from models.resampling import Apart, Draws, apart, draw
from models.train import fit

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.roles import Roles

CELLS = 2_000
"""Cells a side that draws are made from; of more, a fixed random choice."""
PARTNER, DRAW = 13, 14
"""Streams of random numbers; they do not depend on the seed of the training."""
MOST_GENES, KNOWN_R2 = 60, 0.1
"""Genes that are looked at: those that change most, among those whose variance the states hold by a tenth."""
LEVELS = np.linspace(0.005, 0.995, 100)
"""Quantiles at which the values of a gene are compared."""


@dataclass(frozen=True, eq=False)
class Look:
    """What is looked at beside the distance itself.

    Attributes
    ----------
    groups : (n,) int64
        Code of the cell type of each cell of the snapshots, −1 for none; may be empty.
    names
        Of the cell types.
    basis
        How states map to genes.
    exact
        Also take the distances over all cells (up to 5,000 a side), as published figures are; slow.
    """

    groups: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    names: tuple[str, ...] = ()
    basis: StateBasis | None = None
    exact: bool = False


def look(
    adata: "AnnData",
    roles: "Roles",
    snapshots: Snapshots,
    *,
    basis: StateBasis | None = None,
    exact: bool = False,
) -> Look:
    """Return what a data set lets one look at: cell types where a column holds them, genes with a basis."""
    if roles.cell_type_key is None:
        return Look(basis=basis, exact=exact)
    types = adata.obs[roles.cell_type_key].astype("category").iloc[snapshots.cells].cat
    return Look(types.codes.to_numpy(np.int64), tuple(map(str, types.categories)), basis, exact)


@dataclass(frozen=True, eq=False)
class GeneDistance:
    """How far the predicted values of single genes are from the real ones.

    Attributes
    ----------
    genes : tuple of str
        Those that change most from the time before.
    distance : (n_genes,)
        W1 between the values, over their standard deviation in the real cells.
    """

    genes: tuple[str, ...]
    distance: np.ndarray


@dataclass(frozen=True, eq=False)
class Naive:
    """What needs no learning, for one held-out time."""

    held_out: int
    baselines: tuple[Baseline, ...]
    apart: Mapping[str, Apart]
    draws: Draws
    genes: Mapping[str, GeneDistance]
    group_cells: np.ndarray
    """Real cells of each type, (n_groups,)."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One method on one held-out time."""

    task: Task
    score: Score
    apart: Apart
    genes: GeneDistance | None
    misses: Misses | None
    """How the real cells lie in the band of the ensemble; None for a single model."""


@dataclass(frozen=True, eq=False)
class Clouds:
    """The cells of one comparison."""

    start: np.ndarray
    target: np.ndarray
    after: np.ndarray
    groups: np.ndarray | None
    draws: Draws


def clouds(snapshots: Snapshots, k: int, look: Look, *, origin: int | None = None) -> Clouds:
    """Choose the cells around a held-out time; the same whatever is tested on them.

    Parameters
    ----------
    origin
        Position of the time that a prediction starts from, by default the one before.

    Raises
    ------
    DataError
        There are too few cells to make draws from.
    """
    start, target, after = (holdout.some_rows(snapshots, at, CELLS) for at in (k - 1, k, k + 1))
    draws = draw(len(start), len(target), stream=(DRAW, k))
    groups = look.groups[target] if len(look.groups) else None
    states = snapshots.states
    if origin is not None and origin != k - 1:
        start = holdout.some_rows(snapshots, origin, CELLS)
        rng = np.random.default_rng([DRAW, k, origin])
        draws = replace(draws, start=rng.integers(len(start), size=draws.start.shape))
    return Clouds(states[start], states[target], states[after], groups, draws)


def naive(snapshots: Snapshots, k: int, look: Look) -> Naive:
    """Judge the predictions that need no learning.

    "copy": the cells of the time before. "ot-midpoint": for each of these cells the point at the held-out
    time on the straight line to its partner at the time after, by exact optimal transport. "noise-floor": as
    many other real cells.
    """
    here, times = clouds(snapshots, k, look), snapshots.axis.values
    pairs = couple(here.start, here.after, name="exact")
    share = (times[k] - times[k - 1]) / (times[k + 1] - times[k - 1])
    middle = (1 - share) * here.start + share * here.after[_partners(pairs, len(here.start), k)]
    points = {"copy": here.start, "ot-midpoint": middle, "noise-floor": here.target}
    found = {name: apart(at, here.target, here.draws, groups=here.groups) for name, at in points.items()}
    label = snapshots.axis.labels[k]
    told = [Baseline(name, label, float(one.w1.mean()), float(one.mmd.mean())) for name, one in found.items()]
    genes = {} if look.basis is None else {name: _genes(look.basis, here, points[name]) for name in points}
    cells = look.groups[snapshots.rows(k)] if len(look.groups) else np.empty(0, np.int64)
    return Naive(
        held_out=k,
        baselines=tuple(holdout.baselines(snapshots, k) if look.exact else told),
        apart=found,
        draws=here.draws,
        genes=genes,
        group_cells=np.bincount(cells[cells >= 0], minlength=len(look.names)),
    )


def trial(snapshots: Snapshots, task: Task, look: Look, progress: Progress = no_progress) -> Trial:
    """Train without one time and judge the prediction for it."""
    k = task.held_out
    model = fit(holdout.without(snapshots, k), task.config, progress=progress)
    origin = k - 1 if task.origin == "previous" else 0
    here = clouds(snapshots, k, look, origin=origin)
    t0, t1 = (float(snapshots.axis.values[at]) for at in (origin, k))
    there, weights = holdout.carried(model, here.start, t0, t1, where=snapshots.axis.name(k))
    found = apart(there, here.target, here.draws, weights=weights, groups=here.groups)
    score = (
        holdout.judge(snapshots, task, model)
        if look.exact
        else holdout.scored(snapshots, task, model, (float(found.w1.mean()), float(found.mmd.mean())))
    )
    return Trial(
        task=task,
        score=score,
        apart=found,
        genes=None if look.basis is None else _genes(look.basis, here, there),
        misses=_misses(model, here, (t0, t1)),
    )


def _misses(model: CellModel, here: Clouds, times: tuple[float, float]) -> Misses | None:
    """Where the real cells lie in the band of the members' predictions, each from its own draw of cells."""
    if len(model.members) < 3:
        return None
    rng = np.random.default_rng([DRAW, model.seed])
    predicted = []
    for member in model.members:
        some = rng.integers(len(here.start), size=len(here.start))
        predicted.append(holdout.push(member, here.start[some], *times)[0])
    return misses(predicted, here.target, rng=rng)


def _partners(pairs: Coupling, n: int, k: int) -> np.ndarray:
    """One partner of each cell, (n,), drawn by the weights of its pairs."""
    waiting = np.random.default_rng([PARTNER, k]).exponential(size=len(pairs.i)) / pairs.weight
    order = np.lexsort((waiting, pairs.i))
    cells, first = np.unique(pairs.i[order], return_index=True)
    partner = np.zeros(n, np.int64)
    partner[cells] = pairs.j[order][first]
    return partner


def _genes(basis: StateBasis, here: Clouds, points: np.ndarray) -> GeneDistance:
    """Compare single genes, as the states tell them, between predicted and real cells."""
    chosen = _changing(basis, here)
    names = tuple(basis.genes[g] for g in chosen)
    real, predicted = (_values(basis, states, chosen) for states in (here.target, points))
    scale = np.maximum(real.std(axis=0), np.finfo(np.float32).tiny)
    quantiles = (np.quantile(values, LEVELS, axis=0) for values in (real, predicted))
    distance = np.abs(np.subtract(*quantiles)).mean(axis=0) / scale
    return GeneDistance(names, distance)


def _changing(basis: StateBasis, here: Clouds) -> np.ndarray:
    """Columns of the genes whose mean changes most from the time before, in their standard deviations."""
    change = np.abs((here.target.mean(axis=0) - here.start.mean(axis=0)) @ basis.loadings)
    covariance = np.cov(here.target, rowvar=False).reshape(basis.dim, basis.dim)
    spread = np.sqrt(np.einsum("dg,de,eg->g", basis.loadings, covariance, basis.loadings, optimize=True))
    told = (basis.r2 >= KNOWN_R2) & (spread > 0)
    strength = np.where(told, change / np.where(spread > 0, spread, 1), -math.inf)
    return np.argsort(-strength, kind="stable")[: min(MOST_GENES, int(told.sum()))]


def _values(basis: StateBasis, states: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return states @ basis.loadings[:, columns] + basis.mean[columns]
