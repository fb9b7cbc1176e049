"""Work with models: training, predicting cells, writing results. Runs on a worker; see `jobs.tasks`."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamics import annotate as annotation
from dynamics import basis, read, snapshots
from dynamics.field import Progress
from dynamics.projection import placement
from dynamics.roles import Roles
from jobs.work import say, share, workspace_of
from models import checkpoint, fitting, inputs
from models.config import TrainConfig
from models.train import fit

if TYPE_CHECKING:
    from anndata import AnnData


CHECKPOINT = "checkpoint.safetensors"


def train(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Train a model on a data set and put it into the library, under the id of the job.

    Parameters
    ----------
    params
        `dataset`: its id; `config`: the recipe, as `models.config.TrainConfig.to_json` gives it; `name`: what
        the model is called.
    """
    began = time.perf_counter()
    workspace = workspace_of(folder)
    dataset = workspace.dataset(params["dataset"])
    roles = Roles.from_json(dataset.roles)
    config = TrainConfig.from_json(params["config"])
    say(progress, 0.0, "Reading the data")
    adata = read.read_cells(dataset.file)
    shots = snapshots.from_anndata(adata, roles, dims=config.dims)
    whole = read.read_h5ad(dataset.file) if adata.n_vars else adata
    shots = inputs.complete(shots, config, adata=whole, roles=roles)
    genes = basis.from_anndata(whole, roles, shots) if adata.n_vars else None
    model = fit(
        shots,
        config,
        basis=genes,
        progress=share(progress, 0.02, 0.98),
        checkpoint=folder / CHECKPOINT,
        name=params["name"],
    )
    say(progress, 0.99, "Saving the model")
    checkpoint.save(model, folder / "model.safetensors")
    about = {"seconds": time.perf_counter() - began, "config": config.to_json(), "cli": params.get("cli", "")}
    entry = workspace.add_model(
        folder / "model.safetensors", name=params["name"], dataset=dataset.id, about=about, id=folder.name
    )
    return {"model": entry.id}


def annotate(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Write the results of a model into a copy of the data set, under the field's own names.

    Parameters
    ----------
    params
        `dataset`, `model`: their ids.
    """
    adata, roles, model, shots = _opened(params, folder, progress)
    say(progress, 0.3, "Computing velocities")
    place = placement(adata, roles, shots)
    result = annotation.annotate(adata, model, shots, roles=roles, placement=place)
    return _written(result, folder, "annotated.h5ad", progress)


def simulate(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Predict cells at given times and write them to a file.

    Parameters
    ----------
    params
        `dataset`, `model`: their ids; `from_time`, `times`: in the data's unit; `rows`: starting cells.
        What is not given is chosen from the data.
    """
    adata, roles, model, shots = _opened(params, folder, progress)
    say(progress, 0.3, "Predicting cells")
    rows = params.get("rows")
    result = annotation.simulate(
        adata,
        model,
        shots,
        roles=roles,
        placement=placement(adata, roles, shots),
        from_time=params.get("from_time"),
        times=params.get("times"),
        rows=None if rows is None else np.asarray(rows, dtype=np.int64),
    )
    return _written(result, folder, "predicted.h5ad", progress)


def _opened(params: Mapping[str, Any], folder: Path, progress: Progress) -> tuple:
    workspace = workspace_of(folder)
    dataset, entry = workspace.dataset(params["dataset"]), workspace.model(params["model"])
    say(progress, 0.0, "Reading the data")
    model = checkpoint.load(entry.path)
    adata, roles = read.read_h5ad(dataset.file), Roles.from_json(dataset.roles)
    return adata, roles, model, fitting.check_fit(model, adata, roles)


def _written(result: "AnnData", folder: Path, name: str, progress: Progress) -> dict:
    say(progress, 0.9, "Writing the file")
    read.write_h5ad(result, folder / name)
    return {"file": str(folder / name), "n_cells": result.n_obs}
