"""The fates page: on data of every kind, with its states edited, with growth, clones and noise."""

import numpy as np
import pandas as pd
import pytest

from dynamics import read, terminal
from dynamics.roles import Roles
from jobs import work_fates
from jobs.client import Jobs
from models import checkpoint, fitting
from models.config import TrainConfig
from tests.ui.test_pages_models import course, with_model, workspace
from tests.ui.test_pages_start_data import open_page, words
from ui import fating

__all__ = ["workspace"]
TRIO = TrainConfig("ot-cfm", {"steps": 20}, members=3)


def apart(**kwargs):
    """Return a course whose two types go apart, and stay apart."""
    adata = course(**kwargs)
    states = np.array(adata.obsm["X_pca"])
    states[:, 1] *= 4
    adata.obsm["X_pca"] = states
    return adata


def opened(workspace, query):
    """Return the model entry and the snapshots as the page has them."""
    entry = workspace.model(query["model"])
    dataset = workspace.dataset(query["dataset"])
    adata = read.read_h5ad(dataset.file)
    shots = fitting.check_fit(checkpoint.load(entry.path), adata, Roles.from_json(dataset.roles))
    return entry, shots


KINDS = {
    "no cell types": {"types": False, "axes": 3},
    "two times, no genes, cells without a time": {"genes": 0, "times": (0.0, 1.0), "untimed": 5},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_every_kind_of_data(workspace, kind):
    app = open_page("fates", **with_model(workspace, apart(**KINDS[kind])))
    assert not app.exception
    assert not app.error
    said = words(app)
    assert "Not validated" in said
    assert "No interval" in said
    assert "No growth known" in said
    assert "Terminal states" in [one.value for one in app.subheader]


def test_an_ensemble_has_intervals(workspace):
    query = with_model(workspace, apart(), config=TRIO)
    keep(workspace, query)
    app = open_page("fates", **query)
    assert "3 members of the ensemble" in words(app)
    assert "(" in app.dataframe[0].value["down"].iloc[0]


def test_without_a_map_all_else_is_there(workspace):
    query = with_model(workspace, apart(), embedding=None)
    app = open_page("fates", **query)
    assert not app.exception
    said = words(app)
    assert "no map to draw on" in said
    assert "By starting type" in [one.value for one in app.subheader]


def test_one_state_says_that_two_are_needed_and_can_be_split(workspace):
    query = with_model(workspace, apart())
    entry, shots = opened(workspace, query)
    codes = np.where(shots.time_index == 2, 0, -1)
    work_fates.keep_states(entry, terminal.from_codes(codes, ["all"], source="hand"), shots)
    app = open_page("fates", **query)
    assert not app.exception
    assert "at least two terminal states" in words(app)
    edit = next(one for one in app.segmented_control if one.label == "Edit")
    edit.set_value("Split").run()
    app.button(key=f"states-split-do-{entry.id}").click().run()
    assert not app.exception
    assert work_fates.kept_states(entry, shots).names == ("all 1", "all 2")
    assert "Between the fates" in [one.value for one in app.subheader]


def keep(workspace, query, names=("down", "up*")):
    """Keep two terminal states beside the model, below and above at the last time."""
    entry, shots = opened(workspace, query)
    above = (shots.states[:, 1] > 0).astype(int)
    codes = np.where(shots.time_index == shots.n_times - 1, above, -1)
    work_fates.keep_states(entry, terminal.from_codes(codes, names, source="types"), shots)
    return entry, shots


def edit(app, way):
    next(one for one in app.segmented_control if one.label == "Edit").set_value(way).run()


def test_states_are_renamed_merged_and_proposed_again(workspace):
    query = with_model(workspace, apart())
    entry, shots = keep(workspace, query)
    app = open_page("fates", **query)
    edit(app, "Rename")
    app.text_input(key=f"states-rename-to-{entry.id}").set_value("up*")
    app.button(key=f"states-rename-do-{entry.id}").click().run()
    assert "another terminal state" in words(app)
    app.text_input(key=f"states-rename-to-{entry.id}").set_value("<b>west</b>")
    app.button(key=f"states-rename-do-{entry.id}").click().run()
    assert work_fates.kept_states(entry, shots).names == ("<b>west</b>", "up*")
    edit(app, "Merge")
    app.multiselect(key=f"states-merge-{entry.id}").set_value(["<b>west</b>", "up*"]).run()
    app.button(key=f"states-merge-do-{entry.id}").click().run()
    assert len(work_fates.kept_states(entry, shots)) == 1
    edit(app, "Propose anew")
    app.button(key=f"states-propose-back-{entry.id}").click().run()
    assert len(work_fates.kept_states(entry, shots)) == 2
    assert not app.exception


def test_chosen_cells_are_forced_into_a_state_and_have_ancestors(workspace, monkeypatch):
    query = with_model(workspace, apart(), config=TRIO)
    entry, shots = keep(workspace, query)
    monkeypatch.setattr(fating, "chosen", lambda work: np.arange(60, 70))
    app = open_page("fates", **query)
    assert "10 cells chosen on the map" in words(app)
    assert "Of the ancestors" in app.table[-1].value.columns
    app.text_input(key=f"states-pick-name-{entry.id}").set_value("mine")
    app.checkbox(key=f"states-pick-force-{entry.id}").check()
    app.button(key=f"states-pick-{entry.id}").click().run()
    assert not app.exception
    states = work_fates.kept_states(entry, shots)
    assert list(states.cells("mine")) == list(range(60, 70))
    assert states.forced.sum() == 10


def test_noise_offers_to_draw_paths_and_shows_what_was_drawn(workspace):
    query = with_model(workspace, apart(), config=TrainConfig("sf2m", {"steps": 20}))
    entry, _ = keep(workspace, query)
    app = open_page("fates", **query)
    assert "follows its mean flow" in words(app)
    app.button(key=f"draw-fates-{entry.id}").click().run()
    (job,) = Jobs(workspace.home).list()
    assert job.task == "fates"
    Jobs(workspace.home).stop(job.id)
    folder = workspace.home / "jobs" / "0123456789abcdef0123"
    folder.mkdir()
    params = {"dataset": query["dataset"], "model": query["model"], "growth": "none"}
    work_fates.fates(params=params, folder=folder, progress=lambda *_, **__: True)
    said = words(open_page("fates", **query))
    assert "by drawing 10 paths of each cell" in said
    assert "Intervals tell what the draws leave open" in said


def test_growth_of_the_model_stands_beside_fates_without_it(workspace):
    config = TrainConfig("growth-cfm", {"steps": 20, "numbers": "counts"})
    query = with_model(workspace, apart(), config=config)
    keep(workspace, query)
    app = open_page("fates", **query)
    assert not app.exception
    said = words(app)
    assert "With growth above, without it below" in said
    assert ("Growth decides" in said) or ("Growth changes little" in said)
    assert "down, without growth" in app.dataframe[0].value.columns
    app.segmented_control(key=app_key(app, "fate-growth")).set_value("Without growth").run()
    assert not app.exception


def app_key(app, beginning):
    return next(one.key for one in app.segmented_control if str(one.key).startswith(beginning))


@pytest.mark.parametrize("n_clones", [40, 3])
def test_clones_are_scored_or_said_to_be_too_few(workspace, n_clones):
    adata = apart(cells=80)
    up = adata.obsm["X_pca"][:, 1] > 0
    number = np.random.default_rng(0).integers(n_clones // 2, size=len(up)) if n_clones > 3 else 0
    clone = np.where(up, number, number + n_clones)
    adata.obs["clone"] = pd.Categorical([f"clone {k}" for k in clone])
    query = with_model(workspace, adata, clone_key="clone")
    keep(workspace, query)
    app = open_page("fates", **query)
    assert not app.exception
    said = words(app)
    if n_clones > 3:
        assert "by the other half of the clone" in said
    else:
        assert "cannot be scored by clones" in said
