"""Training as a job: a model in the library, whole or not at all, and what is made with it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dynamics import read
from dynamics.errors import DataError, Stopped
from dynamics.inspect import inspect
from jobs import work, work_models
from jobs.workspace import Dataset, Workspace
from models import checkpoint
from models.config import TrainConfig

JOBS = "0123456789abcdef0123", "0123456789abcdef0124"
QUICK = TrainConfig(settings={"steps": 30}).to_json()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return a workspace with the folders of two jobs."""
    made = Workspace(tmp_path / "home")
    for job in JOBS:
        (made.home / "jobs" / job).mkdir()
    return made


@pytest.fixture
def dataset(workspace: Workspace, tmp_path: Path, rng: np.random.Generator) -> Dataset:
    """Return a data set without genes: 150 cells that move to the right on days 0, 1 and 3."""
    days = np.repeat([0.0, 1.0, 3.0], 50)
    states = rng.normal(size=(150, 2)).astype(np.float32) + np.c_[2 * days, 0 * days].astype(np.float32)
    obs = pd.DataFrame({"day": days}, index=[f"c{k}" for k in range(150)])
    adata = AnnData(obs=obs, obsm={"X_umap": states})
    fresh = work.fresh_folder(tmp_path / "fresh")
    read.write_h5ad(adata, fresh / "data.h5ad")
    found = inspect(adata)
    roles = found.roles.to_json() | {"rep": "X_umap", "embedding": "X_umap"}
    return workspace.add_dataset(fresh, name="d", origin="", roles=roles, report=found.to_json())


def _train(workspace: Workspace, dataset: Dataset, *, job: str = JOBS[0], stop_at: float = 2.0) -> dict:
    heard = []

    def progress(fraction: float, message: str = "", **figures: float) -> bool:
        heard.append(fraction)
        return fraction < stop_at

    params = {"dataset": dataset.id, "config": QUICK, "name": "right"}
    result = work_models.train(params=params, folder=workspace.home / "jobs" / job, progress=progress)
    assert heard == sorted(heard)
    return result


def test_a_trained_model_is_in_the_library_with_its_card(workspace: Workspace, dataset: Dataset) -> None:
    entry = workspace.model(_train(workspace, dataset)["model"])
    assert (entry.id, entry.name, entry.dataset) == (JOBS[0], "right", dataset.id)
    assert entry.about["seconds"] > 0
    model = checkpoint.load(entry.path)
    assert (model.name, model.dim, model.rep) == ("right", 2, "X_umap")
    assert not list((workspace.home / "jobs" / JOBS[0]).iterdir())


def test_the_same_seed_gives_the_same_bytes(workspace: Workspace, dataset: Dataset) -> None:
    first, second = (workspace.model(_train(workspace, dataset, job=job)["model"]) for job in JOBS)
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_stopped_training_leaves_no_model(workspace: Workspace, dataset: Dataset) -> None:
    with pytest.raises(Stopped):
        _train(workspace, dataset, stop_at=0.3)
    assert workspace.models() == []


def test_training_on_a_deleted_data_set_is_refused(workspace: Workspace, dataset: Dataset) -> None:
    workspace.delete_dataset(dataset.id)
    with pytest.raises(DataError, match="not in the workspace any more"):
        _train(workspace, dataset)


@pytest.mark.parametrize("task", ["annotate", "simulate"])
def test_results_are_written_to_a_file(workspace: Workspace, dataset: Dataset, task: str) -> None:
    params = {"dataset": dataset.id, "model": _train(workspace, dataset)["model"]}
    folder = workspace.home / "jobs" / JOBS[1]
    result = getattr(work_models, task)(params=params, folder=folder, progress=lambda *_: True)
    written = read.read_h5ad(Path(result["file"]))
    assert written.n_obs == result["n_cells"]
    if task == "annotate":
        speed = np.nanmean(written.obsm["velocity_umap"], axis=0)
        assert speed[0] > 3 * abs(speed[1])
