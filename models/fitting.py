"""Does a model fit a data set? If so, the data set's states in the model's coordinates."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from dynamics.basis import StateBasis, log_expression
from dynamics.errors import ModelError
from dynamics.roles import Roles
from dynamics.snapshots import Snapshots, from_anndata, is_ordered
from models.cell_model import CellModel

if TYPE_CHECKING:
    from anndata import AnnData

BOX = 0.5
"""A cell is on the model's scale if it lies in the box of the training states, wider by this on each side."""
MIN_INSIDE = 0.5
MIN_SPREAD = 0.05
MIN_COVERAGE = 0.9
"""Share of the squared loadings that the data set's genes must hold for its cells to be projected."""
CHECK_CELLS, CHECK_GENES, CHECK_R2 = 1_000, 200, 0.2
MIN_AGREEMENT = 0.5
"""Part of the training R² that known axes must still reach, else they are other axes of the same name."""


def check_fit(model: CellModel, data: "AnnData | Snapshots", roles: Roles | None = None) -> Snapshots:
    """Return the states of a data set in the model's coordinates, or say why there are none.

    The data set's own representation is used where it is the model's: same name, wide enough, on the same
    scale, and, where both know the genes, with the same axes. Otherwise its cells are projected through the
    model's genes, if the model was trained on principal components and the genes are there.

    Parameters
    ----------
    data
        A data set with `roles`, or snapshots already taken from one.

    Raises
    ------
    ModelError
        The data set does not fit: other representation, other width, other scale, missing genes, or another
        unit of time. The message says which, and what to do.
    DataError
        The data set has no times.
    """
    if isinstance(data, Snapshots):
        snapshots, reason = _as_given(model, data)
    elif model.rep in data.obsm and _width(data, model.rep) >= model.dim:
        own = from_anndata(data, replace(roles, rep=model.rep), dims=model.dim)
        snapshots, reason = _as_given(model, own)
        if snapshots is not None and own.fingerprint != model.fingerprint:
            reason = _other_axes(model, data, roles, own)
    else:
        snapshots, reason = None, _unlike(model, data)
    if reason:
        snapshots = _projected(model, data, roles, reason)
    _check_unit(model, snapshots)
    return snapshots


def _as_given(model: CellModel, snapshots: Snapshots) -> tuple[Snapshots | None, str]:
    """Snapshots as they are if they are in the model's coordinates, else None and the reason."""
    if snapshots.rep != model.rep:
        return None, f"the model was trained on {model.rep}, the data set's states are {snapshots.rep}"
    if snapshots.dim < model.dim:
        return (
            None,
            f"the model needs {model.dim} dimensions of {model.rep}, the data set has {snapshots.dim}",
        )
    if snapshots.dim > model.dim:
        snapshots = replace(snapshots, states=np.ascontiguousarray(snapshots.states[:, : model.dim]))
    if snapshots.fingerprint == model.fingerprint:
        return snapshots, ""
    reason = _other_scale(model, snapshots.states)
    return (None, reason) if reason else (snapshots, "")


def _unlike(model: CellModel, data: "AnnData") -> str:
    if model.rep not in data.obsm:
        there = ", ".join(data.obsm) or "none"
        return f"the model was trained on {model.rep}, which the data set does not have (it has: {there})"
    return (
        f"the model needs {model.dim} dimensions of {model.rep}, the data set has {_width(data, model.rep)}"
    )


def _other_scale(model: CellModel, states: np.ndarray) -> str:
    """Say how states differ in scale from those that the model was trained on; empty if they do not."""
    margin = BOX * (model.high - model.low)
    inside = ((states >= model.low - margin) & (states <= model.high + margin)).all(axis=1).mean()
    spread = float(np.sqrt(((states - states.mean(axis=0)) / model.scale).var(axis=0).mean()))
    if inside >= MIN_INSIDE and (spread >= MIN_SPREAD or len(states) < 2):
        return ""
    return (
        f"its values are on another scale: {inside:.0%} of its cells lie where the model has seen any, and "
        f"their spread is {spread:.2g} times that of the training data"
    )


