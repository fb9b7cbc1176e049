"""The validate page: before, while and after a report, with a verdict of every kind."""

import numpy as np
import pytest

from jobs import work_models
from jobs.client import Jobs
from models import assumptions, report
from models.config import TrainConfig
from tests.ui.test_pages_models import course, with_model, workspace
from tests.ui.test_pages_start_data import open_page, words
from ui import validating

QUICK = TrainConfig("ot-cfm", {"steps": 60}, members=3)
__all__ = ["workspace"]


def reported(workspace, query, **params) -> None:
    """Make a report as the job does."""
    folder = workspace.home / "jobs" / "0123456789abcdef0123"
    folder.mkdir(exist_ok=True)
    params = {"dataset": query["dataset"], "model": query["model"], **params}
    work_models.validate(params=params, folder=folder, progress=lambda *_, **__: True)


def test_the_cost_knows_the_folds_of_the_checks():
    assert tuple(report.MOST_NULL_FOLDS.values()) == validating.NULL_FOLDS


def test_a_report_is_started_from_the_page(workspace):
    query = with_model(workspace, course())
    app = open_page("validate", **query)
    assert "What the snapshots leave open" in [one.value for one in app.subheader]
    app.button(key=f"report-{query['model']}").click().run()
    (job,) = Jobs(workspace.home).list()
    assert (job.task, job.params["model"]) == ("validate", query["model"])
    assert job.params["methods"] == ["ot-cfm"]
    assert "Waiting for a free worker" in words(app)


def test_a_report_is_shown_with_all_its_parts(workspace):
    query = with_model(workspace, course(times=(0, 1, 2, 3), cells=60), config=QUICK)
    reported(workspace, query, methods=["i-cfm"])
    app = open_page("validate", **query)
    assert not app.exception
    said = words(app)
    for part in ("straight line", "Times dealt out at random", "Time run backwards", "One time as two"):
        assert part in said
    card = open_page("trajectories", **query)
    assert "Ranges are" in words(card)
    assert "held-out times" in words(card)
    table = app.table[0].value
    assert "Noise floor" in table.index
    assert "Flow matching with random pairs" in table.index
    assert "80 % bands of the ensemble held" in said
    assert app.get("plotly_chart")
    app.segmented_control(key="report-time").set_value("2").run()
    assert not app.exception
    assert "Which genes are predicted" in [one.value for one in app.subheader]
    card = words(open_page("library", **query))
    assert "Tested without the times 1, 2" in card


def test_two_times_are_said_to_be_untestable(workspace):
    query = with_model(workspace, course(times=(0, 1), cells=60), config=QUICK)
    reported(workspace, query)
    app = open_page("validate", **query)
    assert not app.exception
    said = words(app)
    assert "only two time points" in said
    assert "One time as two" in said
    assert not app.multiselect
    flow = words(open_page("flow", **query))
    assert "only two time points" in flow
    assert "Cannot be tested" in flow


def test_shuffled_times_get_a_negative_verdict(workspace):
    adata = course(times=(0, 1, 2, 3), cells=80)
    adata.obs["day"] = np.random.default_rng(0).permutation(adata.obs["day"].to_numpy())
    query = with_model(workspace, adata, config=QUICK)
    reported(workspace, query)
    app = open_page("validate", **query)
    assert "Nothing to predict" in words(app)
    assert "Clearly better" not in words(app)
    assert "Nothing to predict" in words(open_page("trajectories", **query))


@pytest.mark.parametrize("types", [True, False])
def test_other_assumptions_are_asked_for_and_shown(workspace, types, monkeypatch):
    two = {name: assumptions.ASSUMED[name] for name in ("ot-cfm", "spline-cfm")}
    monkeypatch.setattr(assumptions, "ASSUMED", two)
    query = with_model(workspace, course(cells=60, types=types), config=QUICK)
    app = open_page("validate", **query)
    app.button(key=f"assume-{query['model']}").click().run()
    (job,) = Jobs(workspace.home).list()
    assert job.task == "assume"
    Jobs(workspace.home).stop(job.id)
    folder = workspace.home / "jobs" / "0123456789abcdef0123"
    folder.mkdir()
    params = {"dataset": query["dataset"], "model": query["model"]}
    work_models.assume(params=params, folder=folder, progress=lambda *_, **__: True)
    app = open_page("validate", **query)
    assert not app.exception
    said = words(app)
    assert "Direction: depends on the assumption for" in said
    assert ("Fate: depends on the assumption for" in said) is types
