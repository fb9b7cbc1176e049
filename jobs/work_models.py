"""Work with models: training, predicting cells, writing results. Runs on a worker; see `jobs.tasks`."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamics import annotate as annotation
from dynamics import basis, confounding, predict, read, snapshots
from dynamics.errors import ModelError
from dynamics.field import Progress, share
from dynamics.projection import placement
from dynamics.roles import Roles
from dynamics.snapshots import Snapshots
from jobs.work import say, workspace_of
from jobs.workspace import ModelEntry
from models import checkpoint, fitting, holdout, inputs, verdict
from models.config import TrainConfig
from models.train import fit, versions

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
    say(progress, 0.98, "Looking for what else the motion may be")
    told = [asdict(one) for one in confounding.alarms(whole, roles, shots, field=model)]
    say(progress, 0.99, "Saving the model")
    checkpoint.save(model, folder / "model.safetensors")
    about = {"seconds": time.perf_counter() - began, "config": config.to_json(), "cli": params.get("cli", "")}
    about["alarms"] = told
    entry = workspace.add_model(
        folder / "model.safetensors", name=params["name"], dataset=dataset.id, about=about, id=folder.name
    )
    return {"model": entry.id}


def validate(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Leave times out, learn from the others, and compare the predictions with the real cells.

    The result, as `models.verdict.to_json` gives it, is kept with the model under "validation".

    Parameters
    ----------
    params
        `dataset`, `model`: their ids; the model's own recipe is tested. `held_out`: labels of times, by
        default all between two others; `seeds`: trainings for each, by default one; `methods`: further
        methods to be tested beside it, with their usual settings.
    """
    workspace = workspace_of(folder)
    dataset, entry = workspace.dataset(params["dataset"]), workspace.model(params["model"])
    roles, config = Roles.from_json(dataset.roles), recipe_of(entry)
    say(progress, 0.0, "Reading the data")
    adata = read.read_h5ad(dataset.file) if inputs.needs_genes(config) else read.read_cells(dataset.file)
    shots = snapshots.from_anndata(adata, roles, dims=config.dims)
    _check_same(shots, entry)
    held_out = holdout.times_to_hold_out(shots, params.get("held_out"))
    shots = inputs.complete(shots, config, adata=adata, roles=roles)
    configs = [config, *(replace(config, method=name, settings={}) for name in params.get("methods", ()))]
    seeds = range(config.seed, config.seed + int(params.get("seeds", 1)))
    wanted = [holdout.Task(replace(one, seed=seed), k) for one in configs for k in held_out for seed in seeds]
    found = holdout.validate(shots, wanted, run=_one_by_one(share(progress, 0.02, 0.99)))
    data = {"n_cells": shots.n_cells, "rep": shots.rep, "dims": shots.dim, "unit": shots.unit}
    data |= {"times": list(shots.axis.labels), "fingerprint": shots.fingerprint}
    protocol = {"from": holdout.ORIGINS["previous"], "time_as": roles.time_as, "seeds": len(seeds)}
    protocol |= {"whiten": config.whiten, "distance": holdout.DISTANCE, "versions": versions()}
    told = verdict.to_json(*found, data=data, protocol=protocol)
    workspace.describe_model(entry.id, validation=told)
    return {"model": entry.id, "summary": told["summary"]}


def recipe_of(entry: ModelEntry) -> TrainConfig:
    """Return the recipe of a model in the library: as it was given, else as its file tells it."""
    if entry.about.get("config"):
        return TrainConfig.from_json(entry.about["config"])
    known = checkpoint.read_card(entry.path)
    return TrainConfig(known["method"], known["settings"], known["seed"], known["dim"], known["whiten"])


def _check_same(shots: Snapshots, entry: ModelEntry) -> None:
    """Refuse to test a model on other cells or times than it was learned from."""
    if checkpoint.read_card(entry.path)["fingerprint"] != shots.fingerprint:
        raise ModelError(
            f"The model “{entry.name}” was learned from other states or times than the data set has now: it "
            "was prepared again, or its roles were changed. Train a model on it as it is now, and test that."
        )


def _one_by_one(progress: Progress) -> holdout.Run:
    """Make calls here, one after the other, and hear a stop during each."""

    def run(function: Callable[..., Any], calls: Sequence[tuple]) -> Iterator[Any]:
        trains = function is holdout.score
        for done, call in enumerate(calls):
            if not trains:
                say(progress, 0.0, "Comparing the times with each other")
                yield function(*call)
                continue
            part = share(progress, done / len(calls), (done + 1) / len(calls))
            yield function(*call, _named(part, f"Without {call[0].axis.labels[call[1].held_out]}"))

    return run


def _named(progress: Progress, name: str) -> Progress:
    """Put a name before each message, and leave the figures of single trainings away."""
    return lambda fraction, message="", **_: progress(fraction, f"{name}: {message}")


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
    result = predict.simulate(
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
