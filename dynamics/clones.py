"""Predicted fates against what clones really became, beside the ceiling that the clones themselves allow."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse, stats
from sklearn.metrics import roc_auc_score

from dynamics.errors import DataError
from dynamics.proposals import one_hot

if TYPE_CHECKING:
    from anndata import AnnData

    from dynamics.fates import Fates
    from dynamics.snapshots import Snapshots
    from dynamics.terminal import TerminalStates

FEWEST = 10
"""Clones seen at an earlier and at the last time below which nothing is scored."""

FEWEST_OF_A_FATE = 3
"""Clones that mostly become a fate, and that do not, below which it has no AUROC."""

SPLITS = 20
"""Random halves of each clone's late cells."""

MODEL, CEILING, CHANCE = "model", "ceiling", "chance"


@dataclass(frozen=True, eq=False)
class CloneScores:
    """How well fates at one earlier time tell what clones became.

    Attributes
    ----------
    time
        Name of the earlier time.
    names
        Of the fates.
    auroc, pearson, spearman : {"model", "ceiling", "chance"} to (n_fates,)
        Area under the curve for “most of the clone's late cells have this fate”, and correlations with their
        share; NaN where a fate is too rare. All against the same random halves of the late cells: the model,
        the other half (which no prediction can beat by more than luck), and the model on shuffled clones.
    distance : {"model", "ceiling", "chance"} to number
        Mean over the clones of the total variation between predicted and real shares, 0 to 1.
    table
        One row for each clone: its cells early and late, its predicted and its real shares, their distance.
    n_clones, n_early, n_late
        Clones scored, and their cells at the earlier time and in terminal states at the last.
    """

    time: str
    names: tuple[str, ...]
    auroc: dict[str, np.ndarray]
    pearson: dict[str, np.ndarray]
    spearman: dict[str, np.ndarray]
    distance: dict[str, float]
    table: pd.DataFrame = field(repr=False)
    n_clones: int
    n_early: int
    n_late: int


