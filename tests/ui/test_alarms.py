"""What else the motion may be is said before a training and on a card, where there is something to say."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from dynamics.findings import CONFOUNDERS
from jobs import shipped
from jobs.workspace import Workspace
from tests.dynamics.test_confounding import course
from tests.ui.test_pages_models import with_model
from tests.ui.test_pages_start_data import add, open_page


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "no demos yet")
    return Workspace()


def folds(app):
    return [one.label for one in app.expander if "Before you train" in one.label or "What else" in one.label]


def html(app):
    return " ".join(str(one.value) for one in app.get("html"))


@pytest.mark.parametrize(("driver", "said"), [("cycle", ["Before you train: 1 warning"]), ("fate", [])])
def test_division_that_looks_like_motion_is_said_before_training(workspace, rng, driver, said):
    app = open_page("train", dataset=add(workspace, course(rng, driver=driver)).id)
    assert not app.exception
    assert folds(app) == said
    assert ("along with the cell cycle" in html(app)) == bool(said)


def test_batches_are_said_before_training_and_on_the_data_page(workspace, rng):
    obs = pd.DataFrame({"day": np.repeat([0, 1, 2], 60)}, index=[f"c{k}" for k in range(180)])
    obs["batch"] = [f"<b>run {day}</b>" for day in obs["day"]]
    states = rng.normal(size=(180, 3)).astype(np.float32)
    dataset = add(workspace, AnnData(obs=obs, obsm={"X_pca": states}))
    app = open_page("train", dataset=dataset.id)
    assert folds(app) == ["Before you train: 1 warning"]
    assert "cannot be told from a change over time" in html(app)
    assert "cannot be told from a change over time" in html(open_page("data", dataset=dataset.id))


def test_notes_alone_are_not_worth_a_fold(workspace, rng):
    obs = pd.DataFrame({"day": np.repeat([0, 1, 2], 60)}, index=[f"c{k}" for k in range(180)])
    obs["batch"] = ["x"] * 60 + ["y"] * 120
    dataset = add(workspace, AnnData(obs=obs, obsm={"X_pca": rng.normal(size=(180, 3)).astype(np.float32)}))
    assert "batch-gaps" in {row["code"] for row in dataset.report["findings"]} & CONFOUNDERS
    assert folds(open_page("train", dataset=dataset.id)) == []


def test_a_large_file_is_left_to_the_training(workspace, rng, monkeypatch):
    monkeypatch.setattr("ui.alarms.QUICK", 0)
    assert folds(open_page("train", dataset=add(workspace, course(rng, driver="cycle")).id)) == []


def test_the_card_of_a_model_lists_what_was_noticed(workspace, rng):
    query = with_model(workspace, course(rng, driver="fate"))
    assert folds(open_page("library", **query)) == []
    rows = [{"level": "warning", "code": "depth-differs", "message": "Deep <i>here</i>.", "fix": "Look."}]
    workspace.describe_model(query["model"], alarms=[*rows, {**rows[0], "level": "note"}])
    app = open_page("library", **query)
    assert folds(app) == ["What else the motion may be: 1 warning"]
    assert "Deep &lt;i&gt;here&lt;/i&gt;." in html(app)
