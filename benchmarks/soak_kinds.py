"""The kinds of work that are disturbed besides training, and how to tell that each came to its end."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from dynamics import read, snapshots, terminal
from dynamics.inspect import inspect
from jobs import client, expiry, leftovers, people, shipped, work, work_fates
from jobs.workspace import Dataset, ModelEntry, Workspace
from models import checkpoint, fitting
from models.config import TrainConfig
from models.train import fit

DATASET, SECOND, MODEL = "soakdataset1", "soakdataset2", "soakmodel001"
LIGHT = {"umap": "skip", "n_pcs": 5}


@dataclass(frozen=True)
class Kind:
    """One kind of work.

    Attributes
    ----------
    params
        What the job is asked for, in the home given.
    came_to
        What the job made, as text that does not depend on when or under which id it was made.
    made
        What it leaves in what was there before.
    """

    task: str
    params: Callable[[Path], Mapping]
    came_to: Callable[[Workspace, client.Job], str]
    made: tuple[str, ...] = ()


def cells(n: int, *, n_genes: int, seed: int = 0) -> AnnData:
    """Return cells with counts on three days, in two groups that part, and a map."""
    rng = np.random.default_rng(seed)
    days, sides = np.repeat([0.0, 1.0, 3.0], n // 3), np.tile([-1, 1], n)[: 3 * (n // 3)]
    level = 1 + 4 * rng.random(n_genes) * (1 + days[:, None] * rng.random(n_genes) * (sides[:, None] > 0))
    states = rng.normal(size=(len(days), 2)) + np.c_[2 * days, 2 * sides * days]
    obs = pd.DataFrame({"day": days}, index=[f"c{k}" for k in range(len(days))])
    var = pd.DataFrame(index=[f"Gene{k}" for k in range(n_genes)])
    return AnnData(
        rng.poisson(level).astype(np.float32), obs=obs, var=var, obsm={"X_umap": states.astype(np.float32)}
    )


def furnish(home: Path, *, n: int = 60, n_genes: int = 40) -> None:
    """Put a data set, a model of it, its terminal states and a file to open into a home."""
    workspace, adata = Workspace(home), cells(n, n_genes=n_genes)
    fresh = work.fresh_folder(home / "fresh")
    read.write_h5ad(adata, fresh / "data.h5ad")
    found = inspect(adata)
    roles = found.roles.to_json() | {"rep": "X_umap", "embedding": "X_umap"}
    about = {"name": "d", "origin": "", "roles": roles, "report": found.to_json()}
    dataset = workspace.add_dataset(fresh, **about, id=DATASET)
    _model(workspace, dataset)
    shutil.copy(dataset.opened, home / "given.h5ad")


def _model(workspace: Workspace, dataset: Dataset) -> None:
    adata, roles = read.read_h5ad(dataset.file), work.Roles.from_json(dataset.roles)
    shots = snapshots.from_anndata(adata, roles)
    model = fit(shots, TrainConfig("ot-cfm", {"steps": 50}, members=2))
    checkpoint.save(model, workspace.home / "m.safetensors")
    entry = workspace.add_model(workspace.home / "m.safetensors", name="m", dataset=DATASET, id=MODEL)
    fitted = fitting.check_fit(model, adata, roles)
    last = fitted.time_index == fitted.n_times - 1
    codes = np.where(last, (fitted.states[:, 1] > 0).astype(int), -1)
    states = terminal.from_codes(codes, ["down", "up"], source="types", reasons=["", ""])
    work_fates.keep_states(entry, states, fitted)


def _uploaded(home: Path) -> Mapping:
    target = home / "uploads" / "given.upload"
    shutil.copy(home / "given.h5ad", target)
    return {"source": str(target), "name": "given.h5ad"}


def _told(dataset: Dataset) -> str:
    """Return what a data set holds, in figures: values, states, roles."""
    adata = read.read_h5ad(dataset.file)
    matrix = 0.0 if adata.X is None else float(np.asarray(adata.X.sum()))
    parts = {name: f"{np.abs(np.asarray(adata.obsm[name])).sum():.5g}" for name in sorted(adata.obsm)}
    roles = {name: dataset.roles[name] for name in ("time_key", "rep", "embedding")}
    return f"{adata.shape} {matrix:.6g} {parts} {roles} {dataset.report['n_cells']}"


def _came_to_dataset(workspace: Workspace, job: client.Job) -> str:
    made = [one for one in workspace.datasets() if one.id != DATASET]
    uploads = [path.name for path in (workspace.home / "uploads").iterdir()]
    return f"{[_told(one) for one in made]} {uploads} {job.result.get('dataset') == made[0].id}"


def _came_to_beside(workspace: Workspace, job: client.Job) -> str:
    entry: ModelEntry = workspace.model(MODEL)
    beside = sorted(path.name for path in entry.path.parent.glob(f"{MODEL}.*"))
    return f"{beside} {sorted(entry.about)}"


KINDS: Mapping[str, Kind] = {
    "ingest": Kind("ingest", _uploaded, _came_to_dataset),
    "prepare": Kind(
        "prepare",
        lambda home: {"dataset": DATASET, "config": LIGHT},
        lambda workspace, job: _told(workspace.dataset(DATASET)),
        (f"datasets/{DATASET}/prepared.h5ad",),
    ),
    "fates": Kind(
        "fates",
        lambda home: {"dataset": DATASET, "model": MODEL, "growth": "none", "draws": 4},
        _came_to_beside,
        (f"models/{MODEL}.fates",),
    ),
    "validate": Kind(
        "validate",
        lambda home: {"dataset": DATASET, "model": MODEL, "null_checks": False},
        _came_to_beside,
    ),
}


def library(home: Path, rng: np.random.Generator, *, n: int = 15) -> None:
    """Do what a person does in the library, one thing after the other, and what the server does beside."""
    place = Workspace(home)
    made = home / "demo"

    def add_model() -> None:
        part = home / "uploads" / f"{rng.integers(1e9):012d}.safetensors"
        shutil.copy(home / "given.safetensors", part)
        place.add_model(part, name="added", dataset=DATASET)

    def each(things: list, do: Callable[[str], object]) -> None:
        for thing in things[:1]:
            do(thing.id)

    trash = home / "trash"
    actions = [
        add_model,
        lambda: shipped.open_demo(place, "soak", title="demo", made=made),
        lambda: each(place.models(), lambda id: place.rename_model(id, "other")),
        lambda: each(place.models(), lambda id: place.describe_model(id, checked=True)),
        lambda: each(place.models(), place.delete_model),
        lambda: [place.restore_model(path.stem) for path in sorted(trash.glob("*.safetensors"))[:1]],
        lambda: each(place.datasets(), lambda id: place.rename_dataset(id, "other")),
        lambda: each(place.datasets(), lambda id: place.update_dataset(id, report={"n_cells": 1})),
        lambda: each(place.datasets(), place.delete_dataset),
        lambda: [
            place.restore_dataset(path.name) for path in sorted(trash.glob("[0-9a-z]*")) if path.is_dir()
        ][:1],
        lambda: expiry.sweep(people.base(home), now=None),
        lambda: expiry.empty_trash(home, before=0),
        lambda: leftovers.sweep(home, client.Jobs(home).journal, alone=True),
    ]
    for _ in range(n):
        actions[rng.integers(len(actions))]()


def heavy(task: str, home: Path) -> Mapping:
    """Return what a job of a kind is asked for so that it works for some seconds."""
    if task == "prepare":
        return {"dataset": SECOND, "config": {"umap": "redo"}}
    if task == "fates":
        return {"dataset": DATASET, "model": MODEL, "growth": "none", "draws": 400}
    return KINDS[task].params(home)


def furnish_heavily(home: Path) -> None:
    """Furnish a home with enough cells that jobs take seconds, and a data set to be prepared."""
    furnish(home, n=1500, n_genes=400)
    workspace = Workspace(home)
    known = workspace.dataset(DATASET)
    fresh = work.fresh_folder(home / "fresh")
    shutil.copy(known.opened, fresh / "data.h5ad")
    workspace.add_dataset(
        fresh, name="d", origin="", roles=dict(known.roles), report=dict(known.report), id=SECOND
    )
