"""What the load test opens: a simulated time course with a model, in the workspace of every person."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from dynamics import basis, read, snapshots
from dynamics.inspect import inspect
from dynamics.roles import Roles
from jobs import people
from jobs.workspace import Workspace
from models import checkpoint
from models.config import TrainConfig
from models.methods import usual_members
from models.train import fit

DAYS = (0.0, 2.0, 4.0, 6.0, 8.0)
DIM, BRANCHES = 30, 3


def course(n_cells: int, n_genes: int, *, seed: int = 0) -> AnnData:
    """Simulate cells that leave one type and part into three, with counts, a PCA, and a map.

    The states are 30-dimensional; counts are Poisson around a log-linear map of them, most of them zero.
    """
    rng = np.random.default_rng(seed)
    day = rng.choice(DAYS, n_cells)
    branch = rng.integers(BRANCHES, size=n_cells)
    progress = np.clip(day / DAYS[-1] + 0.08 * rng.standard_normal(n_cells), 0, 1)
    angle = (branch - 1) * 0.9 * np.clip(progress - 0.35, 0, None)
    flat = np.column_stack([8 * progress * np.cos(angle), 14 * progress * np.sin(angle)])
    states = rng.standard_normal((n_cells, DIM)) * np.linspace(1.0, 0.3, DIM)
    states[:, :2] = flat + 0.5 * rng.standard_normal((n_cells, 2))
    weights = rng.standard_normal((DIM, n_genes)) * 0.12
    counts = sparse.vstack(
        [
            sparse.csr_matrix(rng.poisson(np.exp(part @ weights - 2.6)).astype(np.float32))
            for part in np.array_split(states, max(1, n_cells // 5000))
        ]
    ).tocsr()
    kinds = np.where(progress < 0.35, "stem", np.char.add("fate ", branch.astype(str)))
    early = (progress >= 0.35) & (progress < 0.65)
    kinds[early] = "committed"
    obs = pd.DataFrame(
        {
            "day": day,
            "cell_type": pd.Categorical(kinds),
            "donor": pd.Categorical(rng.choice(["a", "b", "c"], n_cells)),
            "n_counts": np.asarray(counts.sum(axis=1)).ravel(),
        },
        index=[f"cell{k}" for k in range(n_cells)],
    )
    adata = AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"Gene{k}" for k in range(n_genes)]))
    adata.layers["counts"] = counts.copy()
    size = np.maximum(np.asarray(counts.sum(axis=1)), 1)
    adata.X = counts.multiply(1e4 / size).log1p().tocsr().astype(np.float32)
    adata.obsm["X_pca"] = states.astype(np.float32)
    spread = 0.3 * rng.standard_normal((n_cells, 2))
    adata.obsm["X_umap"] = (flat + spread).astype(np.float32)
    return adata


def make(place: Path, *, n_cells: int, n_genes: int, settings: dict | None = None) -> Path:
    """Write the data set and train a model on it, once; return the folder that holds both."""
    ready = place / f"course-{n_cells}x{n_genes}"
    if ready.exists():
        return ready
    part = place / f".{ready.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    adata = course(n_cells, n_genes)
    read.write_h5ad(adata, part / "data.h5ad")
    found = inspect(adata)
    content = {"roles": found.roles.to_json(), "report": found.to_json()}
    (part / "found.json").write_text(json.dumps(content))
    roles = Roles.from_json(found.roles.to_json())
    shots = snapshots.from_anndata(adata, roles)
    config = TrainConfig(method="ot-cfm", settings=settings or {})
    config = replace(config, members=usual_members(config))
    model = fit(shots, config, basis=basis.from_anndata(adata, roles, shots), name="load")
    checkpoint.save(model, part / "model.safetensors")
    part.rename(ready)
    return ready


def furnish(home: Path, owner: str, made: Path) -> tuple[str, str]:
    """Put the data set and its model into a person's workspace; return their ids.

    Everybody has files of their own, as after an upload; on the disk they are hard links.
    """
    store = Workspace(people.folder(home, owner))
    fresh = store.home / "uploads" / "fresh"
    fresh.mkdir()
    os.link(made / "data.h5ad", fresh / "data.h5ad")
    found = json.loads((made / "found.json").read_bytes())
    dataset = store.add_dataset(fresh, name="load", origin="benchmarks/load.py", **found)
    os.link(made / "model.safetensors", store.home / "uploads" / "load.safetensors")
    entry = store.add_model(store.home / "uploads" / "load.safetensors", name="load", dataset=dataset.id)
    return dataset.id, entry.id