def clone_codes(adata: "AnnData", key: str, cells: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the clones, and the clone of each cell of the snapshots, (n,), −1 for none.

    Parameters
    ----------
    key
        A column of `obs`, or a key of `obsm` that holds cells × clones: then a cell is in the clone of its
        largest value.
    cells : (n,)
        Rows of the data set.
    """
    if key in adata.obs:
        column = adata.obs[key].iloc[cells].astype("category")
        codes = column.cat.codes.to_numpy().astype(np.int64)
        names = tuple(str(name) for name in column.cat.categories)
        empty = [k for k, name in enumerate(names) if name.strip().lower() in ("", "nan", "none", "na", "-1")]
        return names, np.where(np.isin(codes, empty), -1, codes)
    if key not in adata.obsm:
        raise DataError(
            f"There is no column and no array “{key}” with clones. Choose another on the Data page."
        )
    matrix = sparse.csr_matrix(adata.obsm[key])[cells]
    largest = np.asarray(matrix.argmax(axis=1)).ravel()
    some = matrix.max(axis=1).toarray().ravel() > 0
    return tuple(f"clone {k}" for k in range(matrix.shape[1])), np.where(some, largest, -1)


def score_clones(
    fates: "Fates",
    snapshots: "Snapshots",
    states: "TerminalStates",
    clones: tuple[tuple[str, ...], np.ndarray],
    *,
    at: int,
    seed: int = 0,
) -> CloneScores:
    """Compare the mean fates of each clone's cells at an earlier time with what its late cells are.

    Parameters
    ----------
    clones
        Names and codes, as `clone_codes` gives them.
    at
        Number of the earlier time.

    Raises
    ------
    DataError
        Fewer than ten clones have cells with fates at that time and two cells in terminal states at the last.

    References
    ----------
    Weinreb et al., Lineage tracing on transcriptional landscapes links state to fate during differentiation,
    Science 2020 (clones as the truth, and how far sisters agree).
    """
    names, codes = clones
    last = int(snapshots.time_index.max())
    early = np.flatnonzero((snapshots.time_index == at) & (codes >= 0) & fates.known)
    late = np.flatnonzero((snapshots.time_index == last) & (codes >= 0) & (states.codes >= 0))
    predicted = _mean_by(codes[early], fates.probabilities[early], len(names))
    real = _mean_by(codes[late], one_hot(states.codes[late], len(states)), len(names))
    n_early, n_late = (np.bincount(codes[rows], minlength=len(names)) for rows in (early, late))
    scored = np.flatnonzero((n_early > 0) & (n_late > 1))
    if at >= last or len(scored) < FEWEST:
        raise DataError(_too_few(snapshots, at, n_early, n_late))
    place = np.full(len(names), -1)
    place[scored] = np.arange(len(scored))
    late = late[place[codes[late]] >= 0]
    halves = _on_halves(predicted[scored], states.codes[late], place[codes[late]], seed=seed)
    rows = {
        "clone": [names[k] for k in scored],
        "cells early": n_early[scored],
        "cells late": n_late[scored],
    }
    for f, name in enumerate(fates.names):
        rows[f"{name} predicted"] = predicted[scored, f]
        rows[f"{name} real"] = real[scored, f]
    rows["distance"] = 0.5 * np.abs(predicted - real)[scored].sum(axis=1)
    return CloneScores(
        time=snapshots.axis.name(at),
        names=fates.names,
        **halves,
        table=pd.DataFrame(rows),
        n_clones=len(scored),
        n_early=int(n_early[scored].sum()),
        n_late=int(n_late[scored].sum()),
    )


def _too_few(snapshots: "Snapshots", at: int, n_early: np.ndarray, n_late: np.ndarray) -> str:
    both, pairs = int(((n_early > 0) & (n_late > 0)).sum()), int(((n_early > 0) & (n_late > 1)).sum())
    return (
        f"Fates at {snapshots.axis.name(at)} cannot be scored by clones: {both} clones have cells there "
        f"({int(n_early.sum())} cells) and in terminal states at the last time, {pairs} of them two cells or "
        f"more there; {FEWEST} are needed. Take another time, larger terminal states, or data with more "
        "cells of each clone."
    )


def _on_halves(predicted: np.ndarray, fate: np.ndarray, clone: np.ndarray, *, seed: int) -> dict[str, dict]:
    """Score three predictions of random halves of the late cells, means over the splits.

    Parameters
    ----------
    predicted : (n_clones, n_fates)
    fate, clone : (m,)
        Terminal state and clone of each late cell.
    """
    rng = np.random.default_rng(seed)
    n_fates = predicted.shape[1]
    kinds = {kind: [] for kind in (MODEL, CEILING, CHANCE)}
    for _ in range(SPLITS):
        order = rng.permutation(len(fate))
        order = order[np.argsort(clone[order], kind="stable")]
        place = np.arange(len(order)) - np.searchsorted(clone[order], clone[order])
        halves = [
            _mean_by(
                clone[order[place % 2 == side]],
                one_hot(fate[order[place % 2 == side]], n_fates),
                len(predicted),
            )
            for side in (0, 1)
        ]
        truth = halves[1]
        told = {
            MODEL: predicted,
            CEILING: halves[0],
            CHANCE: predicted[rng.permutation(len(predicted))],
        }
        for kind, one in told.items():
            kinds[kind].append(_scored(one, truth))
    found = {kind: np.array(values) for kind, values in kinds.items()}
    means = {kind: _mean_known(values) for kind, values in found.items()}
    parts = {name: {kind: value[k] for kind, value in means.items()} for k, name in enumerate(NAMES)}
    return {**parts, "distance": {kind: float(value[3, 0]) for kind, value in means.items()}}


NAMES = ("auroc", "pearson", "spearman")


def _scored(predicted: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return AUROC, both correlations, and the mean total variation (repeated), (4, n_fates)."""
    found = np.full((4, predicted.shape[1]), np.nan)
    found[3] = 0.5 * np.abs(predicted - real).sum(axis=1).mean()
    for f in range(predicted.shape[1]):
        mostly = real[:, f] > 0.5
        if min(mostly.sum(), (~mostly).sum()) >= FEWEST_OF_A_FATE:
            found[0, f] = roc_auc_score(mostly, predicted[:, f])
        if np.ptp(predicted[:, f]) > 0 and np.ptp(real[:, f]) > 0:
            found[1, f] = np.corrcoef(predicted[:, f], real[:, f])[0, 1]
            found[2, f] = np.corrcoef(stats.rankdata(predicted[:, f]), stats.rankdata(real[:, f]))[0, 1]
    return found


def _mean_known(values: np.ndarray) -> np.ndarray:
    """Mean over splits of the values that are known; NaN where half of the splits or more have none."""
    known = np.isfinite(values)
    enough = known.sum(axis=0) > len(values) / 2
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(enough, total / np.maximum(known.sum(axis=0), 1), np.nan)


def _mean_by(codes: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Mean of values, (m, k), by code, (n, k); NaN where no cell has the code."""
    total = np.column_stack([np.bincount(codes, column, minlength=n) for column in values.T])
    counts = np.bincount(codes, minlength=n)[:, None]
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