def _other_axes(model: CellModel, data: "AnnData", roles: Roles, snapshots: Snapshots) -> str:
    """Say whether the representation only shares its name with the model's; empty if nothing speaks for it.

    Principal components of two data sets are different axes under one name; the genes tell.
    """
    genes = _well_known(model.basis, data)
    if data.X is None or len(genes) < 10:
        return ""
    some = np.unique(np.linspace(0, len(snapshots.cells) - 1, CHECK_CELLS).astype(int))
    expression = log_expression(data[snapshots.cells[some]].copy(), roles)
    seen = _columns(expression, data.var_names.get_indexer(genes))
    told = model.basis.to_genes(snapshots.states[some], genes)
    variance = seen.var(axis=0)
    varies = variance > 0
    if not varies.any():
        return "none of the genes that the model knows best varies in the data set"
    reached = 1 - ((seen - told - (seen - told).mean(axis=0)) ** 2).mean(axis=0)[varies] / variance[varies]
    expected = model.basis.r2[model.basis.columns(genes)][varies]
    if np.median(reached) >= MIN_AGREEMENT * np.median(expected):
        return ""
    return (
        f"its {model.rep} has other axes than the model's: from it the model explains "
        f"{max(float(np.median(reached)), 0):.0%} of a typical gene instead of {np.median(expected):.0%}"
    )


def _well_known(basis: StateBasis | None, data: "AnnData") -> list[str]:
    """Genes of the data set that the model's states explain best."""
    if basis is None:
        return []
    best = np.argsort(-basis.r2, kind="stable")[:CHECK_GENES]
    return [basis.genes[k] for k in best if basis.r2[k] >= CHECK_R2 and basis.genes[k] in data.var_names]


def _projected(model: CellModel, data: "AnnData | Snapshots", roles: Roles | None, reason: str) -> Snapshots:
    """Project the data set's cells onto the model's axes through its genes, or refuse with the reason."""
    known = model.basis is not None and is_ordered(model.rep)
    no_genes = isinstance(data, Snapshots) or data.X is None or data.n_vars == 0
    if no_genes or not known:
        raise ModelError(
            f'The model "{model.name}" does not fit this data set: {reason}. '
            "Choose the data set that it was trained on, or train a model on this one."
        )
    shared = _shared_genes(model, data, reason)
    loadings = model.basis.loadings[:, model.basis.columns(shared)].astype(np.float64)
    expression = _columns(log_expression(data, roles), data.var_names.get_indexer(shared))
    centred = expression - model.basis.mean[model.basis.columns(shared)]
    states = (centred @ np.linalg.pinv(loadings)).astype(np.float32)
    if odd := _other_scale(model, states):
        raise ModelError(
            f'The model "{model.name}" does not fit this data set: {reason}; projected through its genes, '
            f"{odd}. Check that the expression values are prepared alike (log of counts per 10,000)."
        )
    return _regrouped(model, data, roles, states)


def _regrouped(model: CellModel, data: "AnnData", roles: Roles, states: np.ndarray) -> Snapshots:
    moved = SimpleNamespace(obs=data.obs, obsm={model.rep: states})
    return from_anndata(moved, replace(roles, rep=model.rep), dims=model.dim)


def _shared_genes(model: CellModel, data: "AnnData", reason: str) -> list[str]:
    """Genes that model and data set share, if these hold enough of the model's axes."""
    basis = model.basis
    present = np.isin(basis.genes, np.asarray(data.var_names, dtype=str))
    weight = np.square(basis.loadings.astype(np.float64)).sum(axis=0)
    coverage = weight[present].sum() / max(weight.sum(), np.finfo(float).tiny)
    if coverage >= MIN_COVERAGE and present.sum() >= model.dim:
        return [gene for gene, there in zip(basis.genes, present, strict=True) if there]
    missing = [basis.genes[k] for k in np.argsort(-weight, kind="stable") if not present[k]]
    raise ModelError(
        f'The model "{model.name}" does not fit this data set: {reason}; and {len(missing):,} of the '
        f"{len(basis.genes):,} genes that it knows are missing here ({_examples(missing)}). "
        "Check that genes are named alike (symbols or Ensembl numbers), or train a model on this data set."
    )


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _check_unit(model: CellModel, snapshots: Snapshots) -> None:
    if model.unit and snapshots.unit and model.unit != snapshots.unit:
        raise ModelError(
            f'The model "{model.name}" counts time in {model.unit!r}, this data set in {snapshots.unit!r}. '
            "Set the unit of time on the Data page to the model's, with the times in it."
        )


def _columns(matrix: object, columns: np.ndarray) -> np.ndarray:
    part = matrix[:, columns]
    return np.asarray(part.toarray() if sparse.issparse(part) else part, dtype=np.float64)


def _width(data: "AnnData", rep: str) -> int:
    shape = data.obsm[rep].shape
    return shape[1] if len(shape) > 1 else 1
