"""The job that screens all genes for their effect on a fate, and what is kept of it beside the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dynamics import fate_readout, perturb, perturbation, proposals, read, transitions
from dynamics.errors import DataError, ModelError
from dynamics.field import Progress, share
from dynamics.roles import Roles
from dynamics.screen import Screen, screen
from jobs.work import say, workspace_of
from jobs.work_fates import kept_states
from jobs.workspace import ModelEntry
from models import checkpoint, container, fitting

SCREEN = ".screen"
"""Ending of the file beside a model with its last screen."""

ARRAYS = ("effect", "error", "z", "p", "q", "off", "r2")
UNKNOWN = -9.0e9


def screen_genes(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Perturb every variable gene and keep the ranking beside the model.

    Parameters
    ----------
    params
        `dataset`, `model`: their ids; `rows`: chosen rows of the data set; `words`: what these cells are;
        `fate`; `perturbation`: as `dynamics.perturbation` writes it, its first change for every gene; `seed`.
        Terminal states are those kept with the model, else those proposed.
    """
    workspace = workspace_of(folder)
    dataset, entry = workspace.dataset(params["dataset"]), workspace.model(params["model"])
    say(progress, 0.0, "Reading the data")
    roles, model = Roles.from_json(dataset.roles), checkpoint.load(entry.path)
    if model.basis is None:
        raise ModelError("This model was trained without genes, so there is nothing to screen.")
    adata = read.read_h5ad(dataset.file)
    shots = fitting.check_fit(model, adata, roles)
    labels = None
    if roles.cell_type_key:
        labels = adata.obs[roles.cell_type_key].astype("category").iloc[shots.cells]
    built = transitions.chains(model, shots, growth="none", progress=share(progress, 0.05, 0.2))
    states = kept_states(entry, shots) or proposals.propose(model, shots, built[0], labels=labels)
    told = fate_readout.readout(model, shots, states, chains_of=built)
    rows = np.flatnonzero(np.isin(shots.cells, np.asarray(params["rows"], np.int64)))
    if not len(rows):
        raise DataError("None of the chosen cells has a time. Choose other cells.")
    chosen, times = perturb.chosen(shots, rows)
    found = screen(
        model,
        told,
        perturbation.surroundings(shots, model.basis),
        states=chosen,
        times=times,
        fate=str(params["fate"]),
        perturbation=perturbation.from_json(params["perturbation"]),
        seed=int(params.get("seed", 0)),
        progress=share(progress, 0.2, 0.98),
    )
    keep(entry, found, key=shots.fingerprint, words=str(params.get("words", "cells")))
    return {"model": entry.id, "message": found.message}


def keep(entry: ModelEntry, found: Screen, *, key: str, words: str) -> None:
    """Write a screen beside a model, in place of the one before."""
    arrays = {name: np.nan_to_num(getattr(found, name), nan=UNKNOWN) for name in ARRAYS}
    arrays = {name: values.astype(np.float64) for name, values in arrays.items()}
    told = {name: getattr(found, name) for name in ("fate", "genes", "n_cells", "n_left_out", "kind")}
    container.keep(arrays, told | {"words": words}, entry.path.with_suffix(SCREEN), key=key)


def kept(path: Path, *, key: str) -> tuple[Screen, str] | None:
    """Return the screen beside a model, `path` its file, and which cells it is of; None where there is none.

    Parameters
    ----------
    key
        Fingerprint of the snapshots.
    """
    found = container.kept(path.with_suffix(SCREEN), key=key)
    if found is None:
        return None
    arrays, told = found
    words = told.pop("words")
    told["genes"] = tuple(told["genes"])
    values = {name: np.where(arrays[name] == UNKNOWN, np.nan, arrays[name]) for name in ARRAYS}
    return Screen(**told, **values), words
