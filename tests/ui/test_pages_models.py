"""The pages that train, keep and use models, on data of several kinds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cli import main
from dynamics import basis, snapshots
from dynamics.errors import ModelError
from dynamics.inspect import inspect
from dynamics.roles import Roles
from jobs.client import Jobs
from jobs.workspace import Workspace
from models import checkpoint
from models.config import TrainConfig
from models.train import fit
from tests.ui.test_pages_start_data import add, open_page, words
from ui import following, state, training


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path / "home"))
    return Workspace()


def course(*, genes: int = 4, types: bool = True, axes: int = 2, untimed: int = 0) -> AnnData:
    """90 cells moving along the first axis in three days; the last `untimed` cells have no day."""
    rng = np.random.default_rng(0)
    days = np.repeat([0.0, 1.0, 3.0], 30)
    states = rng.normal(size=(90, 5)).astype(np.float32)
    states[:, 0] += 3 * days
    days[len(days) - untimed :] = np.nan
    obs = pd.DataFrame({"day": days}, index=[f"c{k}" for k in range(90)])
    if types:
        obs["cell_type"] = pd.Categorical(np.where(states[:, 1] > 0, "up*", "down"))
    adata = AnnData(obs=obs)
    if genes:
        expression = np.abs(states[:, :genes]).astype(np.float32)
        adata = AnnData(expression, obs=obs, var=pd.DataFrame(index=[f"Gene{k}" for k in range(genes)]))
    adata.obsm["X_pca"] = states
    adata.obsm["X_umap"] = states[:, :axes] + rng.normal(size=(90, axes)).astype(np.float32) / 10
    return adata


def with_model(workspace, adata, **roles):
    """Put a data set and a model of it into the workspace; return the query that opens both."""
    dataset = add(workspace, adata)
    if roles:
        picked = replace(Roles.from_json(dataset.roles), **roles)
        report = inspect(adata, roles=picked).to_json()
        dataset = workspace.update_dataset(dataset.id, roles=picked.to_json(), report=report)
    picked = Roles.from_json(dataset.roles)
    shots = snapshots.from_anndata(adata, picked)
    config = TrainConfig(settings={"steps": 20})
    model = fit(shots, config, basis=basis.from_anndata(adata, picked, shots), name="a *model*")
    checkpoint.save(model, workspace.home / "made.safetensors")
    entry = workspace.add_model(workspace.home / "made.safetensors", name=model.name, dataset=dataset.id)
    return {"dataset": dataset.id, "model": entry.id}


KINDS = {
    "usual": {},
    "no genes": {"genes": 0},
    "no cell types": {"types": False},
    "a map in space": {"axes": 3},
    "cells without a time": {"untimed": 5},
}


@pytest.mark.parametrize("page", ["train", "library", "flow", "trajectories"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_page_shows_a_model_of_every_kind_of_data(workspace, kind, page):
    app = open_page(page, **with_model(workspace, course(**KINDS[kind])))
    assert not app.exception
    assert not app.error


def test_index_time_is_said_below_the_figures(workspace):
    query = with_model(workspace, course(), time_as="index")
    for page in ("flow", "trajectories"):
        assert "order of the snapshots" in words(open_page(page, **query))


def test_the_flow_says_its_model_and_that_it_is_not_validated(workspace):
    app = open_page("flow", **with_model(workspace, course()))
    assert r"a \*model\*" in words(app)
    assert "Not validated" in words(app)
    app.segmented_control(key="drawn").set_value("Arrows").run()
    assert not app.exception


def test_cells_are_followed_by_type_and_backward(workspace):
    app = open_page("trajectories", **with_model(workspace, course()))
    app.segmented_control[0].set_value(following.KINDS).run()
    assert "Choose one or more cell types" in app.info[0].value
    app.multiselect[0].set_value(["down"]).run()
    assert "of the chosen types" in words(app)
    app.segmented_control(key="direction").set_value(following.BACKWARD).run()
    assert not app.exception
    assert "from day 3 to day 0" in words(app)
    app.segmented_control[0].set_value(following.CHOSEN).run()
    assert "Draw around cells" in app.info[0].value


def test_training_is_a_job_with_the_recipe_of_the_form(workspace):
    dataset = add(workspace, course())
    app = open_page("train", dataset=dataset.id)
    app.number_input(key="training-ot-cfm.steps").set_value(30).run()
    app.button(key="train").click().run()
    (job,) = Jobs(workspace.home).list()
    assert (job.task, job.dataset) == ("train", dataset.id)
    assert job.params["config"]["settings"] == {"steps": 30}
    assert "--set steps=30" in job.params["cli"]
    assert "Waiting" in words(app)


def test_the_line_below_the_form_trains_the_same_model(workspace, tmp_path):
    adata = course(untimed=5)
    given = {"0": 0.0, "1": 2.0}
    query = with_model(workspace, adata, time_unit="h", time_values=given)
    dataset = workspace.dataset(query["dataset"])
    work = state.Workspace(dataset)
    line = training.cli_line(work, TrainConfig(settings={"steps": 20}), "a *model*")
    out = tmp_path / "same.safetensors"
    replaced = {"FILE.h5ad": str(dataset.file), "MODEL.safetensors": str(out), "'a *model*'": "a *model*"}
    parts = [replaced.get(word, word) for word in training.shlex.split(line)[2:]]
    assert main([*parts, "--quiet"]) == 0
    assert out.read_bytes() == workspace.model(query["model"]).path.read_bytes()


def test_the_library_deletes_and_restores(workspace):
    query = with_model(workspace, course())
    app = open_page("library", **query)
    app.button(key=f"delete-{query['model']}").click().run()
    assert not workspace.models()
    assert "No models yet" in words(app)
    app.button(key="undo-delete-model").click().run()
    assert [entry.id for entry in workspace.models()] == [query["model"]]


def test_a_model_that_does_not_fit_is_refused_in_words(workspace):
    query = with_model(workspace, course(genes=0))
    other = course(genes=0)
    other.obsm["X_latent"] = other.obsm.pop("X_pca")[:, :3]
    dataset = add(workspace, other)
    work = state.Workspace(dataset, workspace.model(query["model"]))
    with pytest.raises(ModelError, match=r"trained on X_pca.*X_latent"):
        _ = work.snapshots
