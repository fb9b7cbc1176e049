"""Training as a job: a model in the library, whole or not at all, and what is made with it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dynamics import read
from dynamics.errors import DataError, ModelError, Stopped
from dynamics.inspect import inspect
from dynamics.snapshots import from_arrays
from jobs import work, work_models
from jobs.workspace import Dataset, Workspace
from models import assumptions, checkpoint, container
from models.config import TrainConfig
from models.train import fit

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


def test_what_else_the_motion_may_be_is_kept_with_the_model(workspace: Workspace, dataset: Dataset) -> None:
    assert workspace.model(_train(workspace, dataset)["model"]).about["alarms"] == []
    adata = read.read_h5ad(dataset.opened)
    adata.obs["batch"] = np.repeat(["x", "y", "z"], 50)
    read.write_h5ad(adata, dataset.opened)
    (told,) = workspace.model(_train(workspace, dataset, job=JOBS[1])["model"]).about["alarms"]
    assert (told["level"], told["code"]) == ("warning", "batch-is-time")
    assert set(told) == {"level", "code", "message", "fix"}


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


def _validate(workspace: Workspace, dataset: Dataset, *, stop_at: float = 2.0, **params: object) -> dict:
    heard = []

    def progress(fraction: float, message: str = "", **figures: float) -> bool:
        heard.append((fraction, message))
        return fraction < stop_at

    params = {"dataset": dataset.id, "model": JOBS[0], **params}
    result = work_models.validate(params=params, folder=workspace.home / "jobs" / JOBS[1], progress=progress)
    assert [fraction for fraction, _ in heard] == sorted(fraction for fraction, _ in heard)
    assert any("without time 1: Training" in message or "Checks" in message for _, message in heard)
    return result


def test_a_test_on_held_out_times_is_kept_with_the_model(workspace: Workspace, dataset: Dataset) -> None:
    before = workspace.model(_train(workspace, dataset)["model"])
    content = before.path.read_bytes()
    result = _validate(workspace, dataset, seeds=2, methods=["i-cfm"])
    entry = workspace.model(result["model"])
    told = entry.about["validation"]
    assert [row["seed"] for row in told["rows"]] == [0, 1, 0, 1]
    assert [one["name"] for one in told["nulls"]] == ["permuted", "reversed", "split"]
    assert [one["method"] for one in told["summary"]] == ['auto {"steps":30}', "i-cfm"]
    assert {one["name"] for one in told["baselines"]} == {"copy", "ot-midpoint", "noise-floor"}
    assert told["data"]["times"] == ["0", "1", "3"]
    assert entry.about["seconds"] == before.about["seconds"]
    assert entry.path.read_bytes() == content


def test_a_test_is_stopped_within_a_training(workspace: Workspace, dataset: Dataset) -> None:
    _train(workspace, dataset)
    with pytest.raises(Stopped):
        _validate(workspace, dataset, stop_at=0.5)
    assert "validation" not in workspace.model(JOBS[0]).about


def test_a_test_needs_the_data_that_the_model_was_learned_from(
    workspace: Workspace, dataset: Dataset
) -> None:
    _train(workspace, dataset)
    roles = dict(dataset.roles) | {"time_values": {"0": 0.0, "1": 1.0, "3": 2.0}}
    workspace.update_dataset(dataset.id, roles=roles)
    with pytest.raises(ModelError, match="Train a model on it as it is now"):
        _validate(workspace, dataset)


def test_two_times_cannot_be_tested(workspace: Workspace, dataset: Dataset) -> None:
    roles = dict(dataset.roles) | {"time_values": {"0": 0.0, "1": 1.0, "3": None}}
    workspace.update_dataset(dataset.id, roles=roles)
    _train(workspace, dataset)
    told = workspace.model(_validate(workspace, dataset)["model"]).about["validation"]
    assert told["summary"][0]["verdict"] == "untestable"
    assert [one["name"] for one in told["nulls"]] == ["split"]


def test_the_recipe_of_a_model_from_a_file_is_read_from_it(workspace: Workspace, dataset: Dataset) -> None:
    entry = workspace.model(_train(workspace, dataset)["model"])
    alone = replace(entry, about={})
    settings = {"steps": 30}
    assert work_models.recipe_of(entry).settings == settings
    assert settings.items() <= work_models.recipe_of(alone).settings.items()
    assert work_models.recipe_of(alone).method == "auto"
    assert work_models.recipe_of(alone).members == 1
    shots = from_arrays(np.eye(6, 2), [0.0, 0, 0, 1, 1, 1])
    checkpoint.save(fit(shots, TrainConfig("i-cfm", {"steps": 10}, members=3)), entry.path)
    assert work_models.recipe_of(alone).members == 3


def test_other_assumptions_are_kept_beside_the_model(
    workspace: Workspace, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = {name: assumptions.ASSUMED[name] for name in ("ot-cfm", "spline-cfm")}
    monkeypatch.setattr(assumptions, "ASSUMED", two)
    model = _train(workspace, dataset)["model"]
    params = {"dataset": dataset.id, "model": model}
    folder = workspace.home / "jobs" / JOBS[1]
    work_models.assume(params=params, folder=folder, progress=lambda *_, **__: True)
    entry = workspace.model(model)
    assert set(entry.about["assumptions"]["assumptions"]) == set(two)
    found = container.read_state(
        entry.path.with_suffix(work_models.ASSUMPTIONS), key=checkpoint.read_card(entry.path)["fingerprint"]
    )
    assert len(found["direction"]) == len(found["cells"]) == entry.about["assumptions"]["n_cells"]
    assert [one.id for one in workspace.models()] == [model]
    workspace.delete_model(model)
    assert not list((workspace.home / "models").iterdir())
    workspace.restore_model(model)
    assert entry.path.with_suffix(work_models.ASSUMPTIONS).exists()
