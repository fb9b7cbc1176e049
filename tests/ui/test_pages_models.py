"""The pages that train, keep and use models, on data of several kinds."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from streamlit.testing.v1 import AppTest

from cli import main
from dynamics import basis, read, snapshots
from dynamics.errors import ModelError
from dynamics.inspect import inspect
from dynamics.roles import Roles
from jobs import work_models
from jobs.client import Jobs
from jobs.workspace import Workspace
from models import checkpoint
from models.cell_model import CellModel
from models.config import TrainConfig
from models.methods import METHODS, usual_members
from models.objectives.base import PURPOSES
from models.train import fit
from tests.ui.test_pages_start_data import ROUTER, add, open_page, words
from ui import choosing, following, pickers, state, training
from ui.text import escape


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path / "home"))
    return Workspace()


def course(
    *,
    genes: int = 4,
    types: bool = True,
    axes: int = 2,
    untimed: int = 0,
    times: tuple[float, ...] = (0.0, 1.0, 3.0),
    cells: int = 30,
) -> AnnData:
    """Return `cells` a day that move along the first axis; the last `untimed` cells have no day."""
    rng = np.random.default_rng(0)
    days = np.repeat(np.asarray(times, float), cells)
    n = len(days)
    states = rng.normal(size=(n, 5)).astype(np.float32)
    states[:, 0] += 3 * days
    days[len(days) - untimed :] = np.nan
    obs = pd.DataFrame({"day": days}, index=[f"c{k}" for k in range(n)])
    if types:
        obs["cell_type"] = pd.Categorical(np.where(states[:, 1] > 0, "up*", "down"))
    adata = AnnData(obs=obs)
    if genes:
        expression = np.abs(states[:, :genes]).astype(np.float32)
        adata = AnnData(expression, obs=obs, var=pd.DataFrame(index=[f"Gene{k}" for k in range(genes)]))
    adata.obsm["X_pca"] = states
    adata.obsm["X_umap"] = states[:, :axes] + rng.normal(size=(n, axes)).astype(np.float32) / 10
    return adata


QUICK = TrainConfig(settings={"steps": 20})


def with_model(workspace, adata, *, config=QUICK, **roles):
    """Put a data set and a model of it into the workspace; return the query that opens both."""
    dataset = add(workspace, adata)
    if roles:
        picked = replace(Roles.from_json(dataset.roles), **roles)
        report = inspect(adata, roles=picked).to_json()
        dataset = workspace.update_dataset(dataset.id, roles=picked.to_json(), report=report)
    picked = Roles.from_json(dataset.roles)
    shots = snapshots.from_anndata(adata, picked)
    model = fit(shots, config, basis=basis.from_anndata(adata, picked, shots), name="a *model*")
    checkpoint.save(model, workspace.home / "made.safetensors")
    about = {"seconds": 2.0, "config": config.to_json()}
    entry = workspace.add_model(
        workspace.home / "made.safetensors", name=model.name, dataset=dataset.id, about=about
    )
    return {"dataset": dataset.id, "model": entry.id}


KINDS = {
    "usual": {},
    "no genes": {"genes": 0},
    "no cell types": {"types": False},
    "a map in space": {"axes": 3},
    "cells without a time": {"untimed": 5},
}


@pytest.mark.parametrize("page", ["train", "library", "validate", "flow", "trajectories"])
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


def test_an_address_that_names_no_direction_means_forward(workspace):
    app = AppTest.from_file(ROUTER, default_timeout=60).switch_page("trajectories.py")
    for name, value in {**with_model(workspace, course()), "direction": ""}.items():
        app.query_params[name] = value
    assert "from day 0 to day 3" in words(app.run())
    assert not app.exception


class Turned:
    """A member that moves cells at right angles to the model, in the first two dimensions."""

    def __init__(self, model):
        self.model, self.dim = model, model.dim

    def __call__(self, t, x):
        v = self.model(t, x)
        return torch.cat([-v[:, 1:2], v[:, :1], v[:, 2:]], dim=1)


@pytest.fixture
def ensemble(monkeypatch):
    """Give every model two further members, one of which goes its own way."""
    members = property(lambda model: (model, model.renamed("again"), Turned(model)))
    monkeypatch.setattr(CellModel, "members", members, raising=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("ensemble")
def test_an_ensemble_says_where_its_members_disagree(workspace, kind):
    query = with_model(workspace, course(**KINDS[kind]))
    app = open_page("flow", **query)
    assert not app.exception
    assert "the 3 members of the ensemble disagree" in words(app)
    assert re.search(r"over 60° apart on average on \d+% of the area", words(app))
    app.selectbox(key="colour").set_value(pickers.ENSEMBLE).run()
    assert "length of the members' mean velocity" in words(app)
    app = open_page("trajectories", **query)
    assert not app.exception
    assert "the 3 members of the ensemble part" in words(app)
    if kind == "no cell types":
        assert not app.table
        return
    assert re.search(r"What \d+% of them end as depends on the training", words(app))
    table = app.table[0].value
    assert list(table.columns) == ["At the end", "80 % range"]
    assert set(table.index) <= {"down", r"up\*"}


def test_an_ensemble_as_it_is_trained_is_told_on_both_pages(workspace):
    query = with_model(workspace, course(), config=replace(QUICK, members=3))
    assert "the 3 members of the ensemble disagree" in words(open_page("flow", **query))
    app = open_page("trajectories", **query)
    assert "the 3 members of the ensemble part" in words(app)
    assert not app.exception


def test_without_an_ensemble_its_absence_is_said(workspace):
    query = with_model(workspace, course())
    app = open_page("flow", **query, colour=pickers.ENSEMBLE)
    assert "No ensemble was trained" in words(app)
    assert pickers.ENSEMBLE not in app.selectbox(key="colour").options
    assert "Agreement of the ensemble is not known here; coloured by cell" in words(app)
    app = open_page("trajectories", **query)
    assert "No ensemble was trained" in words(app)
    assert not app.table


def test_the_flow_says_and_fades_what_the_map_cannot_show(workspace):
    app = open_page("flow", **with_model(workspace, course()))
    assert re.search(r"\d+% of the cells show less than a quarter", words(app))
    assert "a direction at random would have 0.63" in words(app)
    assert app.toggle(key="fade-hidden").value
    app.toggle(key="fade-hidden").set_value(False).run()
    app.selectbox(key="colour").set_value(pickers.SHOWN).run()
    assert not app.exception
    assert "cosine between the step of a cell and what its arrow shows" in words(app)


def test_a_map_that_is_the_state_space_shows_everything(workspace):
    adata = course()
    adata.obsm["X_pca"] = adata.obsm["X_pca"][:, :2].copy()
    query = with_model(workspace, adata, embedding="X_pca")
    app = open_page("flow", **query)
    assert "an arrow shows all of a step" in words(app)
    assert not app.toggle
    assert pickers.SHOWN not in app.selectbox(key="colour").options


def test_cells_are_followed_beyond_the_measured_times_only_when_asked(workspace):
    app = open_page("trajectories", **with_model(workspace, course()))
    assert "extrapolated in time" not in words(app)
    assert "to day 3" in words(app)
    (further,) = (slider for slider in app.slider if slider.label.startswith("Follow beyond"))
    assert (further.value, further.max) == (0, 1.5)
    further.set_value(1.5).run()
    assert not app.exception
    assert "extrapolated in time" in words(app)
    assert "to 4.5 day" in words(app).replace("\\", "")
    assert "at the end (extrapolated in time)" in words(app)
    assert app.selectbox[0].options[-1].startswith("day 3")  # cells of the last time have a future now
    app.segmented_control(key="direction").set_value(following.BACKWARD).run()
    assert "to -1.5 day" in words(app).replace("\\", "")


def test_beyond_the_last_of_ordered_times_has_no_unit(workspace):
    app = open_page("trajectories", **with_model(workspace, course(), time_as="index"))
    (further,) = (slider for slider in app.slider if slider.label.startswith("Follow beyond"))
    further.set_value(0.5).run()
    assert "to 2.5." in words(app).replace("\\", "")


def test_training_is_a_job_with_the_recipe_of_the_form(workspace):
    dataset = add(workspace, course())
    app = open_page("train", dataset=dataset.id)
    app.number_input(key="training-auto.steps").set_value(30).run()
    app.button(key="train").click().run()
    (job,) = Jobs(workspace.home).list()
    assert (job.task, job.dataset) == ("train", dataset.id)
    assert job.params["config"]["settings"] == {"steps": 30}
    assert job.params["config"]["members"] == 5
    assert "--set steps=30" in job.params["cli"]
    assert "--members 5" in job.params["cli"]
    assert "Waiting" in words(app)


def quick(method):
    """Return settings with which a method trains in a moment."""
    steps = {"steps": 10} if METHODS[method].objective.evaluations else {}
    return steps | {"growth-cfm": {"numbers": "counts", "reg_m": 1.0}}.get(method, {})


@pytest.mark.parametrize("method", METHODS)
def test_the_line_below_the_form_trains_the_same_model(workspace, tmp_path, method):
    config = TrainConfig(method, quick(method), seed=3)
    config = replace(config, members=min(usual_members(config), 2))
    query = with_model(
        workspace, course(untimed=5), config=config, time_unit="h", time_values={"0": 0.0, "1": 2.0}
    )
    dataset = workspace.dataset(query["dataset"])
    work = state.Workspace(dataset)
    line = training.cli_line(work, config, "a *model*")
    out = tmp_path / "same.safetensors"
    replaced = {"FILE.h5ad": str(dataset.file), "MODEL.safetensors": str(out), "'a *model*'": "a *model*"}
    parts = [replaced.get(word, word) for word in training.shlex.split(line)[2:]]
    assert main([*parts, "--quiet"]) == 0
    assert out.read_bytes() == workspace.model(query["model"]).path.read_bytes()


def test_an_ensemble_is_usual_where_it_is_cheap_and_said_to_cost_where_it_is_not(workspace):
    dataset = add(workspace, course())
    app = open_page("train", dataset=dataset.id)
    assert app.number_input(key="members-auto-5").value == 5
    assert "for the other 4 members of the ensemble" in words(app)
    app.number_input(key="members-auto-5").set_value(1).run()
    assert "of the ensemble" not in words(app)
    app = open_page("train", dataset=dataset.id, method="neural-ode")
    assert app.number_input(key="members-neural-ode-1").value == 1
    assert "Each member takes as long as the model itself" in words(app)
    app = open_page("train", dataset=dataset.id, method="ot")
    assert not [one for one in app.number_input if one.key.startswith("members")]


def test_several_methods_have_the_ensembles_that_are_cheap(workspace):
    work = state.Workspace(workspace.dataset(add(workspace, course()).id))
    for members, expected in ((5, [5, 5, 1, 1]), (3, [3, 3, 1, 1]), (1, [1, 1, 1, 1])):
        config = TrainConfig("auto", members=members)
        plans = training.planned(work, config, methods=["auto", "sf2m", "cnf", "ot"], seeds=1)
        assert [plan.config.members for plan in plans] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_question_offers_its_methods_and_says_what_they_cost(workspace, kind):
    app = open_page("train", dataset=add(workspace, course(**KINDS[kind])).id)
    for purpose in PURPOSES:
        app.radio(key="purpose").set_value(purpose).run()
        names = choosing.of_purpose(purpose)
        for name in names if kind == "usual" else names[:1]:
            if len(names) > 1:
                app.radio(key=f"method-{purpose}").set_value(name).run()
            assert not app.exception
            assert not app.error
            assert re.search(r"Takes about .* of memory on this machine when nothing else runs", words(app))
            assert escape(METHODS[name].cannot, limit=600) in words(app)
            assert (app.query_params.get("method") or "auto") in (name, [name])


def test_a_link_opens_a_method_and_its_question(workspace):
    app = open_page("train", dataset=add(workspace, course()).id, method="genot")
    assert app.radio(key="purpose").value == "sure"
    assert app.radio(key="method-sure").value == "genot"
    odd = open_page("train", dataset=add(workspace, course()).id, method="warp")
    assert odd.radio(key="method-where").value == "auto"


def test_growth_asks_whether_numbers_mean_anything_and_says_which_genes_are_missing(workspace):
    app = open_page("train", dataset=add(workspace, course()).id, method="growth-cfm")
    numbers = app.selectbox(key="training-growth-cfm.numbers")
    assert (numbers.value, numbers.label) == (
        "ignore",
        "Does the number of cells at each time mean anything?",
    )
    app.selectbox(key="training-growth-cfm.growth_from").set_value("genes").run()
    assert escape("cell-cycle genes") in app.error[0].value
    assert app.button(key="train").disabled


def test_noise_is_shown_before_the_start(workspace):
    app = open_page("train", dataset=add(workspace, course()).id, method="sf2m")
    assert r"Half\-way between two times" in words(app)
    assert "you choose" in words(app)
    app.number_input(key="training-sf2m.noise").set_value(1.5).run()
    assert "Noise 1.5 × the spread" in words(app).replace("\\", "")


def test_a_method_that_cannot_work_is_said_and_cannot_be_started(workspace):
    adata = course(genes=0)
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(90, 120)).astype(np.float32)
    dataset = add(workspace, adata)
    app = open_page("train", dataset=dataset.id, method="cnf")
    app.slider[0].set_value(120).run()
    assert "Not for these data. This method can handle up to 100 dimensions" in " ".join(
        app.radio(key="method-classic").proto.captions
    )
    assert "there are 120" in app.error[0].value
    assert app.button(key="train").disabled


def test_several_trainings_are_started_with_one_click(workspace):
    dataset = add(workspace, course())
    app = open_page("train", dataset=dataset.id)
    app.multiselect[0].set_value(["auto", "ot"]).run()
    app.number_input(key="several-seeds").set_value(2).run()
    assert "All together up to" in words(app)
    app.button(key="start-several").click().run()
    jobs = Jobs(workspace.home).list()
    assert sorted((job.params["config"]["method"], job.params["config"]["seed"]) for job in jobs) == [
        ("auto", 0), ("auto", 1), ("ot", 0), ("ot", 1)
    ]  # fmt: skip
    assert len({job.params["name"] for job in jobs}) == 4
    assert words(app).count("Waiting for a free worker") == 4
    assert not app.exception


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


def judged(workspace, model):
    """Keep held-out scores with a model, as the job does."""
    entry = workspace.model(model)
    folder = workspace.home / "jobs" / "0123456789"
    folder.mkdir()
    params = {"dataset": entry.dataset, "model": model}
    work_models.validate(params=params, folder=folder, progress=lambda *_, **__: True)


def test_a_model_is_tested_from_its_card(workspace):
    query = with_model(workspace, course())
    app = open_page("library", **query)
    assert "Not validated" in words(app)
    app.button(key=f"validate-{query['model']}").click().run()
    (job,) = Jobs(workspace.home).list()
    assert (job.task, job.params["model"], job.dataset) == ("validate", query["model"], query["dataset"])
    assert "Waiting for a free worker" in words(app)
    Jobs(workspace.home).stop(job.id)
    judged(workspace, query["model"])
    said = words(open_page("library", **query))
    assert "Distance to held-out cells" in said
    assert "Tested without the time 1: predicts" in said
    assert "Tested without the time 1" in words(open_page("flow", **query))


def test_two_times_cannot_be_tested(workspace):
    adata = course()
    query = with_model(workspace, adata[adata.obs["day"] < 2].copy())
    app = open_page("library", **query)
    assert "Cannot be tested: only two time points" in words(app)
    assert not [button for button in app.button if button.label == "Test on held-out times"]


@pytest.mark.parametrize("kind", KINDS)
def test_two_models_are_compared(workspace, kind):
    query = with_model(workspace, course(**KINDS[kind]))
    dataset = workspace.dataset(query["dataset"])
    config = TrainConfig("growth-cfm", {"steps": 20, "reg_m": 1.0}, dims=3)
    shots = snapshots.from_anndata(read.read_h5ad(dataset.file), Roles.from_json(dataset.roles), dims=3)
    checkpoint.save(fit(shots, config, name="other"), workspace.home / "other.safetensors")
    other = workspace.add_model(workspace.home / "other.safetensors", name="other", dataset=dataset.id)
    app = open_page("library", **query)
    for id in (query["model"], other.id):
        app.checkbox(key=f"tick-{id}").check().run()
    assert "Compare 2 models" in [button.label for button in app.button]
    app = open_page("library", **query, compare=f"{query['model']},{other.id}")
    assert not app.exception
    assert not app.error
    table = app.table[0].value
    assert list(table.loc["Dimensions"]) == ["5", "3"]
    assert "Does the number of cells at each time mean anything?" in table.index
    assert "Seed" not in table.index
    said = words(app)
    assert "They disagree most in" in said
    assert "hardly moves" in said
    app.segmented_control(key="compare-colour").set_value("longer").run()
    assert "faster" in words(app)


def test_a_comparison_shows_scores_and_leaves_out_models_that_are_gone(workspace):
    query = with_model(workspace, course())
    judged(workspace, query["model"])
    content = workspace.model(query["model"]).path.read_bytes()
    (workspace.home / "again.safetensors").write_bytes(content)
    again = workspace.add_model(workspace.home / "again.safetensors", name="again", dataset=query["dataset"])
    gone = "0123456789abcdef0123"
    app = open_page("library", **query, compare=f"{query['model']},{gone},{again.id}")
    table = app.table[0].value
    assert table.shape[1] == 2
    assert "not validated" in list(table.loc[escape("Distance to held-out cells")])
    assert "Straight lines between pairs" in table.index
    assert "Median 0°" in words(app)
    app.button(key="compare-back").click().run()
    assert app.button(key=f"open-{again.id}")
