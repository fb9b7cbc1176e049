"""Work with models: training, predicting cells, writing results. Runs on a worker; see `jobs.tasks`."""

import time
from collections.abc import Mapping
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
from jobs import farm
from jobs.work import say, workspace_of
from jobs.workspace import ModelEntry, Workspace
from models import assumptions, card, checkpoint, container, fitting, folds, holdout, inputs, report
from models.config import TrainConfig
from models.train import fit

if TYPE_CHECKING:
    from anndata import AnnData


CHECKPOINT = "checkpoint.safetensors"
UNKNOWN = -9.0
ASSUMPTIONS = ".assumptions"
"""Ending of the file beside a model with how far other assumptions agree at each cell; −9 for unknown."""


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
    if workspace.has_model(folder.name):  # all that an attempt before this one did not come to was to say so
        return {"model": folder.name}
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
    about |= {"alarms": told, "learned_nothing": card.learned_nothing(model.summary)}
    entry = workspace.add_model(
        folder / "model.safetensors", name=params["name"], dataset=dataset.id, about=about, id=folder.name
    )
    for kept in folder.glob(f"{Path(CHECKPOINT).stem}*"):
        kept.unlink()
    return {"model": entry.id}


def validate(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Leave times out, learn from the others, and report how the predictions compare with the real cells.

    The report, as `models.report.to_json` gives it, is kept with the model under "validation". Its parts are
    worked on by all workers at once.

    Parameters
    ----------
    params
        `dataset`, `model`: their ids; the model's own recipe is tested. `held_out`: labels of times, by
        default all between two others; `seeds`: trainings for each, by default one; `methods`: further
        methods to be tested beside it, with their usual settings; `null_checks`: False leaves them out.
    """
    workspace, heard = workspace_of(folder), _Heard(progress)
    entry, config, adata, roles, shots = _as_learned(workspace, params, heard)
    shots = inputs.complete(shots, config, adata=adata, roles=roles)
    model = checkpoint.load(entry.path)
    others = [name for name in params.get("methods", ()) if name != config.method]
    plan = report.Plan(
        configs=(config, *(replace(config, method=name, settings={}) for name in others)),
        held_out=tuple(holdout.times_to_hold_out(shots, params.get("held_out"))),
        seeds=int(params.get("seeds", 1)),
        null_checks=bool(params.get("null_checks", True)),
    )
    look = folds.look(adata, roles, shots, basis=model.basis)
    with farm.within(heard.again) as run:
        found = report.make(shots, plan, look, run=run, progress=share(heard, 0.02, 0.99))
    data = {"rep": shots.rep, "dims": shots.dim, "fingerprint": shots.fingerprint}
    protocol = {"time_as": roles.time_as, "whiten": config.whiten}
    told = report.to_json(found, data=data, protocol=protocol, alarms=entry.about.get("alarms", ()))
    workspace.describe_model(entry.id, validation=told)
    return {"model": entry.id, "summary": told["summary"]}


def assume(*, params: Mapping[str, Any], folder: Path, progress: Progress) -> dict:
    """Train models with different assumptions on the data of a model, and see where they agree.

    Shares are kept with the model under "assumptions", the values of single cells beside its file.

    Parameters
    ----------
    params
        `dataset`, `model`: their ids.
    """
    workspace, heard = workspace_of(folder), _Heard(progress)
    entry, recipe, adata, roles, shots = _as_learned(workspace, params, heard)
    look, found = folds.look(adata, roles, shots), []
    names = assumptions.methods_for(shots)
    calls = [(shots, TrainConfig(name, {}, recipe.seed, whiten=recipe.whiten)) for name in names]
    with farm.within(heard.again) as run:
        for one in (run or holdout.here)(assumptions.assumed, calls):
            found.append(one)
            heard(0.95 * len(found) / len(names), f"{assumptions.ASSUMED[one.method].capitalize()}: done")
    agreed = assumptions.agreement(shots, found, groups=look.groups, names=look.names)
    arrays = {name: np.nan_to_num(getattr(agreed, name), nan=UNKNOWN) for name in ("direction", "fate")}
    arrays["cells"] = shots.cells[agreed.rows]
    container.write_state(arrays, entry.path.with_suffix(ASSUMPTIONS), key=shots.fingerprint)
    told = assumptions.to_json(agreed, groups=look.groups, names=look.names)
    workspace.describe_model(entry.id, assumptions=told)
    return {"model": entry.id}


class _Heard:
    """Progress that can be reported again, to hear a stop while others work.

    Raises
    ------
    Stopped
        The user stopped the work.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress, self.last = progress, (0.0, "")

    def __call__(self, fraction: float, message: str = "", **figures: float) -> bool:
        self.last = (fraction, message)
        say(self.progress, fraction, message)
        return True

    def again(self) -> None:
        """Report once more what was reported last."""
        say(self.progress, *self.last)


def _as_learned(workspace: Workspace, params: Mapping[str, Any], progress: Progress) -> tuple:
    """Return a model's entry and recipe, and the data, roles and snapshots that it was learned from.

    The matrix is read only where the recipe needs genes.
    """
    dataset, entry = workspace.dataset(params["dataset"]), workspace.model(params["model"])
    roles, config = Roles.from_json(dataset.roles), recipe_of(entry)
    progress(0.0, "Reading the data")
    adata = read.read_h5ad(dataset.file) if inputs.needs_genes(config) else read.read_cells(dataset.file)
    shots = snapshots.from_anndata(adata, roles, dims=config.dims)
    _check_same(shots, entry)
    return entry, config, adata, roles, shots


def recipe_of(entry: ModelEntry) -> TrainConfig:
    """Return the recipe of a model in the library: as it was given, else as its file tells it."""
    if entry.about.get("config"):
        return TrainConfig.from_json(entry.about["config"])
    known = checkpoint.read_card(entry.path)
    given = (known[name] for name in ("method", "settings", "seed", "dim", "whiten", "members"))
    return TrainConfig(*given)


def _check_same(shots: Snapshots, entry: ModelEntry) -> None:
    """Refuse to test a model on other cells or times than it was learned from."""
    if checkpoint.read_card(entry.path)["fingerprint"] != shots.fingerprint:
        raise ModelError(
            f"The model “{entry.name}” was learned from other states or times than the data set has now: it "
            "was prepared again, or its roles were changed. Train a model on it as it is now, and test that."
        )


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
